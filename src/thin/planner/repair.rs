//! What a crash of thinvol or lvm2 left pending, and the plan that finishes or undoes it.
//! The states and the argument for each answer are in docs/transactions.md.

use std::collections::BTreeSet;
use std::fmt;

use super::draft::Draft;
use super::sequence::Sequence;
use crate::observed::{Inventory, Observed, PoolReadError, PoolSeen, PoolState};
use crate::plan::{Commit, Plan, Step};
use crate::pool_health::transactions_differ;
use crate::refusal::Refusal;
use crate::stack::DeviceSpec;
use base::error_kind::ErrorKind;
use base::ids::{LvName, ThinId, TransactionId};
use dm::name::DmUuid;
use lvm2::format::check::{Use, may_use};
use lvm2::format::edit::Edit;
use lvm2::format::metadata::Metadata;
use lvm2::format::model::{Lv, ThinPool};

/// What is pending in a volume group.
#[derive(Clone, Debug)]
pub struct Repair {
    /// What finishes or clears it; no steps if there is nothing.
    pub plan: Plan,
    /// What was found and will be mended, in words.
    pub found: Vec<String>,
    /// What was found and is left alone.
    pub left: Vec<LeftAlone>,
    /// Pools that text and kernel disagree about, with the transaction that the kernel has.
    pub differ: Vec<(LvName, TransactionId)>,
}

/// Something that was found and is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftAlone {
    /// There is nothing to be done about it.
    Noted(String),
    /// A pool that must not be touched.
    Refused(Refusal),
}

impl LeftAlone {
    /// Why, if kernel and text disagree beyond what a crash explains.
    pub fn disagreement(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) if refusal.kind == ErrorKind::Corrupt => Some(refusal),
            Self::Refused(_) | Self::Noted(_) => None,
        }
    }

    /// Whether it is for that reason.
    pub fn is_for(&self, reason: &Refusal) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.message == reason.message)
    }
}

impl fmt::Display for LeftAlone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Noted(what) => f.write_str(what),
            Self::Refused(refusal) => {
                write!(f, "{refusal}")?;
                refusal.hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
            }
        }
    }
}

/// Finds out what is pending in the pools that were observed, and decides how to finish or clear it.
///
/// # Errors
/// A state that must not be touched: kernel and text disagree beyond what a crash explains.
pub fn repair(metadata: &Metadata, observed: &Observed) -> Result<Repair, Refusal> {
    let draft = Draft::new(metadata, observed);
    let mut mending = Mending {
        sequence: Sequence::new(&draft),
        found: Vec::new(),
        left: Vec::new(),
        differ: Vec::new(),
        edits: Vec::new(),
        reloaded: BTreeSet::new(),
        realigned: BTreeSet::new(),
    };
    mending.names();
    mending.beneath_pools();
    mending.suspended();
    mending.half_made();
    mending.left_by_repairs();
    mending.old_layers();
    mending.strays();
    mending.mismatched();
    mending.outdated_tags();
    let mut clean = Vec::new();
    for (name, seen) in &observed.pools {
        let (lv, pool) = draft.pool(name)?;
        match mending.pool_or_leave(lv, pool, seen) {
            Matches::Wholly => clean.push(Step::MarkClean { pool: metadata.vg.pool_id(lv) }),
            // What was being made is settled, whatever else is in the pool.
            Matches::WithStrangers if seen.making.is_some() => {
                clean.push(Step::MarkDirty { pool: metadata.vg.pool_id(lv), making: None });
            }
            Matches::WithStrangers | Matches::Unknown => {}
        }
    }
    mending.commit(metadata, observed)?;
    clean.into_iter().for_each(|step| mending.sequence.plan.push(step));
    mending.sequence.stop_idle_pools()?;
    mending.sequence.watch_again();
    let Mending { sequence: Sequence { plan, .. }, found, left, differ, .. } = mending;
    Ok(Repair { plan, found, left, differ })
}

/// Whether, after a repair, the devices of a pool match the text, when that is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Matches {
    /// They do.
    Wholly,
    /// Volumes have none, or some belong to no volume.
    WithStrangers,
    /// They were not looked through, or the pool must not be touched.
    Unknown,
}

/// A repair under construction.
pub(super) struct Mending<'d, 'a> {
    pub sequence: Sequence<'d, 'a>,
    pub found: Vec<String>,
    left: Vec<LeftAlone>,
    differ: Vec<(LvName, TransactionId)>,
    pub edits: Vec<Edit>,
    /// Devices that get the table the text wants, so that none waits in them any more.
    pub reloaded: BTreeSet<DmUuid>,
    /// Suspended devices that must not go on with the tables that they have.
    pub realigned: BTreeSet<DmUuid>,
}

impl Mending<'_, '_> {
    /// Notes what is left alone.
    pub(super) fn leave(&mut self, what: String) {
        self.left.push(LeftAlone::Noted(what));
    }

    /// Devices that were created and never got their table serve nobody: they go.
    fn half_made(&mut self) {
        let observed = self.sequence.draft.observed;
        for device in observed.devices.values().filter(|device| !device.live_table) {
            match device.uuid.as_ref().and_then(|uuid| self.spec_of(uuid)) {
                Some(spec) => {
                    self.found
                        .push(format!("device {} has no table: its activation was cut short", device.name));
                    self.sequence.take_down(&DeviceSpec { name: self.name_now(device), ..spec });
                }
                None if self.sequence.draft.stray(device).is_some() => {}
                None => self.leave(format!("device {} has no table", device.name)),
            }
        }
    }

    /// What a killed repair of a pool's metadata wrote to serves nobody once the repair is gone. Whose `thin_repair`
    /// goes on keeps it open.
    fn left_by_repairs(&mut self) {
        let draft = self.sequence.draft;
        for (spec, device) in draft.spare_devices().into_iter().filter(|(_, device)| device.live_table) {
            if device.open_count > 0 {
                self.leave(format!("device {} is in use: a repair of a pool may go on", device.name));
                continue;
            }
            self.found.push(format!("device {} is left from a repair that never finished", device.name));
            self.sequence.take_down(&DeviceSpec { name: self.name_now(device), ..spec });
        }
    }

    /// The device the text wants under that uuid.
    pub(super) fn spec_of(&self, uuid: &DmUuid) -> Option<DeviceSpec> {
        let draft = self.sequence.draft;
        let stacks = draft.stacks();
        let parts = uuid.lvm_parts().ok().filter(|parts| parts.vg == draft.vg().id)?;
        // What a pool lies on is part of its stack.
        let own = draft.vg().lvs.find_id(&parts.lv);
        own.into_iter().chain(draft.vg().pools().map(|(pool, _)| pool)).find_map(|lv| match lv.thin_pool() {
            Some(pool) => {
                let (stack, _) = draft.pool_stack(lv, pool).ok()?;
                let mut devices = stack.part_devices().chain([&stack.tpool, &stack.pool]);
                devices.find(|spec| spec.uuid == *uuid).cloned()
            }
            None => {
                [stacks.volume(lv), stacks.real(lv)].into_iter().flatten().find(|spec| spec.uuid == *uuid)
            }
        })
    }

    /// Mends one pool. One that must not be touched is left as it is, and does not hold up the others: the planner
    /// refuses to change it.
    fn pool_or_leave(&mut self, lv: &Lv, pool: &ThinPool, seen: &PoolSeen) -> Matches {
        let (steps, edits, found) = (self.sequence.plan.steps.len(), self.edits.len(), self.found.len());
        let (users, running, freed) =
            (self.sequence.users.clone(), self.sequence.running.clone(), self.sequence.freed.clone());
        self.pool(lv, pool, seen).unwrap_or_else(|refusal| {
            self.sequence.plan.steps.truncate(steps);
            self.edits.truncate(edits);
            self.found.truncate(found);
            (self.sequence.users, self.sequence.running, self.sequence.freed) = (users, running, freed);
            self.left.push(LeftAlone::Refused(refusal));
            Matches::Unknown
        })
    }

    /// Mends one pool.
    fn pool(&mut self, lv: &Lv, pool: &ThinPool, seen: &PoolSeen) -> Result<Matches, Refusal> {
        let shown = format!("{}/{}", self.sequence.draft.vg().name, lv.name);
        self.sequence.draft.check_not_grown(lv, pool, &seen.state)?;
        if pool.transaction_id.0 == 0 && pool.messages.is_empty() {
            return Ok(Matches::Unknown);
        }
        let Some(kernel) = seen.state.transaction_id() else {
            return self.out_of_order(&shown, pool, &seen.state);
        };
        let text = pool.transaction_id;
        // A transaction is in the text with what there is to do for it, or has been stepped in the kernel.
        let pending = kernel.next() == Some(text) && !pool.messages.is_empty();
        let devices = seen.inventory.devices();
        if !pending && kernel != text {
            self.differ.push((lv.name.clone(), kernel));
            let missing = devices.map(|devices| self.sequence.draft.missing(lv, devices)).unwrap_or_default();
            return Err(transactions_differ(&shown, kernel, text, &missing));
        }
        // Only what was seen inside, or is to be deleted, is compared with what the text knows.
        let compares = devices.is_some() || !pool.messages.is_empty();
        let ids = self.sequence.draft.vg().glances_of(&lv.name).filter(|_| compares);
        let known: BTreeSet<ThinId> = ids.map(|(_, thin)| thin.device_id).collect();
        if let Inventory::Unknown(why) = &seen.inventory {
            self.leave(format!("pool {shown}: could not look for devices that belong to no volume: {why}"));
        }
        let sends = if pending {
            self.replay(lv, pool, devices)?
        } else {
            self.unsent(&shown, pool, seen, &known, kernel)
        };
        let deleted: BTreeSet<ThinId> = sends.iter().filter_map(|(_, message)| message.deleted()).collect();
        let known: BTreeSet<ThinId> = known.union(&deleted).copied().collect();
        let orphans = self.orphans(&shown, seen, &known, kernel);
        if pending || !sends.is_empty() || !orphans.is_empty() {
            let making = seen.making.clone().filter(|_| !orphans.is_empty());
            self.talk(lv, pool, seen, (kernel, text), sends, (&orphans, making))?;
        }
        if pending {
            self.found.push(format!(
                "pool {shown}: transaction {text} is in the metadata, the kernel is at {kernel}"
            ));
        }
        if !pool.messages.is_empty() {
            let count = pool.messages.len();
            self.found.push(format!("pool {shown}: {count} messages are still in the metadata"));
            self.edits.push(Edit::SetPoolMessages { pool: lv.name.clone(), messages: Vec::new() });
        }
        Ok(devices
            .map_or(Matches::Unknown, |devices| self.matches(&shown, lv, devices, &known, &orphans, pending)))
    }

    /// A pool that cannot be read or has failed: nothing can be repaired; messages in its text are reported. A pool
    /// that merely cannot be read while it is stopped is not at fault.
    fn out_of_order(&mut self, shown: &str, pool: &ThinPool, state: &PoolState) -> Result<Matches, Refusal> {
        let why = match state {
            PoolState::Unreadable(PoolReadError::OutOfReach(_)) if pool.messages.is_empty() => {
                return Ok(Matches::Unknown);
            }
            PoolState::Unreadable(why) => format!("cannot be read: {why}"),
            _ => "has failed".to_owned(),
        };
        let also = if pool.messages.is_empty() { "" } else { ", and its last transaction is not finished" };
        self.leave(format!("pool {shown} {why}{also}"));
        Ok(Matches::Unknown)
    }

    /// One commit for all texts that change, or for metadata areas that lag behind.
    fn commit(&mut self, metadata: &Metadata, observed: &Observed) -> Result<(), Refusal> {
        self.found.extend(observed.lagging.iter().cloned());
        if self.edits.is_empty() && observed.lagging.is_empty() {
            return Ok(());
        }
        may_use(&metadata.vg, Use::Change, &observed.policy.system_ids)
            .map_err(|no| Refusal::new(ErrorKind::Unsupported, no.to_string()).hint(no.hint))?;
        let mended = metadata.apply(&self.edits, &observed.inputs.header).map_err(|error| {
            Refusal::new(ErrorKind::Corrupt, format!("the mended metadata would not be valid: {error}"))
        })?;
        let is_tag = |edit: &Edit| matches!(edit, Edit::AddTag { .. } | Edit::DelTag { .. });
        let changes = [
            (self.edits.is_empty(), "all copies made equal"),
            (self.edits.iter().any(|edit| !is_tag(edit)), "messages carried out"),
            (self.edits.iter().any(is_tag), "tags name the volumes that are there"),
        ];
        let changes = changes.into_iter().filter(|(is_so, _)| *is_so).map(|(_, what)| what.to_owned());
        self.sequence.plan.push(Step::Commit(Commit::new(mended, changes.collect())));
        Ok(())
    }
}
