//! What a look into a pool's own metadata shows to be wrong: in itself, and beside the volume group's text.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::meta::Survey;
use base::ids::{LvName, ThinId};
use base::units::{Sectors, size::Rounded};
use lvm2::format::model::{Lv, ThinPool, Vg};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Room is taken that nobody uses.
    Leftover,
    /// The kernel wants it checked, after a change of it failed.
    Unchecked,
    /// The pool and the volume group do not fit together.
    Disagreement,
    /// The metadata is not what it must be.
    Damage,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub what: String,
}

/// All that is wrong, the worst first.
pub fn findings(vg: &Vg, lv: &Lv, pool: &ThinPool, survey: &Survey) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut say = |severity, what: String| found.push(Finding { severity, what });
    for (device, error) in &survey.damaged {
        let of = device.map(|id| format!("the tree of device {id}: ")).unwrap_or_default();
        say(Severity::Damage, format!("{of}{error}"));
    }
    if survey.superblock.needs_check {
        say(
            Severity::Unchecked,
            "the kernel marked the metadata: a change of it failed, and the pool only reads until it is checked".into(),
        );
    }
    let kernel = survey.superblock.transaction_id;
    if pool.messages.is_empty() && pool.transaction_id.0 != 0 && kernel != pool.transaction_id {
        let text = pool.transaction_id;
        say(
            Severity::Disagreement,
            format!("the pool is at transaction {kernel}, the volume group's metadata at {text}"),
        );
    }
    let whole = survey.damaged.is_empty();
    devices(survey, whole, &mut say);
    beside_the_text(vg, lv, survey, whole, &mut say);
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    found
}

/// What the pool says of its devices must be what their trees say.
fn devices(survey: &Survey, whole: bool, say: &mut impl FnMut(Severity, String)) {
    for (id, details) in &survey.details {
        if details.transaction_id > survey.superblock.transaction_id {
            let (made, now) = (details.transaction_id, survey.superblock.transaction_id);
            say(
                Severity::Damage,
                format!("device {id} was made at transaction {made}, and the pool is at {now}"),
            );
        }
        match survey.sharing.devices.get(id) {
            Some(held) if held.mapped.get() != details.mapped_blocks => say(
                Severity::Damage,
                format!(
                    "device {id} maps {} chunks, and is said to map {}",
                    held.mapped, details.mapped_blocks
                ),
            ),
            None if whole => say(Severity::Damage, format!("device {id} has no tree of mappings")),
            Some(_) | None => {}
        }
    }
    let unknown = survey.sharing.devices.keys().filter(|id| whole && !survey.details.contains_key(id));
    unknown
        .for_each(|id| say(Severity::Damage, format!("device {id} has mappings, and nothing is said of it")));
}

/// Each volume has its device, of a size that holds what is mapped, and each device its volume.
fn beside_the_text(vg: &Vg, lv: &Lv, survey: &Survey, whole: bool, say: &mut impl FnMut(Severity, String)) {
    let mut named: BTreeMap<ThinId, LvName> = BTreeMap::new();
    for (volume, thin) in vg.thins_of(&lv.name) {
        let id = thin.device_id;
        if let Some(other) = named.insert(id, volume.name.clone()) {
            say(Severity::Disagreement, format!("{} and {other} have one device, {id}", volume.name));
        }
        if whole && !survey.details.contains_key(&id) {
            say(Severity::Disagreement, format!("volume {} has no device in the pool ({id})", volume.name));
        }
        let size = volume.extents().and_then(|extents| extents.to_sectors(vg.extent_size));
        let last = survey.sharing.devices.get(&id).and_then(|held| held.last);
        let end = last.and_then(|last| last.get().checked_mul(survey.superblock.chunk_size.get()));
        if let (Some(size), Some(end)) = (size, end.filter(|end| size.is_some_and(|size| *end >= size.get())))
        {
            let shown = |sectors: Sectors| {
                sectors.to_bytes().map_or_else(|| sectors.to_string(), |it| Rounded(it).to_string())
            };
            say(
                Severity::Leftover,
                format!(
                    "volume {} has {}, and holds data at {} behind its end",
                    volume.name,
                    shown(size),
                    shown(Sectors::new(end))
                ),
            );
        }
    }
    for (id, details) in survey.details.iter().filter(|(id, _)| !named.contains_key(id)) {
        let (chunks, made) = (details.mapped_blocks, details.transaction_id);
        say(
            Severity::Leftover,
            format!(
                "device {id} is no volume's: it maps {chunks} chunks, and was made at transaction {made}"
            ),
        );
    }
}
