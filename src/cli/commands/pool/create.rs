//! `thinvol pool create`: a new pool in a volume group.

use clap::Args;

use super::set::{DiscardsWord, FullWord};
use crate::context::Context;
use crate::errors::CliError;
use crate::help::changing;
use crate::options::ChangeOptions;
use crate::transaction::transact;
use base::units::Sectors;
use base::units::size::Unit;
use thin::changes::CreatePool;
use thin::internals::size::{size, space};

const HELP: &str = changing!(
    "\
  thinvol pool create pve/data --size 100G
  thinvol pool create pve/data --size 80%FREE            of what the volume group has free
  thinvol pool create pve/data --size 1T --stripes 2 --pv /dev/sda --pv /dev/sdb
  thinvol pool create --dry-run pve/data --size 100G     what would be done"
);

/// Make a thin pool in a volume group
///
/// Makes a thin pool in one commit: data, metadata, and the volume group's spare for the metadata of its pools
/// where there is none or it is too small. What is not said follows lvm.conf, and so do the sizes of chunks and
/// metadata; extents are taken where lvm2 takes them. The metadata is zeroed, the data is not.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct CreateArgs {
    /// The pool, as <vg>/<pool>
    pub pool: String,

    /// How much data it is to hold: a number of KiB, or with a unit K, M, G, T, P or E, or a share of the free extents
    /// as 50%FREE, of which metadata and spare take theirs
    #[arg(long, value_name = "SIZE")]
    pub size: String,

    /// The size of its metadata
    #[arg(long, value_name = "SIZE")]
    pub metadata_size: Option<String>,

    /// The size of a chunk, a multiple of 64K
    #[arg(long, value_name = "SIZE")]
    pub chunk_size: Option<String>,

    /// Spread the data over so many physical volumes
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub stripes: u32,

    /// How much goes on one of them before the next comes
    #[arg(long, value_name = "SIZE", requires = "stripes")]
    pub stripe_size: Option<String>,

    /// Do not zero chunks before their first use: new volumes may show what others left
    #[arg(long)]
    pub no_zero: bool,

    /// What happens to discards
    #[arg(long, value_name = "WAY")]
    pub discards: Option<DiscardsWord>,

    /// What happens to writes when the pool is full
    #[arg(long, value_name = "WAY")]
    pub when_full: Option<FullWord>,

    /// Take extents only from this physical volume; may be given more than once
    #[arg(long, value_name = "DEVICE")]
    pub pv: Vec<String>,

    /// Leave the pool inactive
    #[arg(long)]
    pub inactive: bool,

    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl CreateArgs {
    /// Makes the pool.
    ///
    /// # Errors
    /// If an argument is wrong, or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let pool = context.resolver.storage(&self.pool)?;
        let given = |text: &Option<String>| -> Result<Option<Sectors>, CliError> {
            Ok(text.as_deref().map(|text| size(text, Unit::Kibi)).transpose()?)
        };
        let change = CreatePool {
            metadata_size: given(&self.metadata_size)?,
            chunk_size: given(&self.chunk_size)?,
            stripes: self.stripes,
            stripe_size: given(&self.stripe_size)?,
            discards: self.discards.map(Into::into),
            zero: self.no_zero.then_some(false),
            when_full: self.when_full.map(Into::into),
            pv: context.resolver.devices(&self.pv)?,
            activate: !self.inactive,
            ..CreatePool::new(pool, space(&self.size, Unit::Kibi)?)
        };
        transact(context, &self.change, [change.into()])
    }
}
