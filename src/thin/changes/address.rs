//! Addresses, as they are shown again: the way they were written.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::filter::VolumeFilter;
use crate::lineage::SnapName;
use base::ids::{LvName, VgName};
use config::names::{StorageId, is_lvm_volname};

/// A pool, as the place where volumes live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Its volume group.
    pub vg: VgName,
    /// The pool's LV.
    pub pool: LvName,
    /// Its id in the configuration, if it was named so.
    pub id: Option<StorageId>,
}

impl Storage {
    /// A volume in it. One whose name Proxmox VE does not know has no volume id, and is named by its volume group.
    pub fn volume(&self, lv: LvName) -> Volume {
        let has_id = self.id.is_some() && is_lvm_volname(lv.as_str());
        let storage = has_id.then(|| self.clone());
        Volume { storage, ..Volume::new(self.vg.clone(), lv) }
    }

    /// Whether an LV of its pool counts as one of its volumes: in one named by its id only what has a volume id.
    pub fn lists(&self, lv: &str) -> bool {
        self.id.is_none() || is_lvm_volname(lv)
    }

    /// What a volume in it is called.
    pub fn name_of(&self, lv: &str) -> String {
        match self.id.as_ref().filter(|_| is_lvm_volname(lv)) {
            Some(id) => [id.as_str(), ":", lv].concat(),
            None => [self.vg.as_str(), "/", lv].concat(),
        }
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => id.fmt(f),
            None => write!(f, "{}/{}", self.vg, self.pool),
        }
    }
}

/// A logical volume. Two are the same if volume group and LV are, however they were named.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Its volume group.
    pub vg: VgName,
    /// Its LV.
    pub lv: LvName,
    /// The storage it was named by, in whose pool it has to be.
    pub storage: Option<Storage>,
    /// What it has to be like by the time of the change, if it was not named but chosen by that.
    pub chosen_by: Option<Arc<VolumeFilter>>,
}

impl Volume {
    /// The volume of that name.
    pub fn new(vg: VgName, lv: LvName) -> Self {
        Self { vg, lv, storage: None, chosen_by: None }
    }

    /// Another volume of the same place, named the same way.
    pub fn sibling(&self, lv: LvName) -> Self {
        match &self.storage {
            Some(storage) => storage.volume(lv),
            None => Self::new(self.vg.clone(), lv),
        }
    }

    fn key(&self) -> (&VgName, &LvName) {
        (&self.vg, &self.lv)
    }
}

impl PartialEq for Volume {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Volume {}

impl PartialOrd for Volume {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Volume {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.storage.as_ref().and_then(|storage| storage.id.as_ref()) {
            Some(id) => write!(f, "{id}:{}", self.lv),
            None => write!(f, "{}/{}", self.vg, self.lv),
        }
    }
}

/// A snapshot of a volume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Snapshot {
    /// The volume.
    pub volume: Volume,
    /// The snapshot's name.
    pub snap: SnapName,
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.volume, self.snap)
    }
}

/// A volume, or a snapshot of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeOrSnapshot {
    /// The volume itself.
    Volume(Volume),
    /// A snapshot.
    Snapshot(Snapshot),
}

impl VolumeOrSnapshot {
    /// The volume, or the volume the snapshot is of.
    pub fn volume(&self) -> &Volume {
        match self {
            Self::Volume(volume) | Self::Snapshot(Snapshot { volume, .. }) => volume,
        }
    }
}

impl fmt::Display for VolumeOrSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volume(volume) => volume.fmt(f),
            Self::Snapshot(snapshot) => snapshot.fmt(f),
        }
    }
}

/// What can be activated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedObject {
    /// A whole volume group.
    Vg(VgName),
    /// The pool of a storage.
    Storage(Storage),
    /// A volume or a pool.
    Volume(Volume),
    /// A snapshot.
    Snapshot(Snapshot),
}

impl NamedObject {
    /// The volume, if it is one.
    pub fn as_volume(&self) -> Option<&Volume> {
        match self {
            Self::Volume(volume) => Some(volume),
            Self::Vg(_) | Self::Storage(_) | Self::Snapshot(_) => None,
        }
    }

    /// Its volume group.
    pub fn vg(&self) -> &VgName {
        match self {
            Self::Vg(vg) | Self::Storage(Storage { vg, .. }) => vg,
            Self::Volume(volume) => &volume.vg,
            Self::Snapshot(snapshot) => &snapshot.volume.vg,
        }
    }

    /// Whether both are the same thing, however they were named.
    pub fn is_same(&self, other: &Self) -> bool {
        let lv = |target: &Self| match target {
            Self::Vg(_) | Self::Snapshot(_) => None,
            Self::Storage(storage) => Some(storage.pool.clone()),
            Self::Volume(volume) => Some(volume.lv.clone()),
        };
        match (self, other) {
            (Self::Vg(a), Self::Vg(b)) => a == b,
            (Self::Snapshot(a), Self::Snapshot(b)) => a == b,
            _ => lv(self).is_some() && lv(self) == lv(other) && self.vg() == other.vg(),
        }
    }
}

impl fmt::Display for NamedObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vg(vg) => vg.fmt(f),
            Self::Storage(storage) => storage.fmt(f),
            Self::Volume(volume) => volume.fmt(f),
            Self::Snapshot(snapshot) => snapshot.fmt(f),
        }
    }
}

impl From<VolumeOrSnapshot> for NamedObject {
    fn from(named: VolumeOrSnapshot) -> Self {
        match named {
            VolumeOrSnapshot::Volume(volume) => Self::Volume(volume),
            VolumeOrSnapshot::Snapshot(snapshot) => Self::Snapshot(snapshot),
        }
    }
}

/// Addresses are written the way they are shown.
macro_rules! as_text {
    ($($address:ty),*) => {
        $(impl Serialize for $address {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        })*
    };
}

as_text!(Storage, Volume, Snapshot, VolumeOrSnapshot, NamedObject);
