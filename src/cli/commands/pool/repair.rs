//! `thinvol pool repair`: damaged metadata of a pool, repaired onto the spare.

use clap::Args;

use crate::context::Context;
use crate::errors::CliError;
use crate::help::changing;
use crate::options::ChangeOptions;
use crate::transaction::transact;
use thin::changes::MendPool;

const HELP: &str = changing!(
    "\
  thinvol pool check pve/data                    what is damaged
  thinvol pool repair --dry-run pve/data         what would be done
  thinvol pool repair pve/data"
);

/// Repair the damaged metadata of a thin pool that does not run
///
/// Has thin_repair write what can be read of the pool's metadata to the volume group's spare, checks that copy, and
/// puts it in the place of the damaged metadata, as 'lvconvert --repair' does. What was there before stays as
/// <pool>_meta<n>, until 'lvremove' removes it; a new spare is made if there is room.
///
/// Nothing is changed where a check finds nothing wrong, where thin_repair fails, and where its copy does not pass the
/// check, is at another transaction than the volume group's metadata, or has lost a volume or a part of one.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct RepairArgs {
    /// The pool: a storage id or <vg>/<pool>
    pub pool: String,

    /// Repair unchecked metadata, too, and use a whole copy although it has lost something: what, is told
    #[arg(long)]
    pub force: bool,

    /// Take the extents of a spare only from this physical volume; may be given more than once
    #[arg(long, value_name = "DEVICE")]
    pub pv: Vec<String>,

    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl RepairArgs {
    /// Repairs the pool's metadata.
    ///
    /// # Errors
    /// If an argument is wrong, or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let pool = context.resolver.storage(&self.pool)?;
        let pv = context.resolver.devices(&self.pv)?;
        let change = MendPool { force: self.force, pv, ..MendPool::new(pool) };
        transact(context, &self.change, [change.into()])
    }
}
