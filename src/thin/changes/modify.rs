//! What LVM records of a volume besides its content changes.

use serde::{Deserialize, Serialize};

use super::address::Volume;
use super::part::Part;
use super::scene::Scene;
use super::{Addresses, Change, Concerns, Readable, Resolve, Resolved, Written};
use crate::refusal::Refusal;
use crate::request::{Attributes, Request};
use base::ids::VgName;

/// Changes flags, tags and the permission to write; what is not said stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(serialize = "A: Addresses", deserialize = "A: Readable"))]
pub struct ModifyVolume<A: Addresses = Resolved> {
    /// The volume.
    pub volume: A::Volume,
    /// Whether it refuses writes.
    pub read_only: Option<bool>,
    /// Whether lvm2 leaves it alone on activation unless told `-K`.
    pub skip_activation: Option<bool>,
    /// Whether lvm2 may activate it by itself at boot.
    pub autoactivate: Option<bool>,
    /// LVM tags it gets.
    #[serde(default)]
    pub add_tags: Vec<String>,
    /// LVM tags it loses.
    #[serde(default)]
    pub remove_tags: Vec<String>,
}

impl ModifyVolume {
    /// These attributes for that volume.
    pub fn new(volume: Volume, attributes: Attributes) -> Self {
        let Attributes { read_only, skip_activation, autoactivate, add_tags, remove_tags } = attributes;
        Self { volume, read_only, skip_activation, autoactivate, add_tags, remove_tags }
    }

    pub(super) fn vg(&self) -> &VgName {
        &self.volume.vg
    }

    pub(super) fn lower(&self, scene: &mut Scene<'_>) -> Result<Vec<Part>, Refusal> {
        let lv = scene.volume(&self.volume)?;
        let attributes = Attributes {
            read_only: self.read_only,
            skip_activation: self.skip_activation,
            autoactivate: self.autoactivate,
            add_tags: self.add_tags.clone(),
            remove_tags: self.remove_tags.clone(),
        };
        let request = Request::Modify { name: lv.name.clone(), attributes };
        Ok(vec![Part::itself(request, &self.volume)])
    }
}

impl<A: Addresses> ModifyVolume<A> {
    pub(super) fn concerns(&self) -> Concerns {
        Concerns::changing(&self.volume)
    }
}

impl ModifyVolume<Written> {
    pub(super) fn resolve<R: Resolve>(self, by: &R) -> Result<ModifyVolume, R::Error> {
        let Self { volume, read_only, skip_activation, autoactivate, add_tags, remove_tags } = self;
        let attributes = Attributes { read_only, skip_activation, autoactivate, add_tags, remove_tags };
        Ok(ModifyVolume::new(by.volume(&volume)?, attributes))
    }
}

impl From<ModifyVolume> for Change {
    fn from(change: ModifyVolume) -> Self {
        Self::Modify(change)
    }
}
