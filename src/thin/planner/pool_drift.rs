//! Pools that work otherwise than the text says: what a crash leaves between the commit of a change of a pool and its
//! new table (docs/transactions.md, "Changes of pools").

use super::repair::Mending;
use crate::plan::Step;
use crate::stack::{DevRef, DeviceSpec};
use dm::table::{DmTarget, PoolParams};
use lvm2::format::model::Lv;

impl Mending<'_, '_> {
    /// A pool whose table has other words than the text says. The low water mark follows lvm.conf and not the text, and
    /// whether discards are ignored cannot change while it runs.
    pub(super) fn works_otherwise(&mut self, lv: &Lv, tpool: &DeviceSpec) {
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
        if ways(&live) == ways(&wanted) || self.reloaded.contains(&tpool.uuid) {
            return;
        }
        let shown = format!("{}/{}", self.sequence.draft.vg().name, lv.name);
        self.found.push(format!("pool {shown} does not work as the metadata says"));
        let tpool = DeviceSpec { name: self.name_now(device), ..tpool.clone() };
        self.reloaded.insert(tpool.uuid.clone());
        self.sequence.plan.push(Step::ReloadDevice(tpool));
    }
}
