//! `thinvol snapshot`: the state of volumes at one instant.

use clap::Args;

use super::snapshots::SnapshotNames;
use crate::args::ChangeOptions;
use crate::context::Context;
use crate::errors::CliError;
use crate::help::changing;
use crate::lookup;
use crate::resolve::Snapshot;
use crate::transaction::LabelledRequest;
use base::error_kind::ErrorKind;
use lvm2::format::model::Vg;
use thin::lineage::{self, Lineage};
use thin::request::Request;

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

    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// What a snapshot is to be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotOptions {
    /// Whether it can be written to.
    pub writable: bool,
    /// Whether a mounted file system is brought into a clean state first.
    pub freeze: bool,
}

impl SnapshotArgs {
    /// Takes the snapshots.
    ///
    /// # Errors
    /// If an argument is wrong, or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let how = SnapshotOptions { writable: self.writable, freeze: !self.no_fsfreeze };
        let wanted = |vg: &Vg, lineage: &Lineage<'_>, snapshot: &Snapshot| wanted(vg, lineage, snapshot, how);
        self.names.carry_out(context, &self.change, |_, _, _| true, wanted)
    }
}

/// The request for a snapshot of a volume that exists.
///
/// # Errors
/// If the volume does not exist, or its snapshot or the name for it does.
pub fn wanted(
    vg: &Vg,
    lineage: &Lineage<'_>,
    snapshot: &Snapshot,
    how: SnapshotOptions,
) -> Result<LabelledRequest, CliError> {
    let volume = lookup::volume(vg, &snapshot.volume)?;
    let wanted = new_snapshot(vg, snapshot, how)?;
    if let Ok(lv) = lineage.find_snapshot(volume, &snapshot.snap) {
        return Err(CliError::new(ErrorKind::Refused, format!("snapshot '{snapshot}' already exists")).hint(
            format!("it is '{0}/{1}'; 'thinvol delete-snapshot {snapshot}' removes it", vg.name, lv.name),
        ));
    }
    Ok(wanted)
}

/// The request for a snapshot of a volume that exists or that an earlier request makes.
///
/// # Errors
/// If the name for its LV is taken or not legal.
pub fn new_snapshot(vg: &Vg, snapshot: &Snapshot, how: SnapshotOptions) -> Result<LabelledRequest, CliError> {
    let name = lineage::snapshot_lv_name(&snapshot.volume.lv, &snapshot.snap)
        .map_err(|error| lookup::explained(&vg.name, &error))?;
    let said = format!("created snapshot '{snapshot}' ('{}/{name}')", vg.name);
    let request = Request::Snapshot {
        origin: snapshot.volume.lv.clone(),
        name,
        read_only: !how.writable,
        skip_activation: true,
        tags: lineage::snapshot_tags(&snapshot.snap),
        activate: false,
        autoactivate: true,
        freeze: how.freeze,
    };
    Ok(LabelledRequest { request, display_name: snapshot.to_string(), done_message: said })
}
