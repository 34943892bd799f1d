//! `thinvol iscsi`: targets and sessions.

mod discover;
pub mod discovery_options;
mod login;
mod logout;
mod rescan;
mod sessions;
mod supervise;

use clap::{Args, Subcommand};

use crate::context::Context;
use crate::errors::CliError;

/// Discover iSCSI targets, log in and out, attach LUNs
///
/// Makes, shows, recovers and ends sessions to iSCSI targets through the kernel's own interface. iscsid is not
/// needed, and may run beside it.
#[derive(Debug, Args)]
pub struct IscsiArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: IscsiCommand,
}

/// What to do.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "the help of a command is the documentation of its arguments")]
pub enum IscsiCommand {
    Discover(discover::DiscoverArgs),
    Login(login::LoginArgs),
    Logout(logout::LogoutArgs),
    Sessions(sessions::SessionsArgs),
    Rescan(rescan::RescanArgs),
    Supervise(supervise::SuperviseArgs),
}

impl IscsiArgs {
    /// Whether it runs until it is told to stop.
    pub const fn is_service(&self) -> bool {
        matches!(self.command, IscsiCommand::Supervise(_))
    }

    /// Does it.
    ///
    /// # Errors
    /// If it cannot be done.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        match &self.command {
            IscsiCommand::Discover(args) => args.run(context),
            IscsiCommand::Login(args) => args.run(context),
            IscsiCommand::Logout(args) => args.run(context),
            IscsiCommand::Sessions(args) => args.run(context),
            IscsiCommand::Rescan(args) => args.run(context),
            IscsiCommand::Supervise(args) => args.run(context),
        }
    }
}
