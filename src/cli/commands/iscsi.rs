//! `thinvol iscsi`: targets and sessions.

pub mod asking;
mod discover;

use clap::{Args, Subcommand};

use crate::cli::context::Context;
use crate::cli::errors::CliError;

/// iSCSI targets.
#[derive(Debug, Args)]
pub struct IscsiArgs {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Ask portals which targets there are
    ///
    /// Asks portals for the targets they offer to this initiator, all at the same time and within one time limit. Lists
    /// each target with all its portals and their portal group tags. A portal that does not answer is an error that
    /// says why; what the others answered is printed.
    Discover(discover::DiscoverArgs),
}

impl IscsiArgs {
    /// Does it.
    ///
    /// # Errors
    /// If it cannot be done.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        match &self.what {
            What::Discover(args) => args.run(context),
        }
    }
}
