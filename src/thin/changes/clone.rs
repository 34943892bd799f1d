//! A volume with the content of another one.

use serde::{Deserialize, Serialize};

use super::address::VolumeOrSnapshot;
use super::part::Part;
use super::scene::Scene;
use super::{Addresses, Change, Concerns, NewName, Readable, Resolve, Resolved, Written, new_name, yes};
use crate::lineage;
use crate::refusal::Refusal;
use crate::request::Request;
use base::ids::VgName;

/// Creates a writable volume that shares its content with a volume or snapshot of the same pool until either is
/// written to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(serialize = "A: Addresses", deserialize = "A: Readable"))]
pub struct CloneVolume<A: Addresses = Resolved> {
    /// What it is made from.
    pub source: A::VolumeOrSnapshot,
    /// Its name.
    pub name: A::NewName,
    /// Whether its device is to exist afterwards.
    #[serde(default = "yes")]
    pub activate: bool,
}

impl CloneVolume {
    /// A clone of that name, active.
    pub fn new(source: VolumeOrSnapshot, name: NewName) -> Self {
        Self { source, name, activate: true }
    }

    pub(super) fn vg(&self) -> &VgName {
        &self.source.volume().vg
    }

    pub(super) fn lower(&self, scene: &mut Scene<'_>) -> Result<Vec<Part>, Refusal> {
        let origin = scene.lv(&self.source)?;
        let clone = self.source.volume().sibling(scene.new_name(&self.name)?);
        let request = Request::Snapshot {
            origin,
            name: clone.lv.clone(),
            read_only: false,
            skip_activation: false,
            tags: lineage::clone_tags(),
            activate: self.activate,
            autoactivate: false,
            freeze: true,
        };
        Ok(vec![Part::itself(request, &clone)])
    }
}

impl<A: Addresses> CloneVolume<A> {
    pub(super) fn concerns(&self) -> Concerns {
        Concerns {
            changes: vec![self.name.to_string()],
            needs: Concerns::names_in(&self.source),
            ..Concerns::default()
        }
    }
}

impl CloneVolume<Written> {
    pub(super) fn resolve<R: Resolve>(self, by: &R) -> Result<CloneVolume, R::Error> {
        let source = by.volume_or_snapshot(&self.source)?;
        Ok(CloneVolume { source, name: NewName::Given(new_name(&self.name)?), activate: self.activate })
    }
}

impl From<CloneVolume> for Change {
    fn from(change: CloneVolume) -> Self {
        Self::Clone(change)
    }
}
