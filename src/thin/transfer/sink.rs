//! Where a stream goes.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use super::{ZEROS, in_memory, on_device};

/// Takes a stream.
pub trait Sink: Send {
    /// Takes bytes.
    ///
    /// # Errors
    /// The kernel's.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Takes so many zeros.
    ///
    /// # Errors
    /// The kernel's.
    fn zeros(&mut self, count: u64) -> io::Result<()>;

    /// Whether zeros cost nothing.
    fn has_holes(&self) -> bool;

    /// Nothing more comes.
    ///
    /// # Errors
    /// The kernel's: what was taken may not be there.
    fn finish(&mut self) -> io::Result<()>;
}

/// What takes bytes one after the other, such as a pipe.
#[derive(Debug)]
pub struct Pipe(pub File);

impl Sink for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn zeros(&mut self, mut count: u64) -> io::Result<()> {
        while count > 0 {
            let part = ZEROS.len().min(in_memory(count));
            self.0.write_all(&ZEROS[..part])?;
            count -= on_device(part);
        }
        Ok(())
    }

    fn has_holes(&self) -> bool {
        false
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A regular file that was empty.
#[derive(Debug)]
pub struct SparseFile {
    file: File,
    at: u64,
}

impl SparseFile {
    /// The file, which holds nothing yet.
    pub fn new(file: File) -> Self {
        Self { file, at: 0 }
    }
}

impl Sink for SparseFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.at)?;
        self.at += on_device(bytes.len());
        Ok(())
    }

    fn zeros(&mut self, count: u64) -> io::Result<()> {
        self.at += count;
        Ok(())
    }

    fn has_holes(&self) -> bool {
        true
    }

    fn finish(&mut self) -> io::Result<()> {
        self.file.set_len(self.at)?;
        self.file.sync_all()
    }
}
