//! What a change comes to: requests, and how to speak of them.

use serde::Serialize;

use super::address::Volume;
use crate::request::Request;
use base::ids::LvName;
use base::units::Sectors;

/// What a request is within its change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// The change itself.
    Itself,
    /// The same for the volume's snapshot of that name, which follows its volume.
    Snapshot(String),
    /// What goes with it.
    Detail,
}

/// One request of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The request.
    pub request: Request,
    /// What the caller called what it is about.
    pub display_name: String,
    /// What it is within its change.
    pub role: Role,
}

impl Part {
    /// The change itself.
    pub(super) fn itself(request: Request, display_name: &impl ToString) -> Self {
        Self { request, display_name: display_name.to_string(), role: Role::Itself }
    }

    /// What goes with it.
    pub(super) fn detail(request: Request, display_name: &impl ToString) -> Self {
        Self { request, display_name: display_name.to_string(), role: Role::Detail }
    }

    /// The same for a snapshot of the volume.
    pub(super) fn of_snapshot(request: Request, volume: &Volume, snap: &str) -> Self {
        Self { request, display_name: format!("{volume}@{snap}"), role: Role::Snapshot(snap.to_owned()) }
    }
}

/// What the caller should know of a change before it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// A size is rounded up to whole extents.
    Rounded {
        /// The size asked for.
        asked: Sectors,
        /// How many extents that is.
        extents: u64,
        /// The size of one.
        extent: Sectors,
    },
    /// A volume to be removed is not there.
    Absent(Volume),
    /// A volume goes with its snapshots, and one that was a snapshot of it stays.
    FormerSnapshotStays {
        /// The volume.
        volume: Volume,
        /// The snapshot's name.
        snap: String,
        /// What was that snapshot.
        former: LvName,
    },
    /// What a volume holds is given up, but for what its snapshots hold.
    GivenUp {
        /// The volume.
        volume: Volume,
        /// Its newest snapshot, and when that was taken, in seconds since 1970.
        newest: Option<(String, Option<u64>)>,
    },
}
