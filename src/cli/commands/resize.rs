//! `thinvol resize`: resize a volume.

use clap::Args;

use super::alloc;
use crate::context::Context;
use crate::errors::CliError;
use crate::help::changing;
use crate::options::PromiseOptions;
use crate::transaction::transact;
use base::units::size::Unit;
use thin::changes::NewSize;
use thin::changes::ResizeVolume;
use thin::internals::size::new_size;

const HELP: &str = changing!(
    "\
  thinvol resize pve/vm-100-disk-0 64G                   to 64 GiB, or nothing if it has that
  thinvol resize pve/vm-100-disk-0 +8G                   8 GiB more
  thinvol resize pve/vm-100-disk-0 16G --shrink --accept-data-loss
  thinvol resize --dry-run pve/vm-100-disk-0 64G         what would be done"
);

/// Resize a volume
///
/// Sets the size of a thin volume, rounded up to whole extents. A volume can grow while it is in use. A volume
/// that already has the size is left as it is, without an error. Shrinking needs two options and is refused while
/// the volume is in use; thinvol does not look at the file system on it. Each snapshot keeps the size that its
/// volume had.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct ResizeArgs {
    /// The volume
    pub volume: String,

    /// Its new size, or with a '+' the growth: a number of KiB, or with a unit K, M, G, T, P or E
    pub size: String,

    /// Allow the volume to become smaller. Data beyond the new end is lost
    #[arg(long, requires = "accept_data_loss")]
    pub shrink: bool,

    /// Confirm --shrink
    #[arg(long, requires = "shrink")]
    pub accept_data_loss: bool,

    /// Options of changes that may promise more of a pool.
    #[command(flatten)]
    pub change: PromiseOptions,
}

impl ResizeArgs {
    /// Resizes the volume.
    ///
    /// # Errors
    /// If an argument is wrong, or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let volume = context.resolver.volume(&self.volume)?;
        let size = new_size(&self.size, Unit::Kibi)?;
        let (NewSize::To(sectors) | NewSize::By(sectors)) = size;
        context.warn(alloc::small_bare_size(&self.size, sectors));
        let resize = ResizeVolume { shrink: self.shrink, ..ResizeVolume::new(volume, size) };
        transact(context, &self.change.options(), [resize.into()])
    }
}
