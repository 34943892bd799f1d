//! What the kernel says of a block device.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

mod ioctl {
    // Linux include/uapi/linux/fs.h. The sizes in these numbers are those of the C types written there
    // (BLKGETSIZE64 says size_t and means u64; BLKSSZGET carries none and writes an int).
    nix::ioctl_read!(blkgetsize64, 0x12, 114, u64);
    nix::ioctl_read_bad!(blksszget, nix::request_code_none!(0x12, 104), nix::libc::c_int);
    // BLKDISCARD carries no size either and reads two u64.
    nix::ioctl_write_ptr_bad!(blkdiscard, nix::request_code_none!(0x12, 119), [u64; 2]);
    // Nor does BLKZEROOUT.
    nix::ioctl_write_ptr_bad!(blkzeroout, nix::request_code_none!(0x12, 127), [u64; 2]);
}

/// The size of a block device in bytes (`BLKGETSIZE64`).
///
/// # Errors
/// The kernel's, such as `ENOTTY` for what is no block device.
pub fn size_bytes(fd: BorrowedFd<'_>) -> io::Result<u64> {
    let mut size: u64 = 0;
    // SAFETY: the descriptor is open for the call, and the kernel writes one u64 to a valid, exclusive
    // pointer.
    unsafe { ioctl::blkgetsize64(fd.as_raw_fd(), &raw mut size) }?;
    Ok(size)
}

/// The logical block size of a block device in bytes (`BLKSSZGET`).
///
/// # Errors
/// The kernel's, such as `ENOTTY` for what is no block device; `InvalidData` for a size that is no power of two of
/// at least a sector.
pub fn logical_block_bytes(fd: BorrowedFd<'_>) -> io::Result<u32> {
    let mut size: nix::libc::c_int = 0;
    // SAFETY: the descriptor is open for the call, and the kernel writes one int to a valid, exclusive
    // pointer.
    unsafe { ioctl::blksszget(fd.as_raw_fd(), &raw mut size) }?;
    u32::try_from(size).ok().filter(|size| *size >= 512 && size.is_power_of_two()).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("the kernel reports a block size of {size} bytes"))
    })
}

/// Tells a block device that what it holds in a range of bytes is not needed any more (`BLKDISCARD`).
///
/// # Errors
/// The kernel's: `EOPNOTSUPP` if the device does not take discards, `EINVAL` if the range is not of whole blocks.
pub fn discard(fd: BorrowedFd<'_>, offset: u64, length: u64) -> io::Result<()> {
    let range = [offset, length];
    // SAFETY: the descriptor is open for the call, and the kernel reads two u64 from a valid pointer.
    unsafe { ioctl::blkdiscard(fd.as_raw_fd(), &raw const range) }?;
    Ok(())
}

/// Makes a range of bytes of a block device read as zeros (`BLKZEROOUT`); devices that cannot do so by themselves are
/// written to.
///
/// # Errors
/// The kernel's: `EINVAL` if the range is not of whole blocks, `ENOSPC` if a thin pool is full.
pub fn zero(fd: BorrowedFd<'_>, offset: u64, length: u64) -> io::Result<()> {
    let range = [offset, length];
    // SAFETY: the descriptor is open for the call, and the kernel reads two u64 from a valid pointer.
    unsafe { ioctl::blkzeroout(fd.as_raw_fd(), &raw const range) }?;
    Ok(())
}
