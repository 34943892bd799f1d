//! One volume group, open under its lock: look, recover, plan, execute. The same code runs over the real ports and the
//! doubles.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::changes::Lowered;
use crate::error::EngineError;
use crate::exec::{Aftermath, ExecError, Executed, Ports, StepError, execute};
use crate::observe::{ObserveError, Observer, Scope};
use crate::observed::{Observed, PlanInputs, Policy};
use crate::plan::Plan;
use crate::planner::{Repair, plan, repair};
use crate::ports::{Host, MetadataStore, PoolReader};
use crate::refusal::Refusal;
use crate::request::Request;
use base::error_kind::ErrorKind;
use base::ids::{DevNo, LvmUuid, VgName};
use base::units::Bytes;
use dm::kernel::{Kernel, ListedDevice};
use dm::message::Message;
use dm::name::{DmUuid, Layer};
use dm::udev::UdevSync;
use lvm2::format::edit::MetadataHeader;
use lvm2::format::metadata::Metadata;
use lvm2::format::model::Lv;
use lvm2::host::lock::VgLock;
use sys::signals::SignalsHeldOff;

/// How often a device that somebody has open is looked at again.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Why there is no plan.
#[derive(Debug)]
pub enum NotPlanned {
    /// Requests are refused.
    Refused(Box<Refusal>),
    /// What it depends on cannot be looked at, or something else fails.
    Failed(EngineError),
}

impl NotPlanned {
    /// The refusal, if it is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Failed(_) => None,
        }
    }

    /// The same in terms of the changes that the requests are parts of.
    #[must_use]
    pub fn of_changes(self, lowered: &Lowered) -> Self {
        match self {
            Self::Refused(refusal) => lowered.refused(*refusal).into(),
            failed @ Self::Failed(_) => failed,
        }
    }
}

impl From<Refusal> for NotPlanned {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<EngineError> for NotPlanned {
    fn from(error: EngineError) -> Self {
        Self::Failed(error)
    }
}

impl From<NotPlanned> for EngineError {
    fn from(error: NotPlanned) -> Self {
        match error {
            NotPlanned::Refused(refusal) => (*refusal).into(),
            NotPlanned::Failed(error) => error,
        }
    }
}

/// What a session works on and with.
pub struct Session<'a> {
    /// device-mapper.
    pub kernel: &'a dyn Kernel,
    /// udev.
    pub udev: &'a dyn UdevSync,
    /// The host.
    pub host: &'a dyn Host,
    /// Pool metadata.
    pub reader: &'a dyn PoolReader,
    /// The metadata areas.
    pub store: &'a mut dyn MetadataStore,
    /// The metadata as it is now.
    pub metadata: Arc<Metadata>,
    /// The VG's physical volumes that are here.
    pub pvs: BTreeMap<LvmUuid, DevNo>,
    /// The largest text that every metadata area in use takes.
    pub text_limit: Option<Bytes>,
    /// Metadata areas that lag behind, in words.
    pub lagging: Vec<String>,
    /// Whether the metadata may be written. Else pools are not looked through, and nothing is mended.
    pub writable: bool,
    /// Settings.
    pub policy: Policy,
    /// Time, host and wording for the metadata header.
    pub header: MetadataHeader,
    /// All devices of device-mapper, if they were listed under the lock and nothing was done since: the first look
    /// takes them.
    pub listed: Cell<Option<Vec<ListedDevice>>>,
    /// What was seen last, if nothing was done since: the plan that follows needs no second look.
    pub looked: Option<Observed>,
    /// How long a device is waited for that udev, or nobody to be seen, holds open.
    pub busy_wait: Duration,
}

impl Session<'_> {
    /// Looks at what is in scope.
    ///
    /// # Errors
    /// If device-mapper does not answer.
    pub fn look(&self, scope: &Scope) -> Result<Observed, EngineError> {
        let vg = &self.metadata.vg;
        let observer =
            Observer { kernel: self.kernel, host: self.host, vg, pvs: &self.pvs, reader: self.reader };
        let listed = self.listed.take().map_or_else(|| self.kernel.list(), Ok);
        let observed = listed.map_err(ObserveError::from).and_then(|listed| observer.look(scope, listed));
        let mut observed = observed.map_err(|error| match error {
            ObserveError::Dm(error) => EngineError::unanswered(error),
            ObserveError::Status { .. } => EngineError::caused(
                ErrorKind::Unsupported,
                "the kernel describes a pool in words that thinvol does not know",
                error,
            ),
        })?;
        observed.text_limit = self.text_limit;
        observed.lagging.clone_from(&self.lagging);
        observed.policy = self.policy.clone();
        observed.inputs.header = self.header.clone();
        Ok(observed)
    }

    /// What is pending in scope, and how it would be mended.
    ///
    /// # Errors
    /// A state that must not be touched.
    pub fn pending(&mut self, scope: &Scope) -> Result<Repair, EngineError> {
        let observed = self.look(scope)?;
        let repair = repair(&self.metadata, &observed)?;
        self.looked = Some(observed);
        Ok(repair)
    }

    /// Finishes or clears what a crash left.
    ///
    /// # Errors
    /// A state that must not be touched, or a step that failed.
    pub fn recover(&mut self, scope: &Scope, lock: &VgLock) -> Result<Repair, EngineError> {
        self.release_abandoned(scope)?;
        let mut repair = self.pending(scope)?;
        let asleep =
            self.looked.as_ref().is_some_and(|seen| seen.devices.values().any(|device| device.suspended));
        if !repair.plan.steps.is_empty() {
            self.execute(&repair.plan, lock)?;
        }
        if asleep {
            // What was suspended could not be looked into before.
            let second = self.pending(scope)?;
            if !second.plan.steps.is_empty() {
                self.execute(&second.plan, lock).map_err(|error| error.after(&repair.found, &[]))?;
            }
            repair.plan.steps.extend(second.plan.steps);
            repair.found.extend(second.found);
            repair.left = second.left;
        }
        Ok(repair)
    }

    /// Releases metadata snapshots that readers left who were killed: the VG's write lock says that there are none now.
    fn release_abandoned(&self, scope: &Scope) -> Result<(), EngineError> {
        let vg = &self.metadata.vg;
        let abandoned = |lv: &Lv| scope.covers(&lv.name) && self.host.is_reading(&vg.pool_id(lv));
        for (lv, _) in vg.pools().filter(|(lv, _)| abandoned(lv)) {
            let uuid = DmUuid::of_lv(&vg.id, &lv.id, Layer::Tpool);
            let tpool = self.kernel.info_by_uuid(&uuid).map_err(EngineError::unanswered)?;
            // A pool that is stopped or suspended still holds it, and the mark stays.
            let Some(tpool) = tpool.filter(|tpool| !tpool.suspended) else { continue };
            let release = Message::ReleaseMetadataSnap;
            match self.kernel.message(&tpool.name, &release.to_string()) {
                Ok(()) => {}
                Err(error) if release.already_done() == Some(error.errno) => {}
                Err(error) => {
                    tracing::debug!(%error, "the metadata snapshot is not released");
                    continue;
                }
            }
            if let Err(error) = self.host.mark_read(&vg.pool_id(lv)) {
                tracing::debug!(%error, "the mark stays");
            }
        }
        Ok(())
    }

    /// Decides what the requests come to, without doing it. What [`Session::pending`] has looked at must cover them.
    ///
    /// # Errors
    /// The requests that are refused, and why.
    pub fn plan(&self, requests: &[Request]) -> Result<Plan, NotPlanned> {
        let scope = Scope::of(&self.metadata.vg, requests);
        let scope = if self.writable { scope } else { scope.without_inventory() };
        let mut looked = self.looked.clone();
        self.while_busy(|| {
            let mut observed = looked.take().map_or_else(|| self.look(&scope), Ok)?;
            Ok(self.plan_on(&self.metadata, &mut observed, requests)?)
        })
    }

    /// The same for any state, such as that which other requests will leave.
    ///
    /// # Errors
    /// The requests that are refused, and why.
    pub fn plan_on(
        &self,
        metadata: &Metadata,
        observed: &mut Observed,
        requests: &[Request],
    ) -> Result<Plan, Refusal> {
        let uuids = requests
            .iter()
            .flat_map(|request| 0..request.new_uuids())
            .map(|_| self.host.new_uuid())
            .collect();
        observed.inputs = PlanInputs { uuids, header: self.header.clone() };
        plan(metadata, observed, requests)
    }

    /// Plans, again and again as long as all that is wrong is that devices are open which will soon be let go of.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn while_busy<T>(&self, mut work: impl FnMut() -> Result<T, NotPlanned>) -> Result<T, NotPlanned> {
        let deadline = self.host.now() + self.busy_wait;
        loop {
            match work() {
                Err(NotPlanned::Refused(mut refusal)) => {
                    if !self.may_pass(&mut refusal) || self.host.now() >= deadline {
                        return Err(NotPlanned::Refused(refusal));
                    }
                    self.host.pause(LOOK_PAUSE);
                }
                result => return result,
            }
        }
    }

    /// Names the holders of what is in use, and says whether all that is wrong is that devices are open, and by nobody
    /// who would have to be asked: udev looks into each device that was written to. To look for holders takes a while:
    /// of many, only those of the first are.
    fn may_pass(&self, refusal: &mut Refusal) -> bool {
        const NAMED: usize = 20;
        let mut others = std::mem::take(&mut refusal.others);
        let mut may_pass = std::iter::once(&*refusal).chain(&others).all(|refusal| refusal.busy.is_some());
        let all = std::iter::once(&mut *refusal).chain(&mut others);
        for (refusal, dev) in all.filter_map(|refusal| refusal.busy.map(|dev| (refusal, dev))).take(NAMED) {
            let holders = self.host.holders(dev);
            may_pass &= !holders.stay;
            if !holders.names.is_empty() {
                refusal.hint = Some(format!("it is used by {}", holders.names.join(", ")));
            }
        }
        refusal.others = others;
        may_pass
    }

    /// Whether the user wants to stop before anything of a change is begun.
    ///
    /// # Errors
    /// If so.
    pub fn heed_signals(&self) -> Result<(), EngineError> {
        self.host.stop_asked().map_or(Ok(()), |signal| {
            let vg = &self.metadata.vg.name;
            let message = format!("volume group {vg}: stopped by {signal} before anything was begun");
            Err(EngineError::new(ErrorKind::Refused, message))
        })
    }

    /// Runs a plan. Signals wait meanwhile: it is not interrupted.
    ///
    /// # Errors
    /// The step that failed, and whether anything is left undone.
    pub fn execute(&mut self, plan: &Plan, lock: &VgLock) -> Result<Executed, EngineError> {
        self.looked = None;
        if lock.vg() != &plan.vg || !lock.is_intact() {
            let message = format!("the lock of volume group {} is lost; nothing was changed", plan.vg);
            return Err(EngineError::new(ErrorKind::Busy, message)
                .with_hint("somebody removed the lock file: try again"));
        }
        let _signals = SignalsHeldOff::new().map_err(|errno| {
            EngineError::new(ErrorKind::Refused, format!("signals cannot be held off: {errno}"))
        })?;
        let mut ports =
            Ports { kernel: self.kernel, store: &mut *self.store, udev: self.udev, host: self.host };
        let executed = execute(plan, &mut ports, lock).map_err(|error| failed(error, &plan.vg))?;
        if let Some(metadata) = plan.metadata_after() {
            self.metadata = Arc::clone(metadata);
            self.lagging.clear();
        }
        Ok(executed)
    }
}

/// A failed plan as the command reports it: the group first, for steps name its volumes without it.
fn failed(error: ExecError, vg: &VgName) -> EngineError {
    let ExecError { step, cause, aftermath, emptied, warnings } = error;
    let mut message = format!("volume group {vg}: could not {step}");
    let failed = match aftermath {
        Aftermath::TakenBack if !emptied.is_empty() => {
            let gone = listed(&emptied);
            message += &format!("; no volume was removed, but what was discarded before is gone: {gone}");
            EngineError::caused(ErrorKind::Partial, message, *cause)
                .with_hint("the volumes are there and hold nothing any more: the same command removes them")
        }
        Aftermath::NotZeroed { volumes } => {
            let volumes = listed(&volumes);
            message += &format!("; these volumes are made, but not wholly overwritten with zeros: {volumes}");
            EngineError::caused(ErrorKind::Partial, message, *cause)
                .with_hint("they may show what others left in the pool: 'thinvol free' removes them")
        }
        Aftermath::TakenBack => taken_back(message, *cause),
        Aftermath::OnlyDevices => {
            let message = format!("volume group {vg}: the change is made and stays, but could not {step}");
            EngineError::caused(ErrorKind::Partial, message, *cause).with_hint(
                "the metadata is complete; 'thinvol activate' and 'thinvol deactivate' set the devices right",
            )
        }
        Aftermath::Unfinished { failures } => {
            message += "; the change is unfinished";
            for failure in failures {
                message.push_str(&format!("; taking back failed: {failure}"));
            }
            if !emptied.is_empty() {
                message.push_str(&format!("; what was discarded is gone: {}", listed(&emptied)));
            }
            EngineError::caused(ErrorKind::Partial, message, *cause).with_hint(format!(
                "'thinvol recover {vg}' finishes or clears it; so does the next change of this volume group"
            ))
        }
    };
    failed.after(&[], &warnings)
}

fn listed<T: std::fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn taken_back(message: String, cause: StepError) -> EngineError {
    let (kind, hint) = (cause.kind(), cause.hint());
    let message = format!("{message}; nothing was changed");
    let failed = EngineError::caused(kind, message, cause);
    match hint {
        Some(hint) => failed.with_hint(hint),
        None => failed,
    }
}
