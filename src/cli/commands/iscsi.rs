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

/// iSCSI targets, and sessions to them: made by the kernel's own interface, without iscsid.
#[derive(Debug, Args)]
pub struct IscsiArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: IscsiCommand,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum IscsiCommand {
    /// Ask portals which targets there are
    ///
    /// Asks portals for the targets they offer to this initiator, all at the same time and within one time limit. Lists
    /// each target with all its portals and their portal group tags. A portal that does not answer is an error that
    /// says why; what the others answered is printed.
    Discover(discover::DiscoverArgs),
    /// Log in to targets and attach their LUNs
    ///
    /// Logs in to each target at each portal, all at the same time and within one time limit, and waits for the block
    /// devices of the LUNs. A session that is there already is used as it is; one of thinvol's that has lost its
    /// connection gets a new one. What fails leaves no session behind, unless somebody
    /// uses a disk of it by then.
    Login(login::LoginArgs),
    /// Log out of targets
    ///
    /// Removes the devices of a target's LUNs and ends its sessions. A device in use is refused, and who uses it is
    /// named. A session without a connection is ended at once. Sessions of iscsid are ended by iscsiadm.
    Logout(logout::LogoutArgs),
    /// Show sessions and their LUNs
    ///
    /// Shows all iSCSI sessions over TCP with their states, owners, time limits and devices.
    Sessions(sessions::SessionsArgs),
    /// Look for new, resized, removed and replaced LUNs
    ///
    /// Asks the targets of the sessions which LUNs they show. New ones get devices, sizes are read again, devices of
    /// LUNs that are gone or are others now are removed unless they are in use, which is told.
    Rescan(rescan::RescanArgs),
    /// Look after sessions, until a signal comes
    ///
    /// Gives sessions of thinvol's that lose their connections new ones, with waits that grow from none to five
    /// seconds, and does what targets ask for: to be logged out of and in again, to look for changed LUNs. I/O waits
    /// meanwhile, at most for the replacement timeout. Sessions outlive the supervisor; one that starts again goes on.
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
