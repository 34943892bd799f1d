//! The surroundings of the work on sessions, and its errors in the words of the command.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::context::{Context, demand_root};
use crate::errors::CliError;
use base::error_kind::ErrorKind;
use iscsi::host::initiator::{INITIATOR_FILE, initiator};
use iscsi::host::iscsiadm::IscsiadmError;
use iscsi::host::limit::Limit;
use iscsi::host::netlink::control::{Control, ControlError};
use iscsi::host::netlink::socket::{Listen, Netlink};
use iscsi::host::registry::{LockName, REGISTRY, Registry, RegistryError};
use iscsi::host::transport::Tcp;
use iscsi::session::env::{Env, from_file};
use iscsi::session::error::SessionError;
use iscsi::session::usage;
use sys::io::roots::Roots;

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

/// The real surroundings, for root.
///
/// # Errors
/// If this process is not root's, the machine has no initiator name, or the registry cannot be made.
pub fn env(context: &Context) -> Result<Env<'static>, CliError> {
    demand_root(nix::unistd::Uid::effective().is_root())?;
    let name = initiator(Path::new(INITIATOR_FILE)).map_err(|error| {
        CliError::from_error(ErrorKind::Refused, &error)
            .hint("'iscsi-iname -p iqn.1993-08.org.debian:01' (package open-iscsi) makes one")
    })?;
    Ok(Env {
        open: &open_netlink,
        transport: &Tcp,
        roots: Roots::default(),
        registry: Registry::open(Path::new(REGISTRY))?,
        initiator: name,
        events: context.events(),
        secrets: Arc::new(from_file),
        claim: usage::claim,
    })
}

fn open_netlink() -> Result<Box<dyn Control>, ControlError> {
    Ok(Box::new(Netlink::open(Listen::Events)?))
}

/// What is at stake where nobody supervises sessions; `None` if somebody does.
///
/// # Errors
/// If the registry cannot be used.
pub fn unsupervised(env: &Env<'_>) -> Result<Option<String>, CliError> {
    let is_free = env.registry.try_lock(&LockName::Supervisor)?.is_some();
    Ok(is_free.then(|| {
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

impl From<IscsiadmError> for CliError {
    fn from(error: IscsiadmError) -> Self {
        let code = match &error {
            IscsiadmError::Absent(_) => ErrorKind::Unsupported,
            IscsiadmError::Failed { status: 28 | 29 | 32 | 33 | 8 | 11 | 4, .. }
            | IscsiadmError::GivenUp(_) => ErrorKind::Busy,
            IscsiadmError::Failed { status: 2 | 21, .. } => ErrorKind::NotFound,
            IscsiadmError::Failed { .. } => ErrorKind::Refused,
        };
        Self::from_error(code, &error)
    }
}
