//! `thinvol rename`: rename a volume and its snapshots.

use clap::Args;

use crate::context::Context;
use crate::errors::CliError;
use crate::help::changing;
use crate::options::ChangeOptions;
use crate::transaction::transact;
use base::ids::LvName;
use thin::changes::RenameVolume;

const HELP: &str = changing!(
    "\
  thinvol rename pve/vm-100-disk-0 vm-100-disk-7
  thinvol rename pve/vm-100-disk-0 vm-101-disk-0         another guest gets it
  thinvol rename --dry-run pve/vm-100-disk-0 vm-100-old  what would be done"
);

/// Rename a volume
///
/// Renames a thin volume, in use or not. Its snapshots, whose LVs are named after it, are renamed in the same
/// transaction; snapshots and clones still belong to it. If the new name gives the volume to another guest, the
/// tag by which Proxmox VE marks the owner ('pve-vm-<VMID>') changes as well.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct RenameArgs {
    /// The volume
    pub volume: String,

    /// Its new name, without the storage or volume group
    pub name: String,

    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl RenameArgs {
    /// Renames the volume.
    ///
    /// # Errors
    /// If an argument is wrong, or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let volume = context.resolver.volume(&self.volume)?;
        let to = LvName::for_new_volume(&self.name).map_err(|error| CliError::usage(error.to_string()))?;
        transact(context, &self.change, [RenameVolume::new(volume, to).into()])
    }
}
