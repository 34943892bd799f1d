//! Names, identities and tags.

use std::collections::HashMap;
use std::hash::Hash;

use super::Report;
use crate::format::model::Vg;

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
