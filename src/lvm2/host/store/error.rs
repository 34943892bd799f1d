//! Why a volume group cannot be read or committed, and what a failed commit means.

use std::io;
use std::sync::Arc;

use thiserror::Error;

use super::issue::StoreIssue;
use super::summary::SummaryError;
use super::vg_ref::VgRef;
use crate::format::placement::place::RoomError;
use base::ids::{LvmUuid, Seqno, VgName};

/// Why a volume group cannot be read.
#[derive(Clone, Debug, Error)]
pub enum StoreError {
    /// No device has a text of it.
    #[error("volume group {vg} is on none of the {devices} devices{}", because(issues))]
    NotFound {
        /// The requested group.
        vg: VgRef,
        /// How many devices were looked into.
        devices: usize,
        /// Devices and areas that could not be used, and may have hidden it.
        issues: Vec<StoreIssue>,
    },
    /// Two volume groups share the name.
    #[error("two volume groups are named {name}: {} and {}; rename one by its UUID (vgrename)", ids[0], ids[1])]
    Ambiguous {
        /// The name.
        name: VgName,
        /// Their identities.
        ids: [LvmUuid; 2],
    },
}

fn because(issues: &[StoreIssue]) -> String {
    match issues {
        [] => String::new(),
        [first, ..] => {
            format!("; {} of them or of their metadata areas cannot be used: {first}", issues.len())
        }
    }
}

/// A commit that holds.
#[derive(Clone, Debug)]
pub struct Committed {
    /// How many metadata areas have the new text, for good.
    pub written: usize,
    /// The areas' devices that failed after the text was on all of them. The new text counts; these lag
    /// behind, and lvm2 warns of it, until the next commit reaches them.
    pub failed: Vec<(String, Arc<io::Error>)>,
}

/// Why a commit failed before it took effect. All areas have the old text.
#[derive(Clone, Debug, Error)]
pub enum NotCommitted {
    /// The state of the copies forbids it.
    #[error("volume group {vg} cannot be changed now")]
    Forbidden {
        /// The volume group.
        vg: VgName,
        /// Why.
        #[source]
        issue: Box<StoreIssue>,
    },
    /// Whether an earlier commit took effect is unknown.
    #[error("it is not known whether the last commit to volume group {0} took effect; read it again")]
    InDoubt(VgName),
    /// No metadata area is in use.
    #[error("volume group {0} has no metadata area in use on the devices given")]
    NoArea(VgName),
    /// The text is not the next one of this volume group.
    #[error("the new text is not the next one of volume group {vg} (number {seqno}): {why}")]
    WrongText {
        /// The volume group.
        vg: VgName,
        /// The number of the text in use.
        seqno: Seqno,
        /// What is wrong.
        why: String,
    },
    /// The text is not one of a volume group at all.
    #[error("the new text is not one of a volume group")]
    BadText(#[from] SummaryError),
    /// Another process has committed since the text was read.
    #[error("the metadata on {device} changed since it was read; read it again under the lock")]
    Changed {
        /// Where it was noticed.
        device: String,
    },
    /// There is no room for the text.
    #[error("{device} has no room for the new text")]
    Room {
        /// The device.
        device: String,
        /// Why.
        #[source]
        source: RoomError,
    },
    /// The text could not be written everywhere. No header was touched.
    #[error("the new text could not be written to {device}")]
    Write {
        /// The device.
        device: String,
        /// What it reports.
        #[source]
        source: Arc<io::Error>,
    },
}

/// How a commit failed.
#[derive(Clone, Debug, Error)]
pub enum CommitError {
    /// The old text stands; nothing that a reader sees has changed.
    #[error("the metadata was not changed")]
    NotCommitted(#[from] NotCommitted),
    /// No area is known to have the new text for good, and some may have it. Find out by reading again:
    /// [`VgStore::resolve`](super::vg::VgStore::resolve).
    #[error("whether the new metadata is in force is not known: {} failed while it was written", failed[0].0)]
    Unknown {
        /// The devices and what they report, never empty.
        failed: Vec<(String, Arc<io::Error>)>,
    },
}

/// The outcome of a commit that ended with [`CommitError::Unknown`].
#[derive(Clone, Debug)]
pub enum Resolution {
    /// The new text is in force after all.
    Committed(Committed),
    /// The old text stands.
    NotCommitted,
}

/// Why it is still unknown whether a commit took effect.
#[derive(Clone, Debug, Error)]
pub enum ResolveError {
    /// Nothing was in doubt.
    #[error("no commit is in doubt")]
    NothingInDoubt,
    /// The volume group cannot be read.
    #[error(transparent)]
    Read(#[from] StoreError),
    /// What is read is neither the old nor the new text.
    #[error(
        "volume group {vg} has text {found}, which is neither the one before the commit nor the one after"
    )]
    Neither {
        /// The volume group.
        vg: VgName,
        /// The number of the text that was read.
        found: Seqno,
    },
    /// The devices fail still.
    #[error("{device} fails still")]
    Write {
        /// The device.
        device: String,
        /// What it reports.
        #[source]
        source: Arc<io::Error>,
    },
    /// Areas that may have the new text cannot be read.
    #[error("{0} cannot be read")]
    Unreadable(String),
}
