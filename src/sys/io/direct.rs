//! A block device or file opened for direct I/O.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::libc;

use super::aligned::{AlignedBuf, is_aligned};
use super::block::{BlockDev, Disks};
use crate::blkdev;
use base::units::Bytes;

pub use super::block::Access;

/// The most that goes through the bounce buffer at once, in bytes; a multiple of every block size.
const CHUNK_BYTES: usize = 1 << 20;

/// The block size assumed of a regular file.
const FILE_BLOCK_BYTES: u32 = 512;

/// The disks of this machine, opened as [`DirectFile`].
#[derive(Clone, Copy, Debug, Default)]
pub struct DirectDisks;

impl Disks for DirectDisks {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn BlockDev>> {
        Ok(Box::new(DirectFile::open(path, access)?))
    }
}

/// A block device opened with `O_DIRECT`, so that what is read is what is on the device, and what is written
/// is on its way to it; or a regular file (then through the page cache, where direct I/O may be impossible).
///
/// It is open for reading only until the first write: udev watches block devices, and probes one again each
/// time that a writer closes it. The writing descriptor is closed when the value is dropped.
#[derive(Debug)]
pub struct DirectFile {
    path: PathBuf,
    access: Access,
    reader: File,
    writer: OnceLock<File>,
    size: u64,
    block: u32,
}

impl DirectFile {
    /// Opens a block device or a regular file.
    ///
    /// # Errors
    /// The kernel's, or `InvalidInput` for anything else, such as a directory.
    pub fn open(path: &Path, access: Access) -> io::Result<Self> {
        let reader = open_file(path, false)?;
        let metadata = reader.metadata()?;
        let (size, block) = if metadata.file_type().is_block_device() {
            (blkdev::size_bytes(reader.as_fd())?, blkdev::logical_block_bytes(reader.as_fd())?)
        } else {
            (metadata.len(), FILE_BLOCK_BYTES)
        };
        Ok(Self { path: path.to_owned(), access, reader, writer: OnceLock::new(), size, block })
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn writer(&self) -> io::Result<&File> {
        if self.access == Access::ReadOnly {
            let why = format!("{} was opened for reading only", self.path.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        if let Some(writer) = self.writer.get() {
            return Ok(writer);
        }
        let writer = open_file(&self.path, true)?;
        let identity = |file: &File| file.metadata().map(|stat| (stat.dev(), stat.ino(), stat.rdev()));
        if identity(&writer)? != identity(&self.reader)? {
            let why = format!("{} became another device since it was read", self.path.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, why));
        }
        Ok(self.writer.get_or_init(|| writer))
    }

    /// Has what others wrote through the page cache, and what is in the device's own cache, brought to where direct
    /// reads find it and a thin pool has mapped it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn write_back(&self) -> io::Result<()> {
        self.reader.sync_data()
    }

    /// Whether a range of whole blocks and the memory for it need no buffer between them.
    fn is_direct(&self, offset: u64, buf: &[u8]) -> bool {
        let block = u64::from(self.block);
        offset.is_multiple_of(block) && buf.len().is_multiple_of(length_of(self.block)) && is_aligned(buf)
    }

    /// The whole blocks around a range, as start and end, or `kind` if the range is not within the device.
    fn blocks_around(&self, offset: u64, length: usize, kind: io::ErrorKind) -> io::Result<(u64, u64)> {
        let end = u64::try_from(length).ok().and_then(|length| offset.checked_add(length));
        let end = end.filter(|end| *end <= self.size).ok_or_else(|| {
            let (path, size) = (self.path.display(), self.size);
            io::Error::new(kind, format!("{length} bytes at {offset} are not within {path} of {size} bytes"))
        })?;
        let block = u64::from(self.block);
        // Only of a regular file can the last block be short.
        Ok((offset / block * block, end.next_multiple_of(block).min(self.size)))
    }
}

impl BlockDev for DirectFile {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn size(&self) -> Bytes {
        Bytes::new(self.size)
    }

    fn block_size(&self) -> u32 {
        self.block
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.blocks_around(offset, buf.len(), io::ErrorKind::UnexpectedEof)?;
        if self.is_direct(offset, buf) {
            return self.reader.read_exact_at(buf, offset);
        }
        let mut bounce = AlignedBuf::new(CHUNK_BYTES.min(buf.len() + 2 * length_of(self.block)));
        let mut at = offset;
        for piece in buf.chunks_mut(CHUNK_BYTES - 2 * length_of(self.block)) {
            let (start, end) = self.blocks_around(at, piece.len(), io::ErrorKind::UnexpectedEof)?;
            let blocks = bounce.first_mut(between(start, end));
            self.reader.read_exact_at(blocks, start)?;
            let skip = between(start, at);
            piece.copy_from_slice(&blocks[skip..skip + piece.len()]);
            at += u64::try_from(piece.len()).expect("a chunk is small");
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        self.blocks_around(offset, buf.len(), io::ErrorKind::WriteZero)?;
        let writer = self.writer()?;
        if self.is_direct(offset, buf) {
            return writer.write_all_at(buf, offset);
        }
        let mut bounce = AlignedBuf::new(CHUNK_BYTES.min(buf.len() + 2 * length_of(self.block)));
        let mut at = offset;
        for piece in buf.chunks(CHUNK_BYTES - 2 * length_of(self.block)) {
            let (start, end) = self.blocks_around(at, piece.len(), io::ErrorKind::WriteZero)?;
            let blocks = bounce.first_mut(between(start, end));
            let skip = between(start, at);
            if blocks.len() != piece.len() {
                // Part of the first or last block stays as it is.
                self.reader.read_exact_at(blocks, start)?;
            }
            blocks[skip..skip + piece.len()].copy_from_slice(piece);
            writer.write_all_at(blocks, start)?;
            at += u64::try_from(piece.len()).expect("a chunk is small");
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        match self.writer.get() {
            Some(writer) => writer.sync_data(),
            None => Ok(()),
        }
    }
}

fn length_of(block: u32) -> usize {
    usize::try_from(block).expect("a block fits the address space")
}

fn between(start: u64, end: u64) -> usize {
    usize::try_from(end - start).expect("a chunk fits the address space")
}

/// Opens a block device for direct I/O or a regular file for buffered I/O.
fn open_file(path: &Path, write: bool) -> io::Result<File> {
    let kind = std::fs::metadata(path)?.file_type();
    if !kind.is_block_device() && !kind.is_file() {
        let why = format!("{} is neither a block device nor a file", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    let direct = if kind.is_block_device() { libc::O_DIRECT } else { 0 };
    let open = |flags| OpenOptions::new().read(true).write(write).custom_flags(flags).open(path);
    match open(libc::O_CLOEXEC | libc::O_NOATIME | direct) {
        // Only a file's owner and root may leave its access time alone.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => open(libc::O_CLOEXEC | direct),
        result => result,
    }
}

#[cfg(test)]
mod tests;
