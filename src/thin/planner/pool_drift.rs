//! Pools that are smaller in the kernel than in the text, or work otherwise: what a crash leaves between the commit of a
//! change of a pool and its devices' new tables (docs/transactions.md, "Changes of pools").

use super::repair::Mending;
use crate::observed::PoolState;
use crate::plan::Step;
use crate::stack::{DevRef, DeviceSpec};
use dm::status::PoolStatus;
use dm::table::{DmTarget, PoolParams};
use lvm2::format::model::{Lv, ThinPool};

impl Mending<'_, '_> {
    /// Gives running pools the room that the text says they have, and lets them work as it says.
    pub(super) fn drifted_pools(&mut self) {
        let draft = self.sequence.draft;
        for (name, seen) in &draft.observed.pools {
            let (PoolState::Active(status) | PoolState::ActiveNew(status)) = &seen.state else { continue };
            if let Ok((lv, pool)) = draft.pool(name) {
                self.set_right(lv, pool, status);
            }
        }
    }

    fn set_right(&mut self, lv: &Lv, pool: &ThinPool, status: &PoolStatus) {
        let draft = self.sequence.draft;
        let Ok((stack, _)) = draft.pool_stack(lv, pool) else { return };
        let (Ok([tmeta, tdata]), Some(blocks), PoolStatus::Working(working)) =
            (&stack.parts, stack.blocks(), status)
        else {
            return;
        };
        let specs = [&tmeta.top, &tdata.top, &stack.tpool, &stack.pool];
        let [meta, data, target, link] = specs.map(|spec| self.shorter(spec));
        let more_metadata = working.metadata.total < blocks.metadata;
        let is_behind = more_metadata || working.data.total < blocks.data.get();
        if !is_behind && ![&meta, &data, &target, &link].into_iter().any(Option::is_some) {
            return self.works_otherwise(lv, &stack.tpool);
        }
        let shown = format!("{}/{}", draft.vg().name, lv.name);
        if working.needs_check {
            self.left.push(format!(
                "pool {shown} is smaller in the kernel than in the metadata: it does not grow before its metadata is checked"
            ));
            return;
        }
        self.found.push(format!("pool {shown} is smaller in the kernel than in the metadata"));
        let longer =
            |spec: &Option<(DeviceSpec, DeviceSpec)>| spec.as_ref().map(|(_, longer)| longer.clone());
        let plan = &mut self.sequence.plan;
        [&meta, &data].into_iter().filter_map(longer).for_each(|spec| plan.push(Step::ReloadDevice(spec)));
        // Metadata first: without room in it the kernel cannot name more data, and says that it is damaged.
        if let Some((now, _)) = target.as_ref().filter(|_| more_metadata) {
            plan.push(Step::ReloadDevice(now.clone()));
        }
        let tpool = longer(&target).unwrap_or_else(|| self.sequence.as_named(stack.tpool.clone()));
        self.reloaded.insert(tpool.uuid.clone());
        let plan = &mut self.sequence.plan;
        plan.push(Step::ReloadDevice(tpool));
        longer(&link).into_iter().for_each(|spec| plan.push(Step::ReloadDevice(spec)));
    }

    /// A pool whose table has other words than the text says, or where the right one waits. The low water mark follows
    /// lvm.conf and not the text, and whether discards are ignored cannot change while it runs.
    fn works_otherwise(&mut self, lv: &Lv, tpool: &DeviceSpec) {
        let observed = self.sequence.draft.observed;
        let live = observed.tables.get(&tpool.uuid).and_then(|lines| lines.first()?.parse().ok());
        let number = |dev: &DevRef| observed.numbers.get(dev).copied().ok_or(());
        let wanted = tpool.table(number).ok().and_then(|table| table.0.first()?.parse().ok());
        let (Some(DmTarget::ThinPool(live)), Some(DmTarget::ThinPool(wanted))) = (live, wanted) else {
            return;
        };
        let device = observed.device(&tpool.uuid).filter(|device| !device.suspended);
        let Some(device) = device.filter(|_| live.ignore_discard == wanted.ignore_discard) else { return };
        let ways = |params: &PoolParams| {
            (params.skip_block_zeroing, params.no_discard_passdown, params.error_if_no_space)
        };
        if ways(&live) == ways(&wanted) && !device.inactive_table {
            return;
        }
        self.found.push(format!(
            "pool {}/{} does not work as the metadata says",
            self.sequence.draft.vg().name,
            lv.name
        ));
        let tpool = DeviceSpec { name: self.name_now(device), ..tpool.clone() };
        self.reloaded.insert(tpool.uuid.clone());
        self.sequence.plan.push(Step::ReloadDevice(tpool));
    }

    /// A device whose table is shorter than the text says: as it is, and as it is to be.
    fn shorter(&self, spec: &DeviceSpec) -> Option<(DeviceSpec, DeviceSpec)> {
        let observed = self.sequence.draft.observed;
        let live = observed.tables.get(&spec.uuid)?;
        let device = observed.device(&spec.uuid).filter(|device| device.live_table)?;
        let length = live.last().and_then(|line| line.start.checked_add(line.length))?;
        let spec = DeviceSpec { name: self.name_now(device), ..spec.clone() };
        (length < spec.length()).then(|| (spec.clone().of_length(length), spec))
    }
}
