//! Which volume was made from which: recorded in LVM tags by uuid, never guessed from names.
//!
//! A snapshot carries `thinvol.of=<uuid of its volume>` and `thinvol.snap=<its name>`; a clone carries
//! `thinvol.of=<uuid of what it was cloned from>`. Volumes without these tags (made by lvm2 or Proxmox VE)
//! are judged by LVM's own `origin` field together with Proxmox's naming scheme. A name alone proves
//! nothing: `snap_a_b_c` may be snapshot `b_c` of `a` or snapshot `c` of `a_b`.
//!
//! Tags outlive what they tell of: `lvrename` and `lvchange` make a guest's disk of a snapshot, and the tags stay. So a
//! snapshot counts as one only as long as it is named and flagged as one. A uuid counts within a pool only, for a
//! snapshot is never in another one: `vgmerge` brings volumes of the same uuid together, and gives one of them another.

use std::collections::HashMap;

use thiserror::Error;

use base::ids::{FullName, IdError, LvName, LvmUuid};
use lvm2::format::model::{Glance, Lv, Lvs, Vg};

/// What starts the tag that records the uuid of the LV a volume was made from.
pub const OF_TAG: &str = "thinvol.of=";
/// What starts the tag that records the name of a snapshot.
pub const SNAP_TAG: &str = "thinvol.snap=";

/// The name of a snapshot, unique among the snapshots of its volume.
///
/// Its characters are those of LV names, because it becomes a part of one and of a tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapName(String);

impl SnapName {
    /// Checks and wraps a name.
    ///
    /// # Errors
    /// If it is empty, starts with a hyphen, or holds a character that LV names may not hold.
    pub fn new(text: &str) -> Result<Self, IdError> {
        match LvName::new(text) {
            Ok(name) => Ok(Self(name.as_str().to_owned())),
            Err(error) => Err(IdError { what: "snapshot name", ..error }),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for SnapName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a snapshot was not found or named.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LineageError {
    /// No LV is recorded as that snapshot.
    #[error("volume '{volume}' has no snapshot '{snap}'")]
    NoSuchSnapshot {
        /// The volume.
        volume: FullName,
        /// The snapshot asked for.
        snap: SnapName,
        /// An LV that has the name such a snapshot would have, but is not recorded as one.
        namesake: Option<LvName>,
        /// An LV that was made as that snapshot and is a volume of its own by now.
        former: Option<LvName>,
    },
    /// Several LVs are recorded as that snapshot.
    #[error("snapshot '{snap}' of volume '{volume}' is recorded on several logical volumes: {}", list(found))]
    Ambiguous {
        /// The volume.
        volume: FullName,
        /// The snapshot asked for.
        snap: SnapName,
        /// The logical volumes that carry its tags.
        found: Vec<LvName>,
    },
    /// The LV name of the snapshot would not be legal.
    #[error("snapshot '{snap}' of volume '{volume}' cannot be named")]
    Unnameable {
        /// The volume.
        volume: LvName,
        /// The snapshot asked for.
        snap: SnapName,
        /// The rule broken.
        source: IdError,
    },
}

fn list(names: &[LvName]) -> String {
    names.iter().map(LvName::as_str).collect::<Vec<_>>().join(", ")
}

/// What an LV was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent<'a> {
    /// An LV of the same VG.
    Present(&'a Lv),
    /// An LV that is no longer there.
    Gone(LvmUuid),
    /// The tags that record it contradict each other or cannot be read.
    Unreadable,
}

/// How an LV came from its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation<'a> {
    /// As the snapshot of that name.
    Snapshot(&'a str),
    /// As the snapshot of that name; since then somebody has renamed it or let it be written to: it may be anybody's
    /// volume by now.
    FormerSnapshot(&'a str),
    /// As a volume of its own.
    Clone,
}

/// Where an LV came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descent<'a> {
    /// What it was made from.
    pub parent: Parent<'a>,
    /// What it is to its parent.
    pub relation: Relation<'a>,
}

/// The LV name of a snapshot, as Proxmox VE names it: `snap_<volume>_<snap>`.
///
/// # Errors
/// If LVM would refuse that name.
pub fn snapshot_lv_name(volume: &LvName, snap: &SnapName) -> Result<LvName, LineageError> {
    LvName::for_new_volume(&format!("snap_{volume}_{snap}")).map_err(|source| LineageError::Unnameable {
        volume: volume.clone(),
        snap: snap.clone(),
        source,
    })
}

/// The tag of a request for a new volume that stands for [`OF_TAG`] with the uuid of its origin.
///
/// Only the planner knows that uuid: it reads the VG under the lock, and the origin may itself be new. The
/// `@` is not legal in a tag, so that a request whose tags were not completed is refused and not recorded
/// wrongly.
pub const OF_ORIGIN: &str = "thinvol.of=@origin";

/// The tags to request for a new snapshot of that name.
pub fn snapshot_tags(snap: &SnapName) -> Vec<String> {
    vec![OF_ORIGIN.to_owned(), format!("{SNAP_TAG}{snap}")]
}

/// The tags to request for a new clone.
pub fn clone_tags() -> Vec<String> {
    vec![OF_ORIGIN.to_owned()]
}

/// The tags of a request as they are recorded: [`OF_ORIGIN`] completed with the uuid of the volume's origin.
pub fn complete_tags(requested: &[String], origin: &LvmUuid) -> Vec<String> {
    let complete = |tag: &String| if tag == OF_ORIGIN { format!("{OF_TAG}{origin}") } else { tag.clone() };
    requested.iter().map(complete).collect()
}

/// One line of the family tree of a pool's volumes.
#[derive(Clone, Copy)]
pub struct TreeLine<'a> {
    /// How many ancestors it has in the tree.
    pub depth: usize,
    /// The volume.
    pub lv: Glance<'a>,
    /// Where it came from, if recorded.
    pub descent: Option<Descent<'a>>,
}

/// The descent of every thin volume of a VG.
#[derive(Debug)]
pub struct Lineage<'a> {
    vg: &'a Vg,
    /// Per LV of the VG, in its order.
    descents: Vec<Option<Descent<'a>>>,
    /// Positions of the LVs made from the LV with this uuid, in the order of the VG.
    children: HashMap<LvmUuid, Vec<usize>>,
}

impl<'a> Lineage<'a> {
    /// Works out where each thin volume of a VG came from.
    pub fn of(vg: &'a Vg) -> Self {
        let index = Index::of(vg);
        let descent = |lv: Glance<'a>| index.may_descend(lv).then(|| index.descent(lv.lv())).flatten();
        let descents: Vec<_> = vg.lvs.glances().map(descent).collect();
        let mut children: HashMap<LvmUuid, Vec<usize>> = HashMap::new();
        for (position, descent) in descents.iter().enumerate() {
            if let Some(Descent { parent: Parent::Present(parent), .. }) = descent {
                children.entry(parent.id).or_default().push(position);
            }
        }
        Self { vg, descents, children }
    }

    /// Where a volume came from; `None` if nothing records it or it is not a thin volume of this VG.
    pub fn descent(&self, lv: &Lv) -> Option<Descent<'a>> {
        self.descents[self.vg.lvs.place_of_id(&lv.id)?]
    }

    /// The LVs that were made from this one: its snapshots and clones, in the order of the VG.
    pub fn children_of(&self, parent: &Lv) -> impl Iterator<Item = (Relation<'a>, &'a Lv)> {
        let positions = self.children.get(&parent.id).map_or(&[][..], Vec::as_slice);
        positions
            .iter()
            .filter_map(|position| Some((self.descents[*position]?.relation, &self.vg.lvs[*position])))
    }

    /// The recorded snapshots of a volume, with their names, in the order of the VG.
    pub fn snapshots_of(&self, volume: &Lv) -> impl Iterator<Item = (&'a str, &'a Lv)> {
        self.children_of(volume).filter_map(|(relation, lv)| match relation {
            Relation::Snapshot(snap) => Some((snap, lv)),
            Relation::FormerSnapshot(_) | Relation::Clone => None,
        })
    }

    /// What was made as a snapshot of a volume and does not count as one any more, with the snapshot's name.
    pub fn former_snapshots_of(&self, volume: &Lv) -> impl Iterator<Item = (&'a str, &'a Lv)> {
        self.children_of(volume).filter_map(|(relation, lv)| match relation {
            Relation::FormerSnapshot(snap) => Some((snap, lv)),
            Relation::Snapshot(_) | Relation::Clone => None,
        })
    }

    /// The tags that name a uuid which what they mean does not have any more: the volume, the tag, and the tag it
    /// should have.
    pub fn outdated_tags(&self) -> impl Iterator<Item = (&'a Lv, String, String)> {
        self.vg.lvs.glances().zip(&self.descents).filter_map(|(lv, descent)| {
            let (descent, lv) = (descent.as_ref()?, lv.lv());
            let (Tag::Once(recorded), Parent::Present(parent)) = (tag_value(lv, OF_TAG), descent.parent)
            else {
                return None;
            };
            let (is, should) = (format!("{OF_TAG}{recorded}"), format!("{OF_TAG}{}", parent.id));
            (is != should).then_some((lv, is, should))
        })
    }

    /// The LV that is recorded as this snapshot of this volume.
    ///
    /// # Errors
    /// If there is none, or more than one.
    pub fn find_snapshot(&self, volume: &Lv, snap: &SnapName) -> Result<&'a Lv, LineageError> {
        let found: Vec<&Lv> = self
            .snapshots_of(volume)
            .filter_map(|(name, lv)| (name == snap.as_str()).then_some(lv))
            .collect();
        match found.as_slice() {
            [one] => Ok(one),
            [] => Err(LineageError::NoSuchSnapshot {
                volume: self.vg.name.volume(&volume.name),
                snap: snap.clone(),
                namesake: snapshot_lv_name(&volume.name, snap)
                    .ok()
                    .filter(|name| self.vg.lv(name).is_some_and(|lv| lv.thin().is_some())),
                former: self
                    .former_snapshots_of(volume)
                    .find_map(|(name, lv)| (name == snap.as_str()).then(|| lv.name.clone())),
            }),
            several => Err(LineageError::Ambiguous {
                volume: self.vg.name.volume(&volume.name),
                snap: snap.clone(),
                found: several.iter().map(|lv| lv.name.clone()).collect(),
            }),
        }
    }

    /// The family tree of a pool's volumes: each volume once, children below their parent, siblings by name.
    ///
    /// Tags that form a circle hide nothing: what no root leads to becomes a root itself.
    pub fn tree(&self, pool: &LvName) -> Vec<TreeLine<'a>> {
        let all: Vec<Glance<'a>> = self.vg.lvs.glances().collect();
        let in_pool = |at: &usize| all[*at].thin().is_some_and(|thin| thin.is_in(pool.as_str()));
        let mut volumes: Vec<usize> = (0..all.len()).filter(in_pool).collect();
        volumes.sort_by(|a, b| all[*a].name().cmp(all[*b].name()));
        let is_root = |at: &&usize| match self.descents[**at].map(|descent| descent.parent) {
            Some(Parent::Present(parent)) => parent.thin().is_none_or(|thin| thin.pool != *pool),
            _ => true,
        };
        let mut seen = vec![false; all.len()];
        let mut lines = Vec::with_capacity(volumes.len());
        let mut stack = Vec::new();
        for root in volumes.iter().filter(is_root).chain(&volumes) {
            stack.push((*root, 0));
            while let Some((at, depth)) = stack.pop() {
                if std::mem::replace(&mut seen[at], true) {
                    continue;
                }
                lines.push(TreeLine { depth, lv: all[at], descent: self.descents[at] });
                let children = self.children.get(&all[at].id()).map_or(&[][..], Vec::as_slice);
                let mut children: Vec<usize> = children.iter().copied().filter(in_pool).collect();
                children.sort_by(|a, b| all[*b].name().cmp(all[*a].name()));
                stack.extend(children.into_iter().map(|child| (child, depth + 1)));
            }
        }
        lines
    }
}

/// What is needed to find parents quickly.
struct Index<'a> {
    lvs: &'a Lvs,
    /// Thin volumes by the name of their LVM origin.
    by_origin: HashMap<&'a str, Vec<&'a Lv>>,
    /// Which volume stands for one that is gone: of a pool and by the uuid of the one that is gone.
    successors: Successors<'a>,
}

impl<'a> Index<'a> {
    fn of(vg: &'a Vg) -> Self {
        let mut by_origin: HashMap<&'a str, Vec<&'a Lv>> = HashMap::new();
        for lv in vg.lvs.glances() {
            if let Some(origin) = lv.thin().and_then(|thin| thin.origin()) {
                by_origin.entry(origin).or_default().push(lv.lv());
            }
        }
        let mut index = Self { lvs: &vg.lvs, by_origin, successors: Successors::default() };
        index.successors = Successors::of(vg, &index);
        index
    }

    /// Whether anything may record where an LV came from: a look at it tells of most that nothing does.
    fn may_descend(&self, lv: Glance<'_>) -> bool {
        let is_ours = |tag: &str| tag.starts_with(OF_TAG) || tag.starts_with(SNAP_TAG);
        lv.thin().is_some_and(|thin| {
            thin.origin().is_some() || lv.has_tag(is_ours) || self.by_origin.contains_key(lv.name())
        })
    }

    /// The thin volume of that uuid in the pool of another.
    fn in_pool_of(&self, lv: &Lv, uuid: &LvmUuid) -> Option<&'a Lv> {
        self.lvs.find_id(uuid).filter(|other| are_of_one_pool(other, lv))
    }

    /// What lvm2 says that a volume was made from.
    fn origin_of(&self, lv: &Lv) -> Option<&'a Lv> {
        let origin = self.lvs.find(lv.thin()?.origin.as_ref()?.as_str());
        origin.filter(|origin| are_of_one_pool(origin, lv))
    }

    /// The volume that a tag of another means. If none in its pool has the uuid, the volume has got another one: lvm2's
    /// link to it tells which it is, or the way in which it was rolled back does.
    fn recorded_parent(&self, lv: &Lv, uuid: LvmUuid) -> Parent<'a> {
        let found = self.in_pool_of(lv, &uuid).or_else(|| self.origin_of(lv));
        let found = found.or_else(|| self.successors.of_gone(lv, uuid));
        found.map_or(Parent::Gone(uuid), Parent::Present)
    }

    fn descent(&self, lv: &'a Lv) -> Option<Descent<'a>> {
        lv.thin()?;
        let (of, snap) = (tag_value(lv, OF_TAG), tag_value(lv, SNAP_TAG));
        let relation = match snap {
            Tag::Once(name) if counts_as(lv, name) => Relation::Snapshot(name),
            Tag::Once(name) => Relation::FormerSnapshot(name),
            Tag::Absent | Tag::Conflict => Relation::Clone,
        };
        let parent = match of {
            Tag::Absent if snap == Tag::Absent => return self.descent_by_origin(lv),
            Tag::Once(uuid) if snap != Tag::Conflict => match uuid.parse::<LvmUuid>() {
                Ok(uuid) => self.recorded_parent(lv, uuid),
                Err(_) => Parent::Unreadable,
            },
            _ => Parent::Unreadable,
        };
        Some(Descent { parent, relation })
    }

    /// Judges an LV without our tags by LVM's `origin` field.
    ///
    /// Proxmox VE rolls a volume back by removing it and making a new one of the same name from the
    /// snapshot. The snapshot has then lost its `origin`, and the volume's `origin` is the snapshot: the
    /// link turned round.
    fn descent_by_origin(&self, lv: &'a Lv) -> Option<Descent<'a>> {
        let Some(origin) = &lv.thin()?.origin else {
            let volumes = self.by_origin.get(lv.name.as_str())?;
            return volumes.iter().find_map(|volume| {
                let snap = self.rolled_back_to(volume, lv)?;
                Some(Descent { parent: Parent::Present(volume), relation: Relation::Snapshot(snap) })
            });
        };
        let parent = self.lvs.find(origin.as_str())?;
        if self.rolled_back_to(lv, parent).is_some() {
            return None;
        }
        let snap = snapshot_part(&lv.name, &parent.name).filter(|_| is_flagged(lv));
        let relation = snap.map_or(Relation::Clone, Relation::Snapshot);
        Some(Descent { parent: Parent::Present(parent), relation })
    }
}

/// The value of a tag that may stand once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tag<'a> {
    Absent,
    Once(&'a str),
    Conflict,
}

fn tag_value<'a>(lv: &'a Lv, prefix: &str) -> Tag<'a> {
    lv.tags.iter().filter_map(|tag| tag.strip_prefix(prefix)).fold(Tag::Absent, |found, value| match found {
        Tag::Absent => Tag::Once(value),
        Tag::Once(before) if before == value => found,
        Tag::Once(_) | Tag::Conflict => Tag::Conflict,
    })
}

/// Whether an LV is named and flagged as the snapshot that its tags say it is: its volume may have been renamed without
/// it, but not the snapshot itself.
fn counts_as(lv: &Lv, snap: &str) -> bool {
    let rest = lv.name.as_str().strip_prefix("snap_").and_then(|rest| rest.strip_suffix(snap));
    rest.is_some_and(|rest| rest.ends_with('_')) && is_flagged(lv)
}

/// Whether an LV has what snapshots are made with, by thinvol and by Proxmox VE: it cannot be written, or comes up only
/// when asked for.
fn is_flagged(lv: &Lv) -> bool {
    !lv.is_writable() || lv.has_flag("ACTIVATION_SKIP")
}

fn are_of_one_pool(one: &Lv, other: &Lv) -> bool {
    matches!((one.thin(), other.thin()), (Some(one), Some(other)) if one.pool == other.pool)
}

/// The `<snap>` of a name `snap_<volume>_<snap>`.
fn snapshot_part<'a>(name: &'a LvName, volume: &LvName) -> Option<&'a str> {
    let snap = name.as_str().strip_prefix("snap_")?.strip_prefix(volume.as_str())?.strip_prefix('_')?;
    (!snap.is_empty()).then_some(snap)
}

mod successors;

use successors::Successors;

#[cfg(any(test, feature = "testing"))]
pub mod fixture;
#[cfg(test)]
mod tests;
