//! A volume becomes what a snapshot of it holds.

use serde::{Deserialize, Serialize};

use super::address::{Snapshot, Volume};
use super::part::{Note, Part};
use super::scene::Scene;
use super::{Addresses, Change, Concerns, Readable, Resolve, Resolved, Written};
use crate::lineage::Lineage;
use crate::refusal::Refusal;
use crate::request::Request;
use base::ids::VgName;
use lvm2::format::model::Lv;

/// Makes a volume what a snapshot of it holds. What it holds now is given up; the snapshot stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(serialize = "A: Addresses", deserialize = "A: Readable"))]
pub struct RollBack<A: Addresses = Resolved> {
    /// The snapshot.
    pub snapshot: A::Snapshot,
}

impl RollBack {
    /// To that snapshot.
    pub fn new(snapshot: Snapshot) -> Self {
        Self { snapshot }
    }

    pub(super) fn vg(&self) -> &VgName {
        &self.snapshot.volume.vg
    }

    pub(super) fn lower(&self, scene: &mut Scene<'_>) -> Result<Vec<Part>, Refusal> {
        let volume = &self.snapshot.volume;
        let to = match scene.taken(&self.snapshot) {
            Some(taken) => taken.clone(),
            None => {
                let to = scene.snapshot(&self.snapshot)?.name.clone();
                let note = given_up(scene.lineage(), scene.volume(volume)?, volume);
                scene.notes.push(note);
                to
            }
        };
        Ok(vec![Part::itself(Request::Rollback { name: volume.lv.clone(), to }, volume)])
    }
}

/// What no snapshot holds. The newest one is that with the latest time, and of several the one made last.
fn given_up(lineage: &Lineage<'_>, lv: &Lv, volume: &Volume) -> Note {
    let newest = lineage
        .snapshots_of(lv)
        .max_by_key(|(_, lv)| (lv.creation_time, lv.thin().map(|thin| thin.transaction_id)));
    let newest = newest.map(|(name, lv)| (name.to_owned(), lv.creation_time));
    Note::GivenUp { volume: volume.clone(), newest }
}

impl<A: Addresses> RollBack<A> {
    pub(super) fn concerns(&self) -> Concerns {
        Concerns::changing(&self.snapshot)
    }
}

impl RollBack<Written> {
    pub(super) fn resolve<R: Resolve>(self, by: &R) -> Result<RollBack, R::Error> {
        Ok(RollBack { snapshot: by.snapshot(&self.snapshot)? })
    }
}

impl From<RollBack> for Change {
    fn from(change: RollBack) -> Self {
        Self::Rollback(change)
    }
}
