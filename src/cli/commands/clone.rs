//! `thinvol clone`: a volume with the content of another.

use clap::Args;

use super::alloc::{free_name, vmid_parser};
use crate::cli::args::ChangeOptions;
use crate::cli::context::Context;
use crate::cli::errors::CliError;
use crate::cli::help::changing;
use crate::cli::lookup;
use crate::cli::resolve::Volume;
use crate::cli::transaction::{Ask, Wanted, by_vg, transact};
use crate::config::names;
use crate::ids::LvName;
use crate::thin::lineage::{self, Lineage};
use crate::thin::request::Request;

const HELP: &str = changing!(
    "\
  thinvol clone local-lvm:base-9000-disk-0 101                 the next free vm-101-disk-<n>
  thinvol clone pve/vm-100-disk-0@golden 102 --name vm-102-disk-5
  thinvol clone --dry-run pve/vm-100-disk-0 103              what would be done"
);

/// What `thinvol clone` takes.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct CloneArgs {
    /// What to clone: a volume or <volume>@<snapshot>
    #[arg(value_name = "VOLUME[@SNAPSHOT]")]
    pub source: String,

    /// The guest the clone is for
    #[arg(value_parser = vmid_parser())]
    pub vmid: u32,

    /// The clone's name, 'vm-<VMID>-…'; else the next free 'vm-<VMID>-disk-<n>'
    #[arg(long)]
    pub name: Option<String>,

    /// Leave the clone inactive
    #[arg(long)]
    pub inactive: bool,

    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl CloneArgs {
    /// Creates the clone.
    ///
    /// # Errors
    /// If an argument is wrong, or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let source = context.resolver.source(&self.source)?;
        let name = self.name.as_deref().filter(|name| !name.is_empty());
        let name = name.map(|name| names::check(self.vmid, name)).transpose()?;
        transact(context, &self.change, by_vg([(source.volume().vg.clone(), ())]), |vg, _| {
            let origin = lookup::source(vg, &Lineage::of(vg), &source)?;
            let name = match &name {
                Some(name) => name.clone(),
                None => free_name(vg, self.vmid)?,
            };
            let clone = source.volume().sibling(name);
            Ok(Ask { wanted: vec![wanted(&origin.name, &clone, !self.inactive)], notes: vec![] })
        })
    }
}

/// The request for that clone of that LV.
pub fn wanted(origin: &LvName, clone: &Volume, activate: bool) -> Wanted {
    let request = Request::Snapshot {
        origin: origin.clone(),
        name: clone.lv.clone(),
        read_only: false,
        skip_activation: false,
        tags: lineage::clone_tags(),
        activate,
        autoactivate: false,
    };
    Wanted { request, said: format!("successfully created '{clone}'"), asked: clone.to_string() }
}
