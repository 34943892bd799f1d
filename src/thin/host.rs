//! The host: marks under /run, thin_check, the guard process.

mod check;
mod repair;
mod zero;

use std::cell::{Cell, OnceCell};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::check::CheckPolicy;
pub use self::repair::RepairPolicy;
use crate::making::Making;
use crate::metadata_header::{host_name, metadata_header, new_uuid};
use crate::ports::{
    CheckFailure, CheckFound, Guard, HeldDevice, Holders, Host, MarkFailure, ProgressObserver,
};
use crate::stack::{ReadAhead, Role};
use crate::udev_role::udev_flags;
use base::ids::{DevNo, LvmUuid, PoolId};
use base::units::{Bytes, Sectors};
use dm::kernel::kernel_node;
use dm::name::{DmName, DmUuid};
use lvm2::format::edit::MetadataHeader;
use lvm2::format::monitoring::Registration;
use lvm2::host::dmeventd::Dmeventd;
use lvm2::host::lock::VgLock;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use sys::blkdev;
use sys::guard::{Endangered, ResumeGuard};
use sys::io::holders::{Holder, holders};
use sys::io::roots::{read_attribute, read_small};
use sys::memory::MemoryLocked;
use sys::signals::take_stop;

/// Where marks are kept: gone after a reboot, when anything may have been left behind.
pub const STATE_DIR: &str = "/run/thinvol";

/// How device-mapper is controlled.
const DM_CONTROL: &str = "/dev/mapper/control";

/// How much of a metadata device is looked at to tell a new one. Source: lvm2 `lib/activate/dev_manager.c`.
const BLANK_BYTES: usize = 64;

/// How long suspended volumes wait for another one that is slow to suspend. Below the 30 s after which the disk
/// drivers of most guests give up on a request.
const FREEZE_LIMIT: Duration = Duration::from_secs(20);

/// After so long the disk drivers of most guests give up on a request. Source: Linux `drivers/scsi/sd.h`
/// (`SD_TIMEOUT`).
const GUESTS_GIVE_UP: Duration = Duration::from_secs(30);

const _: () = assert!(FREEZE_LIMIT.as_secs() < GUESTS_GIVE_UP.as_secs());

/// sysfs counts what is read ahead in KiB.
const SECTORS_OF_KIB: u64 = 2;

/// This host.
#[derive(Debug)]
pub struct LinuxHost {
    state_dir: PathBuf,
    check: CheckPolicy,
    repair: RepairPolicy,
    /// How device-mapper is controlled.
    control: &'static str,
    freeze_limit: Duration,
    start: Instant,
    progress_observer: Option<Arc<dyn ProgressObserver>>,
    /// The signal that has asked to stop, if one has.
    stop: Cell<Option<Signal>>,
    /// The id of this boot, once it was asked for.
    boot: OnceCell<String>,
}

impl LinuxHost {
    /// A host that keeps its marks in `state_dir`.
    pub fn new(state_dir: &Path, check: CheckPolicy) -> Self {
        Self {
            state_dir: state_dir.to_owned(),
            check,
            repair: RepairPolicy::default(),
            control: DM_CONTROL,
            freeze_limit: FREEZE_LIMIT,
            start: Instant::now(),
            progress_observer: None,
            stop: Cell::new(None),
            boot: OnceCell::new(),
        }
    }

    /// The same with what repairs metadata.
    #[must_use]
    pub fn repairing_by(self, repair: RepairPolicy) -> Self {
        Self { repair, ..self }
    }

    /// The same with an observer of the progress of plans.
    #[must_use]
    pub fn watched_by(self, progress_observer: Option<Arc<dyn ProgressObserver>>) -> Self {
        Self { progress_observer, ..self }
    }

    fn mark(&self, what: &str, pool: &PoolId) -> PathBuf {
        self.state_dir.join(format!("{what}-{}-{}", pool.vg.compact(), pool.lv.compact()))
    }

    /// Writes a record, which holds for this boot alone, aside and puts it in place whole.
    fn record(&self, path: &Path, making: &Making) -> Result<(), MarkFailure> {
        let boot = self.boot_id()?;
        let aside = path.with_extension("new");
        self.write(&aside, &format!("{boot}\n{making}"))?;
        fs::rename(aside, path).map_err(|error| failure(path, error))
    }

    /// Sets a mark, which is valid for this boot only. An incomplete mark does not count.
    fn set(&self, path: &Path) -> Result<(), MarkFailure> {
        self.write(path, self.boot_id()?)
    }

    /// The id of this boot.
    fn boot_id(&self) -> Result<&str, MarkFailure> {
        if let Some(boot) = self.boot.get() {
            return Ok(boot);
        }
        let boot = fs::read_to_string(BOOT_ID).map_err(|error| failure(Path::new(BOOT_ID), error))?;
        Ok(self.boot.get_or_init(|| boot.trim().to_owned()))
    }

    /// Whether a mark was set since this machine started: `/run` may outlive that, in a container or by mistake.
    fn is_set(&self, path: &Path) -> bool {
        read_small(path).is_some_and(|set| self.boot_id().is_ok_and(|boot| set == boot))
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), MarkFailure> {
        let write = || {
            let mut open = OpenOptions::new();
            let open = open.write(true).create(true).truncate(true).mode(0o600);
            open.open(path)?.write_all(text.as_bytes())
        };
        let made = write().or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.state_dir)?;
            write()
        });
        made.map_err(|error| failure(path, error))
    }
}

/// What tells this build from all others: which file the program is, and when that was written.
pub fn build_id() -> Option<String> {
    let program = fs::metadata("/proc/self/exe").ok()?;
    let version = env!("CARGO_PKG_VERSION");
    let (device, inode, size) = (program.dev(), program.ino(), program.size());
    Some(format!("{version}:{device}:{inode}:{size}:{}.{:09}", program.mtime(), program.mtime_nsec()))
}

/// Where the kernel tells one boot from another.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The mark that a pool's devices match the text.
const CLEAN: &str = "clean";

/// The record of what is being made in a pool.
const MAKING: &str = "making";

/// The mark that a metadata snapshot of a pool is in use.
const READING: &str = "reading";

fn unset(path: &Path) -> Result<(), MarkFailure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failure(path, error)),
        _ => Ok(()),
    }
}

fn failure(path: &Path, source: io::Error) -> MarkFailure {
    MarkFailure { path: path.display().to_string(), source }
}

impl Host for LinuxHost {
    /// 1. The mark is removed: without it, the next change lists the pool's devices.
    /// 2. The new record is written to another file and replaces the old one at once. Recovery writes the record that
    ///    it follows again, so that there is one at all times.
    fn mark_dirty(&self, pool: &PoolId, making: Option<&Making>) -> Result<(), MarkFailure> {
        unset(&self.mark(CLEAN, pool))?;
        let path = self.mark(MAKING, pool);
        match making.map(|making| self.record(&path, making)) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => {
                tracing::debug!(%error, "no record: what a crash leaves would be reported, not deleted");
                unset(&path)
            }
            None => unset(&path),
        }
    }

    /// The record goes first: a crash in between leaves a pool to be looked into.
    fn mark_clean(&self, pool: &PoolId) -> Result<(), MarkFailure> {
        unset(&self.mark(MAKING, pool))?;
        self.set(&self.mark(CLEAN, pool))
    }

    fn being_made(&self, pool: &PoolId) -> Option<Making> {
        let text = fs::read_to_string(self.mark(MAKING, pool)).ok()?;
        text.strip_prefix(self.boot_id().ok()?)?.strip_prefix('\n')?.parse().ok()
    }

    fn is_clean(&self, pool: &PoolId) -> bool {
        self.is_set(&self.mark(CLEAN, pool))
    }

    fn mark_reading(&self, pool: &PoolId) -> Result<(), MarkFailure> {
        self.set(&self.mark(READING, pool))
    }

    fn mark_read(&self, pool: &PoolId) -> Result<(), MarkFailure> {
        unset(&self.mark(READING, pool))
    }

    fn is_reading(&self, pool: &PoolId) -> bool {
        self.is_set(&self.mark(READING, pool))
    }

    /// The check runs in a process group of its own: what a terminal sends to ours does not end it. Only its own exit
    /// status says that there is damage.
    fn thin_check(&self, tmeta: &DmName, dev: DevNo) -> Result<Vec<String>, CheckFailure> {
        let fail = |found: CheckFound| CheckFailure { device: tmeta.clone(), found };
        let node = kernel_node(dev);
        let Some(executable) = &self.check.executable else { return Ok(Vec::new()) };
        let unread = |error| CheckFound::Nothing(format!("cannot read {}: {error}", node.display()));
        if is_blank(&node).map_err(|error| fail(unread(error)))? {
            return Ok(Vec::new());
        }
        match self.checker(executable, &self.check.options).arg(&node).spawn() {
            Ok(child) => match self.watch(child) {
                Ok(()) => Ok(Vec::new()),
                Err(CheckFound::Damage(said)) => Err(fail(self.judge(executable, &self.check.options, said))),
                Err(found) => Err(fail(found)),
            },
            // As lvm2: a pool without its checker is used, with a warning.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![format!(
                "the metadata of the pool on {tmeta} was not checked: {} is missing",
                executable.display()
            )]),
            Err(error) => {
                let why = format!("{} could not be started: {error}", executable.display());
                Err(fail(CheckFound::Nothing(why)))
            }
        }
    }

    fn guard(&self, devices: &[DmName], lock: &VgLock) -> io::Result<Box<dyn Guard>> {
        let event_nr = udev_flags(Role::Visible).event(0).0;
        let endangered: Vec<Endangered<'_>> =
            devices.iter().map(|name| Endangered { name: name.as_str(), event_nr }).collect();
        let memory = MemoryLocked::new();
        if !memory.is_locked() {
            tracing::debug!("memory is not locked while volumes are suspended");
        }
        let lock = lock.copy()?;
        let lock = lock.as_ref().map(AsFd::as_fd);
        Ok(Box::new(Watcher {
            guard: ResumeGuard::arm(self.control, &endangered, self.freeze_limit, lock)?,
            limit: self.freeze_limit,
            _memory: memory,
        }))
    }

    fn holders(&self, dev: DevNo) -> Holders {
        let found = holders(dev);
        let stays = |holder: &Holder| match holder {
            Holder::Process(process) => !process.is_of_udev(),
            Holder::Device { .. } | Holder::Mount { .. } | Holder::Swap | Holder::Loop { .. } => true,
        };
        Holders { names: found.iter().map(ToString::to_string).collect(), stay: found.iter().any(stays) }
    }

    fn watch_of(&self, device: &DmUuid) -> Option<Registration> {
        Dmeventd::default().registered(device).unwrap_or_else(|error| {
            tracing::debug!(%error, "dmeventd does not say whether it watches the pool");
            None
        })
    }

    fn watch(&self, device: &DmUuid, how: &Registration) -> io::Result<()> {
        Dmeventd::default().register(device, how)
    }

    fn size(&self, dev: DevNo) -> Option<Sectors> {
        // In units of 512 bytes, whatever the device's own are.
        read_attribute(Path::new(&format!("/sys/dev/block/{dev}/size")))?.parse().ok().map(Sectors::new)
    }

    fn read_ahead(&self, dev: DevNo) -> Option<Sectors> {
        // A partition reads ahead as its disk does.
        let bdi = ["bdi", "../bdi"].map(|bdi| format!("/sys/dev/block/{dev}/{bdi}/read_ahead_kb"));
        let kib = bdi.iter().find_map(|path| read_attribute(Path::new(path)))?.parse::<u64>().ok()?;
        kib.checked_mul(SECTORS_OF_KIB).map(Sectors::new)
    }

    fn set_read_ahead(&self, dev: DevNo, read_ahead: ReadAhead) -> io::Result<()> {
        let sectors = match read_ahead {
            ReadAhead::AtLeast(least) if self.read_ahead(dev) >= Some(least) => return Ok(()),
            ReadAhead::Exactly(sectors) | ReadAhead::AtLeast(sectors) => sectors,
        };
        let kib = sectors.get().div_ceil(SECTORS_OF_KIB);
        fs::write(format!("/sys/dev/block/{dev}/bdi/read_ahead_kb"), kib.to_string())
    }

    fn zero_disk(&self, dev: DevNo, start: Bytes, length: Bytes) -> Result<(), Errno> {
        zero::zero_disk(dev, start, length).map_err(|error| errno_of(&error))
    }

    fn hold_alone(&self, dev: DevNo) -> Result<Box<dyn HeldDevice>, Errno> {
        let node = kernel_node(dev);
        // Of a block device, O_EXCL without O_CREAT means: if nobody else uses it so, such as a mount.
        let file = OpenOptions::new().read(true).write(true).custom_flags(OFlag::O_EXCL.bits()).open(node);
        let file = file.map_err(|error| errno_of(&error))?;
        let rdev = file.metadata().map_err(|error| errno_of(&error))?.rdev();
        let is = (nix::sys::stat::major(rdev), nix::sys::stat::minor(rdev));
        if is != (u64::from(dev.major), u64::from(dev.minor)) {
            return Err(Errno::ENXIO);
        }
        Ok(Box::new(Held(file)))
    }

    fn name(&self) -> String {
        host_name()
    }

    fn metadata_header(&self, command_line: &str) -> MetadataHeader {
        metadata_header(command_line)
    }

    fn new_uuid(&self) -> LvmUuid {
        new_uuid()
    }

    fn stop_asked(&self) -> Option<Signal> {
        self.stop.set(self.stop.get().or_else(take_stop));
        self.stop.get()
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn progress(&self, done: usize, of: usize) {
        if let Some(progress_observer) = &self.progress_observer {
            progress_observer.progress(done, of);
        }
    }
}

/// A device that is open for this process alone.
struct Held(File);

impl HeldDevice for Held {
    fn discard(&self, start: u64, length: u64) -> Result<(), Errno> {
        blkdev::discard(self.0.as_fd(), start, length).map_err(|error| errno_of(&error))
    }

    fn zero(&self, start: u64, length: u64) -> Result<(), Errno> {
        blkdev::zero(self.0.as_fd(), start, length).map_err(|error| errno_of(&error))
    }

    fn sync(&self) -> Result<(), Errno> {
        self.0.sync_all().map_err(|error| errno_of(&error))
    }
}

fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// The guard, and this process's memory kept in RAM as long as it is needed.
struct Watcher {
    guard: ResumeGuard,
    limit: Duration,
    _memory: MemoryLocked,
}

impl Guard for Watcher {
    fn start_clock(&mut self) {
        self.guard.start_clock();
    }

    fn hold(&mut self) -> Result<(), Duration> {
        if self.guard.hold() { Ok(()) } else { Err(self.limit) }
    }

    fn disarm(self: Box<Self>) {
        if let Err(error) = self.guard.disarm() {
            tracing::warn!(%error, "the guard process did not end as it should");
        }
    }
}

fn is_blank(node: &Path) -> io::Result<bool> {
    let mut start = [0; BLANK_BYTES];
    fs::File::open(node)?.read_exact(&mut start)?;
    Ok(start.iter().all(|byte| *byte == 0))
}

#[cfg(test)]
mod tests;
