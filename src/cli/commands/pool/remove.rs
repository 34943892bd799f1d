//! `thinvol pool remove`: a pool goes.

use clap::Args;

use crate::context::Context;
use crate::errors::CliError;
use crate::help::changing;
use crate::options::ChangeOptions;
use crate::transaction::transact;
use thin::changes::DeletePool;

const HELP: &str = changing!(
    "\
  thinvol pool remove pve/data
  thinvol pool remove pve/data --with-volumes            and everything in it
  thinvol pool remove --dry-run pve/data                 what would be done"
);

/// Remove a thin pool
///
/// Removes a thin pool; with the last one, the volume group's spare for metadata goes, too. A pool that has
/// volumes is refused, unless they are to go with it.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct RemoveArgs {
    /// The pool: a storage id or <vg>/<pool>
    pub pool: String,

    /// Remove its volumes and snapshots, too. What they hold is lost
    #[arg(long)]
    pub with_volumes: bool,

    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl RemoveArgs {
    /// Removes the pool.
    ///
    /// # Errors
    /// If an argument is wrong, or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let pool = context.resolver.storage(&self.pool)?;
        let change = DeletePool { with_volumes: self.with_volumes, ..DeletePool::new(pool) };
        transact(context, &self.change, [change.into()])
    }
}
