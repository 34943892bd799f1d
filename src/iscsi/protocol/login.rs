//! The login phase as a state machine: it is given the target's PDUs and says what to send.
//!
//! No sockets, clocks or randomness: the transport, direct or through the kernel, sends each PDU of
//! [`LoginStep::Send`], and hands in the one that comes back. Source: RFC 7143 sections 6.3 and 11.12.

use serde::Serialize;

use crate::protocol::chap::{Algorithm, Chap, Exchange, Nonce};
use crate::protocol::name::{IscsiName, Isid};
use crate::protocol::params::{Negotiation, Offer, Parameters};
use crate::protocol::pdu::{LoginRequest, Pdu, Stage};
use crate::protocol::portal::Portal;

mod answer;
mod error;
mod redirect;
mod security;
mod talk;
#[cfg(test)]
mod tests;

pub use error::{Context, LoginError};
pub use redirect::{MAX_REDIRECTIONS, RedirectError, Redirections};

use talk::Talk;

/// The type of the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionKind {
    /// To ask which targets there are.
    Discovery,
    /// To use the LUNs of this target.
    Normal(IscsiName),
}

/// Who numbers the PDUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// We do: the connection is ours.
    Ours {
        /// The task tag of the whole login.
        itt: u32,
        /// The number of the session's first command.
        cmd_sn: u32,
    },
    /// The kernel does: it overwrites task tag and command number of what is sent through it.
    Kernel,
}

/// What a login is to achieve, and as whom.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our name.
    pub initiator: IscsiName,
    /// The type of the session.
    pub kind: SessionKind,
    /// Our part of the session's identity.
    pub isid: Isid,
    /// Who numbers the PDUs.
    pub numbering: Numbering,
    /// The response number we wait for: 0, or that of the lost connection of the session.
    pub exp_stat_sn: u32,
    /// How to authenticate; without it, a target that demands it refuses.
    pub chap: Option<Chap>,
    /// Our offer.
    pub offer: Offer,
}

/// The next step.
#[derive(Debug)]
pub enum LoginStep {
    /// This is to be sent, and the next PDU of the target to be handed in.
    Send(Pdu),
    /// The login has succeeded; nothing of the full feature phase has been read.
    Done(Box<LoggedIn>),
    /// The target is elsewhere: connect there and start again.
    Redirect(Redirect),
}

/// Where a target has moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The portal to go to.
    pub portal: Portal,
    /// Whether the target has moved for good.
    pub is_permanent: bool,
}

/// A login that succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoggedIn {
    /// What both sides agreed on.
    pub parameters: Parameters,
    /// The target's part of the session's identity.
    pub tsih: u16,
    /// The number of the session's first command, where we number.
    pub cmd_sn: u32,
    /// The number of the next response.
    pub exp_stat_sn: u32,
    /// The number of the next command the target waits for.
    pub exp_cmd_sn: u32,
    /// The highest command number it takes now.
    pub max_cmd_sn: u32,
    /// The portal group, if the target said.
    pub portal_group_tag: Option<u16>,
    /// The alias of the target, in printable characters.
    pub target_alias: Option<String>,
    /// The CHAP algorithm we proved ourselves with, if we had to.
    pub authenticated: Option<Algorithm>,
    /// Whether the target proved itself too.
    pub is_mutual: bool,
    /// How many PDUs we sent.
    pub requests: u32,
}

/// The state of the login: which of our texts the target's next one answers.
#[derive(Debug)]
enum Phase {
    /// The list of authentication methods.
    Method { chap: Chap, nonce: Nonce },
    /// The list of CHAP algorithms.
    Algorithm { chap: Chap, nonce: Nonce },
    /// Our proof, and our challenge if there is one.
    Proof { chap: Chap, exchange: Exchange },
    /// That we are ready to leave the security stage, after both proofs.
    Proven,
    /// The operational keys.
    Operational,
    /// Nothing: the login is over.
    Over,
}

/// A login.
#[derive(Debug)]
pub struct Login {
    talk: Talk,
    phase: Phase,
    negotiation: Negotiation,
    is_discovery: bool,
    portal_group_tag: Option<u16>,
    target_alias: Option<String>,
    authenticated: Option<Algorithm>,
    is_mutual: bool,
}

impl Login {
    /// Starts a login: gives it and the first PDU to send. `nonce` is fresh for each login.
    ///
    /// Without CHAP the login starts with the operational keys, all of them, and is done after one round.
    pub fn start(settings: Settings, nonce: Nonce) -> (Self, Pdu) {
        let is_discovery = settings.kind == SessionKind::Discovery;
        let (stage, transit) = match settings.chap {
            None => (Stage::Operational, Some(Stage::FullFeature)),
            Some(_) => (Stage::Security, None),
        };
        let (itt, cmd_sn) = match settings.numbering {
            Numbering::Ours { itt, cmd_sn } => (itt, cmd_sn),
            Numbering::Kernel => (0, 0),
        };
        let header = LoginRequest {
            transit: None,
            more: false,
            stage,
            isid: settings.isid,
            tsih: 0,
            itt,
            cid: 0,
            cmd_sn,
            exp_stat_sn: settings.exp_stat_sn,
        };
        let mut text = vec![("InitiatorName", settings.initiator.to_string())];
        match &settings.kind {
            SessionKind::Discovery => text.push(("SessionType", "Discovery".to_owned())),
            SessionKind::Normal(target) => {
                text.push(("TargetName", target.to_string()));
                text.push(("SessionType", "Normal".to_owned()));
            }
        }
        let negotiation = Negotiation::new(settings.offer, is_discovery);
        let phase = match settings.chap {
            None => {
                text.extend(negotiation.offers());
                Phase::Operational
            }
            Some(chap) => {
                text.push(("AuthMethod", "CHAP".to_owned()));
                Phase::Method { chap, nonce }
            }
        };
        let (talk, first) = Talk::start(header, settings.numbering, transit, &text);
        let login = Self {
            talk,
            phase,
            negotiation,
            is_discovery,
            portal_group_tag: None,
            target_alias: None,
            authenticated: None,
            is_mutual: false,
        };
        (login, first)
    }

    /// Takes the target's next PDU.
    ///
    /// # Errors
    /// If the target refuses the login, or breaks a rule. The connection is of no use then.
    pub fn answer(&mut self, pdu: &Pdu) -> Result<LoginStep, LoginError> {
        match self.step(pdu) {
            Ok(step) => {
                if !matches!(step, LoginStep::Send(_)) {
                    self.phase = Phase::Over;
                }
                Ok(step)
            }
            Err(error) => {
                self.phase = Phase::Over;
                Err(error)
            }
        }
    }
}
