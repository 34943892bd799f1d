//! Disks for cases: loop devices over sparse files.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Ctx;
use crate::loopdev;

/// A loop device.
#[derive(Clone, Debug)]
pub struct Disk {
    device: PathBuf,
    file: PathBuf,
}

impl Disk {
    /// `/dev/loopN`.
    pub fn device(&self) -> &Path {
        &self.device
    }

    /// The device's path as text, for command lines.
    pub fn name(&self) -> String {
        self.device.display().to_string()
    }

    /// The sparse file behind it.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// `major:minor`, for tables.
    pub fn number(&self) -> Result<String> {
        let rdev = std::fs::metadata(&self.device)?.rdev();
        Ok(format!("{}:{}", nix::sys::stat::major(rdev), nix::sys::stat::minor(rdev)))
    }
}

impl Ctx {
    /// A new disk of `bytes` with 512-byte sectors.
    pub fn disk(&self, bytes: u64) -> Result<Disk> {
        self.disk_with_sectors(bytes, 512)
    }

    /// A new disk of `bytes` with sectors of `sector` bytes (512 or 4096).
    pub fn disk_with_sectors(&self, bytes: u64, sector: u32) -> Result<Disk> {
        let number = std::fs::read_dir(self.dir())?.count();
        let file = self.dir().join(format!("disk{number}"));
        let backing = std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(&file)?;
        backing.set_len(bytes)?;
        let device = loopdev::attach(&backing, &file, sector)
            .with_context(|| format!("no loop device over {file:?}"))?;
        Ok(Disk { device, file })
    }
}
