//! A volume gets another size.

use serde::{Deserialize, Serialize};

use super::address::Volume;
use super::part::Part;
use super::scene::Scene;
use super::{Addresses, Change, Concerns, Readable, Resolve, Resolved, Written};
use crate::lineage::{Descent, Relation};
use crate::refusal::Refusal;
use crate::request::{NewSize, Request};
use base::ids::VgName;

/// Grows a volume, or takes its end away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(serialize = "A: Addresses", deserialize = "A: Readable"))]
pub struct ResizeVolume<A: Addresses = Resolved> {
    /// The volume.
    pub volume: A::Volume,
    /// The size it gets; rounded up to whole extents.
    pub size: A::NewSize,
    /// Whether it may lose its end.
    #[serde(default)]
    pub shrink: bool,
}

impl ResizeVolume {
    /// Another size, not a smaller one.
    pub fn new(volume: Volume, size: NewSize) -> Self {
        Self { volume, size, shrink: false }
    }

    pub(super) fn vg(&self) -> &VgName {
        &self.volume.vg
    }

    pub(super) fn lower(&self, scene: &mut Scene<'_>) -> Result<Vec<Part>, Refusal> {
        let volume = &self.volume;
        let lv = scene.volume(volume)?;
        if let Some(Descent { relation: Relation::Snapshot(snap), .. }) = scene.lineage().descent(lv) {
            return Err(Refusal::rule(format!("resizing a snapshot is not supported for '{volume}'"))
                .hint(format!("it is the snapshot '{snap}' of a volume; a clone of it can be resized")));
        }
        let request = Request::Resize { name: lv.name.clone(), size: self.size, shrink: self.shrink };
        Ok(vec![Part::itself(request, volume)])
    }
}

impl<A: Addresses> ResizeVolume<A> {
    pub(super) fn concerns(&self) -> Concerns {
        Concerns::changing(&self.volume)
    }
}

impl ResizeVolume<Written> {
    pub(super) fn resolve<R: Resolve>(self, by: &R) -> Result<ResizeVolume, R::Error> {
        let volume = by.volume(&self.volume)?;
        Ok(ResizeVolume { volume, size: self.size.new_size()?, shrink: self.shrink })
    }
}

impl From<ResizeVolume> for Change {
    fn from(change: ResizeVolume) -> Self {
        Self::Resize(change)
    }
}
