//! Kinds of failures of a discovery, with hints.

use std::io;

use super::DiscoverError;
use crate::host::connection::ConnectionError;
use crate::host::limit::GivenUp;
use crate::host::transport::{BY_INTERFACE, NO_INTERFACE};
use crate::protocol::login::LoginError;
use crate::protocol::name::IscsiName;
use crate::protocol::pdu::FrameError;
use crate::protocol::status::{Remedy, Status};
use base::error_kind::ErrorKind;

impl DiscoverError {
    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Connection(ConnectionError::Unresolved { .. } | ConnectionError::NoInterface { .. }) => {
                ErrorKind::NotFound
            }
            Self::Connection(ConnectionError::Login { source, .. }) => match source.remedy() {
                Remedy::LookElsewhere => ErrorKind::NotFound,
                Remedy::Retry => ErrorKind::Busy,
                Remedy::Configure | Remedy::Interoperability => ErrorKind::Refused,
            },
            Self::Connection(ConnectionError::Frame { .. }) => ErrorKind::Refused,
            Self::Connection(_) => ErrorKind::Busy,
            Self::Redirect(_) | Self::Listing { .. } | Self::Text { .. } => ErrorKind::Refused,
        }
    }

    /// Whether it may be because the target does no authentication.
    pub(super) fn may_do_without(&self) -> bool {
        matches!(self, Self::Connection(ConnectionError::Login { source, .. }) if source.may_do_without_chap())
    }

    /// A hint for the user.
    pub fn hint(&self, initiator: &IscsiName) -> Option<String> {
        match self {
            Self::Connection(error) => connection(error, initiator),
            Self::Redirect(_) => {
                Some("the target's portals point at each other: look at its configuration".into())
            }
            Self::Listing { .. } | Self::Text { .. } => None,
        }
    }
}

fn connection(error: &ConnectionError, initiator: &IscsiName) -> Option<String> {
    let hint = match error {
        ConnectionError::Unresolved { .. } => "check the name, or give an address",
        ConnectionError::NoInterface { .. } => NO_INTERFACE,
        ConnectionError::Unreachable { interface: Some(_), source, .. }
            if source.kind() != io::ErrorKind::ConnectionRefused =>
        {
            BY_INTERFACE
        }
        ConnectionError::Unreachable { source, .. } => match source.kind() {
            io::ErrorKind::ConnectionRefused => {
                "the host is there and nothing listens on that port: check the port, and whether the target's service \
                 is running"
            }
            _ => "check the address, and the network between here and there",
        },
        ConnectionError::GivenUp { source: GivenUp::TimedOut { .. }, .. } => {
            "check the address, and whether a firewall is between; --timeout gives it more time"
        }
        ConnectionError::Frame { source: FrameError::NotIscsi(_), .. } => {
            "something else listens there: check address and port"
        }
        ConnectionError::Closed { .. } => {
            "the target may be starting up, or may not allow connections from this address: look at its log"
        }
        ConnectionError::Login { source, .. } => return login(source, initiator),
        ConnectionError::GivenUp { .. } | ConnectionError::Frame { .. } | ConnectionError::Lost { .. } => {
            return None;
        }
    };
    Some(hint.to_owned())
}

fn login(error: &LoginError, initiator: &IscsiName) -> Option<String> {
    match error {
        LoginError::Refused { status: Status::FORBIDDEN, .. } => {
            Some(format!("this initiator is {initiator}: allow that name at the target"))
        }
        error => error.hint(),
    }
}
