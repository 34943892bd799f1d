//! `thinvol scan`: what LVM knows.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::errors::CliError;
use crate::cli::output::Answer;

const LVM_HELP: &str = "\
Examples:
  thinvol scan lvm
  thinvol scan lvm --json

JSON:
  {\"volume_groups\": [{\"name\", \"uuid\", \"trouble\": [why it cannot be changed]}]}";

const LVMTHIN_HELP: &str = "\
Examples:
  thinvol scan lvmthin pve
  thinvol scan lvmthin pve --json

JSON:
  {\"vg\": \"pve\", \"pools\": [{\"name\", \"storage\", \"active\", \"size\": bytes}], \"warnings\": [text]}";

/// Lists what LVM knows: volume groups, or the thin pools of one.
#[derive(Debug, Args)]
pub struct ScanArgs {
    /// What to list.
    #[command(subcommand)]
    pub what: What,
}

/// What to list.
#[derive(Debug, Subcommand)]
pub enum What {
    /// List the volume groups
    #[command(after_long_help = LVM_HELP)]
    Lvm,
    /// List the thin pools of a volume group
    #[command(after_long_help = LVMTHIN_HELP)]
    Lvmthin {
        /// The volume group
        vg: String,
    },
}

#[derive(Debug, Serialize)]
struct VolumeGroups {
    volume_groups: Vec<VolumeGroup>,
}

#[derive(Debug, Serialize)]
struct VolumeGroup {
    name: String,
    uuid: String,
    trouble: Vec<String>,
}

impl Answer for VolumeGroups {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        self.volume_groups.iter().try_for_each(|vg| writeln!(out, "{}", vg.name))
    }
}

#[derive(Debug, Serialize)]
struct Pools {
    vg: String,
    pools: Vec<Pool>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Pool {
    name: String,
    storage: String,
    active: bool,
    size: u64,
}

impl Answer for Pools {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        self.pools.iter().try_for_each(|pool| writeln!(out, "{}", pool.name))
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl ScanArgs {
    /// Lists volume groups or thin pools.
    ///
    /// # Errors
    /// If the argument is wrong or the metadata cannot be read.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        match &self.what {
            What::Lvm => {
                let mut volume_groups: Vec<VolumeGroup> = context
                    .reader()?
                    .every_vg()?
                    .vgs
                    .into_iter()
                    .map(|vg| VolumeGroup {
                        name: vg.name.to_string(),
                        uuid: vg.uuid.to_string(),
                        trouble: vg.trouble,
                    })
                    .collect();
                volume_groups.sort_by(|a, b| a.name.cmp(&b.name));
                context.print(&VolumeGroups { volume_groups })
            }
            What::Lvmthin { vg } => {
                let vg = context.resolver.vg(vg)?;
                let view = context.reader()?.view(&vg)?;
                let mut pools: Vec<Pool> = view
                    .pools
                    .iter()
                    .map(|pool| Pool {
                        name: pool.name.to_string(),
                        storage: format!("{vg}/{}", pool.name),
                        active: pool.active,
                        size: pool.size.get(),
                    })
                    .collect();
                pools.sort_by(|a, b| a.name.cmp(&b.name));
                context.print(&Pools { vg: vg.to_string(), pools, warnings: view.warnings })
            }
        }
    }
}
