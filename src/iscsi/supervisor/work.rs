//! The work on one session, done in a thread of its own.

use std::time::Duration;

use nix::errno::Errno;

use crate::host::limit::Limit;
use crate::host::netlink::control::{Control, ControlError};
use crate::host::registry::{Phase, Record};
use crate::host::sysfs::{self, Session, SessionState};
use crate::host::transport::TransportError;
use crate::protocol::interface::message::{Request, SessionId, Stop};
use crate::protocol::login::LoginError;
use crate::protocol::pdu::{LogoutReason, LogoutRequest, LogoutResponse, opcode};
use crate::session::attach::rescan;
use crate::session::await_event::await_pdu;
use crate::session::env::Env;
use crate::session::error::SessionError;
use crate::session::recover::recover;
use crate::watch::{Outcome, Task};
use base::error_chain::in_words;
use base::error_kind::ErrorKind;

/// How long one try may take: a target that is slower than this is not there.
const TRY: Duration = Duration::from_secs(20);

/// How long the target may take to answer a goodbye it has asked for.
const GOODBYE: Duration = Duration::from_secs(5);

/// Does a task. What went wrong is in the log.
pub fn work(env: &Env<'_>, sid: SessionId, task: Task) -> Outcome {
    match try_to(env, sid, task) {
        Ok(outcome) => outcome,
        Err(error) => {
            let causes = in_words(&error);
            tracing::warn!(%sid, "{task:?} failed: {causes}");
            if is_refusal(&error) { Outcome::Refused } else { Outcome::Failed }
        }
    }
}

/// Whether a repetition alone does not help.
fn is_refusal(error: &SessionError) -> bool {
    error.kind() == ErrorKind::Refused
        && !matches!(error, SessionError::Control(ControlError::Refused { .. }))
}

fn try_to(env: &Env<'_>, sid: SessionId, task: Task) -> Result<Outcome, SessionError> {
    let limit = Limit::new(TRY);
    let Some(record) = env.registry.record(sid) else { return Ok(Outcome::Done) };
    if task == Task::Rescan {
        look_at_luns(env, &record, &limit)?;
        return Ok(Outcome::Done);
    }
    let _lock = env.registry.lock(&record.lock_name(), &limit)?;
    // While the lock was waited for, the session may have been ended, or recovered by a login.
    let Some(record) = env.registry.record(sid).filter(|record| record.phase == Phase::Up) else {
        return Ok(Outcome::Done);
    };
    let Some(session) = session_of(env, &record) else { return Ok(Outcome::Done) };
    match (task, session.state) {
        (Task::Recover, SessionState::LoggedIn) => return Ok(Outcome::Done),
        (Task::Relogin, SessionState::LoggedIn) => return part(env, &record).map(Outcome::Parted),
        _ => {}
    }
    // The wait that the target asks for is over.
    let agreed = recover(env, &record, Duration::ZERO, &limit)?;
    tracing::info!(%sid, target = %record.target, requests = agreed.requests, "the session has a connection again");
    Ok(Outcome::Done)
}

fn look_at_luns(env: &Env<'_>, record: &Record, limit: &Limit) -> Result<(), SessionError> {
    let sid = record.sid;
    let Some(session) = session_of(env, record).filter(|session| session.state == SessionState::LoggedIn)
    else {
        return Ok(());
    };
    let ready = rescan(env, &session, limit)?;
    for change in ready.attached.changes {
        tracing::info!(%sid, ?change, "a LUN has changed");
    }
    for error in ready.missing {
        tracing::warn!(%sid, %error, "a LUN is missing");
    }
    Ok(())
}

/// Leaves the connection as the target has asked for, and says how long to stay away. The kernel would go on to think
/// that the session is logged in: the connection is stopped, so that I/O waits.
fn part(env: &Env<'_>, record: &Record) -> Result<Duration, SessionError> {
    let sid = record.sid;
    let mut control = (env.open)()?;
    let agreed = Duration::from_secs(record.time2wait.into());
    let wait = say_goodbye(control.as_mut(), sid).unwrap_or_else(|error| {
        tracing::warn!(%sid, %error, "the logout that the target requested failed; its session is dropped");
        None
    });
    control.request(&Request::StopConn(sid, Stop::Recover))?;
    Ok(wait.unwrap_or(agreed))
}

fn session_of(env: &Env<'_>, record: &Record) -> Option<Session> {
    sysfs::session(&env.roots, record.sid).filter(|session| record.is_of(session))
}

/// Logs out of the connection, as a target has asked with an Asynchronous Message; gives Time2Wait of its answer.
fn say_goodbye(control: &mut dyn Control, sid: SessionId) -> Result<Option<Duration>, SessionError> {
    let goodbye =
        LogoutRequest { reason: LogoutReason::CloseConnection, itt: 0, cid: 0, cmd_sn: 0, exp_stat_sn: 0 };
    match control.request(&Request::SendPdu { sid, pdu: goodbye.encode() }) {
        // The connection is gone already.
        Err(error) if error.errno() == Some(Errno::ENOTCONN) => return Ok(None),
        other => drop(other?),
    }
    let limit = Limit::new(GOODBYE);
    let answer = await_pdu(control, sid, opcode::LOGOUT_RESPONSE, "the goodbye", &limit)?;
    let answer = LogoutResponse::decode(&answer).map_err(LoginError::from).map_err(TransportError::from)?;
    Ok(Some(Duration::from_secs(answer.time2wait.into())))
}
