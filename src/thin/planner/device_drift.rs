//! Devices that do not show what the text says of their volume: what a crash, ours or lvm2's, leaves between a commit
//! and the device's new table.

use super::repair::Mending;
use crate::plan::Step;
use crate::stack::{DevRef, DeviceSpec};
use dm::kernel::DeviceInfo;
use dm::name::{DmUuid, Layer};
use dm::table::{Table, TargetLine};
use lvm2::format::model::Lv;

/// How a device differs from what the text says.
enum Drift {
    /// It is shorter, or may be written and must not be: a reload mends it.
    Behind(&'static str),
    /// The same, and a reload could harm whoever has it open.
    BehindInUse(&'static str),
    /// In a way no crash of ours leaves.
    Strange,
}

impl Mending<'_, '_> {
    /// Gives the devices of thin volumes the table that the text wants.
    pub(super) fn mismatched(&mut self) {
        let draft = self.sequence.draft;
        for lv in draft.vg().lvs.iter().filter(|lv| lv.thin().is_some()) {
            let uuid = DmUuid::of_lv(&draft.vg().id, &lv.id, Layer::Plain);
            let Some(device) = draft.observed.device(&uuid).filter(is_awake) else { continue };
            if !draft.observed.tables.contains_key(&uuid) {
                continue;
            }
            // What thinvol does not activate it does not mend.
            let Ok(spec) = draft.stacks().volume(lv) else { continue };
            if self.name_now(device) == spec.name {
                self.reload(lv, &spec, device);
            }
        }
    }

    fn reload(&mut self, lv: &Lv, spec: &DeviceSpec, device: &DeviceInfo) {
        let observed = self.sequence.draft.observed;
        let Some(live) = observed.tables.get(&spec.uuid) else { return };
        let number = |dev: &DevRef| observed.numbers.get(dev).copied().ok_or(());
        let Ok(wanted) = spec.table(number) else { return };
        let writes = spec.read_only && !device.read_only;
        let difference = match difference(live, &wanted, writes, device.open_count) {
            None if device.inactive_table => Drift::Behind("has a table that was never put in place"),
            None => return,
            Some(difference) => difference,
        };
        match difference {
            Drift::Behind(how) => {
                self.found.push(format!("the device of volume {} {how}", lv.name));
                self.sequence.plan.push(Step::ReloadDevice(spec.clone()));
                self.reloaded.insert(spec.uuid.clone());
            }
            Drift::BehindInUse(how) => self.left.push(format!(
                "the device of volume {} {how}; it is in use: deactivate and activate it when it is not",
                lv.name
            )),
            Drift::Strange => self.left.push(format!(
                "the device of volume {} has another table than the metadata says; 'lvchange --refresh {}/{}' gives \
                 it that one",
                lv.name,
                self.sequence.draft.vg().name,
                lv.name
            )),
        }
    }
}

fn is_awake(device: &&DeviceInfo) -> bool {
    device.live_table && !device.suspended
}

fn difference(live: &[TargetLine], wanted: &Table, writes: bool, open: u32) -> Option<Drift> {
    let ([live], [wanted]) = (live, wanted.0.as_slice()) else { return Some(Drift::Strange) };
    let is_same = (&live.target, &live.params, live.start) == (&wanted.target, &wanted.params, wanted.start);
    if !is_same {
        return Some(Drift::Strange);
    }
    let careful = |how| if open == 0 { Drift::Behind(how) } else { Drift::BehindInUse(how) };
    match live.length.cmp(&wanted.length) {
        std::cmp::Ordering::Less => Some(Drift::Behind("is shorter than the metadata says")),
        std::cmp::Ordering::Greater => Some(careful("is longer than the metadata says")),
        std::cmp::Ordering::Equal => writes.then(|| careful("may be written, the volume may not")),
    }
}
