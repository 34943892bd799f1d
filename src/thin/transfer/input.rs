//! Where a stream comes from.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

use super::on_device;

/// Gives a stream.
pub trait Input: Send {
    /// Fills the buffer as far as the stream goes. Returns how much it is.
    ///
    /// # Errors
    /// The kernel's.
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Passes over zeros that need no reading, at most so many. Returns how many.
    ///
    /// # Errors
    /// The kernel's.
    fn pass_hole(&mut self, most: u64) -> io::Result<u64>;
}

/// What gives bytes one after the other, such as a pipe.
#[derive(Debug)]
pub struct Pipe(pub File);

impl Input for Pipe {
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.0.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn pass_hole(&mut self, _most: u64) -> io::Result<u64> {
        Ok(0)
    }
}

/// A regular file, whose holes are not read.
#[derive(Debug)]
pub struct SparseFile {
    inner: Pipe,
    at: u64,
    /// Up to where there is data from `at` on.
    data_until: u64,
}

impl SparseFile {
    /// The file, to be read from where it stands.
    ///
    /// # Errors
    /// If that cannot be told.
    pub fn new(file: File) -> io::Result<Self> {
        let at = lseek(file.as_fd(), 0, Whence::SeekCur)?;
        Ok(Self { inner: Pipe(file), at: u64::try_from(at).map_err(io::Error::other)?, data_until: 0 })
    }

    fn seek(&self, to: u64, whence: Whence) -> nix::Result<u64> {
        let to = i64::try_from(to).map_err(|_| Errno::EOVERFLOW)?;
        let at = lseek(self.inner.0.as_fd(), to, whence)?;
        u64::try_from(at).map_err(|_| Errno::EOVERFLOW)
    }
}

impl Input for SparseFile {
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let filled = self.inner.fill(buffer)?;
        self.at += on_device(filled);
        Ok(filled)
    }

    /// A file system that knows no holes says that all is data.
    fn pass_hole(&mut self, most: u64) -> io::Result<u64> {
        if self.at < self.data_until {
            return Ok(0);
        }
        let end = self.inner.0.metadata()?.len();
        let data = match self.seek(self.at, Whence::SeekData) {
            Ok(data) => data,
            // From here on there is a hole up to the end.
            Err(Errno::ENXIO) => end,
            Err(_) => self.at,
        };
        let passed = data.min(end).saturating_sub(self.at).min(most);
        self.at += passed;
        self.data_until = match self.seek(self.at, Whence::SeekHole) {
            Ok(hole) => hole,
            Err(_) => end,
        };
        self.seek(self.at, Whence::SeekSet)?;
        Ok(passed)
    }
}
