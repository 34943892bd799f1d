//! What a caller can ask of the engine: names resolved, sizes in sectors, nothing decided yet.

use serde::Serialize;

use crate::ids::LvName;
use crate::units::Sectors;

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
    },
    /// Removes a thin volume and frees what only it uses.
    Remove {
        /// The volume.
        name: LvName,
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
    ActivateAll,
    /// Deactivates every volume of the VG.
    DeactivateAll,
}
