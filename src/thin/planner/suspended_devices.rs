//! Resumes the devices that a crash left suspended, lower ones first: the devices below a resumed device must answer,
//! or the resume waits in the kernel with the lock held.

use std::collections::BTreeSet;

use super::repair::Mending;
use crate::observed::Observed;
use crate::plan::Step;
use crate::stack::{DeviceSpec, Role};
use base::ids::DevNo;
use dm::kernel::DeviceInfo;
use dm::name::{DmName, DmUuid, Layer};

impl Mending<'_, '_> {
    /// Whether a device is of a volume that takes part in a pending merge. A table that waits in it is lvm2's, which
    /// gives the origin the snapshot's thin device: that is the one that counts from then on.
    fn is_merging(&self, device: &DeviceInfo) -> bool {
        let draft = self.sequence.draft;
        let mut merging = draft.vg().lvs.iter().filter(|lv| draft.stacks().merging(lv).is_some());
        merging.any(|lv| device.uuid == Some(DmUuid::of_lv(&draft.vg().id, &lv.id, Layer::Plain)))
    }

    /// Resumes suspended devices, with the table from the text if another one is waiting. A device is left suspended if
    /// it has a waiting table that may or may not be the right one, or stands on a device that stays suspended.
    pub(super) fn suspended(&mut self) {
        let observed = self.sequence.draft.observed;
        let mut awake = BTreeSet::new();
        for device in from_below(observed) {
            let name = self.name_now(device);
            if let Some(below) = holds_back(observed, device.dev, &awake) {
                self.leave(format!(
                    "device {name} is suspended; it stands on {below}, which is suspended, too, and would wait for it"
                ));
                continue;
            }
            let wanted = device.uuid.as_ref().and_then(|uuid| self.spec_of(uuid));
            let step = match wanted {
                Some(spec) if device.inactive_table || self.realigned.contains(&spec.uuid) => {
                    Step::ReloadDevice(DeviceSpec { name: name.clone(), ..spec })
                }
                None if device.inactive_table && !self.is_merging(device) => {
                    self.leave(format!(
                        "device {name} is suspended, and a table waits in it of which thinvol cannot tell whether it \
                         is the one that counts: 'lvchange --refresh' of its volume can"
                    ));
                    continue;
                }
                _ => Step::Resume { name: name.clone(), role: self.role_of(device) },
            };
            awake.insert(device.dev);
            self.found.push(format!("device {name} is suspended: I/O to it waits"));
            self.sequence.plan.push(step);
        }
    }

    /// What udev is to make of a device. Source: lvm2 `lib/activate/dev_manager.c` (`_get_udev_flags`): layers and
    /// volumes that are not visible concern nobody.
    pub(super) fn role_of(&self, device: &DeviceInfo) -> Role {
        let parts = device.uuid.as_ref().and_then(|uuid| uuid.lvm_parts().ok());
        let Some(parts) = parts else { return Role::Visible };
        let lv = self.sequence.draft.vg().lvs.find_id(&parts.lv);
        let has_layer = device.name.lvm_parts().is_ok_and(|name| name.layer.is_some());
        match parts.layer() {
            Some(Layer::Plain) if lv.is_none_or(|lv| lv.is_visible()) => Role::Visible,
            Some(Layer::Tpool) if !has_layer => Role::NewPool,
            _ => Role::Internal,
        }
    }
}

/// The suspended devices, each after those it stands on.
fn from_below(observed: &Observed) -> Vec<&DeviceInfo> {
    let held_back = |device: &&DeviceInfo| device.suspended && device.live_table;
    let suspended: Vec<&DeviceInfo> = observed.devices.values().filter(held_back).collect();
    let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
    for device in &suspended {
        // Each device is entered once, and left when all below it are.
        let mut open = vec![(device.dev, false)];
        while let Some((dev, is_done)) = open.pop() {
            if is_done {
                order.push(dev);
            } else if seen.insert(dev) {
                open.push((dev, true));
                let below = observed.beneath.get(&dev);
                open.extend(below.into_iter().flat_map(|beneath| &beneath.on).map(|dev| (*dev, false)));
            }
        }
    }
    order.iter().filter_map(|dev| suspended.iter().find(|device| device.dev == *dev).copied()).collect()
}

/// A suspended device below that one that does not go on before it.
fn holds_back(observed: &Observed, dev: DevNo, awake: &BTreeSet<DevNo>) -> Option<DmName> {
    let below =
        |dev: &DevNo| observed.beneath.get(dev).into_iter().flat_map(|beneath| beneath.on.iter().copied());
    let (mut open, mut seen): (Vec<DevNo>, BTreeSet<DevNo>) = (below(&dev).collect(), BTreeSet::new());
    while let Some(dev) = open.pop() {
        let beneath = observed.beneath.get(&dev).filter(|beneath| beneath.suspended && !awake.contains(&dev));
        if let Some(beneath) = beneath {
            return Some(beneath.name.clone());
        }
        open.extend(below(&dev).filter(|dev| seen.insert(*dev)));
    }
    None
}
