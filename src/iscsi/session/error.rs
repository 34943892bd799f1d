//! Why a session cannot be had as requested.

use std::io;

use thiserror::Error;

use super::diskless::WhyDiskless;
use crate::host::chap_file::ChapFileError;
use crate::host::iscsiadm::IscsiadmError;
use crate::host::limit::GivenUp;
use crate::host::netlink::control::ControlError;
use crate::host::registry::RegistryError;
use crate::host::sysfs::SessionState;
use crate::host::transport::TransportError;
use crate::protocol::interface::message::SessionId;
use crate::protocol::wwid::Wwid;
use base::error_kind::ErrorKind;
use sys::io::holders::Holder;

/// Why a session cannot be had as requested.
#[derive(Debug, Error)]
pub enum SessionError {
    /// The kernel's interface.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The network or the target.
    #[error(transparent)]
    Transport(Box<TransportError>),
    /// The names and secrets.
    #[error(transparent)]
    ChapFile(#[from] ChapFileError),
    /// The time or the user.
    #[error("{what} did not come to an end: {why}")]
    GivenUp {
        /// What was going on.
        what: String,
        /// Why it was given up.
        why: GivenUp,
    },
    /// A file of the kernel cannot be used.
    #[error("cannot {action}")]
    Io {
        /// The operation.
        action: String,
        /// The system's error.
        source: io::Error,
    },
    /// Another program's session is not logged in.
    #[error("session {sid} to {target} is {} and belongs to another program, iscsid most likely", state.as_str())]
    Foreign {
        /// The session.
        sid: SessionId,
        /// The target.
        target: String,
        /// Its state.
        state: SessionState,
    },
    /// There is no such session.
    #[error("no iSCSI session {what}")]
    NoSession {
        /// The object of the search.
        what: String,
    },
    /// The target does not show a LUN.
    #[error("{target} shows no LUN {lun} to this initiator")]
    NoLun {
        /// The target.
        target: String,
        /// The LUN.
        lun: u64,
    },
    /// A LUN has no disk to be used.
    #[error("LUN {lun} of {target} has no disk: {why}")]
    Diskless {
        /// The target.
        target: String,
        /// The LUN.
        lun: u64,
        /// Why.
        why: WhyDiskless,
    },
    /// A LUN is not what it is expected to be.
    #[error("LUN {lun} of {target} is {found}, not {expected}", found = shown(found.as_ref()))]
    WrongLun {
        /// The target.
        target: String,
        /// The LUN.
        lun: u64,
        /// The actual one.
        found: Option<Wwid>,
        /// The expected one.
        expected: Wwid,
    },
    /// A LUN is another one than when it was attached, and the old one is in use.
    #[error(transparent)]
    Replaced(Box<Replaced>),
    /// A device is in use.
    #[error("{disk} (LUN {lun} of {target}) is in use{}", by(holders))]
    InUse {
        /// The target.
        target: String,
        /// The LUN.
        lun: u64,
        /// The device.
        disk: String,
        /// Who uses it.
        holders: Vec<Holder>,
    },
    /// iscsiadm.
    #[error(transparent)]
    Iscsiadm(#[from] IscsiadmError),
    /// Secrets are not given to iscsiadm.
    #[error("iscsiadm takes secrets as arguments, which everybody can read")]
    SecretsForIscsiadm,
    /// iscsiadm cannot end a session of ours.
    #[error("session {sid} is thinvol's: iscsiadm does not know it")]
    OursForIscsiadm {
        /// The session.
        sid: SessionId,
    },
    /// A session of another program's is not ended natively.
    #[error("session {sid} belongs to another program, iscsid most likely")]
    ForeignForNative {
        /// The session.
        sid: SessionId,
    },
    /// A session is there after it was ended.
    #[error("iscsiadm says that session {sid} is ended, but it is there")]
    NotEnded {
        /// The session.
        sid: SessionId,
    },
    /// A session could not be taken down again after a failure.
    #[error("{first}; and session {sid} could not be removed: {second}")]
    NotUndone {
        /// The session.
        sid: SessionId,
        /// The failure.
        first: Box<SessionError>,
        /// What went wrong with the removal.
        second: Box<SessionError>,
    },
}

/// A LUN that is another one than when it was attached, while the old one is in use.
#[derive(Debug, Error)]
#[error(
    "LUN {lun} of {target} is another one now ({found} instead of {before}), while {disk} is in use{}",
    by(holders), found = shown(found.as_ref())
)]
pub struct Replaced {
    /// The target.
    pub target: String,
    /// The LUN.
    pub lun: u64,
    /// The device.
    pub disk: String,
    /// The previous one.
    pub before: Wwid,
    /// The actual one.
    pub found: Option<Wwid>,
    /// Who uses it.
    pub holders: Vec<Holder>,
}

impl From<TransportError> for SessionError {
    fn from(error: TransportError) -> Self {
        Self::Transport(Box::new(error))
    }
}

fn shown(wwid: Option<&Wwid>) -> String {
    wwid.map_or_else(|| "without a name".to_owned(), ToString::to_string)
}

fn by(holders: &[Holder]) -> String {
    let names: Vec<String> = holders.iter().map(ToString::to_string).collect();
    if names.is_empty() {
        " by something out of sight".to_owned()
    } else {
        format!(" by {}", names.join("; "))
    }
}

impl SessionError {
    /// The LUN it is about, if it is about one.
    pub fn lun(&self) -> Option<u64> {
        match self {
            Self::NoLun { lun, .. }
            | Self::WrongLun { lun, .. }
            | Self::InUse { lun, .. }
            | Self::Diskless { lun, .. } => Some(*lun),
            Self::Replaced(replaced) => Some(replaced.lun),
            _ => None,
        }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Control(ControlError::Refused { .. } | ControlError::Broken { .. }) => ErrorKind::Refused,
            Self::Control(ControlError::CreatorBusy { .. }) => ErrorKind::Busy,
            Self::Control(_) => ErrorKind::Unsupported,
            Self::Registry(RegistryError::Locked { .. }) => ErrorKind::Busy,
            Self::Registry(_) | Self::Io { .. } | Self::WrongLun { .. } => ErrorKind::Refused,
            Self::Transport(error) if error.names_no_interface() => ErrorKind::NotFound,
            Self::Transport(error) if error.may_pass() => ErrorKind::Busy,
            Self::Transport(_) | Self::ChapFile(_) => ErrorKind::Refused,
            Self::GivenUp { .. }
            | Self::Foreign { .. }
            | Self::InUse { .. }
            | Self::Replaced(_)
            | Self::Diskless { .. } => ErrorKind::Busy,
            Self::NoSession { .. } | Self::NoLun { .. } => ErrorKind::NotFound,
            Self::NotUndone { .. } | Self::NotEnded { .. } => ErrorKind::Partial,
            Self::Iscsiadm(error) => error.kind(),
            Self::SecretsForIscsiadm | Self::OursForIscsiadm { .. } | Self::ForeignForNative { .. } => {
                ErrorKind::Refused
            }
        }
    }

    /// A hint for the user.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Control(error) => return error.hint().map(str::to_owned),
            Self::Transport(error) => return error.hint(),
            Self::ChapFile(error) => return error.hint(),
            Self::Foreign { .. } => {
                "iscsid logs in again by itself; 'iscsiadm -m session -P 1' shows how far it is, and \
                 'iscsiadm -m node -T <target> -u' ends the session"
            }
            Self::NoSession { .. } => "'thinvol iscsi sessions' lists them",
            Self::NoLun { .. } => {
                "look at the target's list of LUNs and at which initiators may see them; without --lun all LUNs \
                 are attached"
            }
            Self::Diskless { why: WhyDiskless::NotConnected, .. } => {
                "its access state at the target is unavailable or it is being taken away there; when that is over, \
                 'thinvol iscsi rescan' finds it"
            }
            Self::Diskless { why: WhyDiskless::NoDriver, .. } => {
                "the driver sd is unbound from it or not loaded: 'modprobe sd_mod', or write its address to \
                 /sys/bus/scsi/drivers/sd/bind"
            }
            Self::Diskless { why: WhyDiskless::Unfinished { .. }, .. } => {
                "'thinvol iscsi rescan' waits for it again; --timeout gives it more time"
            }
            Self::WrongLun { .. } => {
                "the target shows another disk under this number: correct the number or the WWID, and do not use \
                 the disk as what it was"
            }
            Self::Replaced(_) => {
                "stop what uses the device at once: what it reads and writes is another disk; then \
                 'thinvol iscsi rescan'"
            }
            Self::InUse { .. } => "stop what uses it first: unmount it, deactivate volumes on it",
            Self::NotUndone { second, .. } if matches!(**second, Self::Iscsiadm(_)) => {
                "'thinvol iscsi logout' tries again"
            }
            Self::NotUndone { .. } => "'thinvol iscsi sessions --clean' tries again",
            Self::SecretsForIscsiadm => {
                "set user and secret in the node record with an editor, and leave out the CHAP file here"
            }
            Self::OursForIscsiadm { .. } => "leave out '--via iscsiadm'",
            Self::ForeignForNative { .. } => "'--via auto' asks iscsiadm to end it",
            Self::NotEnded { sid } => {
                return Some(format!("'iscsiadm -m session -r {sid} -P 3' shows its state"));
            }
            Self::GivenUp { .. } => "--timeout gives it more time",
            Self::Iscsiadm(_) | Self::Registry(_) | Self::Io { .. } => return None,
        };
        Some(text.to_owned())
    }
}
