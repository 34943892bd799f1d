//! The whole of a login: a session, and the wanted LUNs with their devices.

use super::build::undo;
use super::env::Env;
use super::error::SessionError;
use super::establish::{Established, How, establish, list};
use super::luns::{Attached, Wanted, attach, delete};
use super::wish::Wish;
use crate::host::limit::Limit;
use crate::host::sysfs::{Lun, Session};
use crate::protocol::wwid::Wwid;

/// Which LUNs are wanted, and what one of them must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LunWish {
    /// Which.
    pub wanted: Option<Wanted>,
    /// What each of them must be, if one name is given for all: there is one then.
    pub wwid: Option<Wwid>,
}

impl LunWish {
    /// All LUNs, whatever they are.
    pub const ALL: Self = Self { wanted: Some(Wanted::All), wwid: None };

    /// Whether all LUNs are wanted.
    pub fn scans_all(&self) -> bool {
        self.wanted == Some(Wanted::All)
    }
}

/// A session with its devices.
#[derive(Debug)]
pub struct Ready {
    /// The session.
    pub session: Session,
    /// How it came to be.
    pub how: How,
    /// Whether it is thinvol's.
    pub is_ours: bool,
    /// What was done, and what there is.
    pub attached: Attached,
}

/// Logs in and attaches. What fails leaves nothing that was not there before.
///
/// # Errors
/// Says what is in the way.
pub fn log_in(env: &Env<'_>, wish: &Wish, luns: &LunWish, limit: &Limit) -> Result<Ready, SessionError> {
    let _lock = env.registry.lock(&wish.lock_name(), limit)?;
    let there = establish(env, wish, limit)?;
    match attach_wanted(env, &there, luns, limit) {
        Ok(attached) => {
            let Established { session, how, record } = there;
            Ok(Ready { session, how, is_ours: record.is_some(), attached })
        }
        Err(error) if there.how == How::LoggedIn => {
            Err(undo(env, (env.open)()?.as_mut(), there.session.sid, error))
        }
        Err(error) => Err(error),
    }
}

/// Attaches to a session that somebody else has made.
///
/// # Errors
/// Says what is in the way.
pub fn adopt(env: &Env<'_>, wish: &Wish, luns: &LunWish, limit: &Limit) -> Result<Ready, SessionError> {
    let session = list(env)?.into_iter().find(|session| wish.is_met_by(session));
    let session = session
        .ok_or_else(|| SessionError::NoSession { what: format!("to {} at {}", wish.target, wish.portal) })?;
    let record = env.registry.record(session.sid).filter(|record| record.is_of(&session));
    let there = Established { session, how: How::LoggedIn, record };
    let attached = attach_wanted(env, &there, luns, limit)?;
    Ok(Ready { session: there.session, how: there.how, is_ours: there.record.is_some(), attached })
}

/// Looks for changes of a session's LUNs: of those it was made for, or of all. Says whether it is ours.
///
/// # Errors
/// Says what is in the way.
pub fn rescan(env: &Env<'_>, session: &Session, limit: &Limit) -> Result<(Attached, bool), SessionError> {
    let record = env.registry.record(session.sid).filter(|record| record.is_of(session));
    let is_ours = record.is_some();
    let _lock = match &record {
        Some(record) => Some(env.registry.lock(&record.lock_name(), limit)?),
        None => None,
    };
    let wanted = record.as_ref().and_then(|record| record.only.clone()).map_or(Wanted::All, Wanted::Only);
    // What was attached may be gone: no LUN is missed here.
    let there = Established { session: session.clone(), how: How::AlreadyThere, record };
    let attached = attach_and_record(env, &there, &wanted, limit)?;
    Ok((attached, is_ours))
}

fn attach_wanted(
    env: &Env<'_>,
    there: &Established,
    luns: &LunWish,
    limit: &Limit,
) -> Result<Attached, SessionError> {
    let Some(wanted) = &luns.wanted else { return Ok(Attached::default()) };
    let attached = attach_and_record(env, there, wanted, limit)?;
    if let Some(lun) = attached.missing(wanted) {
        return Err(SessionError::NoLun { target: there.session.target.clone(), lun });
    }
    for lun in &attached.luns {
        if let Err(error) = check(&there.session, lun, luns.wwid.as_ref()) {
            // A disk that nobody asked for must not lie about, least of all under a name that was somebody's.
            if attached.is_new(lun) {
                delete(env, lun, limit)?;
            }
            return Err(error);
        }
    }
    Ok(attached)
}

fn attach_and_record(
    env: &Env<'_>,
    there: &Established,
    wanted: &Wanted,
    limit: &Limit,
) -> Result<Attached, SessionError> {
    let before = there.record.as_ref().map(|record| record.luns.clone()).unwrap_or_default();
    let attached = attach(env, &there.session, wanted, &before, limit)?;
    if let Some(record) = &there.record {
        let mut record = record.clone();
        record.only = match (record.only, wanted) {
            (Some(before), Wanted::Only(some)) => Some(&before | some),
            _ => None,
        };
        let gone = attached.gone();
        record.luns.retain(|lun, _| !gone.contains(lun));
        record.luns.extend(attached.luns.iter().filter_map(|lun| Some((lun.address.lun, lun.wwid.clone()?))));
        env.registry.put(&record)?;
    }
    Ok(attached)
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
