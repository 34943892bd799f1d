//! A snapshot of a volume.

use serde::{Deserialize, Serialize};

use super::address::Snapshot;
use super::part::Part;
use super::scene::Scene;
use super::{Addresses, Change, Concerns, Readable, Resolve, Resolved, Written, lookup, yes};
use crate::lineage::{self, snapshot_lv_name};
use crate::refusal::Refusal;
use crate::request::Request;
use base::ids::VgName;

/// Takes a snapshot: an LV named `snap_<volume>_<snapshot>`, inactive, found by its recorded lineage. Snapshots of one
/// batch show one instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(serialize = "A: Addresses", deserialize = "A: Readable"))]
pub struct TakeSnapshot<A: Addresses = Resolved> {
    /// The snapshot.
    pub snapshot: A::Snapshot,
    /// Whether it can be written to.
    #[serde(default)]
    pub writable: bool,
    /// Whether a mounted file system is brought into a clean state first.
    #[serde(default = "yes")]
    pub fsfreeze: bool,
}

impl TakeSnapshot {
    /// A snapshot that refuses writes, of a clean file system.
    pub fn new(snapshot: Snapshot) -> Self {
        Self { snapshot, writable: false, fsfreeze: true }
    }

    pub(super) fn vg(&self) -> &VgName {
        &self.snapshot.volume.vg
    }

    pub(super) fn lower(&self, scene: &mut Scene<'_>) -> Result<Vec<Part>, Refusal> {
        let Snapshot { volume, snap } = &self.snapshot;
        let of = if scene.makes(&volume.lv) { None } else { Some(scene.volume(volume)?) };
        let vg = &scene.vg.name;
        let name = snapshot_lv_name(&volume.lv, snap).map_err(|error| lookup::explained(vg, &error))?;
        if let Some(lv) = of.and_then(|of| scene.lineage().find_snapshot(of, snap).ok()) {
            let shown = &self.snapshot;
            return Err(Refusal::rule(format!("snapshot '{shown}' already exists"))
                .hint(format!("it is '{vg}/{}'; 'thinvol delete-snapshot {shown}' removes it", lv.name)));
        }
        scene.takes(&self.snapshot, &name);
        let request = Request::Snapshot {
            origin: volume.lv.clone(),
            name,
            read_only: !self.writable,
            skip_activation: true,
            tags: lineage::snapshot_tags(snap),
            activate: false,
            autoactivate: true,
            freeze: self.fsfreeze,
        };
        Ok(vec![Part::itself(request, &self.snapshot)])
    }
}

impl<A: Addresses> TakeSnapshot<A> {
    pub(super) fn concerns(&self) -> Concerns {
        Concerns::changing(&self.snapshot)
    }
}

impl TakeSnapshot<Written> {
    pub(super) fn resolve<R: Resolve>(self, by: &R) -> Result<TakeSnapshot, R::Error> {
        let snapshot = by.snapshot(&self.snapshot)?;
        Ok(TakeSnapshot { snapshot, writable: self.writable, fsfreeze: self.fsfreeze })
    }
}

impl From<TakeSnapshot> for Change {
    fn from(change: TakeSnapshot) -> Self {
        Self::Snapshot(change)
    }
}
