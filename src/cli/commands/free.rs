//! `thinvol free`: volumes go.

use clap::Args;

use crate::cli::args::ChangeOptions;
use crate::cli::context::Context;
use crate::cli::errors::CliError;
use crate::cli::help::changing;
use crate::cli::lookup;
use crate::cli::resolve::Volume;
use crate::cli::transaction::{Ask, Wanted, by_vg, transact};
use crate::lvm::model::Vg;
use crate::thin::request::Request;

const HELP: &str = changing!(
    "\
  thinvol free local-lvm:vm-100-disk-0
  thinvol free pve/vm-100-disk-0 pve/vm-100-disk-1     both or neither
  thinvol free --dry-run pve/vm-100-disk-0             what would be done"
);

/// What `thinvol free` takes.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct FreeArgs {
    /// The volumes
    #[arg(required = true, value_name = "VOLUME")]
    pub volumes: Vec<String>,

    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl FreeArgs {
    /// Removes the volumes.
    ///
    /// # Errors
    /// If an argument is wrong, or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let mut volumes = Vec::new();
        for text in &self.volumes {
            let volume = context.resolver.volume(text)?;
            if !volumes.contains(&volume) {
                volumes.push(volume);
            }
        }
        let wishes = by_vg(volumes.into_iter().map(|volume| (volume.vg.clone(), volume)));
        transact(context, &self.change, wishes, ask)
    }
}

fn ask(vg: &Vg, volumes: &[Volume]) -> Result<Ask, CliError> {
    let mut ask = Ask::default();
    for volume in volumes {
        if let Some(lv) = vg.lv(&volume.lv) {
            lookup::in_storage(lv, volume)?;
            ask.wanted.push(Wanted {
                request: Request::Remove { name: volume.lv.clone() },
                asked: volume.to_string(),
                said: format!("Removed volume '{volume}'"),
            });
        } else {
            ask.notes.push(format!("volume '{volume}' does not exist; nothing to remove"));
        }
    }
    Ok(ask)
}
