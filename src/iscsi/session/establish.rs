//! Seeing to it that there is a session: found, recovered, or made.

use std::time::Duration;

use serde::Serialize;

use super::build::{build, connect};
use super::env::Env;
use super::error::SessionError;
use super::recover::recover;
use super::spec::SessionSpec;
use super::sweep::{abandoned, sweep_if_possible};
use crate::host::limit::Limit;
use crate::host::registry::Record;
use crate::host::sysfs::{self, Endpoint, Session, SessionState};
use crate::protocol::interface::message::SessionId;

/// How there came to be a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionOutcome {
    /// It was made.
    LoggedIn,
    /// It was there.
    AlreadyThere,
    /// It was there, without a connection, and has one again.
    Recovered,
}

/// A session that is there.
#[derive(Debug)]
pub struct Established {
    /// The session.
    pub session: Session,
    /// How it came to be.
    pub outcome: SessionOutcome,
    /// Its record, if it is thinvol's.
    pub record: Option<Record>,
}

/// Makes sure that the requested session exists and is logged in. The caller must hold its lock.
///
/// # Errors
/// What prevents it; no new session is left behind.
pub fn establish(env: &Env<'_>, spec: &SessionSpec, limit: &Limit) -> Result<Established, SessionError> {
    sweep_if_possible(env);
    if let Some(record) = own_record(env, spec)? {
        // Our lock is held, so whoever left this half done is dead.
        abandoned(env, &record)?;
    }
    if let Some(session) = list(env)?.into_iter().find(|session| spec.is_met_by(session)) {
        return found(env, session, limit);
    }
    let line = connect(env, spec, &spec.portal, limit)?;
    // The portal may have been given by another name than the session was made with.
    let peer = Endpoint { address: line.peer().ip().to_string(), port: line.peer().port() };
    let same = |session: &Session| {
        session.target == spec.target.as_str()
            && session.connected_to.as_ref() == Some(&peer)
            && spec.may_be_by_interface_of(session)
    };
    if let Some(session) = list(env)?.into_iter().find(same) {
        return found(env, session, limit);
    }
    let (record, _) = build(env, spec, line, limit)?;
    let session = lookup(env, record.sid)?;
    Ok(Established { session, outcome: SessionOutcome::LoggedIn, record: Some(record) })
}

fn found(env: &Env<'_>, session: Session, limit: &Limit) -> Result<Established, SessionError> {
    let record = env.registry.record(session.sid).filter(|record| record.is_of(&session));
    match (session.state, record) {
        (SessionState::LoggedIn, record) => {
            Ok(Established { session, outcome: SessionOutcome::AlreadyThere, record })
        }
        (state, None) => Err(SessionError::Foreign { sid: session.sid, target: session.target, state }),
        (_, Some(record)) => {
            // Since when the connection is lost is not known here.
            recover(env, &record, Duration::from_secs(record.time2wait.into()), limit)?;
            let session = lookup(env, record.sid)?;
            Ok(Established { session, outcome: SessionOutcome::Recovered, record: Some(record) })
        }
    }
}

fn own_record(env: &Env<'_>, spec: &SessionSpec) -> Result<Option<Record>, SessionError> {
    let name = spec.lock_name();
    Ok(env.registry.records()?.into_iter().find(|record| record.lock_name() == name))
}

/// The sessions there are.
///
/// # Errors
/// If sysfs cannot be read.
pub fn list(env: &Env<'_>) -> Result<Vec<Session>, SessionError> {
    sysfs::sessions(&env.roots)
        .map_err(|source| SessionError::Io { action: "list the iSCSI sessions".into(), source })
}

/// A session that should be there.
///
/// # Errors
/// If it is gone.
pub fn lookup(env: &Env<'_>, sid: SessionId) -> Result<Session, SessionError> {
    sysfs::session(&env.roots, sid)
        .ok_or_else(|| SessionError::NoSession { what: format!("{sid}: it went away meanwhile") })
}
