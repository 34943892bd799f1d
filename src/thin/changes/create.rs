//! A new, empty volume.

use serde::{Deserialize, Serialize};

use super::address::Storage;
use super::part::{Note, Part};
use super::scene::Scene;
use super::{Addresses, Change, Concerns, NewName, Readable, Resolve, Resolved, Written, new_name, yes};
use crate::refusal::Refusal;
use crate::request::Request;
use base::ids::VgName;
use base::units::Sectors;
use lvm2::format::model::Vg;

/// Creates a volume that reads as zeros where its pool zeroes new chunks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(serialize = "A: Addresses", deserialize = "A: Readable"))]
pub struct CreateVolume<A: Addresses = Resolved> {
    /// The pool it lives in.
    pub pool: A::Storage,
    /// Its name.
    pub name: A::NewName,
    /// Its size; rounded up to whole extents.
    pub size: A::Size,
    /// Whether its device is to exist afterwards.
    #[serde(default = "yes")]
    pub activate: bool,
    /// Whether lvm2 may activate it by itself at boot.
    #[serde(default)]
    pub autoactivate: bool,
    /// LVM tags it gets.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whether all of it is overwritten with zeros.
    #[serde(skip)]
    pub zero: bool,
}

impl CreateVolume {
    /// A volume of that name and size, active.
    pub fn new(pool: Storage, name: NewName, size: Sectors) -> Self {
        Self { pool, name, size, activate: true, autoactivate: false, tags: Vec::new(), zero: false }
    }

    pub(super) fn vg(&self) -> &VgName {
        &self.pool.vg
    }

    pub(super) fn lower(&self, scene: &mut Scene<'_>) -> Result<Vec<Part>, Refusal> {
        let name = scene.new_name(&self.name)?;
        scene.notes.extend(rounded(scene.vg, self.size));
        let shown = self.pool.volume(name.clone());
        let zero = self.zero.then(|| Request::Zero { name: name.clone() });
        let request = Request::Create {
            pool: self.pool.pool.clone(),
            name,
            size: self.size,
            tags: self.tags.clone(),
            activate: self.activate,
            autoactivate: self.autoactivate,
        };
        let zero = zero.map(|request| Part::detail(request, &shown));
        Ok(std::iter::once(Part::itself(request, &shown)).chain(zero).collect())
    }
}

/// What becomes of a size that is not of whole extents.
fn rounded(vg: &Vg, size: Sectors) -> Option<Note> {
    let extent = vg.extent_size;
    let extents = size.get().checked_div(extent.get())? + u64::from(!size.get().is_multiple_of(extent.get()));
    let whole = extents.checked_mul(extent.get())?;
    (whole != size.get()).then_some(Note::Rounded { asked: size, extents, extent })
}

impl<A: Addresses> CreateVolume<A> {
    pub(super) fn concerns(&self) -> Concerns {
        Concerns {
            pool: Concerns::names_in(&self.pool).pop(),
            changes: vec![self.name.to_string()],
            ..Concerns::default()
        }
    }
}

impl CreateVolume<Written> {
    pub(super) fn resolve<R: Resolve>(self, by: &R) -> Result<CreateVolume, R::Error> {
        Ok(CreateVolume {
            pool: by.storage(&self.pool)?,
            name: NewName::Given(new_name(&self.name)?),
            size: self.size.sectors()?,
            activate: self.activate,
            autoactivate: self.autoactivate,
            tags: self.tags,
            zero: self.zero,
        })
    }
}

impl From<CreateVolume> for Change {
    fn from(change: CreateVolume) -> Self {
        Self::Create(change)
    }
}
