//! Makes a session, and undoes that after a failure.
//!
//! The order, and why:
//! 1. Connect. Most failures are here, and the kernel has not been asked for anything yet.
//! 2. Create the session. Its number gives the ISID, so that a process that adopts the session is the same initiator
//!    port.
//! 3. Log in over the socket itself. A login that fails leaves only the bare session to be removed.
//! 4. Create the connection, bind the socket, set the parameters: the kernel takes them for a bound connection only.
//! 5. Start. From here on the session works, and its target's devices may be looked for.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use super::claims::Claims;
use super::destroy::destroy;
use super::env::Env;
use super::error::SessionError;
use super::spec::SessionSpec;
use crate::host::connection::{Connection, ConnectionError, Ended};
use crate::host::limit::Limit;
use crate::host::netlink::control::{Control, ControlError};
use crate::host::registry::{Intent, LockName, Phase, Record};
use crate::host::sysfs;
use crate::host::transport::TransportError;
use crate::protocol::interface::message::{HostNo, Request, SessionId};
use crate::protocol::interface::params::Param;
use crate::protocol::login::{LoggedIn, Numbering, Redirections};
use crate::protocol::name::Isid;
use crate::protocol::portal::Portal;
use crate::protocol::settings::after_login;

/// The number of the first command of a session: of the login, which the kernel goes on from.
const FIRST_CMD_SN: u32 = 1;

/// The task tag of a login on the socket; the kernel starts its own afterwards.
const LOGIN_TAG: u32 = 1;

/// Commands in flight, of a session and of a LUN. Source: open-iscsi `etc/iscsid.conf`.
const COMMANDS: u16 = 128;
const QUEUE_DEPTH: u16 = 32;

/// Makes a session over a line that is connected already. On failure nothing of it stays.
///
/// # Errors
/// Says which step failed, and if its undoing failed as well.
pub fn build(
    env: &Env<'_>,
    spec: &SessionSpec,
    line: Connection,
    limit: &Limit,
) -> Result<(Record, LoggedIn), SessionError> {
    let mut control = (env.open)()?;
    let (mut record, host) = create(env, control.as_mut(), spec, line.peer(), limit)?;
    let built = log_in(env, spec, record.sid, line, limit).and_then(|(agreed, socket)| {
        if let Some(interface) = &spec.interface {
            let name = interface.to_string();
            allow_unknown(control.as_mut(), &Request::SetNetInterface { sid: record.sid, host, name })?;
        }
        start(control.as_mut(), spec, &record, &agreed, &socket, limit)?;
        Ok(agreed)
    });
    let built = built.and_then(|agreed| {
        record.phase = Phase::Up;
        record.time2wait = agreed.parameters.default_time2wait;
        env.registry.put(&record)?;
        Ok(agreed)
    });
    match built {
        Ok(agreed) => Ok((record, agreed)),
        Err(first) => Err(undo(env, control.as_mut(), record.sid, first)),
    }
}

/// Creates the bare session and records it. Only one process does so at a time: see [`crate::host::registry`].
fn create(
    env: &Env<'_>,
    control: &mut dyn Control,
    spec: &SessionSpec,
    address: SocketAddr,
    limit: &Limit,
) -> Result<(Record, HostNo), SessionError> {
    let _lock = env.registry.lock(&LockName::Create, limit)?;
    super::sweep::unfinished_intent(env, control)?;
    let before = sysfs::sessions(&env.roots)
        .map_err(|source| SessionError::Io { action: "list the iSCSI sessions".into(), source })?;
    let before = before.into_iter().map(|session| session.sid).collect();
    env.registry.put_intent(&Intent { boot_id: env.registry.boot_id().to_owned(), before })?;
    let request =
        Request::CreateSession { initial_cmdsn: FIRST_CMD_SN, cmds_max: COMMANDS, queue_depth: QUEUE_DEPTH };
    let (sid, host) = match control.request(&request) {
        Ok(answer) => answer.created(),
        Err(error) => {
            // If it was only the answer that got lost, there is a session nobody has recorded.
            super::sweep::unfinished_intent(env, control)?;
            return Err(error.into());
        }
    };
    let record = spec.record(env, sid, address);
    if let Err(error) = env.registry.put(&record).and_then(|()| env.registry.remove_intent()) {
        return Err(undo(env, control, sid, error.into()));
    }
    Ok((record, host))
}

/// How often a login is begun anew where the target drops the connection, and the wait before that. A target that takes
/// one login after another does so when it is asked for many at once.
const RETRIES: u32 = 5;
const RETRY_WAIT: Duration = Duration::from_millis(200);

/// The first wait where the target says that the fault is its own and may pass (status class 3); each further one is
/// twice as long, so that it has six seconds. Source: RFC 7143 section 11.13.5 (class 3 may be retried).
const UNAVAILABLE_WAIT: Duration = Duration::from_millis(200);

/// Connects to a portal through the requested interface.
pub(super) fn connect(
    env: &Env<'_>,
    spec: &SessionSpec,
    portal: &Portal,
    limit: &Limit,
) -> Result<Connection, SessionError> {
    Ok(env.transport.connect(portal, spec.interface.as_ref(), limit).map_err(TransportError::from)?)
}

/// Logs in over the socket, following the target where it has moved.
fn log_in(
    env: &Env<'_>,
    spec: &SessionSpec,
    sid: SessionId,
    mut line: Connection,
    limit: &Limit,
) -> Result<(LoggedIn, TcpStream), SessionError> {
    let mut redirections = Redirections::start(spec.portal.clone());
    let mut retries = RETRIES;
    let given_up = |why| SessionError::GivenUp { what: "the login".into(), why };
    loop {
        let numbering = Numbering::Ours { itt: LOGIN_TAG, cmd_sn: FIRST_CMD_SN };
        let settings = spec.login(&env.initiator, Isid::of_kernel_session(sid.0), numbering, 0);
        let ended = match env.transport.log_in(&mut line, settings) {
            Err(ConnectionError::Closed { .. } | ConnectionError::Lost { .. }) if retries > 0 => {
                retries -= 1;
                limit.nap(RETRY_WAIT).map_err(given_up)?;
                line = connect(env, spec, redirections.here(), limit)?;
                continue;
            }
            Err(error) if error.may_pass_soon() && retries > 0 => {
                let wait = UNAVAILABLE_WAIT * 2_u32.pow(RETRIES - retries);
                retries -= 1;
                // What the target says is worth more than that there is no time to ask again.
                if limit.left() <= wait {
                    return Err(TransportError::from(error).into());
                }
                tracing::info!(%error, ?wait, "asked again");
                limit.rest(wait).map_err(given_up)?;
                line = connect(env, spec, redirections.here(), limit)?;
                continue;
            }
            ended => ended.map_err(TransportError::from)?,
        };
        match ended {
            Ended::LoggedIn(agreed) => return Ok((*agreed, line.into_stream())),
            Ended::Redirect(redirect) => {
                redirections.follow(redirect.portal).map_err(TransportError::from)?;
                tracing::info!(from = %line.portal(), to = %redirections.here(), "the target has moved");
                line = connect(env, spec, redirections.here(), limit)?;
            }
        }
    }
}

/// Gives the logged-in socket to the kernel.
fn start(
    control: &mut dyn Control,
    spec: &SessionSpec,
    record: &Record,
    agreed: &LoggedIn,
    socket: &TcpStream,
    limit: &Limit,
) -> Result<(), SessionError> {
    let sid = record.sid;
    let check = || limit.check().map_err(|why| SessionError::GivenUp { what: "the login".into(), why });
    check()?;
    control.request(&Request::CreateConn(sid))?;
    bind(control, sid, socket)?;
    set(control, sid, spec.parameters(&record.initiator).into_iter().chain(after_login(agreed)))?;
    check()?;
    control.request(&Request::StartConn(sid))?;
    Ok(())
}

/// Binds a socket to the connection. The kernel keeps the socket open from then on.
pub fn bind(control: &mut dyn Control, sid: SessionId, socket: &TcpStream) -> Result<(), ControlError> {
    let socket = u32::try_from(socket.as_raw_fd())
        .map_err(|_| ControlError::Broken { doing: "bind the socket", why: "it is closed".into() })?;
    control.request(&Request::BindConn { sid, socket }).map(drop)
}

/// Sets parameters. One that the kernel does not know is left out: it is not needed then.
pub fn set(
    control: &mut dyn Control,
    sid: SessionId,
    parameters: impl IntoIterator<Item = (Param, String)>,
) -> Result<(), ControlError> {
    for (param, value) in parameters {
        allow_unknown(control, &Request::SetParam { sid, param, value })?;
    }
    Ok(())
}

/// Has a parameter set, unless the kernel does not know it.
fn allow_unknown(control: &mut dyn Control, request: &Request) -> Result<(), ControlError> {
    match control.request(request) {
        Err(error) if error.errno() == Some(nix::errno::Errno::ENOSYS) => {
            tracing::debug!(?request, "the kernel has no such parameter");
            Ok(())
        }
        other => other.map(drop),
    }
}

/// Takes down what a failed step has left; the result says both failures if that fails, too.
fn undo(env: &Env<'_>, control: &mut dyn Control, sid: SessionId, first: SessionError) -> SessionError {
    // The kernel searches for nothing by itself, but anybody may have had it search a session that was started.
    match Claims::take_of(env, sid).and_then(|claims| destroy(env, control, sid, claims)) {
        Ok(()) => first,
        Err(second) => SessionError::NotUndone { sid, first: Box::new(first), second: Box::new(second) },
    }
}
