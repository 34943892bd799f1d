//! Names, identities and tags.

use std::collections::HashMap;
use std::hash::Hash;

use super::Report;
use crate::format::model::{Lv, Vg};
use base::ids::LVM_NAME_MAX;

/// Characters a tag may hold besides letters and digits. Source: lvm2 `lib/misc/lvm-string.c`
/// (`validate_tag`).
const TAG_EXTRA: &str = "_.+-/=!:&#";
/// Longest tag. Source: lvm2 `lib/metadata/metadata-exported.h` (`MAX_TAG`... 1024 with the final NUL).
const TAG_MAX: usize = 1023;

pub(super) fn check(vg: &Vg, report: &mut Report<'_>) {
    for key in repeated(vg.pvs.iter().map(|pv| pv.key.as_str())) {
        report.pv(key, "its key is used twice");
    }
    for id in repeated(vg.pvs.iter().map(|pv| pv.id)) {
        report.vg(format!("PV UUID {id} is used twice"));
    }
    for name in repeated(vg.lvs.iter().map(|lv| &lv.name)) {
        report.lv(name.as_str(), "its name is used twice");
    }
    for id in repeated(vg.lvs.iter().map(|lv| lv.id)) {
        report.vg(format!("LV UUID {id} is used twice"));
    }
    for tag in vg.tags.iter().filter(|tag| !valid_tag(tag)) {
        report.vg(bad_tag(tag));
    }
    for pv in &vg.pvs {
        pv.tags.iter().filter(|tag| !valid_tag(tag)).for_each(|tag| report.pv(&pv.key, bad_tag(tag)));
    }
    for lv in &vg.lvs {
        let tags = lv.tags.iter().chain(lv.segments.iter().flat_map(|segment| &segment.tags));
        tags.filter(|tag| !valid_tag(tag)).for_each(|tag| report.lv(lv.name.as_str(), bad_tag(tag)));
        if name_too_long(vg, lv) {
            report.lv(lv.name.as_str(), "its name is too long for device-mapper together with the VG's");
        }
    }
}

/// Whether LVM takes a tag.
pub fn valid_tag(tag: &str) -> bool {
    !tag.is_empty()
        && tag.len() <= TAG_MAX
        && !tag.starts_with('-')
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || TAG_EXTRA.contains(c))
}

fn bad_tag(tag: &str) -> String {
    format!("LVM does not take the tag '{}'", tag.escape_default())
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

/// What occurs more than once, each once.
pub(super) fn repeated<T: Hash + Eq + Copy>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen: HashMap<T, usize> = HashMap::new();
    let mut found = Vec::new();
    for item in items {
        let count = seen.entry(item).or_default();
        *count += 1;
        if *count == 2 {
            found.push(item);
        }
    }
    found
}
