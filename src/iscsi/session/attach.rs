//! A complete login: a session, and the selected LUNs with their devices.

use std::time::Duration;

use super::claims::Claims;
use super::destroy::destroy;
use super::diskless::{Diskless, WhyDiskless};
use super::env::Env;
use super::error::SessionError;
use super::establish::{Established, SessionOutcome, establish, list};
use super::lun_set::LunSet;
use super::luns::{Attached, attach, delete_unused};
use super::spec::SessionSpec;
use crate::host::limit::{GivenUp, Limit, Limits};
use crate::host::registry::Record;
use crate::host::sysfs::{self, Lun, Session};
use crate::protocol::wwid::Wwid;

/// The LUNs to attach, and the identity that one of them must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LunSelection {
    /// Their numbers; `None` to attach none.
    pub set: Option<LunSet>,
    /// The world-wide name that the LUN must have; then there is only one.
    pub wwid: Option<Wwid>,
}

impl LunSelection {
    /// All LUNs, whatever they are.
    pub const ALL: Self = Self { set: Some(LunSet::All), wwid: None };

    /// Whether all LUNs are attached.
    pub fn scans_all(&self) -> bool {
        self.set == Some(LunSet::All)
    }
}

/// A session with its devices.
#[derive(Debug)]
pub struct AttachedSession {
    /// The session.
    pub session: Session,
    /// How it came to be.
    pub outcome: SessionOutcome,
    /// Whether it is thinvol's.
    pub is_ours: bool,
    /// The LUNs, and the changes that were made.
    pub attached: Attached,
    /// The requested LUN that is missing; the session stays for the others, or because it is in use.
    pub missing: Vec<SessionError>,
}

impl AttachedSession {
    fn new(there: Established, attached: Attached, missing: Vec<SessionError>) -> Self {
        let Established { session, outcome, record } = there;
        Self { session, outcome, is_ours: record.is_some(), attached, missing }
    }
}

/// The outcome of adopting another program's new session.
#[derive(Debug)]
pub enum Adopted {
    /// It is used.
    Ready(Box<AttachedSession>),
    /// A requested LUN is missing, and no disk is in use: the session may be ended while these claims are held.
    Unfit {
        /// The session.
        session: Box<Session>,
        /// The missing part.
        error: SessionError,
        /// Its disks.
        claims: Claims,
    },
}

/// How a login goes on that cannot have all it was to have.
enum Setback {
    /// The session is useless: it is removed, unless it is in use already.
    Undo(SessionError),
    /// The session can be used as it is.
    Serve(Attached, Vec<SessionError>),
}

/// How long to wait for another process that works on a session which is to be undone: a recovery of it ends sooner.
const UNDO_WAIT: Duration = Duration::from_secs(60);

/// Logs in and attaches. A failure leaves nothing behind, except a session one of whose disks is in use already: udev,
/// LVM and multipath open disks as soon as they appear.
///
/// # Errors
/// What prevents it.
pub fn log_in(
    env: &Env<'_>,
    spec: &SessionSpec,
    luns: &LunSelection,
    limits: &Limits,
) -> Result<AttachedSession, SessionError> {
    let spec = &spec.as_met(env)?;
    let _luns = env.registry.lock(&spec.luns_lock_name(), &limits.session)?;
    let there = {
        // Not longer than the session is made: when its connection is lost later, it must be possible to replace it.
        let _session = env.registry.lock(&spec.lock_name(), &limits.session)?;
        establish(env, spec, &limits.session)?
    };
    let error = match attach_wanted(env, &there, luns, &limits.whole) {
        Ok(attached) => return Ok(AttachedSession::new(there, attached, Vec::new())),
        Err(Setback::Serve(attached, missing)) => return Ok(AttachedSession::new(there, attached, missing)),
        Err(Setback::Undo(error)) if there.outcome != SessionOutcome::LoggedIn => return Err(error),
        Err(Setback::Undo(error)) => error,
    };
    let sid = there.session.sid;
    let _session = env.registry.lock(&spec.lock_name(), &Limit::new(UNDO_WAIT))?;
    match Claims::take(env, &there.session) {
        Ok(claims) => {
            let undone = (env.open)()
                .map_err(SessionError::from)
                .and_then(|mut control| destroy(env, control.as_mut(), sid, claims));
            Err(match undone {
                Ok(()) => error,
                Err(second) => {
                    SessionError::NotUndone { sid, first: Box::new(error), second: Box::new(second) }
                }
            })
        }
        Err(in_use) => Ok(kept(env, there, luns, error, in_use)?),
    }
}

/// A session that stays because one of its disks is in use, with the LUNs that it has.
fn kept(
    env: &Env<'_>,
    there: Established,
    luns: &LunSelection,
    error: SessionError,
    in_use: SessionError,
) -> Result<AttachedSession, SessionError> {
    let wanted = luns.set.clone().unwrap_or(LunSet::Only([].into()));
    let present = sysfs::luns(&env.roots, &there.session).into_iter();
    let present = present.filter(|lun| lun.disk.is_some() && wanted.includes(lun.address.lun)).collect();
    let attached = Attached { luns: present, ..Attached::default() };
    if let Some(record) = &there.record {
        remember(env, record, &wanted, &attached)?;
    }
    Ok(AttachedSession::new(there, attached, vec![error, in_use]))
}

/// Attaches to a session that was made by another program.
///
/// # Errors
/// What prevents it, other than the LUNs.
pub fn adopt(
    env: &Env<'_>,
    spec: &SessionSpec,
    luns: &LunSelection,
    limit: &Limit,
) -> Result<Adopted, SessionError> {
    let session = list(env)?.into_iter().find(|session| spec.is_met_by(session));
    let session = session
        .ok_or_else(|| SessionError::NoSession { what: format!("to {} at {}", spec.target, spec.portal) })?;
    let record = env.registry.record(session.sid).filter(|record| record.is_of(&session));
    let there = Established { session, outcome: SessionOutcome::LoggedIn, record };
    let ready = match attach_wanted(env, &there, luns, limit) {
        Ok(attached) => AttachedSession::new(there, attached, Vec::new()),
        Err(Setback::Serve(attached, missing)) => AttachedSession::new(there, attached, missing),
        Err(Setback::Undo(error)) => match Claims::take(env, &there.session) {
            Ok(claims) => {
                return Ok(Adopted::Unfit { session: Box::new(there.session), error, claims });
            }
            Err(in_use) => kept(env, there, luns, error, in_use)?,
        },
    };
    Ok(Adopted::Ready(Box::new(ready)))
}

/// Looks for changes of a session's LUNs: of those it was made for, or of all. Says whether it is ours.
///
/// # Errors
/// What prevents it.
pub fn rescan(env: &Env<'_>, session: &Session, limit: &Limit) -> Result<AttachedSession, SessionError> {
    let record = env.registry.record(session.sid).filter(|record| record.is_of(session));
    let _lock = match &record {
        Some(record) => Some(env.registry.lock(&record.luns_lock_name(), limit)?),
        None => None,
    };
    let wanted = record.as_ref().and_then(|record| record.only.clone()).map_or(LunSet::All, LunSet::Only);
    // What was attached may be gone: no LUN is missed here.
    let there = Established { session: session.clone(), outcome: SessionOutcome::AlreadyThere, record };
    let attached = attach_and_record(env, &there, &wanted, limit)?;
    let is_late = |lun: &&Diskless| matches!(lun.why, WhyDiskless::Unfinished { .. });
    let late = attached.diskless.iter().filter(is_late).map(|lun| diskless(session, lun)).collect();
    Ok(AttachedSession::new(there, attached, late))
}

fn attach_wanted(
    env: &Env<'_>,
    there: &Established,
    luns: &LunSelection,
    limit: &Limit,
) -> Result<Attached, Setback> {
    let Some(wanted) = &luns.set else { return Ok(Attached::default()) };
    let attached = attach_and_record(env, there, wanted, limit).map_err(Setback::Undo)?;
    if let Some(lun) = attached.missing(wanted) {
        return Err(Setback::Undo(SessionError::NoLun { target: there.session.target.clone(), lun }));
    }
    for lun in &attached.luns {
        if let Err(error) = check(&there.session, lun, luns.wwid.as_ref()) {
            // A disk that nobody asked for must not lie about, least of all under a name that was somebody's; but it is
            // not torn from under who has taken it.
            if attached.is_new(lun)
                && let Err(stays) = delete_unused(env, &there.session, lun, limit)
            {
                tracing::warn!(%stays, "the device of a disk that was not asked for stays");
            }
            return Err(Setback::Undo(error));
        }
    }
    let is_missed = |lun: &&Diskless| {
        matches!(wanted, LunSet::Only(_)) || matches!(lun.why, WhyDiskless::Unfinished { .. })
    };
    let missed: Vec<&Diskless> = attached.diskless.iter().filter(is_missed).collect();
    let Some(first) = missed.first() else { return Ok(attached) };
    let is_interrupted = matches!(first.why, WhyDiskless::Unfinished { why: GivenUp::Interrupted, .. });
    if is_interrupted || attached.luns.is_empty() {
        return Err(Setback::Undo(diskless(&there.session, first)));
    }
    let missing = missed.into_iter().map(|lun| diskless(&there.session, lun)).collect();
    Err(Setback::Serve(attached, missing))
}

fn diskless(session: &Session, lun: &Diskless) -> SessionError {
    SessionError::Diskless { target: session.target.clone(), lun: lun.lun, why: lun.why.clone() }
}

fn attach_and_record(
    env: &Env<'_>,
    there: &Established,
    wanted: &LunSet,
    limit: &Limit,
) -> Result<Attached, SessionError> {
    let before = there.record.as_ref().map(|record| record.luns.clone()).unwrap_or_default();
    let attached = attach(env, &there.session, wanted, &before, limit)?;
    if let Some(record) = &there.record {
        remember(env, record, wanted, &attached)?;
    }
    Ok(attached)
}

/// Records which LUNs the session is for, and which disks they are.
fn remember(
    env: &Env<'_>,
    record: &Record,
    wanted: &LunSet,
    attached: &Attached,
) -> Result<(), SessionError> {
    let mut record = record.clone();
    record.only = match (record.only, wanted) {
        (Some(before), LunSet::Only(some)) => Some(&before | some),
        _ => None,
    };
    let gone = attached.gone();
    record.luns.retain(|lun, _| !gone.contains(lun));
    record.luns.extend(attached.luns.iter().filter_map(|lun| Some((lun.address.lun, lun.wwid.clone()?))));
    Ok(env.registry.put(&record)?)
}

fn check(session: &Session, lun: &Lun, expected: Option<&Wwid>) -> Result<(), SessionError> {
    match expected {
        Some(expected) if lun.wwid.as_ref() != Some(expected) => Err(SessionError::WrongLun {
            target: session.target.clone(),
            lun: lun.address.lun,
            found: lun.wwid.clone(),
            expected: expected.clone(),
        }),
        _ => Ok(()),
    }
}
