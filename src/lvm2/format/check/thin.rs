//! Thin pools and thin volumes.

use std::collections::{HashMap, HashSet};

use super::Report;
use super::names::repeated;
use crate::format::model::{Lv, PoolMessage, SegmentKind, Thin, ThinPool, Vg};
use crate::format::pool_size::valid_chunk;
use base::ids::{LvName, ThinId};
use dm::table::{CHUNK_MAX, CHUNK_MIN};

/// The LVs by name, and who takes them for data, metadata or ground.
struct Index<'a> {
    lvs: HashMap<&'a str, &'a Lv>,
    users: HashMap<&'a str, Vec<&'a str>>,
}

pub(super) fn check(vg: &Vg, report: &mut Report<'_>) {
    let index = Index::new(vg);
    let mut ids: HashMap<&LvName, Vec<(ThinId, &LvName)>> = HashMap::new();
    for lv in &vg.lvs {
        let name = lv.name.as_str();
        let special = |kind: &SegmentKind| matches!(kind, SegmentKind::Thin(_) | SegmentKind::ThinPool(_));
        if lv.segments.len() > 1 && lv.segments.iter().any(|segment| special(&segment.kind)) {
            report.lv(name, "a thin volume or pool has exactly one segment, it has more");
        }
        if let Some(pool) = lv.thin_pool() {
            check_pool(lv, pool, &index, report);
        }
        if let Some(thin) = lv.thin() {
            check_thin(lv, thin, &index, report);
            ids.entry(&thin.pool).or_default().push((thin.device_id, &lv.name));
        }
    }
    for (lv, pool) in vg.pools() {
        check_messages(lv, pool, ids.get(&lv.name).map_or(&[], Vec::as_slice), report);
    }
}

impl<'a> Index<'a> {
    fn new(vg: &'a Vg) -> Self {
        let lvs = vg.lvs.iter().map(|lv| (lv.name.as_str(), lv)).collect();
        let mut users: HashMap<&str, Vec<&str>> = HashMap::new();
        for lv in &vg.lvs {
            let mut take = |used: &'a str| users.entry(used).or_default().push(lv.name.as_str());
            for segment in &lv.segments {
                match &segment.kind {
                    SegmentKind::ThinPool(pool) => {
                        take(pool.metadata.as_str());
                        take(pool.data.as_str());
                    }
                    SegmentKind::Striped(striped) => striped.stripes.iter().for_each(|s| take(&s.area)),
                    SegmentKind::Thin(_) | SegmentKind::Opaque { .. } => {}
                }
            }
        }
        Self { lvs, users }
    }

    fn thin(&self, name: &LvName) -> Option<&'a Thin> {
        self.lvs.get(name.as_str())?.thin()
    }
}

fn check_pool(lv: &Lv, pool: &ThinPool, index: &Index<'_>, report: &mut Report<'_>) {
    let name = lv.name.as_str();
    for (part, role) in [(&pool.metadata, "metadata"), (&pool.data, "data")] {
        let Some(part_lv) = index.lvs.get(part.as_str()) else {
            report.lv(name, format!("its {role} LV {part} does not exist"));
            continue;
        };
        let users = index.users.get(part.as_str()).map_or(&[][..], Vec::as_slice);
        if users.len() > 1 {
            let users = users.join(" and by ");
            report.lv(part.as_str(), format!("the {role} of pool {name} is used by {users}"));
        }
        if part_lv.is_visible() {
            report.lv(part.as_str(), format!("the {role} of pool {name} must not be visible"));
        }
        if role == "data" && part_lv.extents() != lv.extents() {
            let sizes = [part_lv, lv].map(|lv| lv.extents().map_or("too many".into(), |n| n.to_string()));
            report.lv(name, format!("its data LV has {} extents, the pool has {}", sizes[0], sizes[1]));
        }
    }
    if valid_chunk(pool.chunk_size).is_err() {
        let (chunk, rule) = (pool.chunk_size, format!("a multiple of {CHUNK_MIN} sectors up to {CHUNK_MAX}"));
        report.lv(name, format!("its chunk size of {chunk} sectors is not {rule}"));
    }
}

fn check_thin(lv: &Lv, thin: &Thin, index: &Index<'_>, report: &mut Report<'_>) {
    let name = lv.name.as_str();
    match index.lvs.get(thin.pool.as_str()) {
        None => report.lv(name, format!("its pool {} does not exist", thin.pool)),
        Some(pool) if pool.thin_pool().is_none() => {
            report.lv(name, format!("its pool {} is no thin pool", thin.pool));
        }
        Some(_) => {}
    }
    if thin.device_id.get() == 0 {
        report.lv(name, "it has device id 0, which means none");
    }
    for (link, other) in [("origin", &thin.origin), ("merge target", &thin.merge)] {
        let Some(other) = other else { continue };
        match index.thin(other) {
            _ if *other == lv.name => report.lv(name, format!("it is its own {link}")),
            None => report.lv(name, format!("its {link} {other} is no thin volume here")),
            Some(found) if found.pool != thin.pool => {
                report.lv(name, format!("its {link} {other} is in another pool"));
            }
            Some(_) => {}
        }
    }
    if let Some(external) = &thin.external_origin {
        match index.lvs.get(external.as_str()) {
            None => report.lv(name, format!("its external origin {external} does not exist")),
            Some(origin) if origin.is_writable() => {
                report.lv(name, format!("its external origin {external} is writable"));
            }
            Some(_) => {}
        }
    }
}

fn check_messages(lv: &Lv, pool: &ThinPool, volumes: &[(ThinId, &LvName)], report: &mut Report<'_>) {
    let name = lv.name.as_str();
    if pool.messages.is_empty() {
        return;
    }
    let ids: HashMap<ThinId, &LvName> = volumes.iter().copied().collect();
    let members: HashMap<&LvName, ThinId> = volumes.iter().map(|(id, lv)| (*lv, *id)).collect();
    let creates = pool.messages.iter().filter_map(|message| match message {
        PoolMessage::Create(lv) => Some(lv),
        PoolMessage::Delete(_) => None,
    });
    for twice in repeated(creates.clone()) {
        report.lv(name, format!("two messages create {twice}"));
    }
    for unknown in creates.filter(|lv| !members.contains_key(lv)) {
        report.lv(name, format!("a message creates {unknown}, which is no thin volume of this pool"));
    }
    // From the last to the first: a deleted id may be given away by a later message only.
    let mut created_later: HashSet<ThinId> = HashSet::new();
    let mut deleted = HashSet::new();
    for message in pool.messages.iter().rev() {
        match message {
            PoolMessage::Create(lv) => created_later.extend(members.get(lv)),
            PoolMessage::Delete(id) => {
                if !deleted.insert(*id) {
                    report.lv(name, format!("two messages delete device {id}"));
                }
                if let Some(lv) = ids.get(id).filter(|_| !created_later.contains(id)) {
                    report.lv(name, format!("a message deletes device {id}, which is {lv}"));
                }
            }
        }
    }
}
