//! `thinvol pool`: pools made, grown, changed, checked, repaired, removed.

mod check;
mod create;
mod extend;
mod monitor;
mod remove;
mod repair;
mod set;
mod show;

use clap::{Args, Subcommand};

use crate::context::Context;
use crate::errors::CliError;

/// Create, extend, change, show, check, repair, watch and remove thin pools
///
/// Makes thin pools, gives them more room, changes how they work, shows, checks, repairs, watches and removes them, as
/// lvm2 would: what one made, the other goes on with.
#[derive(Debug, Args)]
pub struct PoolArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PoolCommand,
}

/// What to do.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "the help of a command is the documentation of its arguments")]
pub enum PoolCommand {
    Create(create::CreateArgs),
    Extend(extend::ExtendArgs),
    Set(set::SetArgs),
    Show(show::ShowArgs),
    Check(check::CheckArgs),
    Repair(repair::RepairArgs),
    Monitor(monitor::MonitorArgs),
    Remove(remove::RemoveArgs),
}

impl PoolArgs {
    /// Whether it runs until it is told to stop.
    pub const fn is_service(&self) -> bool {
        matches!(self.command, PoolCommand::Monitor(_))
    }

    /// Does it.
    ///
    /// # Errors
    /// If it cannot be done.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        match &self.command {
            PoolCommand::Create(args) => args.run(context),
            PoolCommand::Extend(args) => args.run(context),
            PoolCommand::Set(args) => args.run(context),
            PoolCommand::Show(args) => args.run(context),
            PoolCommand::Check(args) => args.run(context),
            PoolCommand::Repair(args) => args.run(context),
            PoolCommand::Monitor(args) => args.run(context),
            PoolCommand::Remove(args) => args.run(context),
        }
    }
}
