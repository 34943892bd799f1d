//! The record of a session.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{LockName, SessionKey};
use crate::host::sysfs::{CREATOR_NOBODY, Session};
use crate::protocol::interface::message::SessionId;
use crate::protocol::net_interface::NetInterface;
use crate::protocol::settings::Settings;
use crate::protocol::wwid::Wwid;

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It is being made.
    Starting,
    /// It works, or is to be made to work again.
    Up,
    /// It is being taken down.
    Leaving,
}

/// A session of thinvol's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its number.
    pub sid: SessionId,
    /// The boot it was made in.
    pub boot_id: String,
    /// How far it is.
    pub phase: Phase,
    /// The target's name.
    pub target: String,
    /// The requested portal.
    pub portal: String,
    /// The network interface its connections are bound to.
    #[serde(default)]
    pub interface: Option<NetInterface>,
    /// The initiator's name.
    pub initiator: String,
    /// The file with the names and secrets for CHAP.
    pub credentials: Option<PathBuf>,
    /// Its settings.
    pub settings: Settings,
    /// The LUNs that were requested; all if there is no list.
    pub only: Option<BTreeSet<u64>>,
    /// Seconds to be waited before a lost connection is replaced, as was agreed on.
    #[serde(default)]
    pub time2wait: u16,
    /// The address the portal had: its name is not looked up again where that would wait for the very disk.
    #[serde(default)]
    pub address: Option<String>,
    /// What each logical unit was when it was attached.
    pub luns: BTreeMap<u64, Wwid>,
}

impl Record {
    fn key(&self) -> SessionKey {
        let (target, portal) = (self.target.clone(), self.portal.clone());
        SessionKey { target, portal, interface: self.interface.clone() }
    }

    /// The lock that guards the session.
    pub fn lock_name(&self) -> LockName {
        LockName::Session(self.key())
    }

    /// The lock that guards the work on its LUNs.
    pub fn luns_lock_name(&self) -> LockName {
        LockName::Luns(self.key())
    }

    /// Whether this is the record of that session: made from nobody's address, and for the same target, unless it has
    /// not been told its target yet.
    pub fn is_of(&self, session: &Session) -> bool {
        let same = session.target == self.target || (session.target.is_empty() && self.phase != Phase::Up);
        session.sid == self.sid && session.creator == CREATOR_NOBODY && same
    }
}

/// The intent to make a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The boot it is of.
    pub boot_id: String,
    /// The sessions there were before.
    pub before: Vec<SessionId>,
}

impl Intent {
    /// Whether that session is the one that was made for this intent: it is new, nobody's, and has not been told
    /// anything yet.
    pub fn made(&self, session: &Session) -> bool {
        let untold = session.target.is_empty() && !session.has_connection;
        untold && session.creator == CREATOR_NOBODY && !self.before.contains(&session.sid)
    }
}
