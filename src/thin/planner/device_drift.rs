//! Devices that do not show what the text says of their volume: what a crash, ours or lvm2's, leaves between a commit
//! and the device's new table, or between the new table and the commit.

use std::collections::BTreeSet;

use super::compare::{Drift, difference};
use super::repair::Mending;
use crate::plan::Step;
use crate::stack::{DevRef, DeviceSpec, Role};
use base::ids::LvmUuid;
use dm::kernel::DeviceInfo;
use dm::name::{DmUuid, Layer};
use lvm2::format::model::{Glance, Lv};

/// What is done with a device that differs from what the text says.
enum Answer {
    /// A reload mends it.
    Reload(&'static str),
    /// A reload would mend it, and could harm the program that has it open.
    Wait(&'static str),
    /// No crash of ours leaves it.
    Tell,
}

impl Mending<'_, '_> {
    /// Gives the devices of volumes the table that the text wants, each after what it stands on. What a running pool
    /// lies on is not among them.
    pub(super) fn mismatched(&mut self) {
        let draft = self.sequence.draft;
        let stacks = draft.stacks();
        let is_on_disks = |lv: &&Lv| lv.thin().is_none() && lv.thin_pool().is_none();
        let real =
            |lv: &Lv| stacks.is_external_origin(&lv.name).then(|| stacks.real(lv)).and_then(Result::ok);
        for lv in draft.vg().lvs.others().filter(is_on_disks) {
            for layer in [Layer::Real, Layer::Plain] {
                let uuid = DmUuid::of_lv(&draft.vg().id, &lv.id, layer);
                let is_seen = draft.observed.tables.contains_key(&uuid);
                // What thinvol does not activate it does not mend.
                let spec = match layer {
                    _ if !is_seen => None,
                    Layer::Real => real(lv),
                    _ if lv.is_visible() => stacks.volume(lv).ok(),
                    _ => stacks.hidden(lv).ok(),
                };
                spec.into_iter().for_each(|spec| self.compare(lv, &spec));
            }
        }
        let tables = draft.observed.tables.keys().filter_map(|uuid| uuid.lvm_parts().ok());
        let seen: BTreeSet<LvmUuid> = tables.map(|parts| parts.lv).collect();
        let seen = draft.vg().lvs.glances().filter(|lv| seen.contains(&lv.id())).map(Glance::lv);
        for lv in seen.filter(|lv| !is_on_disks(lv)) {
            let layer = if lv.thin_pool().is_some() { Layer::Pool } else { Layer::Plain };
            let uuid = DmUuid::of_lv(&draft.vg().id, &lv.id, layer);
            if !draft.observed.tables.contains_key(&uuid) {
                continue;
            }
            let spec = match lv.thin_pool() {
                Some(pool) => stacks.pool(lv, pool).map(|stack| stack.pool),
                None => stacks.volume(lv),
            };
            spec.into_iter().for_each(|spec| self.compare(lv, &spec));
        }
    }

    fn compare(&mut self, lv: &Lv, spec: &DeviceSpec) {
        let observed = self.sequence.draft.observed;
        let is_mended = self.reloaded.contains(&spec.uuid);
        let awake = observed.device(&spec.uuid).filter(is_awake);
        let Some(device) = awake.filter(|_| !is_mended) else { return };
        let Some(live) = observed.tables.get(&spec.uuid) else { return };
        let wanted = spec.table(|dev: &DevRef| observed.numbers.get(dev).copied().ok_or(()));
        let Some(wanted) = wanted.ok().filter(|_| self.name_now(device) == spec.name) else { return };
        let careful = |how| if device.open_count == 0 { Answer::Reload(how) } else { Answer::Wait(how) };
        let answer = match difference(live, &wanted.0) {
            Some(Drift::Shorter) => Answer::Reload("is shorter than the metadata says"),
            Some(Drift::Longer) => careful("is longer than the metadata says"),
            Some(Drift::Other) => Answer::Tell,
            None if spec.read_only && !device.read_only => careful("may be written, the volume may not"),
            None if device.inactive_table => Answer::Reload("has a table that was never put in place"),
            None => return,
        };
        let shown = format!("{}/{}", self.sequence.draft.vg().name, lv.name);
        match answer {
            Answer::Reload(how) => {
                self.found.push(format!("the device of volume {shown} {how}"));
                self.sequence.plan.push(Step::ReloadDevice(spec.clone()));
                self.reloaded.insert(spec.uuid.clone());
            }
            Answer::Wait(how) if spec.role == Role::Visible => self.leave(format!(
                "the device of volume {shown} {how}; it is in use: deactivate and activate it when it is not"
            )),
            Answer::Wait(_) | Answer::Tell => {
                let whose =
                    if lv.is_visible() { shown.clone() } else { "the volume that it is part of".to_owned() };
                self.leave(format!(
                    "the device of volume {shown} has another table than the metadata says; 'lvchange --refresh' of \
                     {whose} gives it that one"
                ));
            }
        }
    }
}

fn is_awake(device: &&DeviceInfo) -> bool {
    device.live_table && !device.suspended
}
