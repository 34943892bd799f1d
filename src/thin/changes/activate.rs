//! Devices come and go.

use serde::{Deserialize, Serialize};

use super::address::{NamedObject, Storage, VolumeOrSnapshot};
use super::part::Part;
use super::scene::Scene;
use super::{Addresses, Change, Concerns, Readable, Resolve, Resolved, Written, lookup};
use crate::refusal::Refusal;
use crate::request::Request;
use base::ids::{LvName, VgName};

/// Makes the devices of a volume, a snapshot, a pool or a volume group appear.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(serialize = "A: Addresses", deserialize = "A: Readable"))]
pub struct Activate<A: Addresses = Resolved> {
    /// What has the devices.
    pub volume: A::Object,
    /// Of a volume group, only what comes up by itself at boot.
    #[serde(skip)]
    pub auto: bool,
}

/// Makes the devices of a volume, a snapshot, a pool or a volume group go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(serialize = "A: Addresses", deserialize = "A: Readable"))]
pub struct Deactivate<A: Addresses = Resolved> {
    /// What has the devices.
    pub volume: A::Object,
}

impl Activate {
    /// All devices of it.
    pub fn new(volume: NamedObject) -> Self {
        Self { volume, auto: false }
    }

    pub(super) fn vg(&self) -> &VgName {
        self.volume.vg()
    }

    pub(super) fn lower(&self, scene: &mut Scene<'_>) -> Result<Vec<Part>, Refusal> {
        let request = match of_lv(scene, &self.volume)? {
            Some(name) => Request::Activate { name, ignore_skip: true },
            None => Request::ActivateAll { auto: self.auto },
        };
        Ok(vec![Part::itself(request, &self.volume)])
    }
}

impl Deactivate {
    /// All devices of it.
    pub fn new(volume: NamedObject) -> Self {
        Self { volume }
    }

    pub(super) fn vg(&self) -> &VgName {
        self.volume.vg()
    }

    pub(super) fn lower(&self, scene: &mut Scene<'_>) -> Result<Vec<Part>, Refusal> {
        let name = of_lv(scene, &self.volume)?;
        let request = name.map_or(Request::DeactivateAll, |name| Request::Deactivate { name });
        Ok(vec![Part::itself(request, &self.volume)])
    }
}

/// The LV that is meant; none if all of the volume group is.
fn of_lv(scene: &Scene<'_>, object: &NamedObject) -> Result<Option<LvName>, Refusal> {
    match object {
        NamedObject::Vg(_) => Ok(None),
        NamedObject::Storage(storage) => pool(scene, storage).map(Some),
        NamedObject::Volume(volume) => scene.lv(&VolumeOrSnapshot::Volume(volume.clone())).map(Some),
        NamedObject::Snapshot(snapshot) => scene.lv(&VolumeOrSnapshot::Snapshot(snapshot.clone())).map(Some),
    }
}

fn pool(scene: &Scene<'_>, storage: &Storage) -> Result<LvName, Refusal> {
    let pool = scene.vg.lv(&storage.pool).filter(|lv| lv.thin_pool().is_some());
    Ok(pool.ok_or_else(|| lookup::no_pool(storage))?.name.clone())
}

impl<A: Addresses> Activate<A> {
    pub(super) fn concerns(&self) -> Concerns {
        Concerns::changing(&self.volume)
    }
}

impl<A: Addresses> Deactivate<A> {
    pub(super) fn concerns(&self) -> Concerns {
        Concerns::changing(&self.volume)
    }
}

impl Activate<Written> {
    pub(super) fn resolve<R: Resolve>(self, by: &R) -> Result<Activate, R::Error> {
        Ok(Activate { volume: by.volume_or_snapshot(&self.volume)?.into(), auto: self.auto })
    }
}

impl Deactivate<Written> {
    pub(super) fn resolve<R: Resolve>(self, by: &R) -> Result<Deactivate, R::Error> {
        Ok(Deactivate { volume: by.volume_or_snapshot(&self.volume)?.into() })
    }
}

impl From<Activate> for Change {
    fn from(change: Activate) -> Self {
        Self::Activate(change)
    }
}

impl From<Deactivate> for Change {
    fn from(change: Deactivate) -> Self {
        Self::Deactivate(change)
    }
}
