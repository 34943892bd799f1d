//! Puts PVs together to volume groups.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Claim, DuplicatePv, FoundPv, FoundVg, MissingPv};
use crate::host::store::read::{Content, MdaRead, PvRead};
use crate::host::store::summary::{Summary, TextCopy};
use base::ids::LvmUuid;

/// A PV that was read.
pub(super) struct ReadPv {
    /// The device.
    pub found: FoundPv,
    /// Whether LVs stand on it: of duplicates, this is the one in use.
    pub in_use: bool,
    /// What was read.
    pub read: PvRead,
}

/// What the PVs make up.
pub(super) struct Groups {
    /// The volume groups, by name.
    pub vgs: Vec<FoundVg>,
    /// PVs that no group names.
    pub orphans: Vec<FoundPv>,
    /// Damage that was seen.
    pub warnings: Vec<String>,
    /// The damage of PVs that no group names: theirs cannot be read.
    pub lost: Vec<String>,
}

/// Groups PVs by the newest text of each group, whichever PV has it.
pub(super) fn group(pvs: &[&ReadPv]) -> Groups {
    let mut warnings = Vec::new();
    let mut newest: BTreeMap<LvmUuid, &TextCopy> = BTreeMap::new();
    for pv in pvs {
        for mda in &pv.read.mdas {
            match &mda.content {
                Content::Text(copy) => {
                    let best = newest.entry(copy.summary.id).or_insert(copy);
                    if copy.summary.seqno > best.summary.seqno {
                        *best = copy;
                    }
                }
                Content::Damaged(error) => {
                    warnings.push(format!("{}: {}", pv.found.path.display(), explain(error)));
                }
                Content::Ignored | Content::Empty => {}
            }
        }
    }
    let mut vgs: Vec<FoundVg> = newest.values().map(|copy| vg(copy, pvs)).collect();
    vgs.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
    let names: Vec<_> = vgs.iter().map(|vg| (vg.name.clone(), vg.id)).collect();
    for vg in &mut vgs {
        let others = names.iter().filter(|(name, id)| *name == vg.name && *id != vg.id);
        vg.namesakes = others.map(|(_, id)| *id).collect();
        vg.claims = claims(vg.id, &newest, pvs);
    }
    let named = |pv: &ReadPv| newest.values().any(|copy| copy.summary.pv_ids.contains(&pv.found.id));
    let alone: Vec<&ReadPv> = pvs.iter().copied().filter(|pv| !named(pv)).collect();
    let lost = alone.iter().filter_map(|pv| lost(pv)).collect();
    let orphans = alone.into_iter().map(|pv| pv.found.clone()).collect();
    Groups { vgs, orphans, warnings, lost }
}

/// Why it is not known which group a PV belongs to.
fn lost(pv: &ReadPv) -> Option<String> {
    let damaged = |mda: &MdaRead| match &mda.content {
        Content::Damaged(error) => Some(explain(error)),
        _ => None,
    };
    let why = pv.read.mdas.iter().find_map(damaged)?;
    let path = pv.found.path.display();
    Some(format!("which volume group {path} belongs to cannot be read: {why}"))
}

/// What other groups claim of a group's PVs. A PV with the group's own text on it is the group's: lvm2 looks there
/// first. What has another group's text the store of the group sees.
fn claims(vg: LvmUuid, newest: &BTreeMap<LvmUuid, &TextCopy>, pvs: &[&ReadPv]) -> Vec<Claim> {
    let Some(own) = newest.get(&vg) else { return Vec::new() };
    let is_own = |mda: &MdaRead| matches!(&mda.content, Content::Text(copy) if copy.summary.id == vg);
    let settled = |id: &LvmUuid| pvs.iter().any(|pv| pv.found.id == *id && pv.read.mdas.iter().any(is_own));
    let others = newest.values().map(|copy| &copy.summary).filter(|other| other.id != vg);
    let claim = |other: &Arc<Summary>| {
        let both = own.summary.pv_ids.iter().filter(|id| other.pv_ids.contains(id) && !settled(id));
        both.map(|id| Claim { pv: *id, vg: other.name.clone() }).collect::<Vec<_>>()
    };
    others.flat_map(claim).collect()
}

fn explain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn vg(copy: &TextCopy, pvs: &[&ReadPv]) -> FoundVg {
    let summary = &copy.summary;
    let mut vg = FoundVg {
        name: summary.name.clone(),
        id: summary.id,
        system_id: summary.system_id.clone(),
        seqno: summary.seqno,
        pvs: Vec::new(),
        missing: Vec::new(),
        duplicates: Vec::new(),
        claims: Vec::new(),
        namesakes: Vec::new(),
        text: copy.clone(),
    };
    for id in &summary.pv_ids {
        let mut devices: Vec<&ReadPv> = pvs.iter().copied().filter(|pv| pv.found.id == *id).collect();
        // As lvm2 chooses: the device that LVs stand on, then the one of the PV's size, then the first.
        let fits = |pv: &ReadPv| Some(pv.read.label.device_size) == pv.found.size.to_bytes();
        devices.sort_by_key(|pv| (!pv.in_use, !fits(pv), pv.found.no));
        match devices.as_slice() {
            [] => vg.missing.push(MissingPv { id: *id, device_hint: summary.device_hints.get(id).cloned() }),
            [only] => vg.pvs.push(only.found.clone()),
            [first, ..] => {
                vg.pvs.push(first.found.clone());
                let devices = devices.iter().map(|pv| pv.found.clone()).collect();
                vg.duplicates.push(DuplicatePv { id: *id, devices });
            }
        }
    }
    vg
}
