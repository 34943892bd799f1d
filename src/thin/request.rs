//! What a caller can ask of the engine: names resolved, sizes in sectors, nothing decided yet.

use serde::Serialize;

mod pool;

use base::ids::LvName;
use base::units::Sectors;
use lvm2::format::check::Use;

pub use pool::{GrowPool, NewPool, RemovePool, RepairPool, SetPool, Space};

/// One change of a volume group. A batch of them is one transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// A new, empty thin volume.
    Create {
        /// The pool it lives in.
        pool: LvName,
        /// Its name.
        name: LvName,
        /// Its size; rounded up to whole extents.
        size: Sectors,
        /// Tags to record.
        tags: Vec<String>,
        /// Whether its device is to exist afterwards.
        activate: bool,
        /// Whether lvm2 may activate it by itself at boot.
        autoactivate: bool,
    },
    /// A thin volume that starts with the content of another one.
    Snapshot {
        /// The thin volume to start from.
        origin: LvName,
        /// The new volume's name.
        name: LvName,
        /// Whether it refuses writes.
        read_only: bool,
        /// Whether lvm2 leaves it alone on activation unless told `-K`.
        skip_activation: bool,
        /// Tags to record.
        tags: Vec<String>,
        /// Whether its device is to exist afterwards.
        activate: bool,
        /// Whether lvm2 may activate it by itself at boot.
        autoactivate: bool,
        /// Whether a file system on an active origin is brought into a clean state first, as lvm2 does. It waits for
        /// the file system; without it the snapshot holds what a power failure would leave. File systems of a batch
        /// are frozen if one of its snapshots asks for it.
        freeze: bool,
    },
    /// Removes a thin volume and frees what only it uses.
    Remove {
        /// The volume.
        name: LvName,
    },
    /// Has the disks below told that nothing is needed of a thin volume that the same batch removes. It cannot be taken
    /// back if the removal fails, and it takes time, during which the volume group is locked.
    Discard {
        /// The volume.
        name: LvName,
    },
    /// Overwrites a volume that the same batch creates with zeros, when all else is done and the volume group is
    /// unlocked.
    Zero {
        /// The volume.
        name: LvName,
    },
    /// Gives a thin volume another size. An active one is grown while in use.
    Resize {
        /// The volume.
        name: LvName,
        /// The size it gets.
        size: NewSize,
        /// Whether it may lose its end. It must not be in use then.
        shrink: bool,
    },
    /// Gives a thin volume another name, in use or not.
    Rename {
        /// The volume.
        name: LvName,
        /// The name it gets.
        to: LvName,
    },
    /// Changes what LVM records of a thin volume besides its content.
    Modify {
        /// The volume.
        name: LvName,
        /// What changes.
        attributes: Attributes,
    },
    /// Makes a thin volume what a snapshot of it holds. It keeps its name, identity, flags and tags, and gets the
    /// snapshot's size; the snapshot stays. It may be active but not in use.
    Rollback {
        /// The volume.
        name: LvName,
        /// The snapshot, or any thin volume of the same pool.
        to: LvName,
    },
    /// Makes a volume's device exist, or a pool's.
    Activate {
        /// The volume or pool.
        name: LvName,
        /// Whether to do so even where its `ACTIVATION_SKIP` flag says not to.
        ignore_skip: bool,
    },
    /// Makes a volume's device go, or a pool's.
    Deactivate {
        /// The volume or pool.
        name: LvName,
    },
    /// Activates every visible volume of the VG that may be.
    ActivateAll {
        /// Whether to leave out what lvm2 would not activate by itself, either.
        auto: bool,
    },
    /// Deactivates every volume of the VG.
    DeactivateAll,
    /// Makes a pool. It is made by itself.
    CreatePool(NewPool),
    /// Removes a pool, with its volumes if asked to. It is made by itself.
    RemovePool(RemovePool),
    /// Has a pool that does not run checked as its start would.
    CheckPool {
        /// The pool.
        pool: LvName,
        /// Whether the kernel's mark that it needs a check is taken away if nothing is wrong.
        clear_mark: bool,
    },
    /// Repairs the metadata of a pool that does not run. It is made by itself.
    RepairPool(RepairPool),
    /// Gives a pool more room, in use or not. It is made by itself.
    GrowPool(GrowPool),
    /// Changes how a pool works, in use or not. It is made by itself.
    SetPool(SetPool),
}

impl Request {
    /// What it does with the volume group as a whole.
    pub fn usage(&self) -> Use {
        match self {
            Self::Deactivate { .. } | Self::DeactivateAll => Use::Deactivate,
            Self::Activate { .. } | Self::ActivateAll { .. } => Use::Activate,
            Self::Create { .. }
            | Self::Snapshot { .. }
            | Self::Remove { .. }
            | Self::Resize { .. }
            | Self::Rename { .. }
            | Self::Modify { .. }
            | Self::Rollback { .. }
            | Self::Discard { .. }
            | Self::Zero { .. }
            | Self::CreatePool(_)
            | Self::RemovePool(_)
            | Self::CheckPool { .. }
            | Self::RepairPool(_)
            | Self::GrowPool(_)
            | Self::SetPool(_) => Use::Change,
        }
    }
}

impl Request {
    /// How many new UUIDs it may take: a pool one for itself, its two parts, and the group's spare; a repair one for
    /// the spare it needs, the one it leaves, and what is kept.
    pub fn new_uuids(&self) -> usize {
        match self {
            Self::CreatePool(_) => 4,
            Self::RepairPool(_) => 3,
            _ => 1,
        }
    }
}

/// The size a volume gets; rounded up to whole extents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NewSize {
    /// This one.
    To(Sectors),
    /// So much more than it has.
    By(Sectors),
}

/// What is to change of a volume; what is not said stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Attributes {
    /// Whether it refuses writes.
    pub read_only: Option<bool>,
    /// Whether lvm2 leaves it alone on activation unless told `-K`.
    pub skip_activation: Option<bool>,
    /// Whether lvm2 may activate it by itself at boot.
    pub autoactivate: Option<bool>,
    /// Tags it gets.
    pub add_tags: Vec<String>,
    /// Tags it loses.
    pub remove_tags: Vec<String>,
}
