//! `thinvol snapshot`: the state of volumes at one instant.

use clap::Args;

use super::snapshots::SnapshotNames;
use crate::context::Context;
use crate::errors::CliError;
use crate::help::changing;
use crate::options::PromiseOptions;
use crate::transaction::transact;
use thin::changes::TakeSnapshot;

const HELP: &str = changing!(
    "\
  thinvol snapshot local-lvm:vm-100-disk-0@before-upgrade
  thinvol snapshot pve/vm-100-disk-0@daily pve/vm-100-disk-1@daily     both at one instant
  thinvol snapshot --vmid 100 @daily                                   of all its volumes, at one instant
  thinvol snapshot --no-fsfreeze pve/vm-100-disk-0@now                 of a mounted one, as it is
  thinvol snapshot --dry-run pve/vm-100-disk-0@x                       what would be done"
);

/// Take snapshots, all at one instant
///
/// Takes snapshots of thin volumes, active or not. All origins in one volume group are suspended together, so
/// that their snapshots show one instant, and thinvol reports for how long. A file system mounted from a volume
/// itself is frozen for that time. One on a partition of the volume, or in an encrypted volume or a volume group
/// on it, is not: freeze it with 'fsfreeze'. The snapshot's LV is named 'snap_<volume>_<snapshot>'. It stays
/// inactive, is found by its recorded lineage (LVM tags), and lvm2 skips it when it activates volumes, unless
/// told otherwise.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct SnapshotArgs {
    /// Which snapshots.
    #[command(flatten)]
    pub names: SnapshotNames,

    /// Let the snapshots be written to
    #[arg(long)]
    pub writable: bool,

    /// Do not wait until file systems that are mounted from the volumes on this host are in a clean state (fsfreeze):
    /// the snapshots hold what a power failure would leave
    #[arg(long)]
    pub no_fsfreeze: bool,

    /// Options of changes that may promise more of a pool.
    #[command(flatten)]
    pub change: PromiseOptions,
}

impl SnapshotArgs {
    /// Takes the snapshots.
    ///
    /// # Errors
    /// If an argument is wrong, or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let take = |snapshot| TakeSnapshot {
            writable: self.writable,
            fsfreeze: !self.no_fsfreeze,
            ..TakeSnapshot::new(snapshot)
        };
        let snapshots = self.names.meant(context, |_, _, _| true)?;
        transact(context, &self.change.options(), snapshots.into_iter().map(|snapshot| take(snapshot).into()))
    }
}
