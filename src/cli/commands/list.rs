//! `thinvol list`: the volumes of a pool.

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use crate::backends;
use crate::backends::listing::{Listing, VolumeQuery};
use crate::backends::volume_row::{COLUMNS, ParentRef, USUAL, VolumeRow};
use crate::context::Context;
use crate::errors::CliError;
use crate::output::{Answer, columns, moment};
use crate::table::{self, Table, TableOptions};
use base::units::Bytes;
use base::units::size::{self, Rounded};

const EXAMPLES: &str = "\
Examples:
  thinvol list local-lvm
  thinvol list local-lvm --vmid 100 --snapshots
  thinvol list local-lvm --name '*cloudinit*' --tag gold
  thinvol list local-lvm --content rootdir
  thinvol list local-lvm -o address,size,mapped --units g --sort -mapped
  thinvol list local-lvm --snapshots --exclusive -o address,mapped,exclusive,shared
  thinvol list pve/data --noheadings -o address        for scripts
  thinvol list pve/data --tree
  thinvol list san                                     the LUNs of a storage of type iscsi";

fn help() -> String {
    format!(
        "{EXAMPLES}\n\n{}\n\nJSON:\n  {{\"storage\", \"volumes\": [{}],\n   \
         \"notes\": [text], \"warnings\": [text]}}\n\n\
         Snapshots are among the volumes with --snapshots or --tree only.",
        table::about(COLUMNS, USUAL),
        table::form(COLUMNS)
    )
}

/// List the volumes of a storage
///
/// Lists the volumes of a thin pool in the columns of 'pvesm list', sizes in bytes. For a storage named by its
/// id, only volumes of guests are listed, as in Proxmox VE; for a pool named as <vg>/<pool>, volumes with other
/// names follow without a VMID. Snapshots are left out without --snapshots. --tree shows which volume was made
/// from which, and when each snapshot was taken. For a storage of type iscsi, the LUNs of its target are listed,
/// each once.
#[derive(Debug, Args)]
#[command(after_long_help = help())]
pub struct ListArgs {
    /// The storage: an id or <vg>/<pool>
    pub storage: String,

    /// Which volumes.
    #[command(flatten)]
    pub query: VolumeQuery,

    /// Which columns.
    #[command(flatten)]
    pub table: TableOptions,
}

#[derive(Debug, Serialize)]
struct Volumes {
    storage: String,
    volumes: Table<VolumeRow>,
    notes: Vec<String>,
    warnings: Vec<String>,
    #[serde(skip)]
    tree: bool,
}

impl Answer for Volumes {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        match () {
            () if self.tree => self.as_tree(out),
            () if self.volumes.is_usual() => self.as_pvesm(out),
            () => self.volumes.text(out),
        }
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

fn blanks(out: &mut dyn Write, count: usize) -> io::Result<()> {
    const BLANKS: &[u8] = &[b' '; 64];
    let mut rest = count;
    while rest > 0 {
        let piece = rest.min(BLANKS.len());
        out.write_all(&BLANKS[..piece])?;
        rest -= piece;
    }
    Ok(())
}

impl Volumes {
    /// As Proxmox VE shows them, whose scripts read it; what belongs to no guest comes last. Source: pve-storage
    /// `PVE/CLI/pvesm.pm` (`list`).
    fn as_pvesm(&self, out: &mut dyn Write) -> io::Result<()> {
        let rows = &self.volumes.rows;
        let name_width = rows.iter().map(|row| row.address.len()).max().unwrap_or(0);
        let largest = rows.iter().map(|row| row.size).max().unwrap_or(0);
        let size_width = largest.to_string().len();
        // Thousands of lines: by hand, this takes a third of what the machinery of formatting does.
        let mut line = |volume: &str, format: &str, content: &str, size: &str, vmid: Option<&str>| {
            let padded = [(volume, name_width), (format, 7), (content, 9)];
            for (text, width) in padded {
                out.write_all(text.as_bytes())?;
                blanks(out, width.saturating_sub(text.chars().count()) + 1)?;
            }
            blanks(out, size_width.saturating_sub(size.len()))?;
            out.write_all(size.as_bytes())?;
            for text in vmid.into_iter().flat_map(|vmid| [" ", vmid]) {
                out.write_all(text.as_bytes())?;
            }
            out.write_all(b"\n")
        };
        if self.volumes.has_headings() {
            line("Volid", "Format", "Type", "Size", Some("VMID"))?;
        }
        let is_sorted = self.volumes.is_sorted();
        let (first, last): (Vec<&VolumeRow>, Vec<&VolumeRow>) =
            rows.iter().partition(|row| is_sorted || row.vmid.is_some());
        for row in first.into_iter().chain(last) {
            let vmid = row.vmid.map(|vmid| vmid.to_string());
            line(&row.address, row.format, row.content, &row.size.to_string(), vmid.as_deref())?;
        }
        Ok(())
    }

    fn as_tree(&self, out: &mut dyn Write) -> io::Result<()> {
        let rows: Vec<[String; 5]> = self
            .volumes
            .rows
            .iter()
            .map(|row| {
                let indent = "  ".repeat(row.depth);
                let relation = match (&row.snapshot, &row.parent) {
                    (None, _) if row.former.is_some() => {
                        format!("once snapshot {}", row.former.as_deref().unwrap_or_default())
                    }
                    (Some(snap), Some(ParentRef { volume: Some(_), .. })) => format!("snapshot {snap}"),
                    (Some(snap), _) => format!("snapshot {snap} of a volume that is gone"),
                    (None, Some(ParentRef { volume: Some(_), .. })) => "clone".to_owned(),
                    (None, Some(_)) => "clone of a volume that is gone".to_owned(),
                    (None, None) => String::new(),
                };
                let mapped = row
                    .mapped
                    .map(|mapped| format!("{} mapped", Rounded(Bytes::new(mapped))))
                    .unwrap_or_default();
                [
                    format!("{indent}{}", row.volume),
                    Rounded(Bytes::new(row.size)).to_string(),
                    mapped,
                    relation,
                    row.created.filter(|_| row.snapshot.is_some()).map(moment).unwrap_or_default(),
                ]
            })
            .collect();
        columns(out, &rows, &[false, true, true, false, false])
    }
}

impl ListArgs {
    /// Lists the volumes.
    ///
    /// # Errors
    /// If the argument is wrong, there is no such pool or the metadata cannot be read.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let listing = backends::named(&context.resolver, &self.storage)?.list(context, &self.query)?;
        let Listing { storage, rows, notes, warnings } = listing;
        let volumes = self.table.table(COLUMNS, USUAL, size::Unit::Byte, rows)?;
        context.print(&Volumes { storage, volumes, notes, warnings, tree: self.query.tree })
    }
}

#[cfg(test)]
mod tests;
