//! A TCP connection to a portal that carries PDUs, within a time limit.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use nix::errno::Errno;
use thiserror::Error;

use crate::host::limit::{GivenUp, Limit};
use crate::protocol::chap::Nonce;
use crate::protocol::login::{LoggedIn, Login, LoginError, LoginStep, Redirect, Settings};
use crate::protocol::net_interface::NetInterface;
use crate::protocol::pdu::{DEFAULT_DATA_MAX, FrameError, Framer, Pdu};
use crate::protocol::portal::Portal;
use crate::protocol::status::Status;

mod dial;
mod resolve;

/// How often to check whether the work was cancelled.
const LOOK: Duration = Duration::from_millis(250);

/// How much is read at once.
const READ_SIZE: usize = 65_536;

/// Why a portal cannot be talked to.
#[derive(Debug, Error)]
pub enum ConnectionError {
    /// The host means nothing.
    #[error("the host of portal {portal} cannot be found")]
    Unresolved {
        /// The portal.
        portal: Portal,
        /// The system's error.
        source: io::Error,
    },
    /// There is no such network interface.
    #[error("there is no network interface '{interface}' to reach portal {portal} by")]
    NoInterface {
        /// The portal.
        portal: Portal,
        /// The interface.
        interface: NetInterface,
    },
    /// Nothing listens there, or the way is blocked.
    #[error("portal {portal} cannot be reached{}", by(interface.as_ref()))]
    Unreachable {
        /// The portal.
        portal: Portal,
        /// The interface it was tried by, if not by any.
        interface: Option<NetInterface>,
        /// The system's error for the last address that was tried.
        source: io::Error,
    },
    /// The time limit is over, or the work was cancelled.
    #[error("portal {portal} was given up while {doing}")]
    GivenUp {
        /// The portal.
        portal: Portal,
        /// The awaited event.
        doing: &'static str,
        /// Why it was given up.
        source: GivenUp,
    },
    /// The target closed the connection.
    #[error("portal {portal} closed the connection {when}")]
    Closed {
        /// The portal.
        portal: Portal,
        /// At what point.
        when: &'static str,
    },
    /// The connection broke.
    #[error("the connection to portal {portal} is lost")]
    Lost {
        /// The portal.
        portal: Portal,
        /// The system's error.
        source: io::Error,
    },
    /// The received bytes are not a PDU.
    #[error("portal {portal} does not speak iSCSI as it should")]
    Frame {
        /// The portal.
        portal: Portal,
        /// The problem.
        source: FrameError,
    },
    /// The target refuses the login, or breaks its rules.
    #[error("the login at portal {portal} failed")]
    Login {
        /// The portal.
        portal: Portal,
        /// Why.
        source: Box<LoginError>,
    },
}

fn by(interface: Option<&NetInterface>) -> String {
    interface.map_or_else(String::new, |interface| format!(" by interface {interface}"))
}

impl ConnectionError {
    /// Whether the target says that the fault is its own: the same login may work soon.
    pub fn may_pass_soon(&self) -> bool {
        matches!(self, Self::Login { source, .. }
            if matches!(**source, LoginError::Refused { status: Status { class: 3, .. }, .. }))
    }
}

/// How a login that did not fail ended.
#[derive(Debug)]
pub enum Ended {
    /// In a session.
    LoggedIn(Box<LoggedIn>),
    /// Elsewhere.
    Redirect(Redirect),
}

/// A connection to a portal.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    portal: Portal,
    framer: Framer,
    limit: Limit,
    has_heard: bool,
}

impl Connection {
    /// Connects, by an interface alone if one is given; the addresses of a host name are tried one after another, and
    /// share the time that is left.
    ///
    /// # Errors
    /// If the host cannot be found, there is no such interface, or none of the host's addresses takes the connection
    /// within the limit.
    pub fn open(
        portal: &Portal,
        interface: Option<&NetInterface>,
        limit: &Limit,
    ) -> Result<Self, ConnectionError> {
        let given_up = |source| ConnectionError::GivenUp {
            portal: portal.clone(),
            doing: "it was waited for the connection",
            source,
        };
        let unreachable = |source| ConnectionError::Unreachable {
            portal: portal.clone(),
            interface: interface.cloned(),
            source,
        };
        let addresses = resolve::addresses(portal, limit)?;
        let mut failure = io::Error::new(ErrorKind::NotFound, "the host has no address");
        for (index, peer) in addresses.iter().enumerate() {
            limit.check().map_err(given_up)?;
            let candidates = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            let share = (limit.left() / candidates).max(Duration::from_millis(1));
            match dial::dial(*peer, interface, &limit.part(share)) {
                Ok(stream) => {
                    Self::prepare(&stream).map_err(unreachable)?;
                    let framer = Framer::new(DEFAULT_DATA_MAX);
                    let (peer, portal, limit) = (*peer, portal.clone(), limit.clone());
                    return Ok(Self { stream, peer, portal, framer, limit, has_heard: false });
                }
                Err(error) => failure = error,
            }
        }
        if let Some(interface) = interface
            && failure.raw_os_error() == Some(Errno::ENODEV as i32)
        {
            let (portal, interface) = (portal.clone(), interface.clone());
            return Err(ConnectionError::NoInterface { portal, interface });
        }
        if failure.kind() == ErrorKind::TimedOut {
            limit.check().map_err(given_up)?;
        }
        Err(unreachable(failure))
    }

    fn prepare(stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK))?;
        stream.set_write_timeout(Some(LOOK))
    }

    /// The portal it leads to.
    pub fn portal(&self) -> &Portal {
        &self.portal
    }

    /// The address it leads to.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The socket. Where the last thing read is the end of a login, nothing that follows has been read.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Takes more data in a PDU from now on, as was agreed on.
    pub fn set_data_max(&mut self, bytes: u32) {
        self.framer.set_limit(bytes);
    }

    /// Gives what follows another time limit.
    pub fn set_limit(&mut self, limit: Limit) {
        self.limit = limit;
    }

    fn given_up(&self, doing: &'static str) -> impl FnOnce(GivenUp) -> ConnectionError {
        let portal = self.portal.clone();
        move |source| ConnectionError::GivenUp { portal, doing, source }
    }

    fn failed(&self, source: io::Error) -> ConnectionError {
        let portal = self.portal.clone();
        match source.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
                ConnectionError::Closed { portal, when: self.when() }
            }
            _ => ConnectionError::Lost { portal, source },
        }
    }

    fn when(&self) -> &'static str {
        match (self.has_heard, self.framer.is_within()) {
            (_, true) => "in the middle of a PDU",
            (false, false) => "before it said anything",
            (true, false) => "where an answer was due",
        }
    }

    /// Sends a PDU.
    ///
    /// # Errors
    /// If the connection is lost or the limit is over.
    pub fn send(&mut self, pdu: &Pdu) -> Result<(), ConnectionError> {
        let bytes = pdu.to_bytes();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            self.limit.check().map_err(self.given_up("it was waited for it to take data"))?;
            match self.stream.write(rest) {
                Ok(sent) => rest = &rest[sent..],
                Err(error) if is_for_later(&error) => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(())
    }

    /// Reads a PDU, and not a byte more.
    ///
    /// # Errors
    /// If the bytes are not a PDU, the connection is lost or the limit is over.
    pub fn receive(&mut self) -> Result<Pdu, ConnectionError> {
        let mut buffer = vec![0; self.framer.wants().min(READ_SIZE)];
        loop {
            self.limit.check().map_err(self.given_up("it was waited for an answer"))?;
            buffer.resize(self.framer.wants().min(READ_SIZE), 0);
            let length = match self.stream.read(&mut buffer) {
                Ok(0) => {
                    let (portal, when) = (self.portal.clone(), self.when());
                    return Err(ConnectionError::Closed { portal, when });
                }
                Ok(length) => length,
                Err(error) if is_for_later(&error) => continue,
                Err(error) => return Err(self.failed(error)),
            };
            let taken = self.framer.take(&mut &buffer[..length]);
            let portal = &self.portal;
            let pdu = taken.map_err(|source| ConnectionError::Frame { portal: portal.clone(), source })?;
            if let Some(pdu) = pdu {
                self.has_heard = true;
                return Ok(pdu);
            }
        }
    }

    /// Logs in.
    ///
    /// # Errors
    /// If the target refuses or breaks a rule, the connection is lost, or the limit is over.
    pub fn log_in(&mut self, settings: Settings) -> Result<Ended, ConnectionError> {
        let (mut login, mut request) = Login::start(settings, nonce());
        loop {
            self.send(&request)?;
            let pdu = self.receive()?;
            let failed =
                |error| ConnectionError::Login { portal: self.portal.clone(), source: Box::new(error) };
            match login.answer(&pdu).map_err(failed)? {
                LoginStep::Send(next) => request = next,
                LoginStep::Done(session) => return Ok(Ended::LoggedIn(session)),
                LoginStep::Redirect(redirect) => return Ok(Ended::Redirect(redirect)),
            }
        }
    }
}

/// Whether nothing could be done yet, or a signal came.
fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Fresh random bytes for one login.
///
/// # Panics
/// If the system has no random numbers, without which authentication is impossible.
pub fn nonce() -> Nonce {
    let mut random = [0; 33];
    getrandom::fill(&mut random).expect("the system's random numbers are there once it has booted");
    Nonce::from(random)
}
