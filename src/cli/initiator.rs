//! What work on sessions needs from the host, and its errors as the command shows them.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::context::{Context, demand_root};
use crate::errors::CliError;
use base::error_kind::ErrorKind;
use iscsi::host::limit::Limit;
use iscsi::host::registry::RegistryError;
use iscsi::initiator::{self, Initiator, OpenError};
use iscsi::session::error::SessionError;

/// Who makes and ends sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// thinvol where it can, iscsid where the session is or must be its own; says which and why
    Auto,
    /// thinvol, by the kernel's interface
    Native,
    /// iscsid, asked by iscsiadm
    Iscsiadm,
}

impl From<Via> for initiator::Via {
    fn from(via: Via) -> Self {
        match via {
            Via::Auto => Self::Auto,
            Via::Native => Self::Native,
            Via::Iscsiadm => Self::Iscsiadm,
        }
    }
}

/// The time limit of a command.
#[derive(Clone, Debug, Args)]
pub struct TimeLimit {
    /// How many seconds all of it may take
    #[arg(long, display_order = 52, value_name = "SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub timeout: u32,
}

impl TimeLimit {
    /// The limit, from now.
    pub fn start(&self) -> Limit {
        Limit::new(Duration::from_secs(self.timeout.into()))
    }
}

/// This machine as an initiator, for root.
///
/// # Errors
/// If this process is not root's, the machine has no initiator name, or the registry cannot be made.
pub fn initiator(context: &Context) -> Result<Initiator<'static>, CliError> {
    demand_root(nix::unistd::Uid::effective().is_root())?;
    Initiator::of_this_machine(context.events()).map_err(|error| match error {
        OpenError::Name(error) => CliError::from_error(ErrorKind::Refused, &error)
            .hint("'iscsi-iname -p iqn.1993-08.org.debian:01' (package open-iscsi) makes one"),
        OpenError::Registry(error) => SessionError::from(error).into(),
    })
}

/// What is at stake where nobody supervises sessions; `None` if somebody does.
///
/// # Errors
/// If the registry cannot be used.
pub fn unsupervised(initiator: &Initiator<'_>) -> Result<Option<String>, CliError> {
    let is_supervised = initiator.is_supervised()?;
    Ok((!is_supervised).then(|| {
        "no supervisor is running: a session that loses its connection, or that its target asks to log out, does not \
         come back by itself, and its I/O fails after the replacement timeout; 'thinvol iscsi supervise' (unit \
         thinvol-iscsi.service) looks after sessions"
            .to_owned()
    }))
}

impl From<SessionError> for CliError {
    fn from(error: SessionError) -> Self {
        Self { hint: error.hint(), ..Self::from_error(error.kind(), &error) }
    }
}

impl From<RegistryError> for CliError {
    fn from(error: RegistryError) -> Self {
        SessionError::from(error).into()
    }
}
