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
use dm::kernel::{Kernel, Suspend, UdevEvent};
use dm::name::DmName;
use dm::table::{Table, TargetLine};
use nix::errno::Errno;
use nix::libc;
use sys::io::block::BlockDev;
use sys::io::direct::{Access, DirectFile};
use thin::internals::meta::{BLOCK_BYTES, Block, MappedRun, MetaError, ThinMeta};

use super::machine::{HeldDevice, Machine};
use super::runner::PREFIX;
use crate::ctx::Ctx;

/// Rounds of removing: more than devices stand on each other.
const ROUNDS: usize = 8;

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

    /// The devices of scripts.
    fn devices(&self) -> Result<Vec<DmName>, Errno> {
        let all = self.kernel.list().map_err(|error| error.errno)?;
        let names = all.into_iter().map(|device| device.name);
        Ok(names.filter(|name| name.as_str().starts_with(PREFIX)).collect())
    }

    /// Puts a changed table in the place of the live one, without a flush: what waits goes to the new one.
    fn exchange(&self, name: &DmName, change: impl Fn(TargetLine) -> TargetLine) -> Result<(), Errno> {
        let lines = self.kernel.table(name).map_err(|error| error.errno)?;
        let table = Table(lines.into_iter().map(change).collect());
        let exchanged = self
            .kernel
            .suspend(name, Suspend::HoldBack)
            .and_then(|()| self.kernel.load(name, &table, false))
            .and_then(|()| self.kernel.resume(name, UdevEvent::default()));
        exchanged.map(drop).map_err(|error| error.errno)
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
            MetaError::GivenUp(_) => Errno::EINTR,
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

    fn refuse_writes(&mut self, name: &DmName, refuse: bool) -> Result<(), Errno> {
        let change = |line: TargetLine| {
            let place = line.params.split(' ').take(2).collect::<Vec<_>>().join(" ");
            let (target, params) = match refuse {
                true => ("flakey", format!("{place} 0 3600 1 error_writes")),
                false => ("linear", place),
            };
            TargetLine { target: target.to_owned(), params, ..line }
        };
        self.exchange(name, change)
    }

    /// What is under the pools goes first, so that nothing they have not written yet gets to a disk.
    fn crash(&mut self) -> Result<(), Errno> {
        self.held.clear();
        for device in self.devices()? {
            let lines = self.kernel.table(&device).map_err(|error| error.errno)?;
            if lines.iter().any(|line| matches!(line.target.as_str(), "linear" | "striped" | "flakey")) {
                let lost = |line| TargetLine { target: "error".to_owned(), params: String::new(), ..line };
                self.exchange(&device, lost)?;
            }
        }
        for _ in 0..ROUNDS {
            let left = self.devices()?;
            if left.is_empty() {
                return Ok(());
            }
            for device in left {
                // What stands below another goes in a later round.
                let _ = self.kernel.remove(&device, UdevEvent::default());
            }
        }
        Err(Errno::EBUSY)
    }
}
