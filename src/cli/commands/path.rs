//! `thinvol path`: where a volume's device is.

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use crate::backends::{self, Address};
use crate::context::Context;
use crate::errors::CliError;
use crate::output::Answer;
use crate::resolve::{Resolver, VolumeOrSnapshot};
use thin::internals::engine::ReadMetadata;
use thin::internals::lineage::Lineage;
use thin::internals::lookup;

const HELP: &str = "\
Examples:
  thinvol path local-lvm:vm-100-disk-0             /dev/pve/vm-100-disk-0
  thinvol path pve/vm-100-disk-0@daily             /dev/pve/snap_vm-100-disk-0_daily
  thinvol path san:0.0.1.scsi-36001405ab           /dev/disk/by-id/scsi-36001405ab

JSON:
  {\"path\"}";

/// Print the device path of a volume
///
/// Prints the path that a volume's device has when it is active. Whether the volume exists is not checked. A
/// snapshot is found by its recorded lineage.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct PathArgs {
    /// The volume or snapshot
    #[arg(value_name = "VOLUME[@SNAPSHOT]")]
    pub volume: String,
}

#[derive(Debug, Serialize)]
struct DevicePath {
    path: String,
}

impl Answer for DevicePath {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.path)
    }
}

impl PathArgs {
    /// Prints the path.
    ///
    /// # Errors
    /// If the argument is wrong, or there is no such snapshot.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let address = backends::apart(&context.resolver, &self.volume, Resolver::configured)?;
        if let Some(Address { backend, volname: Some(volname), .. }) = address
            && let Some(apart) = backend.apart()
        {
            return context.print(&DevicePath { path: apart.path(&volname)? });
        }
        let path = match context.resolver.source_anywhere(&self.volume)? {
            VolumeOrSnapshot::Volume(volume) => format!("/dev/{}/{}", volume.vg, volume.lv),
            VolumeOrSnapshot::Snapshot(snapshot) => {
                let vg = context.reader()?.metadata(&snapshot.volume.vg)?;
                let lv = lookup::snapshot(&vg, &Lineage::of(&vg), &snapshot)?;
                format!("/dev/{}/{}", vg.name, lv.name)
            }
        };
        context.print(&DevicePath { path })
    }
}
