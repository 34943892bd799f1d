//! Read-ahead of a block device.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

mod request {
    // Linux include/uapi/linux/fs.h.
    nix::ioctl_write_int_bad!(blkraset, nix::request_code_none!(0x12, 98));
    nix::ioctl_read_bad!(blkraget, nix::request_code_none!(0x12, 99), libc::c_long);
}

/// Sets how much is read ahead, in sectors.
///
/// # Errors
/// EINVAL beyond the range of the ioctl, else the kernel's.
pub fn set(device: impl AsFd, sectors: u32) -> Result<(), Errno> {
    let sectors = i32::try_from(sectors).map_err(|_| Errno::EINVAL)?;
    // SAFETY: BLKRASET takes its argument by value.
    unsafe { request::blkraset(device.as_fd().as_raw_fd(), sectors) }.map(drop)
}

/// How much is read ahead, in sectors.
///
/// # Errors
/// The kernel's.
pub fn get(device: impl AsFd) -> Result<u32, Errno> {
    let mut sectors: libc::c_long = 0;
    // SAFETY: BLKRAGET writes a long to the pointer.
    unsafe { request::blkraget(device.as_fd().as_raw_fd(), &raw mut sectors) }?;
    u32::try_from(sectors).map_err(|_| Errno::ERANGE)
}
