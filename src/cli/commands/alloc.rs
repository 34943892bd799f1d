//! `thinvol alloc`: a new volume of a guest.

use clap::Args;

use crate::context::Context;
use crate::errors::CliError;
use crate::help::changing;
use crate::options::PromiseOptions;
use crate::transaction::transact;
use base::error_kind::ErrorKind;
use base::units::Sectors;
use base::units::size::Unit;
use config::names;
use thin::changes::{CreateVolume, NewName};
use thin::internals::size::size;

const HELP: &str = changing!(
    "\
  thinvol alloc local-lvm 100 '' 32G                   the next free vm-100-disk-<n>
  thinvol alloc pve/data 100 vm-100-cloudinit 4096     4096 KiB
  thinvol alloc pve/data 100 vm-100-secret 8G --zero   overwritten with zeros, all its size taken
  thinvol alloc --dry-run pve/data 100 '' 1.5T         what would be done"
);

/// Create a volume
///
/// Creates an empty thin volume and activates it. It is not activated at boot by itself. The size is rounded up
/// to whole extents of the volume group (usually 4 MiB), and a note says so.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct AllocArgs {
    /// The storage: an id or <vg>/<pool>
    pub storage: String,

    /// The guest the volume is for
    #[arg(value_parser = vmid_parser())]
    pub vmid: u32,

    /// The volume's name, 'vm-<VMID>-…'; '' for the next free 'vm-<VMID>-disk-<n>'
    pub name: String,

    /// Its size: a number of KiB, or with a unit K, M, G, T, P or E (powers of 1024; 'iB' may follow)
    pub size: String,

    /// The format of the volume: only raw
    #[arg(long, default_value = "raw", hide_default_value = true)]
    pub format: String,

    /// Leave the volume inactive
    #[arg(long, conflicts_with = "zero")]
    pub inactive: bool,

    /// Overwrite the whole volume with zeros. This takes its full size from the pool, and time. It is of use only where
    /// the pool does not zero new chunks: elsewhere a new volume reads as zeros anyway
    #[arg(long)]
    pub zero: bool,

    /// Options of changes that may promise more of a pool.
    #[command(flatten)]
    pub change: PromiseOptions,
}

/// Reads the id of a guest.
pub fn vmid_parser() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(i64::from(*names::VMIDS.start())..=i64::from(*names::VMIDS.end()))
}

impl AllocArgs {
    /// Creates the volume.
    ///
    /// # Errors
    /// If an argument is wrong, or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let storage = context.resolver.storage(&self.storage)?;
        let size = size(&self.size, Unit::Kibi)?;
        context.warn(small_bare_size(&self.size, size));
        if self.format != "raw" {
            return Err(CliError::new(
                ErrorKind::Unsupported,
                format!("unsupported format '{}'", self.format),
            )
            .hint("volumes of thin pools are raw"));
        }
        let name = match self.name.as_str() {
            "" => NewName::NextDisk(self.vmid),
            name => NewName::Given(names::check(self.vmid, name)?),
        };
        let create = CreateVolume::new(storage, name, size);
        let create = CreateVolume { activate: !self.inactive, zero: self.zero, ..create };
        transact(context, &self.change.options(), [create.into()])
    }
}

/// The warning about a number without unit that is less than 1 MiB in KiB: 32 may have meant GiB.
pub fn small_bare_size(text: &str, size: Sectors) -> Option<String> {
    let number = text.strip_prefix('+').unwrap_or(text);
    let is_bare = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    (is_bare && size < Sectors::new(SMALL_SECTORS))
        .then(|| format!("the size '{text}' has no unit: it means {text} KiB; '{text}G' would be {text} GiB"))
}

/// 1 MiB.
const SMALL_SECTORS: u64 = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_number_without_unit_is_warned_about() {
        let warning =
            |text: &str| small_bare_size(text, size(text.trim_start_matches('+'), Unit::Kibi).unwrap());
        assert_eq!(
            warning("32").as_deref(),
            Some("the size '32' has no unit: it means 32 KiB; '32G' would be 32 GiB")
        );
        assert!(warning("+1023").is_some());
        for fine in ["1024", "4096", "32k", "512b", "1M"] {
            assert_eq!(warning(fine), None, "{fine}");
        }
    }
}
