//! Transactions that a crash left unfinished in a pool: what is to be sent for them, and how.

use std::collections::{BTreeMap, BTreeSet};

use super::devices::refuse;
use super::repair::Mending;
use crate::making::Making;
use crate::meta::DeviceDetails;
use crate::observed::{PoolSeen, PoolState};
use crate::plan::{Message, Purpose, Send, Step};
use crate::pool_health::check_pool;
use crate::refusal::Refusal;
use crate::stack::PoolStack;
use base::error_kind::ErrorKind;
use base::ids::{LvName, ThinId, TransactionId, VgName};
use dm::kernel::Suspend;
use dm::name::{DmName, DmUuid, Layer};
use lvm2::format::model::{Lv, PoolMessage, ThinPool};

impl Mending<'_, '_> {
    /// The messages of a pending transaction, to be sent again. A device that exists already is taken for the one that
    /// was to be created only if it is as young as the transaction.
    pub(super) fn replay(
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
                        return Err(stranger(&draft.vg().name, &lv.name, name, thin.device_id));
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
    pub(super) fn unsent(
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

    /// The steps that need the kernel: messages again, orphans away, the transaction stepped.
    pub(super) fn talk(
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
    pub(super) fn running_stack(
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
                self.sequence.take_down_new(&lv.name, &old.tpool)?;
                self.sequence.start_stack(&lv.name, &stack, expect)?;
            }
            PoolState::Inactive(_) | PoolState::Unreadable(_) => {
                self.sequence.start_stack(&lv.name, &stack, expect)?;
            }
        }
        self.sequence.running.insert(lv.name.clone());
        Ok(stack)
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

fn stranger(vg: &VgName, pool: &LvName, name: &LvName, id: ThinId) -> Refusal {
    Refusal::new(
        ErrorKind::Corrupt,
        format!(
            "volume {vg}/{name} was to be created as thin device {id} of pool {vg}/{pool}, which another device \
             already is"
        ),
    )
    .hint("remove the volume with lvremove; the device's data is not touched before that")
}
