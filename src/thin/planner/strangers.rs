//! The devices that a pool holds against the volumes that the text names: some belong to no volume, some volumes have
//! none.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::Draft;
use super::repair::{Matches, Mending};
use crate::meta::DeviceDetails;
use crate::observed::PoolSeen;
use crate::plan::PoolExpectation;
use crate::pool_health::check_transaction_for;
use crate::refusal::Refusal;
use base::ids::{LvName, ThinId, TransactionId};
use lvm2::format::model::Lv;

impl Draft<'_> {
    /// Refuses a pool of which kernel and text are at different transactions, or that is somebody else's.
    pub(super) fn check_transaction(&self, lv: &Lv, expect: &PoolExpectation) -> Result<(), Refusal> {
        let seen = self.seen(&lv.name)?;
        let Some(kernel) = seen.state.transaction_id() else { return Ok(()) };
        let missing =
            || seen.inventory.devices().map(|devices| self.missing(lv, devices)).unwrap_or_default();
        check_transaction_for(&format!("{}/{}", self.vg().name, lv.name), kernel, expect, missing)
    }

    /// Volumes of a pool that have no device in it.
    pub(super) fn missing(&self, lv: &Lv, devices: &BTreeMap<ThinId, DeviceDetails>) -> Vec<LvName> {
        let thins = self.vg().thins_of(&lv.name);
        let missing = thins.filter(|(_, thin)| !devices.contains_key(&thin.device_id));
        missing.map(|(volume, _)| volume.name.clone()).collect()
    }
}

impl Mending<'_, '_> {
    /// Devices that a change of ours made and the text never heard of: the record of the change names them, and they
    /// are as young as the kernel's transaction, for a committed one steps the kernel's id, so that everything it made
    /// is older. No change activates what the text does not name: a device that is active was made by hand. Whatever is
    /// not ours for certain may be somebody's data, and is only told.
    pub(super) fn orphans(
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
                self.leave(format!(
                    "pool {shown}: thin device {id} belongs to no volume and is active as {name}: it was made by hand"
                ));
            } else if details.transaction_id == kernel && is_ours(id) {
                self.found
                    .push(format!("pool {shown}: thin device {id} was made by a change that never finished"));
                orphans.push(*id);
            } else {
                self.leave(format!(
                    "pool {shown}: thin device {id} ({} chunks) belongs to no volume, and no record says that thinvol \
                     made it; 'dmsetup message' to the pool ('delete {id}') deletes it, if nobody wants it",
                    details.mapped_blocks
                ));
            }
        }
        orphans
    }

    /// Whether, with this repair done, the pool holds the text's devices and no others; what is missing is said.
    pub(super) fn matches(
        &mut self,
        shown: &str,
        lv: &Lv,
        devices: &BTreeMap<ThinId, DeviceDetails>,
        known: &BTreeSet<ThinId>,
        orphans: &[ThinId],
        pending: bool,
    ) -> Matches {
        let vg = self.sequence.draft.vg();
        let missing = if pending { Vec::new() } else { self.sequence.draft.missing(lv, devices) };
        for name in &missing {
            self.leave(format!(
                "volume {}/{name} has nothing behind it in pool {shown}: its removal was cut short; free it",
                vg.name
            ));
        }
        let strangers = devices.keys().any(|id| !(known.contains(id) || orphans.contains(id)));
        if missing.is_empty() && !strangers { Matches::Wholly } else { Matches::WithStrangers }
    }
}
