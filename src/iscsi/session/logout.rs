//! Ending a session.
//!
//! The order, and why:
//! 1. Claim every disk of the session. The kernel would let a session go under a mounted file system; from here until
//!    the devices are gone nobody can begin to use them. One that is in use ends the logout: nothing was changed.
//! 2. Record that the session is being taken down: if this process dies, the next one goes on.
//! 3. While the target answers: write back what the page cache holds, remove the devices, wait until they are gone, and
//!    say goodbye to the target. What fails here is passed over: the session goes all the same.
//!    A session without a connection skips this: removing devices whose target is silent waits for the replacement
//!    timeout.
//! 4. Stop the connection for good, so that nothing waits for it, and remove the connection and the session.
//! 5. Remove the record.

use std::time::Duration;

use super::await_event::{await_pdu, await_unbound};
use super::bounded::bounded;
use super::claims::Claims;
use super::destroy::destroy;
use super::env::Env;
use super::error::SessionError;
use super::luns;
use crate::host::limit::Limit;
use crate::host::netlink::control::Control;
use crate::host::registry::{Phase, Record};
use crate::host::sysfs::{self, Session, SessionState};
use crate::protocol::interface::message::Request;
use crate::protocol::pdu::{LogoutReason, LogoutRequest, opcode};

/// How long the polite part may take before the session is ended without it.
const POLITE: Duration = Duration::from_secs(20);

/// How long the target may take to answer a goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// Ends a session of ours. Only for who holds its lock.
///
/// # Errors
/// If a disk of it is in use: then nothing was changed. If the kernel does not let it go: then a later attempt goes on.
pub fn log_out(env: &Env<'_>, session: &Session, record: &Record) -> Result<(), SessionError> {
    let claims = Claims::take(env, session)?;
    env.registry.put(&Record { phase: Phase::Leaving, ..record.clone() })?;
    let mut control = (env.open)()?;
    if session.state == SessionState::LoggedIn
        && let Err(error) = part_politely(env, control.as_mut(), session, &claims)
    {
        tracing::warn!(sid = %session.sid, %error, "the session is ended without ceremony");
    }
    destroy(env, control.as_mut(), session.sid, claims)
}

fn part_politely(
    env: &Env<'_>,
    control: &mut dyn Control,
    session: &Session,
    claims: &Claims,
) -> Result<(), SessionError> {
    let limit = Limit::new(POLITE);
    let to_write = claims.clone();
    bounded(&limit, "writing back", move || to_write.write_back())?;
    for lun in sysfs::luns(&env.roots, session) {
        luns::delete(env, &lun, &limit)?;
    }
    let sid = session.sid;
    control.request(&Request::UnbindSession(sid))?;
    await_unbound(control, sid, || sysfs::luns(&env.roots, session).is_empty(), &limit)?;
    // The kernel numbers it.
    let goodbye =
        LogoutRequest { reason: LogoutReason::CloseSession, itt: 0, cid: 0, cmd_sn: 0, exp_stat_sn: 0 };
    control.request(&Request::SendPdu { sid, pdu: goodbye.encode() })?;
    await_pdu(control, sid, opcode::LOGOUT_RESPONSE, "the goodbye", &Limit::new(GOODBYE)).map(drop)
}
