//! `thinvol template`: a volume becomes a read-only base for clones.

use clap::Args;

use crate::context::Context;
use crate::errors::CliError;
use crate::help::changing;
use crate::options::ChangeOptions;
use crate::resolve::Volume;
use crate::transaction::transact;
use thin::changes::MakeTemplate;

const HELP: &str = changing!(
    "\
  thinvol template pve/vm-9000-disk-0                    it is pve/base-9000-disk-0 from then on
  thinvol clone pve/base-9000-disk-0 101
  thinvol template --dry-run pve/vm-9000-disk-0          what would be done"
);

/// Turn volumes into templates
///
/// Turns volumes 'vm-<VMID>-…' into templates 'base-<VMID>-…': read-only and inactive; lvm2 skips them when it
/// activates volumes, unless told otherwise. A volume in use is refused and its users are named; a volume with
/// snapshots is refused and they are named.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct TemplateArgs {
    /// The volumes, named 'vm-<VMID>-…'
    #[arg(required = true, value_name = "VOLUME")]
    pub volumes: Vec<String>,

    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl TemplateArgs {
    /// Makes the volumes templates.
    ///
    /// # Errors
    /// If an argument is wrong, or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let volumes: Vec<Volume> =
            self.volumes.iter().map(|text| context.resolver.volume(text)).collect::<Result<_, _>>()?;
        transact(context, &self.change, volumes.into_iter().map(|volume| MakeTemplate::new(volume).into()))
    }
}
