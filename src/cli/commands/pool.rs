//! `thinvol pool`: pools made, grown, changed, removed.

mod create;
mod extend;
mod remove;
mod set;
mod space;

use clap::{Args, Subcommand};

use crate::args::ChangeOptions;
use crate::context::Context;
use crate::errors::CliError;
use crate::resolve::Storage;
use crate::transaction::{ChangeSet, LabelledRequest, by_vg, transact};
use thin::request::Request;

/// Create, extend, change and remove thin pools
///
/// Makes thin pools, gives them more room, changes how they work, and removes them, as lvm2 would: what one made, the
/// other goes on with.
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
    Remove(remove::RemoveArgs),
}

impl PoolArgs {
    /// Does it.
    ///
    /// # Errors
    /// If it cannot be done.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        match &self.command {
            PoolCommand::Create(args) => args.run(context),
            PoolCommand::Extend(args) => args.run(context),
            PoolCommand::Set(args) => args.run(context),
            PoolCommand::Remove(args) => args.run(context),
        }
    }
}

/// Carries out one change of a pool; `done_message` says what was done.
fn change(
    context: &Context,
    options: &ChangeOptions,
    pool: &Storage,
    (request, done_message): (Request, String),
) -> Result<(), CliError> {
    transact(context, options, by_vg([(pool.vg.clone(), request)]), |_, requests| {
        let labelled = |request: &Request| LabelledRequest {
            request: request.clone(),
            display_name: pool.to_string(),
            done_message: done_message.clone(),
        };
        Ok(ChangeSet { wanted: requests.iter().map(labelled).collect(), notes: vec![] })
    })
}
