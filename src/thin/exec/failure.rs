//! Why a step failed, and what follows from it.

use nix::errno::Errno;
use nix::sys::signal::Signal;
use thiserror::Error;

use super::wipe::WipeError;
use crate::ports::{CheckFailure, CheckFound, CommitFailure, MarkFailure, RepairFailure};
use crate::refusal::Refusal;
use crate::suspended_window::SuspendError;
use base::error_kind::ErrorKind;
use dm::kernel::DmError;
use dm::name::DmName;
use dm::status::LineError;

/// Why one step failed.
#[derive(Debug, Error)]
pub enum StepError {
    /// device-mapper refused.
    #[error(transparent)]
    Dm(#[from] DmError),
    /// Origins could not be suspended or resumed.
    #[error(transparent)]
    Freeze(#[from] SuspendError),
    /// A pool is not as it must be.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A volume is not wiped, or not all of it.
    #[error(transparent)]
    Wipe(#[from] WipeError),
    /// The user wants to stop.
    #[error("stopped by {0}")]
    Stopped(Signal),
    /// The kernel's status cannot be understood.
    #[error("the status of {device} cannot be read")]
    Status {
        /// The device.
        device: DmName,
        /// Where.
        #[source]
        source: LineError,
    },
    /// The metadata could not be written.
    #[error(transparent)]
    Commit(#[from] CommitFailure),
    /// The pool's metadata is damaged, or could not be checked: which of the two is in it.
    #[error(transparent)]
    Check(#[from] CheckFailure),
    /// The pool's metadata could not be repaired.
    #[error(transparent)]
    Repair(#[from] RepairFailure),
    /// The state directory could not be written.
    #[error(transparent)]
    Mark(#[from] MarkFailure),
    /// A table stands on a device whose number is unknown.
    #[error("device {0} does not exist, but a table stands on it")]
    Unknown(String),
}

impl StepError {
    /// What sort of failure it is, if it was taken back.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Dm(dm) if dm.errno == Errno::EBUSY => ErrorKind::Busy,
            Self::Freeze(
                SuspendError::TooSlow { .. } | SuspendError::Thawed { .. } | SuspendError::Waiting { .. },
            ) => ErrorKind::Busy,
            Self::Wipe(WipeError::InUse { .. } | WipeError::Another) => ErrorKind::Busy,
            Self::Refused(refusal) if matches!(refusal.kind, ErrorKind::Corrupt | ErrorKind::Busy) => {
                refusal.kind
            }
            Self::Check(CheckFailure { found: CheckFound::Damage(_), .. }) | Self::Repair(_) => {
                ErrorKind::Corrupt
            }
            _ => ErrorKind::Refused,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Refused(refusal) => refusal.hint.clone(),
            Self::Check(failure) => Some(failure.hint()),
            Self::Repair(_) => Some(
                "the disks below, and newer thin-provisioning-tools, are what is left to try; the metadata is as it was"
                    .into(),
            ),
            Self::Freeze(SuspendError::TooSlow { .. }) => Some(
                "writes that were waiting were flushed meanwhile: try again, or find out which volume's disk hangs"
                    .into(),
            ),
            Self::Freeze(SuspendError::Thawed { .. } | SuspendError::Waiting { .. }) => {
                Some("try again, when nobody else works on the volume's device".into())
            }
            _ => None,
        }
    }
}
