//! `thinvol iscsi supervise`.

use clap::Args;

use crate::context::Context;
use crate::errors::CliError;
use crate::initiator::initiator;
use base::error_kind::ErrorKind;
use iscsi::host::netlink::socket::{Listen, Netlink};
use iscsi::session::error::SessionError;
use iscsi::supervisor::run::{Supervisor, SupervisorError};

const HELP: &str = "\
Examples:
  systemctl enable --now thinvol-iscsi.service            as a service; docs/thinvol-iscsi.service is the unit
  thinvol iscsi supervise                                 in the foreground, until it gets a signal
  thinvol iscsi supervise -v                              with what it does on standard error

What it does goes to standard error; there is no answer in JSON.";

/// Keep sessions connected until a signal comes
///
/// Reconnects thinvol's sessions that lose their connections, with waits that grow from none to five seconds, and
/// does what targets ask for: to log out and in again, to look for changed LUNs. I/O waits meanwhile, at most for
/// the replacement timeout. Sessions live longer than the supervisor; when it is started again, it goes on with
/// them.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct SuperviseArgs {}

impl SuperviseArgs {
    /// Supervises until a signal comes.
    ///
    /// # Errors
    /// If there is a supervisor already, or the kernel cannot be listened to.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let env = initiator(context)?.into_env();
        let kernel = Netlink::open(Listen::Events).map_err(SessionError::from)?;
        let supervisor = Supervisor::start(env, kernel)?;
        Ok(supervisor.run()?)
    }
}

impl From<SupervisorError> for CliError {
    fn from(error: SupervisorError) -> Self {
        match error {
            SupervisorError::Registry(error) => error.into(),
            SupervisorError::Control(error) => SessionError::from(error).into(),
            SupervisorError::Session(error) => error.into(),
            SupervisorError::Running { .. } => Self::from_error(ErrorKind::Busy, &error),
            SupervisorError::System { .. } => Self::from_error(ErrorKind::Refused, &error),
        }
    }
}
