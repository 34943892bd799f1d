//! What each change of volumes means: what it concerns, and which requests to the planner it comes to, by the metadata
//! as it is and by what earlier changes of the same batch make of it. Pure.
//!
//! A change is written with addresses as texts ([`Written`]), as in a line of `thinvol batch`, and resolved to volume
//! groups and volumes ([`Resolved`]) before the engine gets it.

mod activate;
mod address;
mod clone;
pub(crate) mod concerns;
mod create;
mod filter;
pub(crate) mod lookup;
pub(crate) mod lower;
mod modify;
mod part;
mod pool;
mod remove;
mod rename;
mod resize;
mod roll_back;
mod scene;
pub(crate) mod size;
mod snapshot;
mod template;

use std::fmt::{self, Debug, Display};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use self::activate::{Activate, Deactivate};
pub use self::address::{NamedObject, Snapshot, Storage, Volume, VolumeOrSnapshot};
pub use self::clone::CloneVolume;
pub(crate) use self::concerns::Concerns;
pub use self::create::CreateVolume;
pub use self::filter::VolumeFilter;
pub(crate) use self::lower::{Lowered, lower};
pub use self::modify::ModifyVolume;
pub(crate) use self::part::Part;
pub use self::part::{Note, Role};
pub use self::pool::{
    ConfigurePool, CreatePool, DeletePool, DiscardsWord, ExtendPool, MendPool, WhenFull, WrittenRule,
};
pub use self::remove::RemoveVolume;
pub use self::rename::RenameVolume;
pub use self::resize::ResizeVolume;
pub use self::roll_back::RollBack;
pub use self::size::WrittenSize;
pub use self::snapshot::TakeSnapshot;
pub use self::template::{MakeTemplate, is_template};
pub use crate::effect::{PoolPart, PoolWays};
pub use crate::lineage::SnapName;
use crate::pool_rules::RuleChange;
use crate::refusal::Refusal;
pub use crate::request::{NewSize, Space};
use base::error_kind::ErrorKind;
use base::ids::{DevNo, LvName, VgName};
use base::units::Sectors;
use lvm2::format::check::Use;

/// What an address, a name or a size of a change can be.
pub trait Form: Clone + Debug + PartialEq + Serialize {}

impl<T: Clone + Debug + PartialEq + Serialize> Form for T {}

/// How a change names what it is about.
pub trait Addresses: Clone + Debug + PartialEq {
    /// A pool.
    type Storage: Form + Display;
    /// A volume.
    type Volume: Form + Display;
    /// A snapshot of a volume.
    type Snapshot: Form + Display;
    /// Either.
    type VolumeOrSnapshot: Form + Display;
    /// Whatever has devices.
    type Object: Form + Display;
    /// The name of a volume that is to be made.
    type NewName: Form + Display;
    /// Another name of a volume.
    type Name: Form + Display;
    /// The size of a volume that is to be made.
    type Size: Form;
    /// Another size of a volume.
    type NewSize: Form;
    /// How large a part of a pool is to be.
    type Space: Form;
    /// What becomes of a rule of a pool.
    type Rule: Form;
    /// A block device.
    type Device: Form;
}

/// As text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written;

impl Addresses for Written {
    type Storage = String;
    type Volume = String;
    type Snapshot = String;
    type VolumeOrSnapshot = String;
    type Object = String;
    type NewName = String;
    type Name = String;
    type Size = WrittenSize;
    type NewSize = WrittenSize;
    type Space = WrittenSize;
    type Rule = WrittenRule;
    type Device = String;
}

/// As volume groups and their volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved;

impl Addresses for Resolved {
    type Storage = Storage;
    type Volume = Volume;
    type Snapshot = Snapshot;
    type VolumeOrSnapshot = VolumeOrSnapshot;
    type Object = NamedObject;
    type NewName = NewName;
    type Name = LvName;
    type Size = Sectors;
    type NewSize = NewSize;
    type Space = Space;
    type Rule = RuleChange;
    type Device = DevNo;
}

/// Addresses that can be read from JSON.
pub trait Readable:
    Addresses<
        Storage: DeserializeOwned,
        Volume: DeserializeOwned,
        Snapshot: DeserializeOwned,
        VolumeOrSnapshot: DeserializeOwned,
        Object: DeserializeOwned,
        NewName: DeserializeOwned,
        Name: DeserializeOwned,
        Size: DeserializeOwned,
        NewSize: DeserializeOwned,
        Space: DeserializeOwned,
        Rule: DeserializeOwned,
        Device: DeserializeOwned,
    >
{
}

impl Readable for Written {}

/// The name of a volume that is to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NewName {
    /// This one.
    Given(LvName),
    /// The next free `vm-<VMID>-disk-<n>` of that guest.
    NextDisk(u32),
}

impl Display for NewName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(name) => Display::fmt(name, f),
            Self::NextDisk(vmid) => write!(f, "vm-{vmid}-disk-*"),
        }
    }
}

/// One change. Several of one volume group are one transaction; a change of a pool itself is one of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
#[serde(bound(serialize = "A: Addresses", deserialize = "A: Readable"))]
#[non_exhaustive]
pub enum Change<A: Addresses = Resolved> {
    /// A new, empty volume.
    Create(CreateVolume<A>),
    /// A snapshot of a volume.
    Snapshot(TakeSnapshot<A>),
    /// A volume with the content of another one.
    Clone(CloneVolume<A>),
    /// A volume or a snapshot goes.
    Remove(RemoveVolume<A>),
    /// A volume gets another size.
    Resize(ResizeVolume<A>),
    /// A volume gets another name.
    Rename(RenameVolume<A>),
    /// What LVM records of a volume changes.
    Modify(ModifyVolume<A>),
    /// A volume becomes what a snapshot of it holds.
    Rollback(RollBack<A>),
    /// A volume becomes a template.
    Template(MakeTemplate<A>),
    /// Devices come.
    Activate(Activate<A>),
    /// Devices go.
    Deactivate(Deactivate<A>),
    /// A new pool.
    PoolCreate(CreatePool<A>),
    /// A pool gets more room.
    PoolExtend(ExtendPool<A>),
    /// A pool works in another way.
    PoolSet(ConfigurePool<A>),
    /// The metadata of a pool is repaired.
    PoolRepair(MendPool<A>),
    /// A pool goes.
    PoolRemove(DeletePool<A>),
}

/// The same for each change: the one place that lists them all.
macro_rules! each {
    ($self:expr, $change:ident => $work:expr) => {
        match $self {
            Change::Create($change) => $work,
            Change::Snapshot($change) => $work,
            Change::Clone($change) => $work,
            Change::Remove($change) => $work,
            Change::Resize($change) => $work,
            Change::Rename($change) => $work,
            Change::Modify($change) => $work,
            Change::Rollback($change) => $work,
            Change::Template($change) => $work,
            Change::Activate($change) => $work,
            Change::Deactivate($change) => $work,
            Change::PoolCreate($change) => $work,
            Change::PoolExtend($change) => $work,
            Change::PoolSet($change) => $work,
            Change::PoolRepair($change) => $work,
            Change::PoolRemove($change) => $work,
        }
    };
}

/// Turns texts into what they address.
pub trait Resolve {
    /// Why a text addresses nothing.
    type Error: From<Refusal>;

    /// A pool.
    ///
    /// # Errors
    /// If the text is none.
    fn storage(&self, text: &str) -> Result<Storage, Self::Error>;

    /// A volume.
    ///
    /// # Errors
    /// If the text is none.
    fn volume(&self, text: &str) -> Result<Volume, Self::Error>;

    /// A snapshot.
    ///
    /// # Errors
    /// If the text is none.
    fn snapshot(&self, text: &str) -> Result<Snapshot, Self::Error>;

    /// A volume or a snapshot.
    ///
    /// # Errors
    /// If the text is neither.
    fn volume_or_snapshot(&self, text: &str) -> Result<VolumeOrSnapshot, Self::Error>;

    /// The block device at a path.
    ///
    /// # Errors
    /// If there is none.
    fn device(&self, path: &str) -> Result<DevNo, Self::Error>;
}

impl<A: Addresses> Change<A> {
    /// What it concerns.
    pub fn concerns(&self) -> Concerns {
        each!(self, change => change.concerns())
    }
}

impl Change<Written> {
    /// Resolves the addresses, names and sizes in it.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn resolve<R: Resolve>(self, by: &R) -> Result<Change, R::Error> {
        each!(self, change => change.resolve(by).map(Into::into))
    }
}

impl Change {
    /// The volume group.
    pub fn vg(&self) -> &VgName {
        each!(self, change => change.vg())
    }

    /// What it does with the volume group as a whole.
    pub fn usage(&self) -> Use {
        match self {
            Self::Activate(_) => Use::Activate,
            Self::Deactivate(_) => Use::Deactivate,
            _ => Use::Change,
        }
    }

    /// Whether it is a transaction of its own.
    pub fn is_by_itself(&self) -> bool {
        match self {
            Self::PoolCreate(_)
            | Self::PoolExtend(_)
            | Self::PoolSet(_)
            | Self::PoolRepair(_)
            | Self::PoolRemove(_) => true,
            Self::Create(_)
            | Self::Snapshot(_)
            | Self::Clone(_)
            | Self::Remove(_)
            | Self::Resize(_)
            | Self::Rename(_)
            | Self::Modify(_)
            | Self::Rollback(_)
            | Self::Template(_)
            | Self::Activate(_)
            | Self::Deactivate(_) => false,
        }
    }

    /// Whether names mean something else after it.
    fn renames(&self) -> bool {
        matches!(self, Self::Rename(_) | Self::Template(_))
    }

    /// The volume it removes, by name.
    fn removes(&self) -> Option<&LvName> {
        match self {
            Self::Remove(RemoveVolume { volume: VolumeOrSnapshot::Volume(volume), .. }) => Some(&volume.lv),
            _ => None,
        }
    }

    fn lower(&self, scene: &mut scene::Scene<'_>) -> Result<Vec<Part>, Refusal> {
        each!(self, change => change.lower(scene))
    }
}

/// A name that a volume is to get.
fn new_name(text: &str) -> Result<LvName, Refusal> {
    LvName::for_new_volume(text).map_err(|error| Refusal::new(ErrorKind::Usage, error.to_string()))
}

const fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests;
