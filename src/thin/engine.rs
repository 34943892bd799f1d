//! The whole run: find the volume group, lock it, read it, and hand it to a session; afterwards the backup files.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

mod fitting;
pub mod ids;
mod machine;
pub mod mapped;
mod metadata;
mod options;
#[cfg(any(test, feature = "testing"))]
mod requests;
mod settings;
mod sharing;
mod signals;
mod transactions;
use crate::backup_store::BackupStore;
use crate::changes::{Change, Lowered, NamedObject, lookup, lower};
use crate::exec::BUSY_WAIT;
use crate::observe::Scope;
use crate::open_vg::OpenVg;
use crate::plan::Plan;
use crate::planner::{LeftAlone, Repair, repair};
use crate::pool_reader::DiskReader;
use crate::ports::Host;
use crate::session::Session;
use base::error_kind::ErrorKind;
use base::ids::{LvName, VgName};
use base::units::Bytes;
use dm::kernel::{Counting, Kernel, ListedDevice};
use dm::name::DmUuid;
use dm::udev::{NoSync, Udev, UdevSync};
use lvm2::format::check::Use;
use lvm2::format::metadata::Metadata;
use lvm2::format::model::Vg;
use lvm2::host::backup::Backups;
use lvm2::host::conf::{HostIds, LvmConf, tag_file};
use lvm2::host::lock::{LockError, LockMode, VgLock, VgReadLock};
use lvm2::host::scan::Scanner;
use sys::io::block::{Access, Disks};
use sys::signals::SignalsHeldOff;

pub use self::machine::EnginePorts;
pub use self::metadata::ReadMetadata;
pub use self::options::{Options, Settings};
pub use crate::error::EngineError;
pub use crate::groups::{EveryVg, VgSummary};
pub use crate::report::{Done, NotDone, Preview, Report};
pub use crate::view::{Detail, PoolView, VgView, VolumeView, view};

/// The lock under which a volume group is read: nobody reads one without.
enum Locked<'a> {
    /// A reader's.
    ToRead(&'a VgReadLock),
    /// A writer's.
    ToChange(&'a VgLock),
}

/// The engine, ready to work on any volume group of this machine.
pub struct Engine {
    settings: Settings,
    conf: LvmConf,
    host_tags: Vec<String>,
    ids: HostIds,
    kernel: Counting<dyn Kernel>,
    udev: Rc<dyn Udev>,
    host: Rc<dyn Host>,
    disks: Rc<dyn Disks>,
    scanner: Scanner,
    backups: Backups,
    /// From the first change on: what was done is told before a signal ends the process.
    held_off: RefCell<Option<SignalsHeldOff>>,
}

impl Engine {
    /// The engine of this machine: reads lvm.conf and opens device-mapper.
    ///
    /// # Errors
    /// If either cannot be used.
    pub fn open(settings: Settings) -> Result<Self, EngineError> {
        let ports = EnginePorts::of_this_machine(&settings)?;
        Self::over(ports, settings)
    }

    /// An engine over any ports.
    ///
    /// # Errors
    /// If the configuration cannot be used by thinvol.
    pub fn over(ports: EnginePorts, settings: Settings) -> Result<Self, EngineError> {
        let EnginePorts { conf, kernel, udev, host, roots, disks, notes } = ports;
        let name = host.name();
        let host_tags = conf.tags.of_host(&name);
        if let Some(file) = tag_file(&settings.system_dir, &host_tags) {
            let message =
                format!("this host has a tag with a configuration of its own, '{}'", file.display());
            return Err(EngineError::new(ErrorKind::Unsupported, message)
                .with_hint("thinvol does not read such files: move what is in it to lvmlocal.conf"));
        }
        let ids = HostIds::resolve(&conf, &name);
        let scanner =
            Scanner::new(roots, conf.devices.clone()).over(Rc::clone(&disks)).on_host(ids.ids.clone());
        let backups = Backups::new(conf.backup.clone());
        let backups = match notes {
            Some(notes) => backups.noted(notes),
            None => backups,
        };
        Ok(Self {
            settings,
            conf,
            host_tags,
            ids,
            kernel: Counting::over(kernel),
            udev,
            host,
            disks,
            scanner,
            backups,
            held_off: RefCell::default(),
        })
    }

    /// The volume groups of this machine, under the lock that lvm2's commands take for reading when they go through all
    /// of them (`P_global`). The locks of single groups may be taken while it is held, never before it.
    ///
    /// # Errors
    /// If the lock cannot be had, or devices cannot be looked for.
    pub fn groups(&self) -> Result<EveryVg, EngineError> {
        let locks = self.conf.locks(self.settings.lock_timeout);
        let lock = locks.global(LockMode::Read).map_err(|error| match &error {
            LockError::Timeout { .. } => {
                EngineError::caused(ErrorKind::Busy, "the list of volume groups is locked", error)
                    .with_hint("wait for the command that changes it, or for longer (--lock-timeout)")
            }
            LockError::Io { .. } => {
                EngineError::caused(ErrorKind::Refused, "the list of volume groups cannot be locked", error)
            }
        })?;
        let (found, lost) = self.scanner_beside(&self.listed()?).find_all().map_err(|error| {
            EngineError::caused(ErrorKind::Refused, "volume groups cannot be looked for", error)
        })?;
        Ok(EveryVg::new(&found, lost, lock))
    }

    /// A volume group as it is now. The lock is held while reading only. Of its pools alone, it costs no ioctl for each
    /// volume.
    ///
    /// # Errors
    /// If it does not exist, is locked, or cannot be read.
    pub fn inspect(&self, vg: &VgName, detail: Detail) -> Result<VgView, EngineError> {
        self.inspected(vg, detail).map(|(_, view)| view)
    }

    /// The same with the name of the LV that is meant: a volume, the LV of a snapshot, or a pool.
    ///
    /// # Errors
    /// As [`Self::inspect`], and if there is no such object.
    pub fn inspect_object(&self, object: &NamedObject) -> Result<(LvName, VgView), EngineError> {
        let (metadata, view) = self.inspected(object.vg(), Detail::Volumes)?;
        Ok((lookup::object(&metadata.vg, object)?.name.clone(), view))
    }

    fn inspected(&self, vg: &VgName, detail: Detail) -> Result<(Arc<Metadata>, VgView), EngineError> {
        let lock = self.lock_for_read(vg)?;
        let mut opened = self.read(Locked::ToRead(&lock))?;
        let warnings = opened.warnings();
        let (view, _) = self.with_session(&mut opened, |session| {
            let scope = Scope::all(false).without_inventory();
            let observed = session.look(&scope)?;
            let mut warnings = warnings;
            let pending = match repair(&session.metadata, &observed) {
                Ok(repair) => {
                    warnings.extend(in_words(&repair.left));
                    repair.found
                }
                Err(refused) => {
                    warnings.push(refused.to_string());
                    Vec::new()
                }
            };
            drop(lock);
            let vg = &session.metadata.vg;
            view(vg, &observed, &self.kernel, detail, warnings, pending)
                .map(|view| (Arc::clone(&session.metadata), view))
                .map_err(EngineError::unanswered)
        });
        view
    }

    /// What changes are about, by the metadata as it is now.
    ///
    /// # Errors
    /// If it cannot be read, or the changes name what is not there or ask for what must not be.
    pub fn preview(&self, vg: &VgName, changes: &[Change]) -> Result<Preview, EngineError> {
        let lock = self.lock_for_read(vg)?;
        let opened = self.read(Locked::ToRead(&lock))?;
        Ok(Preview::of(lower(&opened.metadata.vg, changes)?))
    }

    /// Decides how what a crash left anywhere in the volume group would be finished or cleared, and changes nothing.
    ///
    /// # Errors
    /// A state that must not be touched.
    pub fn plan_recovery(&self, vg: &VgName) -> Result<Report, EngineError> {
        let lock = self.lock_for_read(vg)?;
        let mut opened = self.read(Locked::ToRead(&lock))?;
        let mut warnings = self.warnings(&opened);
        if let Some(refusal) = opened.refusal(Use::Change, &self.ids.ids) {
            return Ok(self.left_alone(&opened.metadata.vg, warnings, &refusal));
        }
        let pending = |session: &mut Session<'_>| session.pending(&Scope::all(true).without_inventory());
        let repair = self.with_session(&mut opened, pending).0?;
        if let Some(error) = untouched(&repair) {
            return Err(self.guided(error, &opened.metadata, &repair).after(&[], &warnings));
        }
        warnings.extend(in_words(&repair.left));
        let report = self.report(vg, repair.plan, &Lowered::default());
        Ok(Report { warnings, recovered: repair.found, ..report })
    }

    /// Finishes or clears what a crash left anywhere in the volume group.
    ///
    /// # Errors
    /// A state that must not be touched, or a step that failed.
    pub fn recover(&self, vg: &VgName) -> Result<Report, EngineError> {
        let lock = self.lock(vg)?;
        let mut opened = self.read(Locked::ToChange(&lock))?;
        let mut warnings = self.warnings(&opened);
        if let Some(refusal) = opened.refusal(Use::Change, &self.ids.ids) {
            let report = self.left_alone(&opened.metadata.vg, warnings, &refusal);
            return Ok(Report { executed: true, ..report });
        }
        warnings.extend(self.without_udev());
        let (result, copies) =
            self.with_session(&mut opened, |session| session.recover(&Scope::all(true), &lock));
        warnings.extend(copies);
        let repair = result.map_err(|error: EngineError| error.after(&[], &warnings))?;
        if let Some(error) = untouched(&repair) {
            return Err(self.guided(error, &opened.metadata, &repair).after(&repair.found, &warnings));
        }
        warnings.extend(in_words(&repair.left));
        let report = self.report(vg, repair.plan, &Lowered::default());
        Ok(Report { warnings, recovered: repair.found, executed: true, ..report })
    }

    /// Whether a volume group may be used so.
    fn check_use(&self, opened: &OpenVg, usage: Use) -> Result<(), EngineError> {
        opened.refusal(usage, &self.ids.ids).map_or(Ok(()), Err)
    }

    /// The report on a volume group that is not ours to recover.
    fn left_alone(&self, vg: &Vg, mut warnings: Vec<String>, refusal: &EngineError) -> Report {
        warnings.push(format!("volume group {} is left alone: {refusal}", vg.name));
        let nothing = Plan::new(vg.name.clone(), vg.seqno);
        Report { warnings, ..self.report(&vg.name, nothing, &Lowered::default()) }
    }

    /// The report on a plan that is not carried out.
    fn report(&self, vg: &VgName, plan: Plan, lowered: &Lowered) -> Report {
        Report { ioctls: self.kernel.counts(), ..Report::on(vg, plan, lowered) }
    }

    /// The lock of whoever changes something, if lvm.conf lets anybody do so.
    fn lock(&self, vg: &VgName) -> Result<VgLock, EngineError> {
        let forbidden = match &self.conf.global {
            global if global.metadata_read_only => Some("global/metadata_read_only is set"),
            global if !global.activation => Some("global/activation is not set"),
            _ => None,
        };
        if let Some(setting) = forbidden {
            let message = format!("volume group {vg} is not changed: {setting} in lvm.conf");
            return Err(
                EngineError::new(ErrorKind::Refused, message).with_hint("it keeps lvm2 from changes, too")
            );
        }
        self.conf
            .locks(self.settings.lock_timeout)
            .vg_for_write(vg)
            .map_err(|error| settings::locked(vg, error))
    }

    fn lock_for_read(&self, vg: &VgName) -> Result<VgReadLock, EngineError> {
        self.conf
            .locks(self.settings.lock_timeout)
            .vg_for_read(vg)
            .map_err(|error| settings::locked(vg, error))
    }

    /// Works in a session on a volume group that was read; returns as well what went wrong with copies of its metadata.
    fn with_session<T, E>(
        &self,
        opened: &mut OpenVg,
        work: impl FnOnce(&mut Session<'_>) -> Result<T, E>,
    ) -> (Result<T, E>, Vec<String>) {
        let udev: Box<dyn UdevSync> =
            if self.udev_sync() { self.udev.sync(&self.kernel) } else { Box::new(NoSync) };
        let devices = opened.devices.clone();
        let reader = DiskReader { pvs: opened.pvs.clone(), paths: &devices, disks: self.disks.as_ref() };
        let lagging = opened.lagging();
        let writable = opened.refusal(Use::Change, &self.ids.ids).is_none();
        let text_limit = opened.store.room_for(0).ok().map(|room| Bytes::new(room.limit));
        let header = self.host.metadata_header(&self.settings.command_line);
        let command_line = &self.settings.command_line;
        let before = &opened.metadata;
        let mut kept =
            BackupStore::new(&mut opened.store, &self.backups, command_line, header.clone(), before);
        let result = work(&mut Session {
            kernel: &self.kernel,
            udev: udev.as_ref(),
            host: self.host.as_ref(),
            reader: &reader,
            store: &mut kept,
            metadata: Arc::clone(before),
            pvs: opened.pvs.clone(),
            text_limit,
            lagging,
            writable,
            policy: self.policy(&before.vg),
            header,
            listed: Cell::new(opened.listed.take()),
            looked: None,
            busy_wait: self.busy_wait(),
        });
        (result, kept.close())
    }

    fn udev_sync(&self) -> bool {
        self.settings.udev_sync && self.conf.activation.udev_sync
    }

    fn busy_wait(&self) -> Duration {
        if self.conf.activation.retry_deactivation { BUSY_WAIT } else { Duration::ZERO }
    }

    /// What is not as it should be, of the volume group and of this host.
    fn warnings(&self, opened: &OpenVg) -> Vec<String> {
        opened.warnings().into_iter().chain(self.ids.warning.clone()).collect()
    }

    /// What to say where nobody answers for udev.
    fn without_udev(&self) -> Option<String> {
        let missing = self.udev_sync().then(|| self.udev.missing()).flatten();
        missing.map(|missing| missing.to_string())
    }

    /// Reads the volume group that is locked: for reading by a reader, for change by a writer.
    fn read(&self, lock: Locked<'_>) -> Result<OpenVg, EngineError> {
        let listed = self.listed()?;
        let (vg, access) = match lock {
            Locked::ToRead(lock) => (lock.vg(), Access::ReadOnly),
            Locked::ToChange(lock) => (lock.vg(), Access::ReadWrite),
        };
        OpenVg::read(&self.scanner_beside(&listed), listed, vg, access, &self.backups)
    }

    fn listed(&self) -> Result<Vec<ListedDevice>, EngineError> {
        self.kernel.list().map_err(EngineError::unanswered)
    }

    /// A scanner that needs no look at the devices of LVs among these.
    fn scanner_beside(&self, listed: &[ListedDevice]) -> Scanner {
        let is_lv = |device: &&ListedDevice| device.uuid.as_ref().is_some_and(DmUuid::is_lvms);
        self.scanner.clone().knowing_lvs(listed.iter().filter(is_lv).map(|device| device.dev))
    }
}

/// The error of a recovery that must not touch something: whatever else there was to mend is mended.
fn untouched(repair: &Repair) -> Option<EngineError> {
    let first = repair.left.iter().find_map(LeftAlone::disagreement)?;
    let others = repair.left.iter().filter(|left| !left.is_for(first));
    Some(EngineError::from(first.clone()).after(&[], &in_words(others)))
}

fn in_words<'l>(left: impl IntoIterator<Item = &'l LeftAlone>) -> Vec<String> {
    left.into_iter().map(ToString::to_string).collect()
}
