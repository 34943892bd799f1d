//! Loop devices by ioctl: the fast tier has no losetup, and losetup cannot set all parameters at once.
#![allow(unsafe_code)] // The one file outside src/sys: three ioctls that no crate wraps.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;

/// `struct loop_info64` (include/uapi/linux/loop.h).
#[repr(C)]
#[derive(Clone, Copy)]
struct LoopInfo64 {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config` (include/uapi/linux/loop.h).
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo64,
    reserved: [u64; 8],
}

const _: () = assert!(size_of::<LoopInfo64>() == 232 && size_of::<LoopConfig>() == 304);

mod ioctls {
    nix::ioctl_none_bad!(get_free, 0x4C82); // LOOP_CTL_GET_FREE
    nix::ioctl_none_bad!(clear, 0x4C01); // LOOP_CLR_FD
    nix::ioctl_write_ptr_bad!(configure, 0x4C0A, super::LoopConfig); // LOOP_CONFIGURE
}

/// Attaches `backing` to a free loop device with sectors of `sector` bytes; `name` is what `losetup -l` will
/// show.
pub fn attach(backing: &File, name: &Path, sector: u32) -> Result<PathBuf> {
    let control =
        OpenOptions::new().read(true).write(true).open("/dev/loop-control").context("no loop driver")?;
    let mut file_name = [0; 64];
    // The last byte stays zero: the kernel takes it for a C string.
    for (to, from) in file_name.iter_mut().zip(name.as_os_str().as_bytes().iter().take(63)) {
        *to = *from;
    }
    let info = LoopInfo64 {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        size_limit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: 0,
        file_name,
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
    let fd = u32::try_from(backing.as_raw_fd()).context("an open file has a descriptor")?;
    let config = LoopConfig { fd, block_size: sector, info, reserved: [0; 8] };
    // Somebody else may take the free device between the two calls: then ask again, a bounded number of
    // times.
    for _ in 0..20 {
        // SAFETY: the descriptor is open and the ioctl takes no argument.
        let number = unsafe { ioctls::get_free(control.as_raw_fd()) }.context("LOOP_CTL_GET_FREE")?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = open_when_there(&path)?;
        // SAFETY: the descriptor is open, and `config` is the structure LOOP_CONFIGURE reads, alive during
        // the call.
        match unsafe { ioctls::configure(device.as_raw_fd(), &raw const config) } {
            Ok(_) => return Ok(path),
            Err(Errno::EBUSY) => {}
            Err(errno) => return Err(errno).with_context(|| format!("LOOP_CONFIGURE of {}", path.display())),
        }
    }
    bail!("every free loop device was taken by somebody else")
}

/// Detaches a loop device; one that is open is detached when it is closed.
pub fn detach(device: &Path) -> Result<()> {
    let file = File::open(device).with_context(|| format!("cannot open {}", device.display()))?;
    // SAFETY: the descriptor is open and the ioctl takes no argument.
    match unsafe { ioctls::clear(file.as_raw_fd()) } {
        Ok(_) | Err(Errno::ENXIO) => Ok(()),
        Err(errno) => Err(errno).with_context(|| format!("LOOP_CLR_FD of {}", device.display())),
    }
}

/// Attached loop devices and the files behind them.
pub fn attached() -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/sys/block").context("sysfs is not mounted")? {
        let name = entry?.file_name();
        let backing = Path::new("/sys/block").join(&name).join("loop/backing_file");
        if let Ok(file) = std::fs::read_to_string(backing) {
            found.push((Path::new("/dev").join(&name), PathBuf::from(file.trim_end())));
        }
    }
    Ok(found)
}

/// devtmpfs makes the node of a new loop device a moment after the ioctl.
fn open_when_there(path: &Path) -> Result<File> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => return Ok(file),
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
            Err(error) => return Err(error).with_context(|| format!("cannot open {}", path.display())),
        }
    }
}
