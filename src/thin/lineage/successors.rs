//! Volumes that were rolled back by Proxmox VE, which removes a volume and makes a new one of the same name from the
//! snapshot. The new one has another uuid and no tags, while the snapshots of the old one name the old uuid.
//! Source: pve-storage `PVE/Storage/LvmThinPlugin.pm` (`volume_snapshot_rollback`).

use std::collections::HashMap;

use super::{Index, OF_TAG, SNAP_TAG, Tag, counts_as, is_flagged, snapshot_part, tag_value};
use base::ids::{LvName, LvmUuid};
use lvm2::format::model::{Lv, Vg};

/// Which volume took the place of one that is gone.
#[derive(Debug, Default)]
pub(super) struct Successors<'a> {
    /// By pool and by the uuid of the one that is gone; nothing where two volumes claim it.
    by_gone: HashMap<(&'a LvName, LvmUuid), Option<&'a Lv>>,
}

impl<'a> Successors<'a> {
    /// Finds them. The snapshot that the new volume was made from tells the old uuid; so does each older snapshot that
    /// has the name which a snapshot of the new volume would have: that the new volume came from one of them says that
    /// they are its own.
    pub(super) fn of(vg: &'a Vg, index: &Index<'a>) -> Self {
        let mut successors = Self::default();
        let made_from_another =
            vg.lvs.glances().filter(|lv| lv.thin().is_some_and(|thin| thin.origin().is_some()));
        let rolled_back: HashMap<(&LvName, &str), (&'a Lv, &'a Lv)> = (made_from_another)
            .filter_map(|volume| {
                let volume = volume.lv();
                let snapshot = index.origin_of(volume)?;
                index.rolled_back_to(volume, snapshot)?;
                Some(((&volume.thin()?.pool, volume.name.as_str()), (volume, snapshot)))
            })
            .collect();
        if rolled_back.is_empty() {
            return successors;
        }
        for lv in &vg.lvs {
            let Some((pool, gone, name)) = orphaned(lv, index) else { continue };
            let Some((volume, snapshot)) = rolled_back.get(&(pool, name)) else { continue };
            let is_older = matches!((lv.creation_time, volume.creation_time), (Some(a), Some(b)) if a <= b);
            if lv.id == snapshot.id || is_older {
                let known = successors.by_gone.entry((pool, gone)).or_insert(Some(volume));
                *known = known.filter(|known| known.id == volume.id);
            }
        }
        successors
    }

    /// The volume that stands for the one of that uuid in the pool of `lv`.
    pub(super) fn of_gone(&self, lv: &Lv, gone: LvmUuid) -> Option<&'a Lv> {
        let pool = &lv.thin()?.pool;
        self.by_gone.get(&(pool, gone)).copied().flatten()
    }
}

/// Of a snapshot whose volume's uuid is gone: its pool, that uuid, and the name of the volume by the snapshot's own.
fn orphaned<'a>(lv: &'a Lv, index: &Index<'_>) -> Option<(&'a LvName, LvmUuid, &'a str)> {
    let (Tag::Once(of), Tag::Once(snap)) = (tag_value(lv, OF_TAG), tag_value(lv, SNAP_TAG)) else {
        return None;
    };
    let gone = of.parse::<LvmUuid>().ok()?;
    let is_gone = index.in_pool_of(lv, &gone).is_none() && counts_as(lv, snap);
    let rest = lv.name.as_str().strip_prefix("snap_")?.strip_suffix(snap)?.strip_suffix('_')?;
    is_gone.then_some((&lv.thin()?.pool, gone, rest))
}

impl<'a> Index<'a> {
    /// The snapshot's name, if `volume` was made anew from `snapshot`, which is its own snapshot by Proxmox's scheme:
    /// the link between them is turned round. What the snapshot's tags say must not contradict that.
    pub(super) fn rolled_back_to(&self, volume: &Lv, snapshot: &'a Lv) -> Option<&'a str> {
        let linked =
            volume.thin()?.origin.as_ref() == Some(&snapshot.name) && snapshot.thin()?.origin.is_none();
        let untagged = tag_value(volume, OF_TAG) == Tag::Absent && tag_value(volume, SNAP_TAG) == Tag::Absent;
        let name = snapshot_part(&snapshot.name, &volume.name)?;
        let agrees = match (tag_value(snapshot, OF_TAG), tag_value(snapshot, SNAP_TAG)) {
            (Tag::Absent, Tag::Absent) => true,
            (Tag::Once(of), Tag::Once(snap)) => {
                let of = of.parse::<LvmUuid>();
                let is_others = |of: &LvmUuid| *of != volume.id && self.in_pool_of(snapshot, of).is_some();
                snap == name && of.is_ok_and(|of| !is_others(&of))
            }
            _ => false,
        };
        (linked && untagged && agrees && is_flagged(snapshot)).then_some(name)
    }
}
