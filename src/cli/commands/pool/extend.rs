//! `thinvol pool extend`: more room for a pool.

use clap::Args;

use crate::context::Context;
use crate::errors::CliError;
use crate::help::changing;
use crate::options::ChangeOptions;
use crate::transaction::transact;
use base::units::size::Unit;
use thin::changes::ExtendPool;
use thin::internals::request::Space;
use thin::internals::size::space;

const HELP: &str = changing!(
    "\
  thinvol pool extend pve/data --size +50G
  thinvol pool extend pve/data --size +100%FREE          all there is
  thinvol pool extend pve/data --metadata-size 1G
  thinvol pool extend --dry-run pve/data --size +50G     what would be done"
);

/// Give a thin pool more room, in use or not
///
/// Gives a thin pool more room for data, metadata or both, while volumes in it are in use or not; writes that
/// wait because the pool is full go on. Metadata grows along with data where it would be too small for it, and
/// the volume group's spare with the metadata. A pool that has the size already is left as it is, and that is no
/// error.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct ExtendArgs {
    /// The pool: a storage id or <vg>/<pool>
    pub pool: String,

    /// How much data it is to hold, or with a '+' how much more: a number of KiB, or with a unit K, M, G, T, P or E, or
    /// a share of the free extents as +50%FREE
    #[arg(long, value_name = "SIZE", required_unless_present = "metadata_size")]
    pub size: Option<String>,

    /// The size of its metadata, written likewise
    #[arg(long, value_name = "SIZE")]
    pub metadata_size: Option<String>,

    /// Take extents only from this physical volume; may be given more than once
    #[arg(long, value_name = "DEVICE")]
    pub pv: Vec<String>,

    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl ExtendArgs {
    /// Extends the pool.
    ///
    /// # Errors
    /// If an argument is wrong, or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let pool = context.resolver.storage(&self.pool)?;
        let given = |text: &Option<String>| -> Result<Option<Space>, CliError> {
            Ok(text.as_deref().map(|text| space(text, Unit::Kibi)).transpose()?)
        };
        let change = ExtendPool {
            pv: context.resolver.devices(&self.pv)?,
            ..ExtendPool::new(pool, given(&self.size)?, given(&self.metadata_size)?)
        };
        transact(context, &self.change, [change.into()])
    }
}
