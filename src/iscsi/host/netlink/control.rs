//! The port to the kernel's iSCSI interface.

use std::time::Instant;

use nix::errno::Errno;
use thiserror::Error;

use crate::protocol::interface::message::{Answer, Event, Request, SessionId};

/// The kernel's iSCSI interface, one conversation with it.
pub trait Control {
    /// Makes a request and takes the answer. The kernel has done it, or refused, when it returns.
    ///
    /// # Errors
    /// If the kernel refuses, or cannot be reached.
    fn request(&mut self, request: &Request) -> Result<Answer, ControlError>;

    /// What happens next, waited for until `deadline`.
    ///
    /// # Errors
    /// If nothing more can be heard.
    fn next_event(&mut self, deadline: Instant) -> Result<Heard, ControlError>;
}

/// What came of waiting for an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// This happened.
    Event(Event),
    /// The socket has overflowed: lost events must be looked up in sysfs.
    Lost,
    /// Nothing until the deadline.
    Nothing,
}

/// Why a request to the kernel failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ControlError {
    /// The interface is not there.
    #[error("the kernel's iSCSI interface cannot be opened: {errno}")]
    Absent {
        /// The system's error.
        errno: Errno,
    },
    /// The TCP transport is not there.
    #[error("the kernel module iscsi_tcp is not loaded: {why}")]
    NoTransport {
        /// Why it could not be loaded.
        why: String,
    },
    /// The interface exists in the initial network namespace only.
    #[error("the kernel's iSCSI interface does not reach into this network namespace")]
    OtherNamespace,
    /// Another program holds the address from which sessions are made that iscsid leaves alone.
    #[error("another program holds the netlink address from which sessions are made, for {seconds} s now")]
    CreatorBusy {
        /// How long it was waited for.
        seconds: u64,
    },
    /// The kernel refused a request.
    #[error("the kernel did not {what}{}: {errno}", of(*sid))]
    Refused {
        /// The request.
        what: String,
        /// The session, if it is about one.
        sid: Option<SessionId>,
        /// Why it did not.
        errno: Errno,
    },
    /// The conversation broke down.
    #[error("the kernel's iSCSI interface: cannot {doing}: {why}")]
    Broken {
        /// The operation.
        doing: &'static str,
        /// Why it failed.
        why: String,
    },
}

fn of(sid: Option<SessionId>) -> String {
    sid.map(|sid| format!(" (session {sid})")).unwrap_or_default()
}

impl ControlError {
    /// The error of a request that the kernel refused.
    pub fn refused(request: &Request, errno: Errno) -> Self {
        let what = match request {
            Request::SetParam { param, .. } => format!("set the parameter {param:?}"),
            other => other.name().to_owned(),
        };
        Self::Refused { what, sid: request.sid(), errno }
    }

    /// A hint for the user.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Absent { .. } | Self::NoTransport { .. } => Some(
                "install the kernel's modules (package linux-modules or linux-image) and run 'modprobe iscsi_tcp'",
            ),
            Self::OtherNamespace => Some(
                "run it in the network namespace of the host: from a container with the host's /proc, \
                 'nsenter --target 1 --net thinvol …'; iscsiadm has the same limit",
            ),
            Self::CreatorBusy { .. } => Some("--via iscsiadm goes another way"),
            Self::Refused { errno: Errno::EPERM, .. } => {
                Some("CAP_SYS_ADMIN in the initial user namespace is needed: run it as root of the host")
            }
            Self::Refused { .. } | Self::Broken { .. } => None,
        }
    }

    /// The errno of a refusal.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { errno, .. } | Self::Absent { errno } => Some(*errno),
            _ => None,
        }
    }
}
