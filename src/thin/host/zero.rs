//! Zeroing a part of a physical volume.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use base::ids::DevNo;
use base::units::Bytes;
use sys::blkdev;

/// How much the kernel is told to zero at once, so that no call takes long.
const PIECE: u64 = 256 << 20;

/// Makes a range of a disk read as zeros. The disk is in use by device-mapper: it is opened as lvm2 opens it to write
/// labels, not for this process alone.
///
/// # Errors
/// The kernel's.
pub(super) fn zero_disk(dev: DevNo, start: Bytes, length: Bytes) -> io::Result<()> {
    let disk = open(dev)?;
    let end = start.checked_add(length).ok_or(io::ErrorKind::InvalidInput)?.get();
    let mut at = start.get();
    while at < end {
        let piece = PIECE.min(end - at);
        blkdev::zero(disk.as_fd(), at, piece)?;
        at += piece;
    }
    disk.sync_all()
}

/// Opens a disk by the name that the kernel gives it, and makes sure that it is that one.
fn open(dev: DevNo) -> io::Result<File> {
    let uevent = fs::read_to_string(format!("/sys/dev/block/{dev}/uevent"))?;
    let name =
        uevent.lines().find_map(|line| line.strip_prefix("DEVNAME=")).ok_or(io::ErrorKind::NotFound)?;
    let disk = OpenOptions::new().read(true).write(true).open(format!("/dev/{name}"))?;
    let rdev = disk.metadata()?.rdev();
    let is = (nix::sys::stat::major(rdev), nix::sys::stat::minor(rdev));
    if is == (u64::from(dev.major), u64::from(dev.minor)) {
        Ok(disk)
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}
