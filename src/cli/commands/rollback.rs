//! `thinvol rollback`: roll volumes back to snapshots.

use clap::Args;

use super::snapshots::SnapshotNames;
use crate::ask;
use crate::context::Context;
use crate::errors::CliError;
use crate::help::changing;
use crate::options::PromiseOptions;
use crate::transaction::{by_vg, note, transact};
use thin::changes::{Change, RollBack};

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

    /// Options of changes that may promise more of a pool.
    #[command(flatten)]
    pub change: PromiseOptions,
}

impl RollbackArgs {
    /// Rolls the volumes back.
    ///
    /// # Errors
    /// If an argument is wrong, or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let snapshots = self.names.meant(context, |_, _, _| true)?;
        let changes: Vec<Change> =
            snapshots.into_iter().map(|snapshot| RollBack::new(snapshot).into()).collect();
        if !self.yes && !self.change.every.dry_run && !context.style.json && ask::is_possible() {
            confirm(context, &changes)?;
        }
        transact(context, &self.change.options(), changes)
    }
}

/// Asks for what is lost.
fn confirm(context: &Context, changes: &[Change]) -> Result<(), CliError> {
    let engine = context.reader()?;
    let mut what = Vec::new();
    for (vg, changes) in by_vg(changes.iter().map(|change| (change.vg().clone(), change.clone()))) {
        what.extend(engine.preview(&vg, &changes)?.notes.iter().map(note));
    }
    ask::confirm(&what)
}
