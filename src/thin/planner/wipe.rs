//! Requests to discard volumes that are removed and to zero new ones.

use super::devices::refuse;
use super::draft::Draft;
use super::sequence::Sequence;
use crate::effect::Effect;
use crate::observed::PoolState;
use crate::plan::{Outcome, Step};
use crate::refusal::Refusal;
use crate::stack::DeviceSpec;
use crate::wipe::{Wipe, WipeMethod};
use base::ids::LvName;
use base::units::size::Rounded;
use base::units::{Bytes, Sectors};
use dm::status::{Discards as Running, PoolStatus};
use lvm2::format::model::{Discards, Lv, ThinPool};

impl Draft<'_> {
    /// Has a volume discarded that the same batch removes.
    pub(super) fn discard(&mut self, name: &LvName) -> Result<(), Refusal> {
        let (lv, thin) = self.thin(name)?;
        self.check_ordinary(lv, thin, "discard")?;
        self.check_allowed(lv)?;
        let (pool_lv, pool) = self.pool(&thin.pool)?;
        self.check_discards(pool_lv, pool)?;
        let rest = self.bytes(lv).map(|size| Wipe::rest(size, pool.chunk_size));
        if let Some(rest) = rest.filter(|rest| rest.get() > 0) {
            let rest = Rounded(rest);
            self.warnings.push(format!(
                "the last {rest} of {}/{name} are no whole chunk of its pool: the disks do not hear of them",
                self.vg().name
            ));
        }
        self.discards.insert(lv.name.clone());
        self.outcomes.push(outcome(lv, Effect::Discarded));
        Ok(())
    }

    /// Has a volume overwritten with zeros that the same batch creates.
    pub(super) fn zero(&mut self, name: &LvName) -> Result<(), Refusal> {
        let change = self.added.get(name).and_then(|pool| self.pools.get(pool));
        let new = change.and_then(|change| change.new.iter().find(|new| new.thin.name == *name));
        let Some(new) = new.filter(|new| new.empty) else {
            let message =
                format!("{}/{name} is not created by this batch: it is not overwritten", self.vg().name);
            return Err(Refusal::rule(message));
        };
        if !new.activate {
            let message = format!("{}/{name} stays inactive: it cannot be overwritten", self.vg().name);
            return Err(
                Refusal::rule(message).hint("a new volume reads as zeros where its pool zeroes new chunks")
            );
        }
        let (pool, id, extents) = (new.thin.pool.clone(), new.thin.id, new.thin.extents);
        let size = extents.to_sectors(self.vg().extent_size).unwrap_or(Sectors::ZERO);
        self.check_room(&pool, size)?;
        self.zeroes.push(name.clone());
        let effect = Effect::Zeroed;
        self.outcomes.push(Outcome { request: 0, name: name.clone(), uuid: Some(id), effect });
        Ok(())
    }

    /// What is discarded goes, and nothing is made from it meanwhile.
    pub(super) fn check_discarded(&self) -> Result<(), Refusal> {
        for name in &self.discards {
            if !self.removed.contains(name) {
                return Err(Refusal::rule(format!("{}/{name} stays: it is not discarded", self.vg().name))
                    .hint("only what the same batch removes is"));
            }
            let (_, thin) = self.thin_before(name)?;
            let snaps = self.pools.get(&thin.pool).map(|change| &change.snaps);
            if snaps.is_some_and(|snaps| snaps.iter().any(|snap| snap.origin == thin.device_id)) {
                return Err(Refusal::rule(format!(
                    "{}/{name} is discarded, and something is made from it by the same batch",
                    self.vg().name
                ))
                .hint("discard it in a later transaction"));
            }
        }
        Ok(())
    }

    fn check_discards(&mut self, lv: &Lv, pool: &ThinPool) -> Result<(), Refusal> {
        let shown = format!("{}/{}", self.vg().name, lv.name);
        let running = match &self.seen(&lv.name)?.state {
            PoolState::Active(PoolStatus::Working(status))
            | PoolState::ActiveNew(PoolStatus::Working(status)) => Some(status.discards),
            _ => None,
        };
        if pool.discards == Discards::Ignore || running == Some(Running::Ignore) {
            return Err(Refusal::rule(format!("pool {shown} ignores discards"))
                .hint(format!("'lvchange --discards passdown {shown}', while it is inactive")));
        }
        if pool.discards == Discards::NoPassdown || running == Some(Running::NoPassdown) {
            let warning = format!("pool {shown} does not pass discards down: its disks do not hear of them");
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        Ok(())
    }

    /// Whether a pool, if it runs, has room for all of what is overwritten: a write without room would wait for some.
    fn check_room(&self, pool: &LvName, size: Sectors) -> Result<(), Refusal> {
        let (PoolState::Active(PoolStatus::Working(status))
        | PoolState::ActiveNew(PoolStatus::Working(status))) = &self.seen(pool)?.state
        else {
            return Ok(());
        };
        let (_, record) = self.pool(pool)?;
        let chunks = status.data.total.saturating_sub(status.data.used);
        let free = Sectors::new(chunks.saturating_mul(record.chunk_size.get()));
        if size <= free {
            return Ok(());
        }
        let rounded = |size: Sectors| Rounded(size.to_bytes().unwrap_or_default()).to_string();
        let (vg, left, wanted) = (&self.vg().name, rounded(free), rounded(size));
        Err(Refusal::rule(format!(
            "pool {vg}/{pool} has {left} left, a zeroed volume takes all its {wanted}"
        ))
        .hint("leave out --zero, or extend the pool"))
    }

    fn bytes(&self, lv: &Lv) -> Option<Bytes> {
        lv.extents()?.to_sectors(self.vg().extent_size)?.to_bytes()
    }
}

impl Sequence<'_, '_> {
    /// What goes is emptied, one volume after another. All that can fail for another reason comes before.
    pub(super) fn discard(&mut self) -> Result<(), Refusal> {
        let draft = self.draft;
        for (pool, change) in &draft.pools {
            let discarded = change.removals.iter().filter(|removal| draft.discards.contains(&removal.name));
            for removal in discarded {
                self.discard_one(pool, &removal.name, removal.device.as_ref())?;
            }
        }
        Ok(())
    }

    /// The device comes up if there is none that takes writes, and goes when it is emptied. Nobody is to be found using
    /// it afterwards; if the change fails, it comes back as it was.
    fn discard_one(
        &mut self,
        pool: &LvName,
        name: &LvName,
        there: Option<&DeviceSpec>,
    ) -> Result<(), Refusal> {
        let draft = self.draft;
        let lv = draft.before(name)?;
        let spec = draft.stacks().volume(lv).map_err(|error| refuse(&error))?;
        let takes_writes = |there: &&DeviceSpec| {
            draft.observed.device(&there.uuid).is_some_and(|device| !device.read_only && device.live_table)
        };
        let device = if let Some(there) = there.filter(takes_writes) {
            there.clone()
        } else {
            match there {
                Some(there) => self.take_down(there),
                None => self.hold(pool)?,
            }
            let writable = DeviceSpec { read_only: false, ..spec };
            self.bring_up(writable.clone())?;
            writable
        };
        let size = draft
            .bytes(lv)
            .ok_or_else(|| Refusal::rule(format!("the size of {}/{name} overflows", draft.vg().name)))?;
        let chunk = draft.pool(pool)?.1.chunk_size;
        let node = (device.name.clone(), device.uuid.clone());
        self.plan.push(Step::Wipe(Wipe::all(WipeMethod::Discard, name.clone(), node, size, chunk)));
        let back = there.filter(takes_writes).map(|there| Step::CreateDevice(there.clone()));
        self.freed.insert(device.name.clone());
        self.plan.push_undoable(Step::RemoveDevice(device), back.into_iter().collect());
        self.release(pool)
    }

    /// New volumes are overwritten last of all, when nothing can fail any more but that, and nobody has to wait for it:
    /// the lock of the volume group is given back before.
    pub(super) fn zero(&mut self) -> Result<(), Refusal> {
        let draft = self.draft;
        if !draft.zeroes.is_empty() {
            self.plan.push(Step::Unlock);
        }
        for (pool, change) in &draft.pools {
            for new in change.new.iter().filter(|new| draft.zeroes.contains(&new.thin.name)) {
                let spec = draft.stacks().new_volume(&new.thin).map_err(|error| refuse(&error))?;
                let size = new.thin.extents.to_sectors(draft.vg().extent_size).and_then(Sectors::to_bytes);
                let overflows =
                    || Refusal::rule(format!("the size of {}/{} overflows", draft.vg().name, new.thin.name));
                let (size, chunk) = (size.ok_or_else(overflows)?, draft.pool(pool)?.1.chunk_size);
                let node = (spec.name, spec.uuid);
                let wipe = Wipe::all(WipeMethod::Zero, new.thin.name.clone(), node, size, chunk);
                self.plan.push(Step::Wipe(wipe));
            }
        }
        Ok(())
    }
}

fn outcome(lv: &Lv, effect: Effect) -> Outcome {
    Outcome { request: 0, name: lv.name.clone(), uuid: Some(lv.id), effect }
}
