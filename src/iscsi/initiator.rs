//! The initiator: targets found, and sessions to them made, shown, looked at and ended, whoever's they are. Who calls
//! this need not know whether thinvol or iscsid does it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::host::coexist::SessionBackend;
use crate::host::discover::{DiscoverError, Discovered, DiscoveryClient, discover_all};
use crate::host::initiator::{INITIATOR_FILE, InitiatorError, initiator};
use crate::host::iscsiadm;
use crate::host::limit::{Limit, Limits};
use crate::host::netlink::control::{Control, ControlError};
use crate::host::netlink::socket::{Listen, Netlink};
use crate::host::registry::{LockName, REGISTRY, Record, Registry, RegistryError};
use crate::host::sysfs::{self, Lun, Session};
use crate::host::transport::Tcp;
use crate::protocol::name::IscsiName;
use crate::protocol::portal::Portal;
use crate::session::attach::{self, Adopted, AttachedSession, LunSelection, adopt};
use crate::session::claims::Claims;
use crate::session::env::{Env, from_file};
use crate::session::error::SessionError;
use crate::session::establish::{SessionOutcome, list};
use crate::session::logout;
use crate::session::spec::SessionSpec;
use crate::session::sweep::{Swept, sweep, sweep_if_possible};
use crate::session::usage;
use sys::io::events::Subscribe;
use sys::io::roots::Roots;

/// How long it may take to undo a login by iscsiadm whose LUNs cannot be had.
const UNDO: Duration = Duration::from_secs(30);

/// Who is to make or end a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// thinvol where it can, iscsid where the session is or must be its own.
    Auto,
    /// thinvol, by the kernel's interface.
    Native,
    /// iscsid, called through iscsiadm.
    Iscsiadm,
}

/// Why there is no initiator on this machine.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The machine has no name as an initiator.
    #[error(transparent)]
    Name(#[from] InitiatorError),
    /// The registry cannot be made.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// A session that is there.
#[derive(Clone, Debug)]
pub struct ShownSession {
    /// It.
    pub session: Session,
    /// Whether it is thinvol's.
    pub is_ours: bool,
    /// Its LUNs.
    pub luns: Vec<Lun>,
}

/// This machine as an initiator.
pub struct Initiator<'a> {
    env: Env<'a>,
}

impl Initiator<'static> {
    /// The one of this machine; only root can do anything with it.
    ///
    /// # Errors
    /// If the machine has no initiator name, or the registry cannot be made.
    pub fn of_this_machine(events: Subscribe) -> Result<Self, OpenError> {
        let initiator = initiator(Path::new(INITIATOR_FILE))?;
        Ok(Self::new(Env {
            open: &open_netlink,
            transport: &Tcp,
            roots: Roots::default(),
            registry: Registry::open(Path::new(REGISTRY))?,
            initiator,
            events,
            secrets: Arc::new(from_file),
            claim: usage::claim,
        }))
    }
}

fn open_netlink() -> Result<Box<dyn Control>, ControlError> {
    Ok(Box::new(Netlink::open(Listen::Events)?))
}

impl<'a> Initiator<'a> {
    /// One with these surroundings.
    pub fn new(env: Env<'a>) -> Self {
        Self { env }
    }

    /// Its surroundings, for a supervisor.
    pub fn into_env(self) -> Env<'a> {
        self.env
    }

    /// Its name.
    pub fn name(&self) -> &IscsiName {
        &self.env.initiator
    }

    /// Asks portals for their targets, all at the same time. This needs nothing of the machine but its network, and no
    /// rights.
    pub fn discover(
        portals: &[Portal],
        client: &DiscoveryClient,
        limit: &Limit,
    ) -> Vec<(Portal, Result<Discovered, DiscoverError>)> {
        discover_all(portals, client, limit)
    }

    /// Sees to it that there is a session with its LUNs, and says who made it or would.
    ///
    /// # Errors
    /// If it cannot be had; what was made of it is taken down again, unless somebody uses a disk of it already.
    pub fn log_in(
        &self,
        via: Via,
        spec: &SessionSpec,
        luns: &LunSelection,
        limits: &Limits,
    ) -> Result<(AttachedSession, SessionBackend), SessionError> {
        if via != Via::Iscsiadm {
            match attach::log_in(&self.env, spec, luns, limits) {
                Err(SessionError::Control(ControlError::CreatorBusy { .. })) if via == Via::Auto => {}
                result => return Ok((result?, SessionBackend::Native)),
            }
        }
        Ok((self.log_in_by_iscsiadm(spec, luns, limits)?, SessionBackend::Iscsiadm))
    }

    fn log_in_by_iscsiadm(
        &self,
        spec: &SessionSpec,
        luns: &LunSelection,
        limits: &Limits,
    ) -> Result<AttachedSession, SessionError> {
        if spec.credentials.is_some() {
            return Err(SessionError::SecretsForIscsiadm);
        }
        let is_there = list(&self.env)?.iter().any(|session| spec.is_met_by(session));
        if !is_there {
            let (portal, interface) = (&spec.portal, spec.interface.as_ref());
            let scan_all = luns.scans_all();
            iscsiadm::log_in(&spec.target, portal, interface, &spec.settings, scan_all, &limits.session)?;
        }
        match adopt(&self.env, spec, luns, &limits.whole)? {
            Adopted::Ready(ready) if is_there => {
                Ok(AttachedSession { outcome: SessionOutcome::AlreadyThere, ..*ready })
            }
            Adopted::Ready(ready) => Ok(*ready),
            Adopted::Unfit { error, .. } if is_there => Err(error),
            Adopted::Unfit { session, error, claims } => {
                let ended = iscsiadm::log_out(session.sid, &Limit::new(UNDO));
                // Until it is gone nobody else may begin to use its disks.
                drop(claims);
                Err(match ended {
                    Ok(()) => error,
                    Err(second) => SessionError::NotUndone {
                        sid: session.sid,
                        first: Box::new(error),
                        second: Box::new(second.into()),
                    },
                })
            }
        }
    }

    /// Ends a session, and says who did.
    ///
    /// # Errors
    /// If it is in use, not to be ended by that way, or the kernel or iscsiadm do not end it.
    pub fn log_out(
        &self,
        via: Via,
        session: &Session,
        limit: &Limit,
    ) -> Result<SessionBackend, SessionError> {
        let sid = session.sid;
        match (self.record(session), via) {
            (Some(record), Via::Auto | Via::Native) => {
                self.log_out_natively(&record, limit)?;
                Ok(SessionBackend::Native)
            }
            (Some(_), Via::Iscsiadm) => Err(SessionError::OursForIscsiadm { sid }),
            (None, Via::Native) => Err(SessionError::ForeignForNative { sid }),
            (None, Via::Auto | Via::Iscsiadm) => {
                let claims = Claims::take(&self.env, session)?;
                iscsiadm::log_out(sid, limit)?;
                drop(claims);
                match sysfs::session(&self.env.roots, sid).filter(|now| now.target == session.target) {
                    None => Ok(SessionBackend::Iscsiadm),
                    Some(_) => Err(SessionError::NotEnded { sid }),
                }
            }
        }
    }

    fn log_out_natively(&self, record: &Record, limit: &Limit) -> Result<(), SessionError> {
        let env = &self.env;
        let _luns = env.registry.lock(&record.luns_lock_name(), limit)?;
        let _session = env.registry.lock(&record.lock_name(), limit)?;
        // While the locks were waited for, it may have been ended, or recovered.
        let session = sysfs::session(&env.roots, record.sid);
        let record = env.registry.record(record.sid);
        match (session, record) {
            (Some(session), Some(record)) if record.is_of(&session) => {
                logout::log_out(env, &session, &record)
            }
            _ => Ok(()),
        }
    }

    /// The sessions there are.
    ///
    /// # Errors
    /// If sysfs cannot be read.
    pub fn sessions(&self) -> Result<Vec<Session>, SessionError> {
        list(&self.env)
    }

    /// A session with what else is known of it.
    pub fn shown(&self, session: Session) -> ShownSession {
        let luns = sysfs::luns(&self.env.roots, &session);
        ShownSession { is_ours: self.is_ours(&session), luns, session }
    }

    /// Whether a session is thinvol's.
    pub fn is_ours(&self, session: &Session) -> bool {
        self.record(session).is_some()
    }

    fn record(&self, session: &Session) -> Option<Record> {
        self.env.registry.record(session.sid).filter(|record| record.is_of(session))
    }

    /// Looks for changes of a session's LUNs.
    ///
    /// # Errors
    /// What prevents it.
    pub fn rescan(&self, session: &Session, limit: &Limit) -> Result<AttachedSession, SessionError> {
        attach::rescan(&self.env, session, limit)
    }

    /// Clears away what processes that died have left half done.
    ///
    /// # Errors
    /// If the registry cannot be read, or the kernel does not remove a session.
    pub fn sweep(&self) -> Result<Vec<Swept>, SessionError> {
        sweep(&self.env)
    }

    /// The same for who has something else to do: what others have left behind is no reason to fail that.
    pub fn sweep_if_possible(&self) {
        sweep_if_possible(&self.env);
    }

    /// Checks that no disk of a session is in use at this moment.
    ///
    /// # Errors
    /// Names who uses one.
    pub fn check_unused(&self, session: &Session) -> Result<(), SessionError> {
        Claims::take(&self.env, session).map(drop)
    }

    /// Whether a supervisor for thinvol's sessions runs.
    ///
    /// # Errors
    /// If the registry cannot be used.
    pub fn is_supervised(&self) -> Result<bool, SessionError> {
        Ok(self.env.registry.try_lock(&LockName::Supervisor)?.is_none())
    }

    /// The portals that a target was last known to be at.
    pub fn known_portals(&self, target: &IscsiName) -> Vec<Portal> {
        self.env.registry.portals(target)
    }

    /// Remembers them until the next boot; an empty list forgets them.
    ///
    /// # Errors
    /// If the registry cannot be written.
    pub fn remember_portals(&self, target: &IscsiName, portals: &[Portal]) -> Result<(), SessionError> {
        let done = match portals {
            [] => self.env.registry.remove_portals(target),
            portals => self.env.registry.put_portals(target, portals),
        };
        Ok(done?)
    }
}
