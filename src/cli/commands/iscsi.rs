//! `thinvol iscsi`: targets and sessions.

pub mod backend;
mod discover;
pub mod discovery_options;
pub mod env;
mod login;
mod logout;
mod rescan;
pub mod session_output;
mod sessions;
mod supervise;

use clap::{Args, Subcommand};

use crate::context::Context;
use crate::errors::CliError;

/// Find iSCSI targets, log in to and out of them, attach their LUNs
///
/// Makes, shows, recovers and ends sessions to iSCSI targets by the kernel's own interface, beside iscsid and
/// without needing it.
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
