//! Volumes and snapshots go.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::address::{Snapshot, Volume, VolumeOrSnapshot};
use super::part::{Note, Part};
use super::scene::Scene;
use super::template::is_template;
use super::{Addresses, Change, Concerns, Readable, Resolve, Resolved, Written};
use crate::lineage::Relation;
use crate::refusal::Refusal;
use crate::request::Request;
use base::error_kind::ErrorKind;
use base::first_few::first_few;
use base::ids::{LvName, VgName};
use lvm2::format::model::Lv;

/// Removes a volume, with its snapshots if they are to go, or one snapshot. Clones stay whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(serialize = "A: Addresses", deserialize = "A: Readable"))]
pub struct RemoveVolume<A: Addresses = Resolved> {
    /// What goes.
    pub volume: A::VolumeOrSnapshot,
    /// Whether its snapshots go with it. If it is not said: as in Proxmox VE where it is named by a storage, and as in
    /// lvm2 where it is not.
    #[serde(default)]
    pub snapshots: Option<bool>,
    /// Whether a template goes that volumes were cloned from.
    #[serde(default)]
    pub force: bool,
    /// Whether one that does not exist counts as removed.
    #[serde(skip)]
    pub if_exists: bool,
    /// Whether all that goes is discarded first, so that the disks below are told.
    #[serde(skip)]
    pub discard: bool,
    /// Snapshots that may go without being named, as they are shown; any, if nobody was asked.
    #[serde(skip)]
    pub confirmed: Option<BTreeSet<String>>,
}

impl RemoveVolume {
    /// Removes what must exist; whether its snapshots go depends on how it is named.
    pub fn new(volume: VolumeOrSnapshot) -> Self {
        Self { volume, snapshots: None, force: false, if_exists: false, discard: false, confirmed: None }
    }

    pub(super) fn vg(&self) -> &VgName {
        &self.volume.volume().vg
    }

    pub(super) fn lower(&self, scene: &mut Scene<'_>) -> Result<Vec<Part>, Refusal> {
        let removals = match &self.volume {
            VolumeOrSnapshot::Volume(volume) => self.volume(scene, volume)?,
            VolumeOrSnapshot::Snapshot(snapshot) => vec![of_snapshot(scene, snapshot)?],
        };
        let discards = removals.iter().filter(|_| self.discard).filter_map(|part| match &part.request {
            Request::Remove { name } => {
                Some(Part::detail(Request::Discard { name: name.clone() }, &part.display_name))
            }
            _ => None,
        });
        Ok(discards.collect::<Vec<_>>().into_iter().chain(removals).collect())
    }

    fn volume(&self, scene: &mut Scene<'_>, volume: &Volume) -> Result<Vec<Part>, Refusal> {
        if self.if_exists && scene.is_gone(&volume.lv) {
            return Ok(Vec::new());
        }
        if self.if_exists && volume.chosen_by.is_none() && scene.vg.lv(&volume.lv).is_none() {
            scene.notes.push(Note::Absent(volume.clone()));
            return Ok(Vec::new());
        }
        let lv = scene.volume(volume)?;
        self.check_template(scene, lv, volume)?;
        let mut parts = vec![Part::itself(Request::Remove { name: lv.name.clone() }, volume)];
        if !self.snapshots.unwrap_or(volume.storage.is_some()) {
            return Ok(parts);
        }
        let former = scene.lineage().former_snapshots_of(lv);
        let former = former.filter(|(_, former)| !scene.going.contains(&former.name));
        let notes: Vec<Note> = former
            .map(|(snap, former)| Note::FormerSnapshotStays {
                volume: volume.clone(),
                snap: snap.to_owned(),
                former: former.name.clone(),
            })
            .collect();
        scene.notes.extend(notes);
        for (snap, snapshot) in scene.lineage().snapshots_of(lv).filter(|(_, lv)| !scene.is_gone(&lv.name)) {
            let part = Part::of_snapshot(Request::Remove { name: snapshot.name.clone() }, volume, snap);
            self.check_confirmed(scene, &snapshot.name, &part)?;
            parts.push(part);
        }
        Ok(parts)
    }

    /// A template that clones were made from stays, unless they go, too.
    fn check_template(&self, scene: &Scene<'_>, lv: &Lv, volume: &Volume) -> Result<(), Refusal> {
        if self.force || !is_template(&lv.name) {
            return Ok(());
        }
        let children = scene.lineage().children_of(lv);
        let clones = children.filter(|(relation, _)| !matches!(relation, Relation::Snapshot(_)));
        let staying = clones.filter(|(_, clone)| !scene.going.contains(&clone.name));
        let staying: Vec<&str> = staying.map(|(_, clone)| clone.name.as_str()).collect();
        if staying.is_empty() {
            return Ok(());
        }
        let message =
            format!("'{volume}' is the template of clones that exist: {}", first_few(&staying, LISTED, ", "));
        Err(Refusal::rule(message)
            .hint("--force removes it all the same: the clones stay whole, only the link to it is lost"))
    }

    /// Nothing goes that was not there when the user was asked.
    fn check_confirmed(&self, scene: &Scene<'_>, lv: &LvName, part: &Part) -> Result<(), Refusal> {
        let Some(confirmed) = &self.confirmed else { return Ok(()) };
        if scene.going.contains(lv) || confirmed.contains(&part.display_name) {
            return Ok(());
        }
        let message = format!("'{}' is new since you were asked; nothing was changed", part.display_name);
        Err(Refusal::new(ErrorKind::Busy, message).hint("do it again"))
    }
}

fn of_snapshot(scene: &Scene<'_>, snapshot: &Snapshot) -> Result<Part, Refusal> {
    let name = scene.snapshot(snapshot)?.name.clone();
    Ok(Part::itself(Request::Remove { name }, snapshot))
}

/// How many names are listed.
const LISTED: usize = 10;

impl<A: Addresses> RemoveVolume<A> {
    pub(super) fn concerns(&self) -> Concerns {
        Concerns::changing(&self.volume)
    }
}

impl RemoveVolume<Written> {
    pub(super) fn resolve<R: Resolve>(self, by: &R) -> Result<RemoveVolume, R::Error> {
        Ok(RemoveVolume {
            volume: by.volume_or_snapshot(&self.volume)?,
            snapshots: self.snapshots,
            force: self.force,
            if_exists: self.if_exists,
            discard: self.discard,
            confirmed: self.confirmed,
        })
    }
}

impl From<RemoveVolume> for Change {
    fn from(change: RemoveVolume) -> Self {
        Self::Remove(change)
    }
}
