//! Clearing what processes that died have left half done.

use super::claims::Claims;
use super::destroy::destroy;
use super::env::Env;
use super::error::SessionError;
use crate::host::netlink::control::Control;
use crate::host::registry::{Phase, Record};
use crate::host::sysfs::{self, Session};
use crate::protocol::interface::message::SessionId;

/// The outcome for a session that was left half done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swept {
    /// The session.
    pub sid: SessionId,
    /// Its target; empty if it had not been told.
    pub target: String,
    /// Why it stays and is looked after as before: a disk of it is in use. Else it is gone.
    pub kept: Option<String>,
}

/// Removes sessions whose makers or removers died half way, and records of sessions that are gone. Whatever somebody
/// still works on is left alone. One that cannot be removed does not keep the others.
///
/// # Errors
/// If the registry cannot be read, or the kernel does not remove a session: the first error, after all were tried.
pub fn sweep(env: &Env<'_>) -> Result<Vec<Swept>, SessionError> {
    env.registry.remove_unfinished()?;
    let results: Vec<_> = env.registry.records()?.iter().map(|record| sweep_one(env, record)).collect();
    let swept: Vec<Option<Swept>> = results.into_iter().collect::<Result<_, _>>()?;
    Ok(swept.into_iter().flatten().collect())
}

/// The same for who has something else to do: what others have left behind is no reason to fail that.
pub fn sweep_if_possible(env: &Env<'_>) {
    if let Err(error) = sweep(env) {
        tracing::warn!(%error, "not all that was left half done could be cleared away");
    }
}

fn sweep_one(env: &Env<'_>, record: &Record) -> Result<Option<Swept>, SessionError> {
    let session = sysfs::session(&env.roots, record.sid).filter(|session| record.is_of(session));
    if record.phase == Phase::Up && session.is_some() {
        return Ok(None);
    }
    let Some(_luns) = env.registry.try_lock(&record.luns_lock_name())? else { return Ok(None) };
    let Some(_session) = env.registry.try_lock(&record.lock_name())? else { return Ok(None) };
    // It may have changed until the locks were had.
    env.registry.record(record.sid).map_or(Ok(None), |record| abandoned(env, &record))
}

/// Removes one session if its record says that it is half done, unless somebody uses a disk of it: whoever began to
/// take it down had claimed the disks, but those claims died with him, and others may have begun to use them since.
/// Such a session is one that works, or is to be made to work, again. Only for who holds its locks.
///
/// # Errors
/// If the kernel does not remove it.
pub fn abandoned(env: &Env<'_>, record: &Record) -> Result<Option<Swept>, SessionError> {
    let Some(session) = sysfs::session(&env.roots, record.sid).filter(|session| record.is_of(session)) else {
        env.registry.remove(record.sid)?;
        return Ok(None);
    };
    if record.phase == Phase::Up {
        return Ok(None);
    }
    let swept = Swept { sid: session.sid, target: record.target.clone(), kept: None };
    match Claims::take(env, &session) {
        Ok(claims) => {
            tracing::warn!(sid = %record.sid, target = %record.target, "removing a session that was left half done");
            destroy(env, (env.open)()?.as_mut(), record.sid, claims)?;
            Ok(Some(swept))
        }
        Err(error) => {
            tracing::warn!(sid = %record.sid, %error, "a session that was left half done stays");
            env.registry.put(&Record { phase: Phase::Up, ..record.clone() })?;
            Ok(Some(Swept { kept: Some(error.to_string()), ..swept }))
        }
    }
}

/// Removes the session of a process that died between making it and recording it, and its intent. Only for who holds
/// the lock `create`.
pub(super) fn unfinished_intent(env: &Env<'_>, control: &mut dyn Control) -> Result<(), SessionError> {
    let Some(intent) = env.registry.intent()? else { return Ok(()) };
    let sessions = sysfs::sessions(&env.roots)
        .map_err(|source| SessionError::Io { action: "list the iSCSI sessions".into(), source })?;
    let is_recorded =
        |session: &Session| env.registry.record(session.sid).is_some_and(|record| record.is_of(session));
    for session in sessions.iter().filter(|session| intent.made(session) && !is_recorded(session)) {
        tracing::warn!(sid = %session.sid, "removing a session that was never recorded");
        let claims = Claims::take(env, session)?;
        destroy(env, control, session.sid, claims)?;
    }
    Ok(env.registry.remove_intent()?)
}
