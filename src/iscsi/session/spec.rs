//! The specification of a session.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use super::env::Env;
use super::error::SessionError;
use crate::host::registry::{LockName, Phase, Record, SessionKey};
use crate::host::sysfs::{self, Endpoint, Session};
use crate::host::transport::TransportError;
use crate::protocol::chap::Chap;
use crate::protocol::interface::message::SessionId;
use crate::protocol::interface::params::Param;
use crate::protocol::login::{self, Numbering, SessionKind};
use crate::protocol::name::{IscsiName, Isid};
use crate::protocol::net_interface::NetInterface;
use crate::protocol::portal::{Host, Portal};
use crate::protocol::settings::{SessionNames, Settings};

/// A session to a target at a portal.
#[derive(Clone, Debug)]
pub struct SessionSpec {
    /// The target.
    pub target: IscsiName,
    /// The portal.
    pub portal: Portal,
    /// The network interface its connections are bound to; without one any session to the target at the portal is what
    /// is wanted, and a new one is bound to none.
    pub interface: Option<NetInterface>,
    /// Time limits and checksums.
    pub settings: Settings,
    /// How to authenticate.
    pub chap: Option<Chap>,
    /// The file `chap` was read from, to be read again when the session is recovered.
    pub credentials: Option<PathBuf>,
}

impl SessionSpec {
    /// The specification that a recorded session was made for, with its secrets.
    ///
    /// # Errors
    /// If the record holds names that are not valid, or the secrets cannot be read.
    pub fn from_record(env: &Env<'_>, record: &Record) -> Result<Self, SessionError> {
        let chap = record.credentials.as_deref().map(|path| (env.secrets)(path)).transpose()?;
        Ok(Self {
            target: record.target.parse().map_err(TransportError::from)?,
            portal: record.portal.parse().map_err(TransportError::from)?,
            interface: record.interface.clone(),
            settings: record.settings,
            chap: chap.and_then(|credentials| credentials.login),
            credentials: record.credentials.clone(),
        })
    }

    /// What tells the session from others.
    pub fn key(&self) -> SessionKey {
        let (target, portal) = (self.target.to_string(), self.portal.to_string());
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

    /// The record of the session while it is made; its portal has this address.
    pub(super) fn record(&self, env: &Env<'_>, sid: SessionId, address: SocketAddr) -> Record {
        Record {
            sid,
            boot_id: env.registry.boot_id().to_owned(),
            phase: Phase::Starting,
            target: self.target.to_string(),
            portal: self.portal.to_string(),
            interface: self.interface.clone(),
            initiator: env.initiator.to_string(),
            credentials: self.credentials.clone(),
            settings: self.settings,
            only: Some(BTreeSet::new()),
            time2wait: 0,
            address: matches!(self.portal.host, Host::Name(_)).then(|| address.to_string()),
            luns: BTreeMap::new(),
        }
    }

    /// What the login is to achieve.
    pub(super) fn login(
        &self,
        initiator: &IscsiName,
        isid: Isid,
        numbering: Numbering,
        exp_stat_sn: u32,
    ) -> login::Settings {
        login::Settings {
            initiator: initiator.clone(),
            kind: SessionKind::Normal(self.target.clone()),
            isid,
            numbering,
            exp_stat_sn,
            chap: self.chap.clone(),
            offer: self.settings.offer(),
        }
    }

    /// The kernel's parameters that are known before the login.
    pub(super) fn parameters(&self, initiator: &str) -> Vec<(Param, String)> {
        let Endpoint { address, port } = endpoint(&self.portal);
        let (target, interface) = (self.target.as_str(), self.interface.as_ref());
        self.settings.before_login(&SessionNames { target, initiator, address: &address, port, interface })
    }

    /// The same for the interface of a session of ours that is what is wanted, if there is one: it has the locks of
    /// that interface.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub(super) fn as_met(&self, env: &Env<'_>) -> Result<Self, SessionError> {
        let here = self.key();
        let of_ours = env.registry.records()?.into_iter().filter(|record| {
            self.interface.is_none()
                && (&record.target, &record.portal) == (&here.target, &here.portal)
                && sysfs::session(&env.roots, record.sid).is_some_and(|session| record.is_of(&session))
        });
        let first = of_ours.map(|record| record.interface).min();
        let interface = first.unwrap_or_else(|| self.interface.clone());
        Ok(Self { interface, ..self.clone() })
    }

    /// Whether a session, whoever made it, satisfies this: the same target by the same portal, and by the same
    /// interface if one is requested.
    pub fn is_met_by(&self, session: &Session) -> bool {
        let here = endpoint(&self.portal);
        session.target == self.target.as_str()
            && session.portal.as_ref() == Some(&here)
            && self.may_be_by_interface_of(session)
    }

    /// Whether a session uses the requested interface, or none is requested.
    pub(super) fn may_be_by_interface_of(&self, session: &Session) -> bool {
        self.interface.as_ref().is_none_or(|wanted| session.bound_to() == Some(wanted.as_str()))
    }
}

/// A portal as the kernel is told it: without brackets.
pub fn endpoint(portal: &Portal) -> Endpoint {
    let address = match &portal.host {
        Host::V4(address) => address.to_string(),
        Host::V6 { address, scope: None } => address.to_string(),
        Host::V6 { address, scope: Some(scope) } => format!("{address}%{scope}"),
        Host::Name(name) => name.clone(),
    };
    Endpoint { address, port: portal.port }
}
