//! The port to the network: reaching a target, and logging in over the socket itself.

use thiserror::Error;

use crate::host::connection::{Connection, ConnectionError, Ended};
use crate::host::limit::Limit;
use crate::protocol::login::{LoginError, RedirectError, Settings};
use crate::protocol::name::NameError;
use crate::protocol::net_interface::NetInterface;
use crate::protocol::portal::Portal;
use crate::protocol::status::Remedy;

/// The way to targets.
pub trait Transport: Send + Sync {
    /// Connects to a portal, by an interface alone if one is given.
    ///
    /// # Errors
    /// If it cannot be reached within the limit.
    fn connect(
        &self,
        portal: &Portal,
        interface: Option<&NetInterface>,
        limit: &Limit,
    ) -> Result<Connection, ConnectionError>;

    /// Logs in. Nothing of the full feature phase is read from the socket.
    ///
    /// # Errors
    /// If the target refuses or breaks the rules, the connection is lost, or the limit is over.
    fn log_in(&self, connection: &mut Connection, settings: Settings) -> Result<Ended, ConnectionError>;
}

/// Targets over TCP.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Transport for Tcp {
    fn connect(
        &self,
        portal: &Portal,
        interface: Option<&NetInterface>,
        limit: &Limit,
    ) -> Result<Connection, ConnectionError> {
        Connection::open(portal, interface, limit)
    }

    fn log_in(&self, connection: &mut Connection, settings: Settings) -> Result<Ended, ConnectionError> {
        connection.log_in(settings)
    }
}

/// The hint for an interface that does not exist, or has no route.
pub(super) const NO_INTERFACE: &str = "'ip link' lists the interfaces; without --interface the routes decide";
pub(super) const BY_INTERFACE: &str = "check that the interface is up, has an address and a route to the portal, \
     and that the target's service is running";

/// Why a target could not be logged in to.
#[derive(Debug, Error)]
pub enum TransportError {
    /// On the socket.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// Through the kernel.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// Redirections lead nowhere.
    #[error(transparent)]
    Redirect(#[from] RedirectError),
    /// The connection ended in the kernel's hands.
    #[error("the connection was lost: {why}")]
    Lost {
        /// Its known properties.
        why: String,
    },
    /// A recorded name is not valid.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl TransportError {
    fn login(&self) -> Option<&LoginError> {
        match self {
            Self::Login(error) => Some(error),
            Self::Connection(ConnectionError::Login { source, .. }) => Some(source),
            _ => None,
        }
    }

    /// Whether there is no such network interface.
    pub fn names_no_interface(&self) -> bool {
        matches!(self, Self::Connection(ConnectionError::NoInterface { .. }))
    }

    /// Whether a later try may work without anything being changed.
    pub fn may_pass(&self) -> bool {
        match (self, self.login()) {
            (_, Some(error)) => error.remedy() == Remedy::Retry,
            (Self::Connection(ConnectionError::Frame { .. } | ConnectionError::NoInterface { .. }), _)
            | (Self::Redirect(_) | Self::Name(_), _) => false,
            _ => true,
        }
    }

    /// A hint for the user.
    pub fn hint(&self) -> Option<String> {
        match (self, self.login()) {
            (_, Some(error)) => error.hint(),
            (Self::Connection(ConnectionError::NoInterface { .. }), _) => Some(NO_INTERFACE.to_owned()),
            (Self::Connection(ConnectionError::Unreachable { interface: Some(_), .. }), _) => {
                Some(BY_INTERFACE.to_owned())
            }
            (
                Self::Connection(ConnectionError::Unresolved { .. } | ConnectionError::Unreachable { .. }),
                _,
            ) => Some("check the address, the network and that the target's service is running".to_owned()),
            (Self::Connection(ConnectionError::GivenUp { .. }), _) => {
                Some("--timeout gives it more time".to_owned())
            }
            _ => None,
        }
    }
}
