//! The ports of the executor besides device-mapper and udev: host, metadata areas, pool metadata.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use thiserror::Error;

use crate::making::Making;
use crate::meta::{DeviceDetails, Superblock};
use crate::observed::PoolReadError;
use crate::plan::Commit;
use crate::stack::ReadAhead;
use base::ids::{DevNo, LvmUuid, PoolId, ThinId, VgName};
use base::units::{Bytes, Sectors};
use dm::kernel::{DmError, Kernel};
use dm::message::Message;
use dm::name::{DmName, DmUuid};
use lvm2::format::edit::MetadataHeader;
use lvm2::format::model::{ThinPool, Vg};
use lvm2::format::monitoring::Registration;
use lvm2::host::lock::VgLock;

mod tools;

pub use tools::{MetadataTools, RepairFailure};

/// The metadata areas of one volume group.
pub trait MetadataStore {
    /// Writes the text of a commit to all areas in use. Returns areas that could not be written, in words: they lag
    /// behind.
    ///
    /// # Errors
    /// If no area took it, or it is not known whether one did.
    fn commit(&mut self, commit: &Commit) -> Result<Vec<String>, CommitFailure>;

    /// Keeps a copy of what was committed last, where copies are kept. A plan that is done but for waiting says so.
    fn keep_copy(&mut self) {}
}

/// A commit that failed.
#[derive(Debug, Error)]
#[error("the metadata of volume group {vg} could not be written")]
pub struct CommitFailure {
    /// The volume group.
    pub vg: VgName,
    /// Whether the old state is known to stand.
    pub nothing_changed: bool,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// The devices of a running pool that could not be read.
#[derive(Debug, Error)]
#[error("{why}")]
pub struct RunningReadError {
    /// Why.
    pub why: PoolReadError,
    /// Whether the metadata snapshot they were read through may still be held.
    pub still_held: bool,
}

impl RunningReadError {
    /// A metadata snapshot that was not to be had. Only if somebody else's is held it is certain that ours is not: any
    /// other error may come from what follows the reservation.
    pub fn of_reserve(error: &DmError) -> Self {
        let is_held_already = Message::ReserveMetadataSnap.already_done() == Some(error.errno);
        Self { why: PoolReadError::Failed(error.to_string()), still_held: !is_held_already }
    }
}

/// Reads what a pool's own metadata holds.
pub trait PoolReader {
    /// The superblock of a pool that does not run; `None` if it never ran.
    ///
    /// # Errors
    /// If its metadata device cannot be read from here, or holds no valid superblock.
    fn superblock(&self, vg: &Vg, pool: &ThinPool) -> Result<Option<Superblock>, PoolReadError>;

    /// The devices of a pool that does not run.
    ///
    /// # Errors
    /// If its metadata cannot be read or is not valid.
    fn devices_of_stopped(&self, vg: &Vg, pool: &ThinPool) -> Result<Devices, PoolReadError>;

    /// The devices of a pool that runs and of which nobody holds a metadata snapshot: one is taken, and released again.
    ///
    /// # Errors
    /// If the snapshot is not to be had, or the metadata cannot be read or is not valid.
    fn devices_of_running(
        &self,
        kernel: &dyn Kernel,
        tpool: &DmName,
        tmeta: DevNo,
    ) -> Result<Devices, RunningReadError>;
}

/// The thin devices of a pool.
pub type Devices = BTreeMap<ThinId, DeviceDetails>;

/// A check of pool metadata that failed or could not be made.
#[derive(Debug, Error)]
#[error("{found}")]
pub struct CheckFailure {
    /// The metadata device.
    pub device: DmName,
    /// What came of it.
    pub found: CheckFound,
}

/// What came of a check that did not pass.
#[derive(Debug, Error)]
pub enum CheckFound {
    /// It ran to its end and says that the metadata is damaged.
    #[error("the metadata of the pool did not pass its check: {0}")]
    Damage(String),
    /// It did not run, or not to its end: of the metadata nothing is known.
    #[error("the metadata of the pool could not be checked: {0}")]
    Nothing(String),
}

impl CheckFailure {
    /// What the user can do about it. A repair only if damage was seen.
    pub fn hint(&self) -> String {
        let pool = self.device.lvm_parts().ok().and_then(|parts| {
            let pool = parts.lv.as_str().strip_suffix("_tmeta")?;
            Some(format!("{}/{pool}", parts.vg))
        });
        let pool = pool.unwrap_or_else(|| "<vg>/<pool>".to_owned());
        match &self.found {
            CheckFound::Damage(_) => format!("'thinvol pool repair {pool}' repairs pool metadata"),
            CheckFound::Nothing(_) => {
                "try again; lvm.conf says how it is made (global/thin_check_executable, thin_check_options)"
                    .to_owned()
            }
        }
    }
}

/// A mark that could not be set or cleared.
#[derive(Debug, Error)]
#[error("could not write {path}")]
pub struct MarkFailure {
    /// The file.
    pub path: String,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// A process that resumes devices if this one dies, or takes too long to suspend them all.
pub trait Guard {
    /// The first device is suspended: from now on the time is counted.
    fn start_clock(&mut self);

    /// All devices are suspended, and are to stay so until the end.
    ///
    /// # Errors
    /// The time there was: it was over, and the devices are resumed.
    fn hold(&mut self) -> Result<(), Duration>;

    /// All devices are resumed: it may go.
    fn disarm(self: Box<Self>);
}

/// A block device that this process has open, and nobody else has so: none can mount it, and none can remove it.
pub trait HeldDevice {
    /// Tells it that what it holds in a range of bytes is not needed any more.
    ///
    /// # Errors
    /// The kernel's: EOPNOTSUPP if it takes no discards.
    fn discard(&self, start: u64, length: u64) -> Result<(), Errno>;

    /// Makes a range of bytes read as zeros.
    ///
    /// # Errors
    /// The kernel's: ENOSPC if its pool is full.
    fn zero(&self, start: u64, length: u64) -> Result<(), Errno>;

    /// Makes it all durable.
    ///
    /// # Errors
    /// The kernel's.
    fn sync(&self) -> Result<(), Errno>;
}

/// The host.
pub trait Host: MetadataTools {
    /// Forgets that a pool's devices match the text, and records what is being made in it; without anything, forgets
    /// what was.
    ///
    /// # Errors
    /// If a mark could not be removed: the change must not go on. If the record cannot be written, the change goes on,
    /// and what a crash leaves is reported, not deleted.
    fn mark_dirty(&self, pool: &PoolId, making: Option<&Making>) -> Result<(), MarkFailure>;

    /// Remembers that a pool's devices match the text, until the next boot. Nothing is being made in it any more.
    ///
    /// # Errors
    /// If the mark could not be made: harmless, the pool is looked through next time.
    fn mark_clean(&self, pool: &PoolId) -> Result<(), MarkFailure>;

    /// Whether a pool is marked clean.
    fn is_clean(&self, pool: &PoolId) -> bool;

    /// What the last change, if it did not run through to its end, was about to make in a pool.
    fn being_made(&self, pool: &PoolId) -> Option<Making>;

    /// Remembers that a pool's metadata is being read through a metadata snapshot, which a killed process leaves held.
    ///
    /// # Errors
    /// If the mark could not be made: a snapshot that is left has to be released by hand.
    fn mark_reading(&self, pool: &PoolId) -> Result<(), MarkFailure>;

    /// Forgets it: the snapshot is released.
    ///
    /// # Errors
    /// If the mark could not be removed: the next change releases a snapshot that is not there.
    fn mark_read(&self, pool: &PoolId) -> Result<(), MarkFailure>;

    /// Whether a pool is marked as being read.
    fn is_reading(&self, pool: &PoolId) -> bool;

    /// Checks a pool's metadata as lvm.conf says. Returns warnings.
    ///
    /// # Errors
    /// If the metadata is damaged, or could not be checked.
    fn thin_check(&self, tmeta: &DmName, dev: DevNo) -> Result<Vec<String>, CheckFailure>;

    /// Starts the process that resumes these devices, in this order, if this one dies or takes too long. It keeps the
    /// lock until it has.
    ///
    /// # Errors
    /// If it cannot be started.
    fn guard(&self, devices: &[DmName], lock: &VgLock) -> io::Result<Box<dyn Guard>>;

    /// How dmeventd watches a device, if it does and can be asked.
    fn watch_of(&self, device: &DmUuid) -> Option<Registration>;

    /// Has dmeventd watch a device, if it runs.
    ///
    /// # Errors
    /// If it does not answer in time, or refuses.
    fn watch(&self, device: &DmUuid, how: &Registration) -> io::Result<()>;

    /// Who keeps a device open.
    fn holders(&self, dev: DevNo) -> Holders;

    /// The size of a block device; `None` if it cannot be told.
    fn size(&self, dev: DevNo) -> Option<Sectors>;

    /// What a disk reads ahead; `None` if it cannot be told.
    fn read_ahead(&self, dev: DevNo) -> Option<Sectors>;

    /// Makes a device read ahead so much.
    ///
    /// # Errors
    /// If the kernel does not take it.
    fn set_read_ahead(&self, dev: DevNo, read_ahead: ReadAhead) -> io::Result<()>;

    /// Makes a range of a physical volume read as zeros, and that durable.
    ///
    /// # Errors
    /// The kernel's.
    fn zero_disk(&self, dev: DevNo, start: Bytes, length: Bytes) -> Result<(), Errno>;

    /// Opens a device for writing, if nobody else has it open in the same way, such as a mount.
    ///
    /// # Errors
    /// The kernel's: EBUSY if somebody has.
    fn hold_alone(&self, dev: DevNo) -> Result<Box<dyn HeldDevice>, Errno>;

    /// The host's name; empty if the system does not say.
    fn name(&self) -> String;

    /// The header of metadata that is written now, on behalf of a command line.
    fn metadata_header(&self, command_line: &str) -> MetadataHeader;

    /// A new UUID, that nothing else has.
    fn new_uuid(&self) -> LvmUuid;

    /// A signal that has arrived while signals are held off, and that asks to stop. It is consumed, and the answer
    /// stays the same from then on: the caller must stop, or say why not.
    fn stop_asked(&self) -> Option<Signal> {
        None
    }

    /// A monotonic clock.
    fn now(&self) -> Duration;

    /// Sleeps.
    fn pause(&self, time: Duration);

    /// Reports that `done` of the plan's `of` pieces of work are done. Never called while anything is suspended.
    fn progress(&self, _done: usize, _of: usize) {}
}

/// Who keeps a device open, as far as can be seen.
#[derive(Clone, Debug, Default)]
pub struct Holders {
    /// Their names, as an error shows them.
    pub names: Vec<String>,
    /// Whether a holder other than udev is among them, which does not go away by itself.
    pub stay: bool,
}

/// Is told the progress of a plan. It must return at once: a volume group is locked meanwhile.
pub trait ProgressObserver: std::fmt::Debug + std::marker::Send + Sync {
    /// `done` of `of` pieces of work are done.
    fn progress(&self, done: usize, of: usize);
}
