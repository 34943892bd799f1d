//! `thinvol iscsi logout`.

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::errors::CliError;
use crate::initiator::{TimeLimit, Via, initiator};
use crate::output::Answer;
use crate::session_output::way;
use base::error_kind::ErrorKind;
use iscsi::host::coexist::SessionBackend;
use iscsi::host::sysfs::Session;
use iscsi::protocol::interface::message::SessionId;
use iscsi::protocol::name::IscsiName;
use iscsi::protocol::net_interface::NetInterface;
use iscsi::protocol::portal::Portal;
use iscsi::session::parallel::in_parallel;
use iscsi::session::spec::endpoint;
use sys::signals::SignalsHeldOff;

const HELP: &str = "\
Examples:
  thinvol iscsi logout --target iqn.2025-01.test:a
  thinvol iscsi logout --target iqn.2025-01.test:a --portal 10.0.0.1
  thinvol iscsi logout --target iqn.2025-01.test:a --interface eth1
  thinvol iscsi logout --all                all sessions of thinvol's, none of others

JSON:
  {\"sessions\": [{\"session\": number, \"target\", \"portal\", \"interface\": text or null,
     \"via\": \"native\" or \"iscsiadm\"}],
   \"notes\": [text]}";

/// Log out of targets
///
/// Removes the devices of a target's LUNs and ends its sessions. A device in use is refused, and its users are
/// named. A session without a connection is ended at once. Sessions of iscsid are ended by iscsiadm.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct LogoutArgs {
    /// The targets to log out of
    #[arg(long = "target", required_unless_present = "all", value_name = "IQN")]
    pub targets: Vec<String>,

    /// Only sessions at these portals
    #[arg(long = "portal", value_name = "PORTAL")]
    pub portals: Vec<String>,

    /// Only sessions that are bound to these network interfaces
    #[arg(long = "interface", value_name = "NAME")]
    pub interfaces: Vec<NetInterface>,

    /// All sessions of thinvol's
    #[arg(long, conflicts_with_all = ["targets", "portals", "interfaces"])]
    pub all: bool,

    /// Who ends the sessions
    #[arg(long, value_enum, default_value_t = Via::Auto)]
    pub via: Via,

    /// The time limit.
    #[command(flatten)]
    pub limit: TimeLimit,
}

#[derive(Debug, Serialize)]
struct LoggedOut {
    sessions: Vec<LogoutResult>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct LogoutResult {
    session: SessionId,
    target: String,
    portal: String,
    interface: Option<String>,
    via: SessionBackend,
}

impl Answer for LoggedOut {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        self.sessions.iter().try_for_each(|one| {
            let way = way(&one.portal, one.interface.as_deref());
            writeln!(out, "logged out of {} at {way} (session {})", one.target, one.session)
        })
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn tells_of_changes(&self) -> bool {
        !self.sessions.is_empty()
    }
}

impl LogoutArgs {
    /// Logs out; a failure of one session does not keep the others from it.
    ///
    /// # Errors
    /// If an argument is wrong, or a session cannot be ended.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let usage = |error: iscsi::protocol::name::NameError| CliError::usage(error.to_string());
        let targets: Vec<IscsiName> =
            self.targets.iter().map(|text| text.parse()).collect::<Result<_, _>>().map_err(usage)?;
        let portals: Vec<Portal> =
            self.portals.iter().map(|text| text.parse()).collect::<Result<_, _>>().map_err(usage)?;
        let initiator = initiator(context)?;
        initiator.sweep_if_possible();
        let is_meant = |session: &Session| {
            let is_target = targets.iter().any(|target| target.as_str() == session.target);
            let is_here = |portal| session.portal.as_ref() == Some(&endpoint(portal));
            let is_by = |name: &NetInterface| session.bound_to() == Some(name.as_str());
            (self.all && initiator.is_ours(session))
                || (is_target
                    && (portals.is_empty() || portals.iter().any(is_here))
                    && (self.interfaces.is_empty() || self.interfaces.iter().any(is_by)))
        };
        let sessions: Vec<Session> = initiator.sessions()?.into_iter().filter(is_meant).collect();
        let limit = self.limit.start();
        // A logout that has begun is finished; one that has not is not begun after a signal.
        let held_off = SignalsHeldOff::new().map_err(|errno| {
            CliError::new(ErrorKind::Refused, "signals cannot be held off").caused_by(Some(&errno))
        })?;
        let results = in_parallel(
            &sessions,
            |session| initiator.log_out(self.via.into(), session, &limit),
            || {
                if held_off.pending().is_some() {
                    limit.call_off();
                }
            },
        );
        let mut answer = LoggedOut { sessions: Vec::new(), notes: Vec::new() };
        let mut failures = Vec::new();
        for (session, result) in sessions.iter().zip(results) {
            match result {
                Ok(via) => answer.sessions.push(LogoutResult {
                    session: session.sid,
                    target: session.target.clone(),
                    portal: session.portal.as_ref().map(ToString::to_string).unwrap_or_default(),
                    interface: session.bound_to().map(str::to_owned),
                    via,
                }),
                Err(error) => failures.push(error.into()),
            }
        }
        for target in targets.iter().filter(|target| !sessions.iter().any(|s| s.target == target.as_str())) {
            answer.notes.push(format!("there is no session to {target}"));
        }
        let failure = failure(failures, answer.sessions.len()).err();
        context.conclude(&answer, failure)
    }
}

fn failure(failures: Vec<CliError>, done: usize) -> Result<(), CliError> {
    let count = failures.len();
    let mut failures = failures.into_iter();
    let Some(first) = failures.next() else { return Ok(()) };
    if done == 0 && count == 1 {
        return Err(first);
    }
    let code = if done == 0 { first.code } else { ErrorKind::Partial };
    let mut error = first.within(code, format!("{count} of {} sessions are still there", done + count));
    for more in failures {
        error = error.along_with(more);
    }
    Err(error)
}
