//! A quick check that most volume groups pass. A record of a thin volume keeps all rules about itself, so only its
//! names, ids and links to others are checked. If anything is unusual the quick check fails, and the full check
//! decides.

use std::collections::BTreeSet;

use super::thorough;
use crate::format::model::{Lv, Lvs, PoolMessage, SegmentKind, Vg};
use base::ids::LvName;

/// Whether a volume group keeps all rules for certain.
pub(super) fn keeps_all_rules(vg: &Vg) -> bool {
    vg.lvs.all_differ() && links_hold(&vg.lvs) && deletes_nobody(vg) && others_keep(vg)
}

/// Whether the pool and the origin of each record are valid.
fn links_hold(lvs: &Lvs) -> bool {
    let mut known_pool = "";
    lvs.glances().filter_map(|lv| Some((lv, lv.plain()?))).all(|(lv, thin)| {
        if !thin.is_in(known_pool) {
            let is_pool = lvs.find(thin.pool()).is_some_and(|pool| pool.thin_pool().is_some());
            known_pool = if is_pool { thin.pool() } else { return false };
        }
        thin.origin().is_none_or(|origin| {
            let found = lvs.glance(origin).and_then(|origin| origin.thin());
            origin != lv.name() && found.is_some_and(|found| found.shares_pool(&thin))
        })
    })
}

/// Whether no message deletes the device of a volume.
pub(super) fn deletes_nobody(vg: &Vg) -> bool {
    let deletes = |message: &PoolMessage| match message {
        PoolMessage::Delete(id) => Some(*id),
        PoolMessage::Create(_) => None,
    };
    vg.pools().all(|(lv, pool)| {
        let deleted: BTreeSet<_> = pool.messages.iter().filter_map(deletes).collect();
        deleted.is_empty() || vg.glances_of(&lv.name).all(|(_, thin)| !deleted.contains(&thin.device_id))
    })
}

/// Whether the others keep the rules among themselves and with the records that they name.
pub(super) fn others_keep(vg: &Vg) -> bool {
    let others: Vec<&Lv> = vg.lvs.others().collect();
    let known: BTreeSet<&str> = others.iter().map(|lv| lv.name.as_str()).collect();
    let named = others.iter().flat_map(|lv| names_in(lv)).filter(|name| !known.contains(name));
    let named: BTreeSet<&str> = named.collect();
    let named = named.into_iter().filter_map(|name| vg.lvs.find(name));
    let all: Vec<Lv> = others.iter().copied().chain(named).cloned().collect();
    let Vg { name, id, seqno, status, flags, tags, system_id, lock_type, pr, .. } = vg;
    let some = Vg {
        name: name.clone(),
        id: *id,
        seqno: *seqno,
        status: status.clone(),
        flags: flags.clone(),
        tags: tags.clone(),
        system_id: system_id.clone(),
        lock_type: lock_type.clone(),
        pr: pr.clone(),
        extent_size: vg.extent_size,
        profile: vg.profile.clone(),
        max_lv: vg.max_lv,
        metadata_copies: vg.metadata_copies,
        pvs: vg.pvs.clone(),
        lvs: all.into(),
        historical_lvs: Vec::new(),
    };
    thorough(&some).is_empty()
}

/// What an LV names in its segments.
fn names_in(lv: &Lv) -> Vec<&str> {
    lv.segments.iter().flat_map(|segment| names_in_kind(&segment.kind)).collect()
}

fn names_in_kind(kind: &SegmentKind) -> Vec<&str> {
    match kind {
        SegmentKind::Striped(striped) => striped.stripes.iter().map(|stripe| stripe.area.as_str()).collect(),
        SegmentKind::ThinPool(pool) => {
            let created = pool.messages.iter().filter_map(|message| match message {
                PoolMessage::Create(lv) => Some(lv),
                PoolMessage::Delete(_) => None,
            });
            created.chain([&pool.metadata, &pool.data]).map(LvName::as_str).collect()
        }
        SegmentKind::Thin(thin) => {
            let links = [&thin.external_origin, &thin.origin, &thin.merge].into_iter().flatten();
            links.chain([&thin.pool]).map(LvName::as_str).collect()
        }
        SegmentKind::Opaque { .. } => Vec::new(),
    }
}
