//! Giving a session whose connection is lost a new one.
//!
//! The order, and why:
//! 1. Stop the connection for recovery. The kernel refuses to bind a new socket before, whatever its state is. Then
//!    wait as long as the target has said.
//! 2. Connect, bind, set the parameters.
//! 3. Log in through the kernel: its command numbers go on from where they were, and only it knows them. The ISID is
//!    that of the session, so the target takes the new connection for the old session's.
//! 4. Set what was agreed on, and start: commands that waited are sent, devices work again.
//!
//! A failure leaves the session as it was, without a connection: I/O waits until the replacement timeout, and a later
//! recovery starts over.

use std::time::Duration;

use super::await_event::await_pdu;
use super::build::{bind, connect, set};
use super::env::Env;
use super::error::SessionError;
use super::spec::SessionSpec;
use crate::host::connection::{Connection, Ended, nonce};
use crate::host::limit::Limit;
use crate::host::netlink::control::Control;
use crate::host::registry::Record;
use crate::host::transport::TransportError;
use crate::protocol::chap::Nonce;
use crate::protocol::interface::message::{Request, SessionId, Stop};
use crate::protocol::login::{self, LoggedIn, Login, LoginStep, Numbering, Redirections};
use crate::protocol::name::Isid;
use crate::protocol::pdu::opcode;
use crate::protocol::settings::after_login;

/// Recovers a session of ours; `wait` is what is left of the time the target wants to have before. Only for who holds
/// its lock.
///
/// # Errors
/// Says which step failed; the session is without a connection then, as before.
pub fn recover(
    env: &Env<'_>,
    record: &Record,
    wait: Duration,
    limit: &Limit,
) -> Result<LoggedIn, SessionError> {
    let spec = SessionSpec::from_record(env, record)?;
    let mut control = (env.open)()?;
    let sid = record.sid;
    control.request(&Request::StopConn(sid, Stop::Recover))?;
    let given_up = |why| SessionError::GivenUp { what: "the wait that the target asks for".into(), why };
    limit.rest(wait).map_err(given_up)?;
    let recovered = reconnect(env, control.as_mut(), record, &spec, limit);
    if recovered.is_err()
        && let Err(error) = control.request(&Request::StopConn(sid, Stop::Recover))
    {
        // The socket must not stay bound half way through a login; the next recovery starts with this, too.
        tracing::warn!(%sid, %error, "a connection that failed to recover could not be stopped");
    }
    recovered
}

fn reconnect(
    env: &Env<'_>,
    control: &mut dyn Control,
    record: &Record,
    spec: &SessionSpec,
    limit: &Limit,
) -> Result<LoggedIn, SessionError> {
    let sid = record.sid;
    let mut redirections = Redirections::start(spec.portal.clone());
    let mut line = Some(reach(env, record, spec, limit)?);
    loop {
        let line = match line.take() {
            Some(line) => line,
            None => connect(env, spec, redirections.here(), limit)?,
        };
        bind(control, sid, &line.into_stream())?;
        set(control, sid, spec.parameters(&record.initiator))?;
        let initiator = record.initiator.parse().map_err(TransportError::from)?;
        let settings = spec.login(&initiator, Isid::of_kernel_session(sid.0), Numbering::Kernel, 0);
        match log_in(control, sid, settings, nonce(), limit)? {
            Ended::LoggedIn(agreed) => {
                set(control, sid, after_login(&agreed))?;
                control.request(&Request::StartConn(sid))?;
                return Ok(*agreed);
            }
            Ended::Redirect(redirect) => {
                redirections.follow(redirect.portal).map_err(TransportError::from)?;
                control.request(&Request::StopConn(sid, Stop::Recover))?;
            }
        }
    }
}

/// Connects to the portal: where it was before, if it has a name. To look the name up may mean to read files, and those
/// may lie on the disk that has lost its connection; so that comes second.
fn reach(
    env: &Env<'_>,
    record: &Record,
    spec: &SessionSpec,
    limit: &Limit,
) -> Result<Connection, SessionError> {
    if let Some(before) = record.address.as_ref().and_then(|address| address.parse().ok()) {
        match connect(env, spec, &before, &limit.part(limit.left() / 2)) {
            Ok(line) => return Ok(line),
            Err(error) => tracing::info!(%error, portal = %spec.portal, "the portal is not where it was"),
        }
    }
    connect(env, spec, &spec.portal, limit)
}

/// The login, each PDU sent and received by the kernel.
fn log_in(
    control: &mut dyn Control,
    sid: SessionId,
    settings: login::Settings,
    nonce: Nonce,
    limit: &Limit,
) -> Result<Ended, SessionError> {
    let (mut login, mut request) = Login::start(settings, nonce);
    loop {
        control.request(&Request::SendPdu { sid, pdu: request })?;
        let response = await_pdu(control, sid, opcode::LOGIN_RESPONSE, "the login", limit)?;
        match login.answer(&response).map_err(TransportError::from)? {
            LoginStep::Send(next) => request = next,
            LoginStep::Done(agreed) => return Ok(Ended::LoggedIn(agreed)),
            LoginStep::Redirect(redirect) => return Ok(Ended::Redirect(redirect)),
        }
    }
}
