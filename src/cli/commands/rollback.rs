//! `thinvol rollback`: a volume becomes what a snapshot of it holds.

use std::collections::BTreeMap;

use clap::Args;

use super::snapshots::SnapshotNames;
use crate::args::ChangeOptions;
use crate::ask;
use crate::context::Context;
use crate::errors::CliError;
use crate::help::changing;
use crate::lookup;
use crate::output::moment;
use crate::resolve::{Snapshot, Volume};
use crate::transaction::{ChangeSet, LabelledRequest, transact};
use base::ids::{LvName, VgName};
use lvm2::format::model::{Lv, Vg};
use thin::lineage::Lineage;
use thin::request::Request;

const HELP: &str = changing!(
    "\
  thinvol rollback pve/vm-100-disk-0@before-upgrade
  thinvol rollback pve/vm-100-disk-0@daily pve/vm-100-disk-1@daily     both or neither
  thinvol rollback --vmid 100 @daily                                   all its volumes or none
  thinvol rollback --dry-run pve/vm-100-disk-0@x                       what would be done"
);

/// Roll volumes back to snapshots
///
/// Gives thin volumes the content of their snapshots; all volumes of a volume group in one transaction. The
/// present content is lost, unless another snapshot holds it: thinvol says since when, and asks
/// first on a terminal. A volume can go back to any of its snapshots; newer snapshots stay. It keeps its name,
/// uuid, flags and tags, and gets the size of the snapshot. It may be active; a volume in use is refused, and its
/// users are named.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct RollbackArgs {
    /// Which snapshots.
    #[command(flatten)]
    pub names: SnapshotNames,

    /// Do not ask. Only on a terminal is there a question
    #[arg(long, short = 'y')]
    pub yes: bool,

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
        let wishes = self.names.wishes(context, |_, _, _| true)?;
        if !self.yes && !self.change.dry_run && !context.style.json && ask::is_possible() {
            confirm(context, &wishes)?;
        }
        transact(context, &self.change, wishes, |vg, snapshots| {
            self.names.still_means(vg, snapshots)?;
            resolve(vg, snapshots)
        })
    }
}

/// Asks for what is lost.
fn confirm(context: &Context, wishes: &BTreeMap<VgName, Vec<Snapshot>>) -> Result<(), CliError> {
    let engine = context.reader()?;
    let mut what = Vec::new();
    for (name, snapshots) in wishes {
        what.extend(resolve(&engine.metadata(name)?, snapshots)?.notes);
    }
    ask::confirm(&what)
}

fn resolve(vg: &Vg, snapshots: &[Snapshot]) -> Result<ChangeSet, CliError> {
    let lineage = Lineage::of(vg);
    let wanted = snapshots.iter().map(|snapshot| wanted(vg, &lineage, snapshot));
    let wanted = wanted.collect::<Result<_, _>>()?;
    let notes = snapshots.iter().map(|snapshot| lost(vg, &lineage, &snapshot.volume));
    Ok(ChangeSet { wanted, notes: notes.collect::<Result<_, _>>()? })
}

/// What no snapshot holds. The newest one is that with the latest time, and of several the one made last.
fn lost(vg: &Vg, lineage: &Lineage<'_>, volume: &Volume) -> Result<String, CliError> {
    let lv = lookup::volume(vg, volume)?;
    let newest = lineage
        .snapshots_of(lv)
        .max_by_key(|(_, lv)| (lv.creation_time, lv.thin().map(|thin| thin.transaction_id)));
    Ok(match newest {
        Some((name, Lv { creation_time: Some(time), .. })) => {
            let time = moment(*time);
            format!(
                "what was written to '{volume}' since its newest snapshot, '{name}' of {time}, is given up"
            )
        }
        Some((name, _)) => {
            format!("what was written to '{volume}' since its newest snapshot, '{name}', is given up")
        }
        None => format!("what '{volume}' holds is given up"),
    })
}

/// The request to roll a volume back.
///
/// # Errors
/// If volume or snapshot does not exist.
pub fn wanted(vg: &Vg, lineage: &Lineage<'_>, snapshot: &Snapshot) -> Result<LabelledRequest, CliError> {
    let lv = lookup::snapshot(vg, lineage, snapshot)?;
    Ok(to_lv(snapshot, lv.name.clone()))
}

/// The same for a snapshot that is, or will be, that LV.
pub fn to_lv(snapshot: &Snapshot, lv: LvName) -> LabelledRequest {
    let volume = &snapshot.volume;
    LabelledRequest {
        request: Request::Rollback { name: volume.lv.clone(), to: lv },
        display_name: volume.to_string(),
        done_message: format!("rolled back '{volume}' to snapshot '{}'", snapshot.snap),
    }
}
