//! Discovery: which targets a portal offers to this initiator.

use std::time::Duration;

use thiserror::Error;

use crate::host::connection::{Connection, ConnectionError, Ended};
use crate::host::limit::Limit;
use crate::protocol::chap::Chap;
use crate::protocol::listing::{Listing, ListingError, Next};
use crate::protocol::login::{LoggedIn, Numbering, RedirectError, Redirections, SessionKind, Settings};
use crate::protocol::name::{IscsiName, Isid};
use crate::protocol::net_interface::NetInterface;
use crate::protocol::params::Offer;
use crate::protocol::pdu::{LogoutResponse, Pdu};
use crate::protocol::portal::Portal;
use crate::protocol::targets::SendTargetsAnswer;
use crate::protocol::text::TextError;

mod error;

/// How long the answer to a logout is waited for: the list is complete, and nothing hangs on it.
const LOGOUT_WAIT: Duration = Duration::from_secs(2);

/// How many PDUs may come before the answer to a logout.
const LOGOUT_PDUS: usize = 8;

/// Who asks.
#[derive(Clone, Debug)]
pub struct DiscoveryClient {
    /// Our name.
    pub initiator: IscsiName,
    /// The network interface to ask by alone.
    pub interface: Option<NetInterface>,
    /// How to authenticate.
    pub chap: Option<Chap>,
    /// Whether a target that does no authentication for discovery is asked without it: what `chap` holds was given for
    /// logins.
    pub may_go_without: bool,
}

/// What a portal answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovered {
    /// The portal that was asked, and those it redirected to.
    pub way: Redirections,
    /// The targets it offers.
    pub found: SendTargetsAnswer,
    /// Whether it was asked without the CHAP there is, since it does none for discovery.
    pub went_without: bool,
}

/// Why a portal did not answer.
#[derive(Debug, Error)]
pub enum DiscoverError {
    /// It cannot be talked to, or refuses the login.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// Redirections lead nowhere.
    #[error(transparent)]
    Redirect(#[from] RedirectError),
    /// It does not list its targets.
    #[error("portal {portal} does not list its targets")]
    Listing {
        /// The portal.
        portal: Portal,
        /// Why.
        source: ListingError,
    },
    /// Its list cannot be read.
    #[error("the list of targets of portal {portal} cannot be read")]
    Text {
        /// The portal.
        portal: Portal,
        /// The problem.
        source: TextError,
    },
}

/// Asks a portal for its targets, in a session of its own that ends with a logout.
///
/// # Errors
/// If it does not answer, or not as it should, within the limit.
///
/// # Secrets
/// What is given up by going on without CHAP is little: the list was never signed, and each login to a target in it
/// demands what it demands.
pub fn discover(
    portal: &Portal,
    client: &DiscoveryClient,
    limit: &Limit,
) -> Result<Discovered, DiscoverError> {
    let error = match ask(portal, client, limit) {
        Err(error) if client.chap.is_some() && client.may_go_without && error.may_do_without() => error,
        other => return other,
    };
    tracing::info!(%portal, %error, "asked again without CHAP: the target may do none for discovery");
    let without = DiscoveryClient { chap: None, ..client.clone() };
    match ask(portal, &without, limit) {
        Ok(answer) => Ok(Discovered { went_without: true, ..answer }),
        // It does demand CHAP: the secrets are what is wrong.
        Err(DiscoverError::Connection(ConnectionError::Login { source, .. })) if source.demands_chap() => {
            Err(error)
        }
        Err(second) => Err(second),
    }
}

/// Asks once, as the asker says.
fn ask(portal: &Portal, client: &DiscoveryClient, limit: &Limit) -> Result<Discovered, DiscoverError> {
    let mut way = Redirections::start(portal.clone());
    let (mut connection, session) = loop {
        let mut connection = Connection::open(way.here(), client.interface.as_ref(), limit)?;
        match connection.log_in(settings(client))? {
            Ended::LoggedIn(session) => break (connection, session),
            Ended::Redirect(redirect) => {
                tracing::info!("portal {} redirects to {}", way.here(), redirect.portal);
                way.follow(redirect.portal)?;
            }
        }
    };
    let answer = list(&mut connection, &session)?;
    let found = SendTargetsAnswer::read(&answer, way.here())
        .map_err(|source| DiscoverError::Text { portal: way.here().clone(), source })?;
    Ok(Discovered { way, found, went_without: false })
}

/// Asks several portals at the same time.
pub fn discover_all(
    portals: &[Portal],
    client: &DiscoveryClient,
    limit: &Limit,
) -> Vec<(Portal, Result<Discovered, DiscoverError>)> {
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            portals.iter().map(|portal| scope.spawn(move || discover(portal, client, limit))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        portals.iter().cloned().zip(threads.into_iter().map(join)).collect()
    })
}

/// A login for discovery. The kernel is not involved, and a digest over a few texts is not worth its computation:
/// TCP's checksum has to do, and nothing is written by what is read here.
fn settings(client: &DiscoveryClient) -> Settings {
    let mut random = [0; 5];
    getrandom::fill(&mut random).expect("the system's random numbers are there once it has booted");
    Settings {
        initiator: client.initiator.clone(),
        kind: SessionKind::Discovery,
        isid: Isid::random(random),
        numbering: Numbering::Ours { itt: 0, cmd_sn: 1 },
        exp_stat_sn: 0,
        chap: client.chap.clone(),
        offer: Offer::default(),
    }
}

/// The text of the list. The session ends with it.
fn list(connection: &mut Connection, session: &LoggedIn) -> Result<Vec<u8>, DiscoverError> {
    connection.set_data_max(session.parameters.max_recv_data_segment_length);
    let (mut listing, question) = Listing::start(session);
    connection.send(&question)?;
    loop {
        let pdu = connection.receive()?;
        let portal = connection.portal();
        match listing
            .hear(&pdu)
            .map_err(|source| DiscoverError::Listing { portal: portal.clone(), source })?
        {
            Next::Wait => {}
            Next::Send(pdu) => connection.send(&pdu)?,
            Next::Listed { answer, logout } => {
                log_out(connection, &logout);
                return Ok(answer);
            }
        }
    }
}

/// Ends the session with a logout. A target that does not answer is only logged: the list is complete.
fn log_out(connection: &mut Connection, logout: &Pdu) {
    let ended = (|| {
        connection.set_limit(Limit::new(LOGOUT_WAIT));
        connection.send(logout)?;
        for _ in 0..LOGOUT_PDUS {
            if let Ok(response) = LogoutResponse::decode(&connection.receive()?) {
                return Ok(response.response == 0);
            }
        }
        Ok::<_, ConnectionError>(false)
    })();
    match ended {
        Ok(true) => {}
        Ok(false) => tracing::info!("portal {} did not take the logout", connection.portal()),
        Err(error) => tracing::info!("{error} after the logout"),
    }
}
