//! The port to a block device.

use std::io;

use crate::units::Bytes;

/// A block device opened for metadata work.
///
/// Offsets and lengths may be unaligned; an implementation over O_DIRECT reads, changes and writes whole device
/// blocks. A write is durable only after a later [`BlockDev::flush`] returned without error.
pub trait BlockDev {
    /// What to call the device in messages: its path.
    fn name(&self) -> String;

    /// Size of the device.
    fn size(&self) -> Bytes;

    /// The logical block size in bytes (512 or 4096): what the device writes as one unit.
    fn block_size(&self) -> u32;

    /// Fills `buf` from `offset` bytes on.
    ///
    /// # Errors
    /// An I/O error, or `UnexpectedEof` if the range ends past the device.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Writes `buf` from `offset` bytes on.
    ///
    /// # Errors
    /// An I/O error, or `WriteZero` if the range ends past the device.
    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()>;

    /// Makes all completed writes durable.
    ///
    /// # Errors
    /// An I/O error: the state of earlier writes is then unknown.
    fn flush(&self) -> io::Result<()>;
}
