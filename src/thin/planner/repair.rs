//! What a crash, ours or lvm2's, left pending, and the plan that finishes or clears it.
//! The states and the argument for each answer are in docs/transactions.md.

use std::collections::{BTreeMap, BTreeSet};

use super::devices::refuse;
use super::draft::Draft;
use super::sequence::Sequence;
use crate::making::Making;
use crate::meta::DeviceDetails;
use crate::observed::{Inventory, Observed, PoolReadError, PoolSeen, PoolState};
use crate::plan::{Commit, Message, Plan, Purpose, Send, Step};
use crate::pool_health::{check_pool, transactions_differ};
use crate::refusal::Refusal;
use crate::stack::{DeviceSpec, PoolStack};
use base::error_kind::ErrorKind;
use base::ids::{LvName, ThinId, TransactionId, VgName};
use dm::kernel::Suspend;
use dm::name::{DmName, DmUuid, Layer};
use lvm2::format::check::{Use, may_use};
use lvm2::format::edit::Edit;
use lvm2::format::metadata::Metadata;
use lvm2::format::model::{Lv, PoolMessage, ThinPool};

/// What is pending in a volume group.
#[derive(Clone, Debug)]
pub struct Repair {
    /// What finishes or clears it; no steps if there is nothing.
    pub plan: Plan,
    /// What was found and will be mended, in words.
    pub found: Vec<String>,
    /// What was found and is left alone, in words.
    pub left: Vec<String>,
    /// Of what is left alone, what thinvol must not touch: kernel and text disagree beyond what a crash explains.
    pub refused: Vec<Refusal>,
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
        refused: Vec::new(),
        edits: Vec::new(),
        reloaded: BTreeSet::new(),
    };
    mending.names();
    mending.suspended();
    mending.half_made();
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
    let Mending { sequence: Sequence { plan, .. }, found, left, refused, .. } = mending;
    Ok(Repair { plan, found, left, refused })
}

/// Whether, after a repair, the devices of a pool match the text, when that is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Matches {
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
    pub left: Vec<String>,
    refused: Vec<Refusal>,
    pub edits: Vec<Edit>,
    /// Devices that get the table the text wants, so that none waits in them any more.
    pub reloaded: BTreeSet<DmUuid>,
}

impl Mending<'_, '_> {
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
                None => self.left.push(format!("device {} has no table", device.name)),
            }
        }
    }

    /// The device the text wants under that uuid.
    pub(super) fn spec_of(&self, uuid: &DmUuid) -> Option<DeviceSpec> {
        let draft = self.sequence.draft;
        let stacks = draft.stacks();
        draft.vg().lvs.iter().find_map(|lv| match lv.thin_pool() {
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
            match &refusal.hint {
                Some(hint) => self.left.push(format!("{refusal}; {hint}")),
                None => self.left.push(refusal.to_string()),
            }
            self.refused.extend(Some(refusal).filter(|refusal| refusal.kind == ErrorKind::Corrupt));
            Matches::Unknown
        })
    }

    /// Mends one pool.
    fn pool(&mut self, lv: &Lv, pool: &ThinPool, seen: &PoolSeen) -> Result<Matches, Refusal> {
        let shown = format!("{}/{}", self.sequence.draft.vg().name, lv.name);
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
            let missing = devices.map(|devices| self.missing(lv, devices)).unwrap_or_default();
            return Err(transactions_differ(&shown, kernel, text, &missing));
        }
        let known: BTreeSet<ThinId> =
            self.sequence.draft.vg().thins_of(&lv.name).map(|(_, thin)| thin.device_id).collect();
        if let Inventory::Unknown(why) = &seen.inventory {
            self.left
                .push(format!("pool {shown}: could not look for devices that belong to no volume: {why}"));
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

    /// A pool that cannot be read or has failed: nothing can be mended; messages in its text are said. Nothing is wrong
    /// with one that only cannot be looked into while it is stopped.
    fn out_of_order(&mut self, shown: &str, pool: &ThinPool, state: &PoolState) -> Result<Matches, Refusal> {
        let why = match state {
            PoolState::Unreadable(PoolReadError::OutOfReach(_)) if pool.messages.is_empty() => {
                return Ok(Matches::Unknown);
            }
            PoolState::Unreadable(why) => format!("cannot be read: {why}"),
            _ => "has failed".to_owned(),
        };
        let also = if pool.messages.is_empty() { "" } else { ", and its last transaction is not finished" };
        self.left.push(format!("pool {shown} {why}{also}"));
        Ok(Matches::Unknown)
    }

    /// The messages of a pending transaction, to be sent again. A device that exists already is taken for the one that
    /// was to be created only if it is as young as the transaction.
    fn replay(
        &mut self,
        lv: &Lv,
        pool: &ThinPool,
        devices: Option<&BTreeMap<ThinId, DeviceDetails>>,
    ) -> Result<Vec<(Option<DmName>, Message)>, Refusal> {
        let draft = self.sequence.draft;
        let before = TransactionId(pool.transaction_id.0.saturating_sub(1));
        let mut sends = Vec::new();
        for message in &pool.messages {
            match message {
                PoolMessage::Delete(id) => sends.push((None, Message::Delete(*id))),
                PoolMessage::Create(name) => {
                    let (_, thin) = draft.thin(name)?;
                    let there = devices.and_then(|devices| devices.get(&thin.device_id));
                    if there.is_some_and(|details| details.transaction_id < before) {
                        return Err(stranger(&lv.name, name, thin.device_id));
                    }
                    sends.push(match &thin.origin {
                        None => (None, Message::CreateThin(thin.device_id)),
                        Some(origin) => {
                            let (origin_lv, origin) = draft.thin(origin)?;
                            let uuid = DmUuid::of_lv(&draft.vg().id, &origin_lv.id, Layer::Plain);
                            let active = draft.observed.device(&uuid);
                            if active.is_some_and(|device| device.inactive_table)
                                && !self.reloaded.contains(&uuid)
                            {
                                return Err(waiting(&draft.vg().name, &origin_lv.name));
                            }
                            let active = active.map(|device| self.name_now(device));
                            (active, Message::CreateSnap { id: thin.device_id, origin: origin.device_id })
                        }
                    });
                }
            }
        }
        Ok(sends)
    }

    /// Deletions in the text of a transaction that is stepped. lvm2 adds its own to messages that were left, takes the
    /// step for proof that all were carried out, and forgets them; the device is older than that, and no volume has it.
    fn unsent(
        &mut self,
        shown: &str,
        pool: &ThinPool,
        seen: &PoolSeen,
        known: &BTreeSet<ThinId>,
        kernel: TransactionId,
    ) -> Vec<(Option<DmName>, Message)> {
        let devices = seen.inventory.devices();
        let is_there = |id: &ThinId| {
            let details = devices.and_then(|devices| devices.get(id));
            details.is_some_and(|details| details.transaction_id < kernel) && !seen.strangers.contains_key(id)
        };
        let deletes = pool.messages.iter().filter_map(|message| match message {
            PoolMessage::Delete(id) => Some(*id).filter(|id| !known.contains(id) && is_there(id)),
            PoolMessage::Create(_) => None,
        });
        let deletes: Vec<ThinId> = deletes.collect();
        self.found.extend(
            deletes
                .iter()
                .map(|id| format!("pool {shown}: the message to delete thin device {id} was never sent")),
        );
        deletes.into_iter().map(|id| (None, Message::Delete(id))).collect()
    }

    /// Volumes of a pool that have no device in it.
    fn missing(&self, lv: &Lv, devices: &BTreeMap<ThinId, DeviceDetails>) -> Vec<LvName> {
        let thins = self.sequence.draft.vg().thins_of(&lv.name);
        let missing = thins.filter(|(_, thin)| !devices.contains_key(&thin.device_id));
        missing.map(|(volume, _)| volume.name.clone()).collect()
    }

    /// Devices that a change of ours made and the text never heard of: the record of the change names them, and they
    /// are as young as the kernel's transaction, for a committed one steps the kernel's id, so that everything it made
    /// is older. No change activates what the text does not name: a device that is active was made by hand. Whatever is
    /// not ours for certain may be somebody's data, and is only told.
    fn orphans(
        &mut self,
        shown: &str,
        seen: &PoolSeen,
        known: &BTreeSet<ThinId>,
        kernel: TransactionId,
    ) -> Vec<ThinId> {
        let making = seen.making.as_ref().filter(|making| making.at == kernel && kernel.0 > 0);
        let is_ours = |id: &ThinId| making.is_some_and(|making| making.ids.contains(id));
        let mut orphans = Vec::new();
        for (id, details) in
            seen.inventory.devices().into_iter().flatten().filter(|(id, _)| !known.contains(id))
        {
            if let Some(name) = seen.strangers.get(id) {
                self.left.push(format!(
                    "pool {shown}: thin device {id} belongs to no volume and is active as {name}: it was made by hand"
                ));
            } else if details.transaction_id == kernel && is_ours(id) {
                self.found
                    .push(format!("pool {shown}: thin device {id} was made by a change that never finished"));
                orphans.push(*id);
            } else {
                self.left.push(format!(
                    "pool {shown}: thin device {id} ({} chunks) belongs to no volume, and no record says that thinvol \
                     made it; 'dmsetup message' to the pool ('delete {id}') deletes it, if nobody wants it",
                    details.mapped_blocks
                ));
            }
        }
        orphans
    }

    /// The steps that need the kernel: messages again, orphans away, the transaction stepped.
    fn talk(
        &mut self,
        lv: &Lv,
        pool: &ThinPool,
        seen: &PoolSeen,
        (kernel, text): (TransactionId, TransactionId),
        sends: Vec<(Option<DmName>, Message)>,
        (orphans, making): (&[ThinId], Option<Making>),
    ) -> Result<(), Refusal> {
        let stack = self.running_stack(lv, pool, seen, kernel)?;
        let tpool = stack.tpool.name;
        // "Exists" counts as done only where the device was seen to be as young as the transaction.
        let seen_inside = seen.inventory.devices().is_some();
        let send = |message: Message| {
            let replay = seen_inside || matches!(message, Message::Delete(_));
            Send { tpool: tpool.clone(), message, replay }
        };
        let plan = &mut self.sequence.plan;
        plan.push(Step::MarkDirty { pool: self.sequence.draft.vg().pool_id(lv), making });
        plan.push(Step::PointOfNoReturn);
        let mut origins: Vec<DmName> = sends.iter().filter_map(|(origin, _)| origin.clone()).collect();
        origins.sort();
        origins.dedup();
        let replayed: Vec<Send> = sends.into_iter().map(|(_, message)| send(message)).collect();
        match (origins.is_empty(), replayed.is_empty()) {
            (_, true) => {}
            (true, false) => plan.push(Step::Send { sends: replayed }),
            (false, false) => {
                plan.push(Step::Freeze { origins, how: Suspend::FlushAndFreeze, sends: replayed })
            }
        }
        if !orphans.is_empty() {
            plan.push(Step::Send { sends: orphans.iter().map(|id| send(Message::Delete(*id))).collect() });
        }
        let expect = self.sequence.expectation(&lv.name, text, Purpose::Change);
        let plan = &mut self.sequence.plan;
        if kernel != text {
            plan.push(Step::SetTransaction { tpool: tpool.clone(), from: kernel, to: text });
        }
        // The commit behind a message may have failed without a word.
        plan.push(Step::ExpectPool { tpool, expect });
        Ok(())
    }

    /// The pool's stack, started if it does not run; the kernel's side is expected where it was found.
    fn running_stack(
        &mut self,
        lv: &Lv,
        pool: &ThinPool,
        seen: &PoolSeen,
        kernel: TransactionId,
    ) -> Result<PoolStack, Refusal> {
        let stack = self.sequence.draft.stacks().pool(lv, pool).map_err(|error| refuse(&error))?;
        let expect = self.sequence.expectation(&lv.name, kernel, Purpose::Change);
        match &seen.state {
            PoolState::Active(status) => {
                let shown = format!("{}/{}", self.sequence.draft.vg().name, lv.name);
                check_pool(&shown, status, &expect)?;
            }
            PoolState::ActiveNew(_) => {
                let old = self.sequence.draft.stacks().new_pool(lv, pool).map_err(|error| refuse(&error))?;
                self.sequence.take_down(&old.tpool);
                self.sequence.start_stack(&lv.name, &stack, expect)?;
            }
            PoolState::Inactive(_) | PoolState::Unreadable(_) => {
                self.sequence.start_stack(&lv.name, &stack, expect)?;
            }
        }
        self.sequence.running.insert(lv.name.clone());
        Ok(stack)
    }

    /// Whether, with this repair done, the pool holds the text's devices and no others; what is missing is said.
    fn matches(
        &mut self,
        shown: &str,
        lv: &Lv,
        devices: &BTreeMap<ThinId, DeviceDetails>,
        known: &BTreeSet<ThinId>,
        orphans: &[ThinId],
        pending: bool,
    ) -> Matches {
        let vg = self.sequence.draft.vg();
        let missing = if pending { Vec::new() } else { self.missing(lv, devices) };
        for name in &missing {
            self.left.push(format!(
                "volume {}/{name} has nothing behind it in pool {shown}: its removal was cut short; free it",
                vg.name
            ));
        }
        let strangers = devices.keys().any(|id| !(known.contains(id) || orphans.contains(id)));
        if missing.is_empty() && !strangers { Matches::Wholly } else { Matches::WithStrangers }
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

/// A device that a snapshot would make go on with another table.
pub(super) fn waiting(vg: &VgName, name: &LvName) -> Refusal {
    Refusal::rule(format!(
        "a table waits in the device of {vg}/{name}, which is not the one the metadata says: a snapshot would put it \
         in place"
    ))
    .hint(format!("'lvchange --refresh {vg}/{name}' puts the right one in place"))
}

fn stranger(pool: &LvName, name: &LvName, id: ThinId) -> Refusal {
    Refusal::new(
        ErrorKind::Corrupt,
        format!("volume {name} was to be created as thin device {id} of pool {pool}, which another device already is"),
    )
    .hint("remove the volume with lvremove; the device's data is not touched before that")
}
