//! `thinvol rollback`: a volume becomes what a snapshot of it holds.

use clap::Args;

use super::snapshots;
use crate::args::ChangeOptions;
use crate::context::Context;
use crate::errors::CliError;
use crate::help::changing;
use crate::lookup;
use crate::resolve::Snapshot;
use crate::transaction::Wanted;
use base::ids::LvName;
use lvm2::format::model::Vg;
use thin::lineage::Lineage;
use thin::request::Request;

const HELP: &str = changing!(
    "\
  thinvol rollback pve/vm-100-disk-0@before-upgrade
  thinvol rollback pve/vm-100-disk-0@daily pve/vm-100-disk-1@daily     both or neither
  thinvol rollback --dry-run pve/vm-100-disk-0@x                       what would be done"
);

/// What `thinvol rollback` takes.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct RollbackArgs {
    /// The snapshots to go back to, <volume>@<snapshot>
    #[arg(required = true, value_name = "SNAPSHOT")]
    pub snapshots: Vec<String>,

    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl RollbackArgs {
    /// Rolls the volumes back.
    ///
    /// # Errors
    /// If an argument is wrong, or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let snapshots = snapshots::read(context, &self.snapshots)?;
        snapshots::carry_out(context, &self.change, snapshots, wanted)
    }
}

/// The request to roll a volume back.
///
/// # Errors
/// If volume or snapshot does not exist.
pub fn wanted(vg: &Vg, lineage: &Lineage<'_>, snapshot: &Snapshot) -> Result<Wanted, CliError> {
    let lv = lookup::snapshot(vg, lineage, snapshot)?;
    Ok(to_lv(snapshot, lv.name.clone()))
}

/// The same for a snapshot that is, or will be, that LV.
pub fn to_lv(snapshot: &Snapshot, lv: LvName) -> Wanted {
    let volume = &snapshot.volume;
    Wanted {
        request: Request::Rollback { name: volume.lv.clone(), to: lv },
        asked: volume.to_string(),
        said: format!("rolled back '{volume}' to snapshot '{}'", snapshot.snap),
    }
}
