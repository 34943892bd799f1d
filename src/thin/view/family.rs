//! Who was made from whom, in views.

use serde::Serialize;

use super::{VgView, VolumeView};
use crate::lineage::{Descent, Parent, Relation};
use base::ids::{LvName, LvmUuid};

/// Where a volume came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MadeFrom {
    /// The volume it was made from.
    pub parent: ParentVolume,
    /// What it is to that volume.
    pub made_as: MadeAs,
}

/// The volume that another one was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ParentVolume {
    /// One of the same volume group.
    Present {
        /// Its name.
        name: LvName,
        /// Its identity.
        uuid: LvmUuid,
    },
    /// One that is no longer there.
    Gone {
        /// Its identity.
        uuid: LvmUuid,
    },
    /// Unknown: the tags that record it contradict each other or cannot be read.
    Unreadable,
}

/// What a volume is to the one it was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MadeAs {
    /// Its snapshot of that name.
    Snapshot(String),
    /// Once its snapshot of that name. It was renamed or made writable since, and counts as a volume of its own.
    FormerSnapshot(String),
    /// A clone.
    Clone,
}

impl From<Descent<'_>> for MadeFrom {
    fn from(descent: Descent<'_>) -> Self {
        Self {
            parent: match descent.parent {
                Parent::Present(lv) => ParentVolume::Present { name: lv.name.clone(), uuid: lv.id },
                Parent::Gone(uuid) => ParentVolume::Gone { uuid },
                Parent::Unreadable => ParentVolume::Unreadable,
            },
            made_as: match descent.relation {
                Relation::Snapshot(name) => MadeAs::Snapshot(name.to_owned()),
                Relation::FormerSnapshot(name) => MadeAs::FormerSnapshot(name.to_owned()),
                Relation::Clone => MadeAs::Clone,
            },
        }
    }
}

impl VolumeView {
    /// The name it has as a snapshot, if it is one.
    pub fn snapshot_name(&self) -> Option<&str> {
        match &self.made_from.as_ref()?.made_as {
            MadeAs::Snapshot(name) => Some(name),
            MadeAs::FormerSnapshot(_) | MadeAs::Clone => None,
        }
    }

    /// The volume it was made from, if that is there.
    pub fn parent(&self) -> Option<&LvName> {
        match &self.made_from.as_ref()?.parent {
            ParentVolume::Present { name, .. } => Some(name),
            ParentVolume::Gone { .. } | ParentVolume::Unreadable => None,
        }
    }

    /// The volume that it is a snapshot of, if it is one and that volume is there.
    pub fn snapshot_of(&self) -> Option<&LvName> {
        self.parent().filter(|_| self.snapshot_name().is_some())
    }
}

impl VgView {
    /// What was made from a volume, in the order of the group.
    pub fn children_of(&self, volume: &LvName) -> impl Iterator<Item = &VolumeView> {
        self.volumes.iter().filter(move |child| child.parent() == Some(volume))
    }
}
