//! `thinvol list`: the volumes of a pool.

mod row;

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use self::row::{COLUMNS, ParentRef, Row, USUAL, live_snapshot_of};
use super::status::pending;
use crate::context::Context;
use crate::errors::CliError;
use crate::filter::Filter;
use crate::guests::Guests;
use crate::iscsi_storage::{Address, IscsiStorage};
use crate::output::{Answer, columns, moment};
use crate::resolve::Storage;
use crate::table::{self, Table, TableOptions};
use base::units::Bytes;
use base::units::size::{self, Rounded};
use config::types::Content;
use thin::changes::lookup;
use thin::lineage::Lineage;
use thin::view::View;

const EXAMPLES: &str = "\
Examples:
  thinvol list local-lvm
  thinvol list local-lvm --vmid 100 --snapshots
  thinvol list local-lvm --name '*cloudinit*' --tag gold
  thinvol list local-lvm --content rootdir
  thinvol list local-lvm -o address,size,mapped --units g --sort -mapped
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

/// What disks are for.
const IMAGES: &str = Content::Images.word();

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

    /// Only this content: images or rootdir, the disks of containers
    #[arg(long, value_name = "TYPE")]
    pub content: Option<String>,

    /// Which volumes; with --tree, also what was made from them.
    #[command(flatten)]
    pub filter: Filter,

    /// List snapshots, too, each as <volume>@<snapshot>
    #[arg(long)]
    pub snapshots: bool,

    /// Show snapshots too, everything below what it was made from
    #[arg(long, conflicts_with_all = ["columns", "noheadings", "sort", "units"])]
    pub tree: bool,

    /// Which columns.
    #[command(flatten)]
    pub table: TableOptions,
}

#[derive(Debug, Serialize)]
struct Volumes {
    storage: String,
    volumes: Table<Row>,
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

impl Volumes {
    /// As Proxmox VE shows them, whose scripts read it; what belongs to no guest comes last. Source: pve-storage
    /// `PVE/CLI/pvesm.pm` (`list`).
    fn as_pvesm(&self, out: &mut dyn Write) -> io::Result<()> {
        let rows = &self.volumes.rows;
        let name_width = rows.iter().map(|row| row.address.len()).max().unwrap_or(0);
        let largest = rows.iter().map(|row| row.size).max().unwrap_or(0);
        let size_width = largest.to_string().len();
        let mut line = |volume: &str, format: &str, content: &str, size: &str, vmid: Option<&str>| {
            let vmid = vmid.map(|vmid| format!(" {vmid}")).unwrap_or_default();
            writeln!(out, "{volume:<name_width$} {format:<7} {content:<9} {size:>size_width$}{vmid}")
        };
        if self.volumes.has_headings() {
            line("Volid", "Format", "Type", "Size", Some("VMID"))?;
        }
        let is_sorted = self.volumes.is_sorted();
        let (first, last): (Vec<&Row>, Vec<&Row>) =
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
        if let Some(Address::Storage(storage)) = context.resolver.iscsi(&self.storage)? {
            return self.luns(context, &storage);
        }
        let storage = context.resolver.storage(&self.storage)?;
        let view = context.reader()?.view(&storage.vg)?;
        if !view.pools.iter().any(|pool| pool.name == storage.pool) {
            return Err(lookup::no_pool(&storage).into());
        }
        let guests = Guests::beside(context.resolver.file().path());
        let volumes = self.rows(&view, &storage, &guests);
        let mut notes = pending(&view.vg.name, &view.pending);
        notes.extend(self.left_out(&view, &storage));
        let warnings = [context.resolver.warnings(), view.warnings].concat();
        self.print(context, storage.to_string(), volumes, notes, warnings)
    }

    /// The LUNs of a target. They belong to no guest.
    fn luns(&self, context: &Context, storage: &IscsiStorage) -> Result<(), CliError> {
        let seen = storage.look()?;
        if !seen.is_active() {
            return Err(storage.not_active());
        }
        let is_wanted =
            storage.holds_images && self.content.as_deref().is_none_or(|content| content == IMAGES);
        let mut volumes = Vec::new();
        let mut notes = Vec::new();
        let mut warnings = context.resolver.warnings();
        if !storage.holds_images && !seen.units.is_empty() {
            let (id, count) = (&storage.id, seen.units.len());
            notes.push(format!(
                "{count} LUNs are left out: the content of storage '{id}' is none; 'thinvol iscsi sessions' shows them"
            ));
        }
        let filter = self.filter.filter();
        for unit in seen.units.iter().filter(|_| is_wanted) {
            match storage.volume_id(unit) {
                Some(volume) if filter.takes_unowned(of_storage(&volume)) => {
                    volumes.push(Row::of_lun(volume, unit));
                }
                Some(_) => {}
                None => warnings.push(format!(
                    "LUN {} ({}) is left out: it has no name in /dev/disk/by-id",
                    unit.lun,
                    unit.devices.join(", ")
                )),
            }
        }
        self.print(context, storage.id.to_string(), volumes, notes, warnings)
    }

    fn print(
        &self,
        context: &Context,
        storage: String,
        rows: Vec<Row>,
        notes: Vec<String>,
        warnings: Vec<String>,
    ) -> Result<(), CliError> {
        let volumes = self.table.table(COLUMNS, USUAL, size::Unit::Byte, rows)?;
        context.print(&Volumes { storage, volumes, notes, warnings, tree: self.tree })
    }

    /// What to say of volumes that have no volume id.
    fn left_out(&self, view: &View, storage: &Storage) -> Option<String> {
        let lineage = Lineage::of(&view.vg);
        let in_pool = view.vg.lvs.iter().filter(|lv| lv.thin().is_some_and(|thin| thin.pool == storage.pool));
        let count = in_pool
            .filter(|lv| !storage.lists(&lv.name) && live_snapshot_of(lineage.descent(lv)).is_none())
            .count();
        let Storage { vg, pool, .. } = storage;
        (count > 0 && !self.tree && self.filter.is_empty()).then(|| {
            format!("{count} volumes with other names are left out; 'thinvol list {vg}/{pool}' shows them")
        })
    }

    fn rows(&self, view: &View, storage: &Storage, guests: &Guests) -> Vec<Row> {
        let lineage = Lineage::of(&view.vg);
        let seen: std::collections::HashMap<_, _> =
            view.volumes.iter().map(|volume| (&volume.name, volume)).collect();
        let mut rows = Vec::new();
        let filter = self.filter.filter();
        // The depth of the topmost kept ancestor: what hangs below it is kept with it.
        let mut kept_above: Option<usize> = None;
        for line in lineage.tree(&storage.pool) {
            let Some(volume) = seen.get(&line.lv.name) else { continue };
            let row = Row::of_volume(storage, volume, line.lv, line.descent, line.depth);
            let row = Row { content: guests.content_of(row.vmid).word(), ..row };
            // A snapshot is meant if its volume is.
            let of = live_snapshot_of(line.descent);
            let shown = of.unwrap_or(line.lv);
            let wanted = filter.takes(&shown.name, &shown.tags)
                && self.content.as_ref().is_none_or(|content| content == row.content);
            if self.tree {
                kept_above = kept_above.filter(|depth| line.depth > *depth);
                if wanted || kept_above.is_some() {
                    let top = *kept_above.get_or_insert(line.depth);
                    rows.push(Row { depth: line.depth - top, ..row });
                }
            } else if wanted && storage.lists(&shown.name) && (self.snapshots || of.is_none()) {
                rows.push(row);
            }
        }
        if !self.tree {
            rows.sort_by_cached_key(|row| row.address.to_ascii_lowercase());
        }
        rows
    }
}

/// A volume id without its storage.
fn of_storage(volume: &str) -> &str {
    volume.split_once(':').map_or(volume, |(_, name)| name)
}

#[cfg(test)]
mod tests;
