//! Flaws that make a single LV unusable, but not the others. lvm2 reads a group with such LVs, too.

use std::collections::HashMap;

use base::ids::{LVM_NAME_MAX, LvName, ThinId};

use super::Violation;
use crate::format::model::{Lv, Vg};

/// An LV that must not be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The LV.
    pub lv: LvName,
    /// The problem.
    pub problem: String,
}

impl Flaw {
    /// The flaw as an error of the group.
    pub fn in_group(&self, vg: &Vg) -> Violation {
        Violation { object: format!("{}/{}", vg.name, self.lv), problem: self.problem.clone() }
    }
}

/// The LVs of a group that must not be used, in the order of the text. Linear in its size.
pub fn flaws(vg: &Vg) -> Vec<Flaw> {
    if names_fit(vg) && devices_differ(vg) {
        return Vec::new();
    }
    let mut owners: HashMap<(&LvName, ThinId), Vec<&LvName>> = HashMap::new();
    for (lv, thin) in vg.lvs.iter().filter_map(|lv| Some((lv, lv.thin()?))) {
        owners.entry((&thin.pool, thin.device_id)).or_default().push(&lv.name);
    }
    let shared = |lv: &Lv| {
        let thin = lv.thin()?;
        let other = owners.get(&(&thin.pool, thin.device_id))?.iter().find(|other| ***other != lv.name)?;
        let (id, pool, other) = (thin.device_id, vg.name.volume(&thin.pool), vg.name.volume(other));
        Some(format!("it has device id {id} in pool {pool}, as has {other}"))
    };
    let problem = |lv: &Lv| {
        let long = "its name is too long for device-mapper together with the VG's";
        name_too_long(vg, lv).then(|| long.to_owned()).or_else(|| shared(lv))
    };
    let flaw = |lv: &Lv| Some(Flaw { problem: problem(lv)?, lv: lv.name.clone() });
    vg.lvs.iter().filter_map(flaw).collect()
}

/// Whether no name is too long for certain: even if it were of hyphens alone.
fn names_fit(vg: &Vg) -> bool {
    fits(vg, vg.lvs.glances().map(|lv| lv.name_length()).max().unwrap_or(0))
}

/// Whether a name of so many bytes is not too long for certain.
pub(super) fn fits(vg: &Vg, length: usize) -> bool {
    2 * (vg.name.as_str().len() + length) + "-".len() + "-tpool".len() <= LVM_NAME_MAX
}

/// Whether no two thin volumes have one device.
fn devices_differ(vg: &Vg) -> bool {
    let mut known: Vec<(&str, Vec<ThinId>)> = Vec::new();
    for thin in vg.lvs.glances().filter_map(|lv| lv.thin()) {
        match known.iter_mut().find(|(pool, _)| thin.is_in(pool)) {
            Some((_, ids)) => ids.push(thin.device_id),
            None => known.push((thin.pool(), vec![thin.device_id])),
        }
    }
    known.iter_mut().all(|(_, ids)| {
        ids.sort_unstable();
        ids.windows(2).all(|pair| pair[0] != pair[1])
    })
}

/// lvm2 wants `<vg>-<lv>` and three bytes to fit; device-mapper wants hyphens doubled and the layer's suffix
/// to.
fn name_too_long(vg: &Vg, lv: &Lv) -> bool {
    let (vg, name) = (vg.name.as_str(), lv.name.as_str());
    let hyphens = vg.matches('-').count() + name.matches('-').count();
    let suffix = if lv.thin_pool().is_some() { "-tpool".len() } else { 0 };
    let length = vg.len() + name.len();
    length + 3 > LVM_NAME_MAX || length + hyphens + "-".len() + suffix > LVM_NAME_MAX
}
