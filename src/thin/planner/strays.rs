//! Devices of the group that are nothing of a volume in the text: what made them was killed before its commit.

use super::draft::Draft;
use super::repair::Mending;
use crate::plan::Step;
use crate::stack::{DeviceSpec, Role};
use dm::kernel::DeviceInfo;
use dm::name::Layer;
use lvm2::format::model::Lv;

impl Mending<'_, '_> {
    /// They go, if nothing can be lost with them: those without a table, and layers of external origins, which a
    /// conversion to a thin volume puts in place before it commits the text that has that origin.
    pub(super) fn strays(&mut self) {
        let draft = self.sequence.draft;
        for device in draft.observed.devices.values() {
            let Some(spec) = draft.stray(device) else { continue };
            self.found.push(if device.live_table {
                format!("device {} is the layer of an external origin that is in no metadata", device.name)
            } else {
                format!(
                    "device {} has no table and is in no metadata: what made it was cut short",
                    device.name
                )
            });
            self.sequence.freed.insert(spec.name.clone());
            self.sequence.plan.push(Step::RemoveDevice(spec));
        }
    }
}

impl Draft<'_> {
    /// Such a device, as it is to be removed: its volume is in no text, or is a thin volume that was still to become an
    /// external origin. Nothing if it is open, or may be all that shows what somebody wrote.
    pub(super) fn stray(&self, device: &DeviceInfo) -> Option<DeviceSpec> {
        let uuid = device.uuid.clone()?;
        let parts = uuid.lvm_parts().ok().filter(|parts| parts.vg == self.vg().id)?;
        let is_layer = parts.layer() == Some(Layer::Real);
        let is_to_be_origin =
            |lv: &Lv| is_layer && lv.thin().is_some() && !self.stacks().is_external_origin(&lv.name);
        let is_of_none = self.vg().lvs.find_id(&parts.lv).is_none_or(is_to_be_origin);
        if !is_of_none || device.open_count > 0 || (device.live_table && !is_layer) {
            return None;
        }
        Some(DeviceSpec {
            lv: device.name.lvm_parts().ok()?.lv,
            name: device.name.clone(),
            uuid,
            targets: Vec::new(),
            read_only: device.read_only,
            role: Role::Internal,
            minor: None,
            read_ahead: None,
        })
    }
}
