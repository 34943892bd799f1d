//! The real kernel as a machine for scripts: loop devices, and I/O to `/dev/dm-N`.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use base::ids::DevNo;
use base::units::{SECTOR_BYTES, Sectors};
use dm::ioctl::LinuxDm;
use dm::kernel::Kernel;
use dm::name::DmName;
use nix::errno::Errno;
use nix::libc;
use sys::io::block::BlockDev;
use sys::io::direct::{Access, DirectFile};
use thin::meta::{BLOCK_BYTES, Block, MappedRun, MetaError, ThinMeta};

use super::machine::{HeldDevice, Machine};
use crate::ctx::Ctx;

/// The running kernel.
pub struct LinuxMachine<'a> {
    ctx: &'a Ctx,
    kernel: LinuxDm,
    held: BTreeMap<DmName, File>,
}

impl<'a> LinuxMachine<'a> {
    /// Opens device-mapper.
    pub fn open(ctx: &'a Ctx) -> Result<Self> {
        Ok(Self { ctx, kernel: LinuxDm::open()?, held: BTreeMap::new() })
    }

    fn path(&self, name: &DmName) -> Result<PathBuf, Errno> {
        let info = self.kernel.info(name).map_err(|error| error.errno)?.ok_or(Errno::ENXIO)?;
        Ok(PathBuf::from(format!("/dev/dm-{}", info.dev.minor)))
    }

    fn is_read_only(&self, name: &DmName) -> bool {
        let minor = self.kernel.info(name).ok().flatten().map(|info| info.dev.minor);
        let ro = minor.and_then(|minor| fs::read_to_string(format!("/sys/class/block/dm-{minor}/ro")).ok());
        ro.is_some_and(|text| text.trim() == "1")
    }

    fn device(&self, name: &DmName, access: Access) -> Result<DirectFile, Errno> {
        DirectFile::open(&self.path(name)?, access).map_err(errno)
    }
}

/// What lies beyond the end of a device is not even asked for: the model's EIO.
fn errno(error: io::Error) -> Errno {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::WriteZero => Errno::EIO,
        _ => error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw),
    }
}

fn offset(sector: Sectors) -> Result<u64, Errno> {
    sector.get().checked_mul(SECTOR_BYTES).ok_or(Errno::EINVAL)
}

impl Machine for LinuxMachine<'_> {
    fn kernel(&self) -> &dyn Kernel {
        &self.kernel
    }

    fn add_disk(&mut self, size: Sectors) -> Result<DevNo> {
        let bytes = size.to_bytes().context("the disk is too large")?;
        Ok(self.ctx.disk(bytes.get())?.number()?.parse()?)
    }

    fn read(&self, name: &DmName, sector: Sectors) -> Result<u64, Errno> {
        let mut value = [0; 8];
        let device = self.device(name, Access::ReadOnly)?;
        device.read_at(offset(sector)?, &mut value).map_err(errno)?;
        Ok(u64::from_le_bytes(value))
    }

    fn write(&self, name: &DmName, sector: Sectors, value: u64) -> Result<(), Errno> {
        let device = self.device(name, Access::ReadWrite)?;
        let mut content = [0; 512];
        content[..8].copy_from_slice(&value.to_le_bytes());
        device.write_at(offset(sector)?, &content).map_err(|error| match errno(error) {
            // The kernel looks whether it may write before it looks where to.
            Errno::EIO if self.is_read_only(name) => Errno::EPERM,
            other => other,
        })
    }

    fn sync(&self, name: &DmName) -> Result<(), Errno> {
        let device = OpenOptions::new().read(true).write(true).open(self.path(name)?).map_err(errno)?;
        device.sync_all().map_err(errno)
    }

    fn held(&self, _pool: &DmName, metadata: &DmName) -> Result<Vec<HeldDevice>, Errno> {
        let device = self.device(metadata, Access::ReadOnly)?;
        let reader = |block: u64| -> io::Result<Block> {
            let mut data = [0; BLOCK_BYTES];
            let offset = u64::try_from(BLOCK_BYTES).ok().and_then(|size| size.checked_mul(block));
            device.read_at(offset.ok_or_else(|| io::Error::other("too far"))?, &mut data).map(|()| data)
        };
        let read = || -> Result<Vec<HeldDevice>, MetaError> {
            let mut meta = ThinMeta::open_held(reader)?;
            let mut devices = Vec::new();
            for (id, details) in meta.details()? {
                let runs = meta.mappings(id)?;
                let chunks = |run: &MappedRun| run.chunk.get()..run.chunk.get() + run.length.get();
                let mapped = runs.iter().flat_map(|run| chunks(run).map(|chunk| (chunk, run.time))).collect();
                devices.push(HeldDevice { id, details, mapped });
            }
            Ok(devices)
        };
        read().map_err(|error| match error {
            MetaError::NotHeld => Errno::ENODATA,
            MetaError::Read { source, .. } => errno(source),
            MetaError::Damaged { .. } | MetaError::NoDevice(_) => Errno::EILSEQ,
        })
    }

    fn hold(&mut self, name: &DmName) -> Result<(), Errno> {
        // Read-only, so that closing it is no news to udev.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_CLOEXEC)
            .open(self.path(name)?)
            .map_err(errno)?;
        self.held.insert(name.clone(), file);
        Ok(())
    }

    fn release(&mut self, name: &DmName) -> Result<(), Errno> {
        self.held.remove(name).map(drop).ok_or(Errno::EBADF)
    }
}
