//! `thinvol delete-snapshot`: snapshots go.

use clap::Args;

use crate::cli::args::ChangeOptions;
use crate::cli::context::Context;
use crate::cli::errors::CliError;
use crate::cli::help::changing;
use crate::cli::lookup;
use crate::cli::resolve::Snapshot;
use crate::cli::transaction::{Ask, Wanted, by_vg, transact};
use crate::lvm::model::Vg;
use crate::thin::lineage::Lineage;
use crate::thin::request::Request;

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
        for text in &self.snapshots {
            let snapshot = context.resolver.snapshot(text)?;
            if !snapshots.contains(&snapshot) {
                snapshots.push(snapshot);
            }
        }
        let wishes = by_vg(snapshots.into_iter().map(|snapshot| (snapshot.volume.vg.clone(), snapshot)));
        transact(context, &self.change, wishes, |vg, snapshots| {
            let lineage = Lineage::of(vg);
            let wanted = snapshots.iter().map(|snapshot| wanted(vg, &lineage, snapshot));
            Ok(Ask { wanted: wanted.collect::<Result<_, _>>()?, notes: vec![] })
        })
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
