//! The executor: runs a plan over the ports and decides nothing. The only place that knows of suspended devices.

mod decisive;
mod failure;
mod mend;
mod progress;
mod wipe;

use std::collections::BTreeMap;
use std::time::Duration;

use nix::errno::Errno;
use thiserror::Error;

use self::decisive::{concerns_devices, may_have_decided, unzeroed};
pub use self::failure::StepError;
use self::progress::Progress;
use crate::condition::Condition;
use crate::plan::{Apart, Commit, Left, Plan, Planned, PoolExpectation, Send, Step};
use crate::pool_health::check_pool;
use crate::ports::{Host, MetadataStore};
use crate::stack::{DevRef, DeviceSpec, Role};
use crate::suspended_window::{SuspendError, with_suspended};
use crate::udev_role::udev_flags;
use crate::wipe::Emptied;
use base::error_chain::in_words;
use base::ids::{DevNo, LvName};
use dm::kernel::{Kernel, StatusFlush, Suspend};
use dm::message::{Message, is_refusal};
use dm::name::DmName;
use dm::status::PoolStatus;
use dm::udev::{self, UdevSync};
use lvm2::host::lock::VgLock;

/// How long a device that udev or a dying process still holds open is waited for before it counts as busy.
/// Source: lvm2 `lib/activate/activate.c` (`lv_check_not_in_use`: 25 times 200 ms).
pub const BUSY_WAIT: Duration = Duration::from_secs(5);

/// How often it is tried meanwhile.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// How long udev is waited for while it gets through none of the devices of a plan.
const UDEV_PATIENCE: Duration = Duration::from_secs(30);

/// The outside world, as the executor sees it.
pub struct Ports<'a> {
    /// device-mapper.
    pub kernel: &'a dyn Kernel,
    /// The metadata areas of the VG.
    pub store: &'a mut dyn MetadataStore,
    /// udev.
    pub udev: &'a dyn UdevSync,
    /// Everything else on this host.
    pub host: &'a dyn Host,
}

/// What an executed plan leaves to tell.
#[derive(Clone, Debug, Default)]
pub struct Executed {
    /// What went less well than it should.
    pub warnings: Vec<String>,
    /// How long origins were suspended, if any were.
    pub frozen: Option<Duration>,
    /// Numbers of the devices that were created.
    pub created: BTreeMap<LvName, DevNo>,
    /// What failed apart from the rest.
    pub left: Vec<Left>,
}

/// How far back things are after a failure.
#[derive(Debug)]
pub enum Aftermath {
    /// Everything that was done is taken back: nothing changed.
    TakenBack,
    /// The change is made and committed; only devices are not as they were to be.
    OnlyDevices,
    /// The change is made and committed; new volumes are not overwritten, or not completely.
    NotZeroed {
        /// The new volumes.
        volumes: Vec<LvName>,
    },
    /// Something could not be undone, or must not be: recovery completes the change.
    Unfinished {
        /// What failed while taking back.
        failures: Vec<String>,
    },
}

/// A plan that failed.
#[derive(Debug, Error)]
#[error("could not {step}")]
pub struct ExecError {
    /// The step that failed, in words.
    pub step: String,
    /// Why.
    #[source]
    pub cause: Box<StepError>,
    /// How far back things are.
    pub aftermath: Aftermath,
    /// Volumes that lost what they held, whatever else was taken back.
    pub emptied: Vec<Emptied>,
    /// What went less well than it should before and after.
    pub warnings: Vec<String>,
}

/// Runs a plan under the VG's lock.
///
/// # Errors
/// The first step that fails. Every device the plan suspended is resumed by then, and what had been done is taken back
/// unless the plan was past its point of no return.
pub fn execute(plan: &Plan, ports: &mut Ports<'_>, lock: &VgLock) -> Result<Executed, ExecError> {
    let mut run = Run {
        ports,
        lock,
        numbers: plan.numbers.clone(),
        undo: Vec::new(),
        returnable: true,
        progress: Progress::of(plan),
        emptied: Vec::new(),
        executed: Executed::default(),
        may_stop: plan.may_stop(),
    };
    for (place, planned) in plan.steps.iter().enumerate() {
        if let Err(cause) = run.planned(planned) {
            // An expectation that fails may be about the change itself.
            let only_devices = !matches!(planned.step, Step::ExpectPool { .. })
                && plan.steps[place..].iter().all(|left| concerns_devices(&left.step));
            let unzeroed = unzeroed(&plan.steps[place..]);
            return Err(run.fail(&planned.step, cause, only_devices, unzeroed));
        }
    }
    // udev has its work since the last resume: the copy is made meanwhile.
    run.ports.store.keep_copy();
    run.wait_for_udev();
    run.progress.end();
    run.progress.tell(run.ports.host);
    if let Some(signal) = plan.may_stop().then(|| run.ports.host.stop_asked()).flatten() {
        run.executed.warnings.push(format!(
            "{signal} came when the change of volume group {} was not to be taken back any more: it is complete",
            plan.vg
        ));
    }
    Ok(run.executed)
}

struct Run<'r, 'p> {
    ports: &'r mut Ports<'p>,
    lock: &'r VgLock,
    numbers: BTreeMap<DevRef, DevNo>,
    undo: Vec<Step>,
    returnable: bool,
    progress: Progress,
    emptied: Vec<Emptied>,
    executed: Executed,
    /// Whether a signal is heeded as long as everything can be taken back.
    may_stop: bool,
}

impl Run<'_, '_> {
    fn worked(&mut self, pieces: usize) {
        self.progress.add(pieces);
        self.progress.tell(self.ports.host);
    }

    /// Whether the user wants to stop, while everything can be taken back.
    fn heed_signals(&self) -> Result<(), StepError> {
        let may_stop = self.may_stop && self.returnable;
        let asked = may_stop.then(|| self.ports.host.stop_asked()).flatten();
        asked.map_or(Ok(()), |signal| Err(StepError::Stopped(signal)))
    }

    /// A step, and what takes it back kept in mind.
    fn planned(&mut self, planned: &Planned) -> Result<(), StepError> {
        // What comes right before that point may be a deletion, which nothing takes back.
        if !matches!(planned.step, Step::PointOfNoReturn) {
            self.heed_signals()?;
        }
        let done = self.step(&planned.step);
        // A device may have its new table although that failed: the old one does no harm.
        if done.is_ok() || matches!(planned.step, Step::ReloadDevice(_)) && self.returnable {
            self.undo.extend(planned.undo.iter().rev().cloned());
        }
        if done.is_ok() {
            self.worked(Progress::left_of(&planned.step));
        }
        done
    }

    /// Steps that nothing else depends on: if one fails, those before it are taken back. A signal is about all.
    fn apart(&mut self, apart: &Apart) -> Result<(), StepError> {
        let before = self.undo.len();
        let failed =
            apart.steps.iter().find_map(|planned| Some((&planned.step, self.planned(planned).err()?)));
        let (step, cause) = match failed {
            None => return Ok(()),
            Some((_, cause @ StepError::Stopped(_))) => return Err(cause),
            Some(failed) => failed,
        };
        let may_stop = std::mem::replace(&mut self.may_stop, false);
        let mut message = format!("volume group {}: could not {step}: {}", self.lock.vg(), in_words(&cause));
        for back in self.undo.split_off(before.min(self.undo.len())).into_iter().rev() {
            if let Err(error) = self.step(&back) {
                message.push_str(&format!("; taking back failed: {back}: {error}"));
            }
        }
        self.may_stop = may_stop;
        let (kind, hint) = (cause.kind(), cause.hint());
        let (request, lvs) = (apart.request, apart.lvs.clone());
        self.executed.left.push(Left { request, lvs, kind, message, hint });
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), StepError> {
        tracing::debug!(%step, "step");
        match step {
            Step::MarkDirty { pool, making } => Ok(self.ports.host.mark_dirty(pool, making.as_ref())?),
            Step::MarkClean { pool } => {
                if let Err(failure) = self.ports.host.mark_clean(pool) {
                    tracing::debug!(%failure, "pool not marked clean: it will be looked through next time");
                }
                Ok(())
            }
            Step::CreateDevice(spec) => self.create(spec),
            Step::ReloadDevice(spec) => self.reload(spec),
            Step::ThinCheck { tmeta } => self.thin_check(tmeta),
            Step::ExpectDamage { tmeta } => self.expect_damage(tmeta),
            Step::ClearMark { tmeta } => self.clear_mark(tmeta),
            Step::RepairMetadata(repair) => self.repair_metadata(repair),
            Step::ExpectRepaired(repaired) => self.expect_repaired(repaired),
            Step::RenameDevice { from, to, role } => self.rename((from, to), *role),
            Step::RemoveDevice(spec) => self.remove(spec),
            Step::Resume { name, role } => self.resume(name, *role),
            Step::Watch { pool, tpool, how } => {
                if let Err(error) = self.ports.host.watch(tpool, how) {
                    let message = format!("dmeventd does not watch pool {pool} any more: {error}");
                    self.executed.warnings.push(message);
                }
                Ok(())
            }
            Step::ExpectPool { tpool, expect } => self.expect_pool(tpool, expect),
            Step::Freeze { origins, how, sends } => self.freeze(origins, *how, sends),
            Step::Send { sends } => sends.iter().try_for_each(|send| {
                self.send(send)?;
                self.worked(1);
                Ok(())
            }),
            Step::SetTransaction { tpool, from, to } => {
                let message = Message::SetTransactionId { from: *from, to: *to };
                Ok(self.ports.kernel.message(tpool, &message.to_string())?)
            }
            Step::Commit(commit) => self.commit(commit),
            Step::ZeroExtents(place) => self.zero_extents(place),
            Step::Wipe(wipe) => self.wipe(wipe),
            Step::Unlock => {
                self.ports.store.keep_copy();
                self.lock.release();
                // What is there may become somebody's from now on.
                self.undo.clear();
                Ok(())
            }
            Step::Apart(apart) => self.apart(apart),
            Step::PointOfNoReturn => {
                self.returnable = false;
                self.undo.clear();
                Ok(())
            }
        }
    }

    fn number(&self, dev: &DevRef) -> Result<DevNo, StepError> {
        self.numbers.get(dev).copied().ok_or_else(|| StepError::Unknown(dev.to_string()))
    }

    fn create(&mut self, spec: &DeviceSpec) -> Result<(), StepError> {
        let table = spec.table(|dev| self.number(dev))?;
        let kernel = self.ports.kernel;
        let dev = kernel.create(&spec.name, &spec.uuid, spec.minor)?;
        let loaded = kernel.load(&spec.name, &table, spec.read_only).map_err(StepError::from);
        if let Err(cause) = loaded.and_then(|()| self.resume(&spec.name, spec.role)) {
            // A device without a table serves nobody; if it cannot go either, the cause is still what matters.
            if let Err(left) = self.remove(spec) {
                self.executed.warnings.push(format!(
                    "device {} was left without a table ({left}); the next change of its volume, or 'thinvol recover', \
                     removes it",
                    spec.name
                ));
            }
            return Err(cause);
        }
        self.numbers.insert(DevRef::Device(spec.name.clone()), dev);
        self.executed.created.insert(spec.lv.clone(), dev);
        self.read_ahead(spec);
        Ok(())
    }

    /// Another table makes a device read ahead what the kernel thinks right, so this comes after each. If it fails,
    /// nothing suffers but speed. Source: Linux `drivers/md/dm-table.c` (`dm_table_set_restrictions`).
    fn read_ahead(&mut self, spec: &DeviceSpec) {
        let dev = self.numbers.get(&DevRef::Device(spec.name.clone()));
        let Some((read_ahead, dev)) = spec.read_ahead.zip(dev.copied()) else { return };
        if let Err(error) = self.ports.host.set_read_ahead(dev, read_ahead) {
            let name = &spec.name;
            self.executed
                .warnings
                .push(format!("device {name} does not read ahead as its volume says: {error}"));
        }
    }

    /// Puts another table in place. The kernel suspends, swaps and resumes within the one ioctl, without waiting for
    /// I/O under way and without freezing a file system: no process that dies leaves the device suspended. A swap that
    /// the kernel refuses does leave it so, with the old table.
    fn reload(&mut self, spec: &DeviceSpec) -> Result<(), StepError> {
        let table = spec.table(|dev| self.number(dev))?;
        self.ports.kernel.load(&spec.name, &table, spec.read_only)?;
        let Err(cause) = self.resume(&spec.name, spec.role) else {
            self.read_ahead(spec);
            return Ok(());
        };
        self.ports.kernel.clear(&spec.name)?;
        let stuck = |source| SuspendError::Resume { device: spec.name.clone(), source };
        let device = self.ports.kernel.info(&spec.name).map_err(stuck)?;
        if device.is_some_and(|device| device.suspended) {
            let event = udev_flags(spec.role).unwatched();
            self.ports.kernel.resume(&spec.name, event).map_err(stuck)?;
        }
        Err(cause)
    }

    fn rename(&mut self, (from, to): (&DmName, &DmName), role: Role) -> Result<(), StepError> {
        udev::rename(self.ports.kernel, self.ports.udev, from, to, udev_flags(role))?;
        if let Some(dev) = self.numbers.remove(&DevRef::Device(from.clone())) {
            self.numbers.insert(DevRef::Device(to.clone()), dev);
        }
        Ok(())
    }

    fn resume(&self, name: &DmName, role: Role) -> Result<(), StepError> {
        Ok(udev::resume(self.ports.kernel, self.ports.udev, name, udev_flags(role))?)
    }

    fn remove_once(&self, spec: &DeviceSpec) -> Result<(), StepError> {
        Ok(udev::remove(self.ports.kernel, self.ports.udev, &spec.name, udev_flags(spec.role))?)
    }

    /// Removes a device. udev rules open new devices for a moment, so "busy" is believed only after a while.
    fn remove(&mut self, spec: &DeviceSpec) -> Result<(), StepError> {
        let deadline = self.ports.host.now() + BUSY_WAIT;
        loop {
            match self.remove_once(spec) {
                Ok(()) => break,
                Err(StepError::Dm(error)) if error.errno == Errno::ENXIO => break,
                Err(StepError::Dm(error))
                    if error.errno == Errno::EBUSY && self.ports.host.now() < deadline =>
                {
                    self.ports.host.pause(BUSY_PAUSE);
                }
                Err(cause) => return Err(cause),
            }
        }
        self.numbers.remove(&DevRef::Device(spec.name.clone()));
        self.executed.created.remove(&spec.lv);
        Ok(())
    }

    fn thin_check(&mut self, tmeta: &DmName) -> Result<(), StepError> {
        let dev = self.number(&DevRef::Device(tmeta.clone()))?;
        self.executed.warnings.extend(self.ports.host.thin_check(tmeta, dev)?);
        Ok(())
    }

    fn expect_pool(&mut self, tpool: &DmName, expect: &PoolExpectation) -> Result<(), StepError> {
        let (_, lines) = self.ports.kernel.status(tpool, StatusFlush::NoFlush)?;
        let text = lines.first().map_or("", |line| line.params.as_str());
        let status =
            PoolStatus::parse(text).map_err(|source| StepError::Status { device: tpool.clone(), source })?;
        // Users know the pool by its LV.
        let shown = tpool.lvm_parts().map_or(tpool.to_string(), |parts| format!("{}/{}", parts.vg, parts.lv));
        check_pool(&shown, &status, expect)?;
        let marked = matches!(&status, PoolStatus::Working(working) if working.needs_check);
        if let (true, Some(way_out)) = (marked, Condition::NeedsCheck.way_out(&shown)) {
            let said = Condition::NeedsCheck.words();
            self.executed.warnings.push(format!("pool {shown} {said}: {way_out}"));
        }
        Ok(())
    }

    fn send(&mut self, send: &Send) -> Result<(), StepError> {
        self.heed_signals()?;
        let sent = self.ports.kernel.message(&send.tpool, &send.message.to_string());
        match sent {
            Ok(()) => {
                self.take_back_later(send);
                Ok(())
            }
            Err(error) if send.replay && send.message.already_done() == Some(error.errno) => Ok(()),
            Err(error) => {
                if !is_refusal(error.errno) {
                    self.take_back_later(send);
                }
                Err(error.into())
            }
        }
    }

    fn take_back_later(&mut self, send: &Send) {
        let opposite = send.message.inverse();
        self.undo.extend(opposite.map(|message| Step::Send {
            sends: vec![Send { tpool: send.tpool.clone(), message, replay: true }],
        }));
    }

    fn freeze(&mut self, origins: &[DmName], how: Suspend, sends: &[Send]) -> Result<(), StepError> {
        let (kernel, host) = (self.ports.kernel, self.ports.host);
        let lock = self.lock;
        let work = || sends.iter().try_for_each(|send| self.send(send));
        let closed = with_suspended(kernel, host, lock, (origins, how), work)?;
        self.executed.frozen = closed.open.or(self.executed.frozen);
        self.executed.warnings.extend(closed.frozen_already.iter().map(|device| {
            format!("the file system on {device} was frozen already, and is left so: its snapshot is of that state")
        }));
        closed.outcome
    }

    /// A commit that reached at least one metadata area is the new state, for lvm2 as for us; the others lag behind and
    /// are mended by the next commit.
    fn commit(&mut self, commit: &Commit) -> Result<(), StepError> {
        let behind = self.ports.store.commit(commit)?;
        self.executed.warnings.extend(behind);
        Ok(())
    }

    /// Takes back what was done, unless the step that failed may have made the new state the one that counts. What the
    /// text still names, because it could not be taken back, stays: recovery leads on from there.
    fn fail(mut self, step: &Step, cause: StepError, only_devices: bool, unzeroed: Vec<LvName>) -> ExecError {
        self.progress.end();
        self.progress.tell(self.ports.host);
        self.may_stop = false;
        let mut failures = Vec::new();
        let decided = may_have_decided(step, &cause);
        if decided {
            self.undo.clear();
        }
        while let Some(back) = self.undo.pop() {
            if let Err(error) = self.step(&back) {
                failures.push(format!("{back}: {error}"));
                if matches!(back, Step::Commit(_)) {
                    self.undo.clear();
                }
            }
        }
        self.wait_for_udev();
        let stuck = matches!(&cause, StepError::Freeze(SuspendError::Resume { .. }));
        let aftermath = if self.returnable && failures.is_empty() && !decided && !stuck {
            Aftermath::TakenBack
        } else if !self.returnable && only_devices && !unzeroed.is_empty() {
            Aftermath::NotZeroed { volumes: unzeroed }
        } else if !self.returnable && only_devices {
            Aftermath::OnlyDevices
        } else {
            Aftermath::Unfinished { failures }
        };
        ExecError {
            step: step.to_string(),
            cause: Box::new(cause),
            aftermath,
            emptied: self.emptied,
            warnings: self.executed.warnings,
        }
    }

    fn wait_for_udev(&mut self) {
        if let Err(error) = self.ports.udev.wait(UDEV_PATIENCE) {
            self.executed.warnings.push(format!("{}: {}", in_words(&error), error.hint()));
        }
    }
}
