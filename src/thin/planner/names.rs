//! Devices that still have the old name of their volume or group: an interrupted rename. Devices are
//! known by their uuid; whatever is planned after this finds them under their new names.

use super::repair::Mending;
use crate::plan::Step;
use dm::kernel::DeviceInfo;
use dm::name::{DmName, DmUuid, Layer};

impl Mending<'_, '_> {
    /// Gives each device the name that the text wants, as soon as no other device has it.
    pub(super) fn names(&mut self) {
        let observed = self.sequence.draft.observed;
        let mut astray: Vec<(&DmUuid, &DeviceInfo, DmName)> = observed
            .devices
            .iter()
            .filter_map(|(uuid, device)| Some((uuid, device, self.wanted_name(uuid, device)?)))
            .collect();
        loop {
            let before = astray.len();
            astray.retain(|(uuid, device, to)| !self.rename(uuid, device, to));
            if astray.is_empty() || astray.len() == before {
                break;
            }
        }
        for (_, device, to) in astray {
            self.leave(format!(
                "device {} should be called {to}, which another device is: 'dmsetup info {to}' shows it",
                device.name
            ));
        }
    }

    /// The name a device has by now.
    pub(super) fn name_now(&self, device: &DeviceInfo) -> DmName {
        let renamed = device.uuid.as_ref().and_then(|uuid| self.sequence.renamed.get(uuid));
        renamed.unwrap_or(&device.name).clone()
    }

    fn rename(&mut self, uuid: &DmUuid, device: &DeviceInfo, to: &DmName) -> bool {
        let sequence = &self.sequence;
        let is_away = |owner: &DmUuid| sequence.renamed.get(owner).is_some_and(|now| now != to);
        let owner = sequence.draft.observed.listed.get(to);
        let is_free = owner.is_none_or(|owner| owner.as_ref().is_some_and(is_away));
        if !is_free || sequence.renamed.values().any(|taken| taken == to) {
            return false;
        }
        self.found.push(format!("device {} has the name of before a rename: it is to be {to}", device.name));
        let role = self.role_of(device);
        let (from, to) = (device.name.clone(), to.clone());
        self.sequence.renamed.insert(uuid.clone(), to.clone());
        self.sequence.plan.push(Step::RenameDevice { from, to, role });
        true
    }

    /// The name a device is to have, if it has another: that of its volume, and its own layer.
    fn wanted_name(&self, uuid: &DmUuid, device: &DeviceInfo) -> Option<DmName> {
        let vg = self.sequence.draft.vg();
        let ids = uuid.lvm_parts().ok().filter(|ids| ids.vg == vg.id)?;
        let lv = vg.lvs.find_id(&ids.lv)?;
        let has = device.name.lvm_parts();
        if has.as_ref().is_ok_and(|has| has.vg == vg.name && has.lv == lv.name) {
            return None;
        }
        match (has, ids.layer()) {
            (Ok(has), _) => DmName::of_layer(&vg.name, &lv.name, has.layer.as_deref()).ok(),
            (Err(_), Some(Layer::Tpool)) | (_, None) => None,
            (Err(_), Some(layer)) => DmName::of_lv(&vg.name, &lv.name, layer).ok(),
        }
    }
}
