//! The order of steps. Why each order is safe at every crash point is argued in docs/transactions.md.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Draft, PoolChange};
use super::reshaping::Reshaping;
use crate::making::Making;
use crate::observed::{Inventory, PoolState};
use crate::plan::{Message, Plan, Purpose, Send, Step};
use crate::refusal::Refusal;
use base::ids::{LvName, ThinId, TransactionId};
use dm::kernel::Suspend;
use dm::name::{DmName, DmUuid, Layer};

/// A plan under construction.
pub(super) struct Sequence<'d, 'a> {
    pub draft: &'d Draft<'a>,
    pub plan: Plan,
    /// Pools whose target runs at this point of the plan.
    pub running: BTreeSet<LvName>,
    /// Names of devices that the plan has removed.
    pub freed: BTreeSet<DmName>,
    /// Devices that the plan has renamed, with the names they have by now.
    pub renamed: BTreeMap<DmUuid, DmName>,
    /// Pools the plan started or took users from, with what will be open on their target.
    pub users: BTreeMap<LvName, u32>,
    /// The same for the real devices of external origins.
    pub grounds: BTreeMap<LvName, u32>,
    /// What dmeventd is to watch again at the end.
    pub watched: Vec<Step>,
    /// The devices of volumes that stay and change.
    pub reshaping: Reshaping,
}

impl<'d, 'a> Sequence<'d, 'a> {
    pub(super) fn new(draft: &'d Draft<'a>) -> Self {
        let mut plan = Plan::new(draft.vg().name.clone(), draft.vg().seqno);
        plan.numbers.clone_from(&draft.observed.numbers);
        Self {
            draft,
            plan,
            running: BTreeSet::new(),
            freed: BTreeSet::new(),
            renamed: BTreeMap::new(),
            users: BTreeMap::new(),
            grounds: BTreeMap::new(),
            watched: Vec::new(),
            reshaping: Reshaping::default(),
        }
    }

    /// Devices of removed and replaced volumes go; snapshots are made, kernel first; the text is committed; devices
    /// that stay get their new names and sizes; the pools' transactions are carried through; new devices come.
    pub(super) fn change(&mut self) -> Result<(), Refusal> {
        let texts = self.draft.texts()?;
        let after = &texts.after.vg;
        self.reshaping = self.reshaping(after)?;
        let mut targets = BTreeMap::new();
        for (name, change) in &self.draft.pools {
            targets.insert(name, self.prepare(name, change)?);
        }
        self.check_promises(after)?;
        self.remove_devices()?;
        self.take_down_altered()?;
        self.discard()?;
        for (name, change) in &self.draft.pools {
            let (lv, pool) = self.draft.pool(name)?;
            let ids: Vec<ThinId> = change.snaps.iter().map(|snap| snap.id).collect();
            let making = Making { vg: self.draft.vg().id, at: pool.transaction_id, ids };
            let making = Some(making).filter(|making| !making.ids.is_empty());
            self.plan.push(Step::MarkDirty { pool: self.draft.vg().pool_id(lv), making });
        }
        self.take_snapshots(&targets)?;
        self.plan.push_undoable(Step::Commit(texts.first), vec![Step::Commit(texts.revert)]);
        self.reshape()?;
        if let Some(second) = texts.second {
            self.transaction(&targets, &texts.next)?;
            self.plan.push(Step::Commit(second));
            self.mark_clean()?;
        }
        self.bring_back()?;
        self.bring_up_new()
    }

    /// The messages are sent; the pools' transactions are stepped and confirmed.
    fn transaction(
        &mut self,
        targets: &BTreeMap<&LvName, DmName>,
        next: &BTreeMap<LvName, TransactionId>,
    ) -> Result<(), Refusal> {
        for name in self.draft.pools.keys() {
            self.start_pool(name, Purpose::Change)?;
        }
        self.send_messages(targets);
        self.step_transactions(targets, next)
    }

    /// Checks a pool, or starts it, and returns the name of its target; a never-used one is only started after the
    /// first commit (see [`Self::take_over`]).
    fn prepare(&mut self, name: &LvName, change: &PoolChange) -> Result<DmName, Refusal> {
        let count = |empty| {
            let new = change.new.iter().filter(|new| new.empty == empty);
            u64::try_from(new.count()).unwrap_or(u64::MAX)
        };
        let purpose = match (count(true), count(false)) {
            (0, 0) => Purpose::Change,
            (empty, snapshots) => Purpose::NewVolumes { empty, snapshots },
        };
        let (lv, pool) = self.draft.pool(name)?;
        if pool.transaction_id.0 == 0 {
            self.take_over(lv, pool, purpose)?;
        } else {
            self.start_pool(name, purpose)?;
        }
        self.draft.stacks().name(&lv.name, Layer::Tpool).map_err(|error| super::devices::refuse(&error))
    }

    fn remove_devices(&mut self) -> Result<(), Refusal> {
        for (name, change) in &self.draft.pools {
            let discarded = |name: &LvName| self.draft.discards.contains(name);
            for removal in change.removals.iter().filter(|removal| !discarded(&removal.name)) {
                if let Some(spec) = &removal.device {
                    self.take_down(spec);
                    self.release(name)?;
                }
                if let Some(ground) = self.ground_of(self.draft.before(&removal.name)?) {
                    self.step_off(&ground, u32::from(removal.device.is_some()))?;
                }
            }
        }
        Ok(())
    }

    fn take_snapshots(&mut self, targets: &BTreeMap<&LvName, DmName>) -> Result<(), Refusal> {
        let (mut origins, mut sends, mut freeze) = (Vec::new(), Vec::new(), false);
        for (name, change) in &self.draft.pools {
            for snap in &change.snaps {
                // An origin that the same batch removes has lost its device above: nothing can write to it.
                origins.extend(snap.active.clone().filter(|device| !self.freed.contains(device)));
                freeze |= snap.freeze;
                let message = Message::CreateSnap { id: snap.id, origin: snap.origin };
                sends.push(Send { tpool: targets[name].clone(), message, replay: false });
            }
        }
        origins.sort();
        origins.dedup();
        if sends.is_empty() {
            return Ok(());
        }
        let how = if freeze { Suspend::FlushAndFreeze } else { Suspend::Flush };
        self.plan.push(Step::Freeze { origins, how, sends });
        // The commit behind a message may have failed without a word: the text must not name what is not there.
        for (name, _) in self.draft.pools.iter().filter(|(_, change)| !change.snaps.is_empty()) {
            let expect = self.expectation(name, self.draft.pool(name)?.1.transaction_id, Purpose::Change);
            self.plan.push(Step::ExpectPool { tpool: targets[name].clone(), expect });
        }
        Ok(())
    }

    fn send_messages(&mut self, targets: &BTreeMap<&LvName, DmName>) {
        let (mut creates, mut deletes) = (Vec::new(), Vec::new());
        for (name, change) in &self.draft.pools {
            let tpool = &targets[name];
            for new in change.new.iter().filter(|new| new.empty) {
                let message = Message::CreateThin(new.thin.device_id);
                creates.push(Send { tpool: tpool.clone(), message, replay: false });
            }
            for id in &change.deletes {
                let message = Message::Delete(*id);
                deletes.push(Send { tpool: tpool.clone(), message, replay: true });
            }
        }
        if !creates.is_empty() {
            self.plan.push(Step::Send { sends: creates });
        }
        // The first delete may still find its device in use by a stranger, and then everything can be taken back.
        let rest = deletes.split_off(deletes.len().min(1));
        if !deletes.is_empty() {
            self.plan.push(Step::Send { sends: deletes });
        }
        self.plan.push(Step::PointOfNoReturn);
        if !rest.is_empty() {
            self.plan.push(Step::Send { sends: rest });
        }
    }

    fn step_transactions(
        &mut self,
        targets: &BTreeMap<&LvName, DmName>,
        next: &BTreeMap<LvName, TransactionId>,
    ) -> Result<(), Refusal> {
        for name in self.draft.pools.keys() {
            let from = self.draft.pool(name)?.1.transaction_id;
            let (tpool, to) = (targets[name].clone(), next[name]);
            self.plan.push(Step::SetTransaction { tpool: tpool.clone(), from, to });
            self.plan.push(Step::ExpectPool { tpool, expect: self.expectation(name, to, Purpose::Change) });
        }
        Ok(())
    }

    /// A pool that holds, or may hold, devices the text does not know is not marked clean: it is looked through again.
    /// What the change made is in the text by now, and not being made any more.
    fn mark_clean(&mut self) -> Result<(), Refusal> {
        for name in self.draft.pools.keys() {
            let known = || -> BTreeSet<ThinId> {
                self.draft.vg().glances_of(name).map(|(_, thin)| thin.device_id).collect()
            };
            let matches = match &self.draft.seen(name)?.inventory {
                Inventory::Clean => true,
                Inventory::Read(devices) => {
                    let known = known();
                    devices.keys().all(|id| known.contains(id))
                }
                Inventory::Unknown(_) => false,
            };
            let pool = self.draft.vg().pool_id(self.draft.pool(name)?.0);
            self.plan.push(if matches {
                Step::MarkClean { pool }
            } else {
                Step::MarkDirty { pool, making: None }
            });
        }
        Ok(())
    }

    fn bring_up_new(&mut self) -> Result<(), Refusal> {
        for (name, change) in &self.draft.pools {
            for new in change.new.iter().filter(|new| new.activate) {
                let spec = self.draft.stacks().new_volume(&new.thin);
                let spec = spec.map_err(|error| super::devices::refuse(&error))?;
                if let Some(origin) = &new.thin.external_origin {
                    self.stand_on(origin)?;
                }
                self.bring_up(spec)?;
                self.hold(name)?;
            }
        }
        Ok(())
    }

    /// The state in which a pool was found.
    pub(super) fn state(&self, name: &LvName) -> Result<&'a PoolState, Refusal> {
        self.draft.seen(name).map(|seen| &seen.state)
    }
}
