//! The port to a block device.

use std::fmt;
use std::io;
use std::path::Path;

use base::units::Bytes;

/// What may be done with a device that is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads only.
    ReadOnly,
    /// Reads and writes.
    ReadWrite,
}

/// The port to the disks of a machine: opens block devices by name.
pub trait Disks: fmt::Debug {
    /// Opens a block device.
    ///
    /// # Errors
    /// The system's, or `InvalidInput` for what is no block device.
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn BlockDev>>;
}

/// A block device opened for metadata work.
///
/// Offsets and lengths may be unaligned; an implementation over O_DIRECT reads, changes and writes whole
/// device blocks. A write is durable only after a later [`BlockDev::flush`] returned without error.
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

macro_rules! block_dev_behind {
    ($($pointer:ty),*) => { $(
        /// The device behind the pointer.
        impl<T: BlockDev + ?Sized> BlockDev for $pointer {
            fn name(&self) -> String {
                (**self).name()
            }

            fn size(&self) -> Bytes {
                (**self).size()
            }

            fn block_size(&self) -> u32 {
                (**self).block_size()
            }

            fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
                (**self).read_at(offset, buf)
            }

            fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
                (**self).write_at(offset, buf)
            }

            fn flush(&self) -> io::Result<()> {
                (**self).flush()
            }
        }
    )* };
}

block_dev_behind!(&T, Box<T>, std::rc::Rc<T>, std::sync::Arc<T>);
