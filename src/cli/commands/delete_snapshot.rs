//! `thinvol delete-snapshot`: remove snapshots.

use clap::Args;

use super::snapshots::SnapshotNames;
use crate::context::Context;
use crate::errors::CliError;
use crate::help::changing;
use crate::options::ChangeOptions;
use crate::resolve::{Snapshot, VolumeOrSnapshot};
use crate::transaction::transact;
use lvm2::format::model::Vg;
use thin::changes::RemoveVolume;
use thin::internals::lineage::Lineage;

const HELP: &str = changing!(
    "\
  thinvol delete-snapshot local-lvm:vm-100-disk-0@before-upgrade
  thinvol delete-snapshot pve/vm-100-disk-0@daily pve/vm-100-disk-1@daily     both or neither
  thinvol delete-snapshot --dry-run pve/vm-100-disk-0@x                       what would be done"
);

/// Remove snapshots
///
/// Removes snapshots. A snapshot is found by its recorded lineage (LVM tags, or LVM's origin field if lvm2 or
/// Proxmox VE made it), never by its name alone. A snapshot that does not exist is an error.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct DeleteSnapshotArgs {
    /// Which snapshots.
    #[command(flatten)]
    pub names: SnapshotNames,

    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl DeleteSnapshotArgs {
    /// Removes the snapshots.
    ///
    /// # Errors
    /// If an argument is wrong, or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        // Of volumes that are not named, those that have such a snapshot are meant.
        let has_it = |lineage: &Lineage<'_>, vg: &Vg, snapshot: &Snapshot| {
            let lv = vg.lv(&snapshot.volume.lv);
            lv.is_some_and(|lv| lineage.snapshots_of(lv).any(|(snap, _)| snap == snapshot.snap.as_str()))
        };
        let snapshots = self.names.meant(context, has_it)?.into_iter();
        let remove = |snapshot| RemoveVolume::new(VolumeOrSnapshot::Snapshot(snapshot)).into();
        transact(context, &self.change, snapshots.map(remove))
    }
}
