//! `thinvol delete-snapshot`: snapshots go.

use clap::Args;

use super::snapshots;
use crate::args::ChangeOptions;
use crate::context::Context;
use crate::errors::CliError;
use crate::help::changing;
use crate::lookup;
use crate::resolve::Snapshot;
use crate::transaction::Wanted;
use lvm2::format::model::Vg;
use thin::lineage::Lineage;
use thin::request::Request;

const HELP: &str = changing!(
    "\
  thinvol delete-snapshot local-lvm:vm-100-disk-0@before-upgrade
  thinvol delete-snapshot pve/vm-100-disk-0@daily pve/vm-100-disk-1@daily     both or neither
  thinvol delete-snapshot --dry-run pve/vm-100-disk-0@x                       what would be done"
);

/// What `thinvol delete-snapshot` takes.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct DeleteSnapshotArgs {
    /// The snapshots, <volume>@<snapshot>
    #[arg(required = true, value_name = "SNAPSHOT")]
    pub snapshots: Vec<String>,

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
        let mut snapshots = Vec::new();
        for snapshot in snapshots::read(context, &self.snapshots)? {
            if !snapshots.contains(&snapshot) {
                snapshots.push(snapshot);
            }
        }
        snapshots::carry_out(context, &self.change, snapshots, wanted)
    }
}

/// The request to remove a snapshot.
///
/// # Errors
/// If it does not exist.
pub fn wanted(vg: &Vg, lineage: &Lineage<'_>, snapshot: &Snapshot) -> Result<Wanted, CliError> {
    let lv = lookup::snapshot(vg, lineage, snapshot)?;
    Ok(Wanted {
        request: Request::Remove { name: lv.name.clone() },
        asked: snapshot.to_string(),
        said: format!("removed snapshot '{snapshot}' ('{}/{}')", vg.name, lv.name),
    })
}
