//! `thinvol list`: the volumes of a pool.

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use super::status::pending;
use crate::context::Context;
use crate::errors::CliError;
use crate::guests::Guests;
use crate::iscsi_storage::{Address, IscsiStorage};
use crate::lookup;
use crate::output::{Answer, columns, moment};
use crate::resolve::Storage;
use base::units::Bytes;
use base::units::size::Rounded;
use config::names;
use config::schema::Content;
use iscsi::protocol::wwid::Wwid;
use iscsi::storage::units::Unit;
use lvm2::format::model::Lv;
use thin::lineage::{Descent, Lineage, Parent, Relation};
use thin::view::{View, VolumeView};

const HELP: &str = "\
Examples:
  thinvol list local-lvm
  thinvol list local-lvm --vmid 100
  thinvol list local-lvm --content rootdir
  thinvol list pve/data --tree
  thinvol list san                                 the LUNs of a storage of type iscsi

JSON:
  {\"storage\", \"volumes\": [{\"volume\", \"format\": \"raw\", \"content\": \"images\" or \"rootdir\",
     \"size\": number (bytes), \"mapped\": number (bytes) or null, \"vmid\": number or null,
     \"uuid\": text or null (of a LUN),
     \"active\": boolean, \"created\": number (seconds since 1970) or null,
     \"depth\": number (of ancestors in the tree),
     \"parent\": {\"volume\": text or null, \"uuid\": text or null} or null,
     \"snapshot\": text (its name) or null, \"wwid\"?: text (of a LUN) or null}],
   \"notes\": [text], \"warnings\": [text]}

Snapshots are among the volumes with --tree only.";

/// What disks are for.
const IMAGES: &str = Content::Images.word();

/// What `thinvol list` takes.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct ListArgs {
    /// The storage: an id or <vg>/<pool>
    pub storage: String,

    /// Only this content: images or rootdir, the disks of containers
    #[arg(long, value_name = "TYPE")]
    pub content: Option<String>,

    /// Only volumes of this guest; with --tree, also what was made from them
    #[arg(long)]
    pub vmid: Option<u64>,

    /// Show snapshots too, everything below what it was made from
    #[arg(long)]
    pub tree: bool,
}

#[derive(Debug, Serialize)]
struct Volumes {
    storage: String,
    volumes: Vec<Row>,
    notes: Vec<String>,
    warnings: Vec<String>,
    #[serde(skip)]
    tree: bool,
}

#[derive(Clone, Debug, Serialize)]
struct Row {
    volume: String,
    format: &'static str,
    content: &'static str,
    size: u64,
    mapped: Option<u64>,
    vmid: Option<u64>,
    uuid: Option<String>,
    active: bool,
    created: Option<u64>,
    depth: usize,
    parent: Option<ParentRef>,
    snapshot: Option<String>,
    #[serde(flatten)]
    of_lun: Option<OfLun>,
}

/// What only LUNs have.
#[derive(Clone, Debug, Serialize)]
struct OfLun {
    wwid: Option<Wwid>,
}

#[derive(Clone, Debug, Serialize)]
struct ParentRef {
    volume: Option<String>,
    uuid: Option<String>,
}

impl Answer for Volumes {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.tree { self.as_tree(out) } else { self.as_list(out) }
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl Volumes {
    /// Source of the columns: pve-storage `PVE/CLI/pvesm.pm` (`list`).
    fn as_list(&self, out: &mut dyn Write) -> io::Result<()> {
        let name_width = self.volumes.iter().map(|row| row.volume.len()).max().unwrap_or(0);
        let largest = self.volumes.iter().map(|row| row.size).max().unwrap_or(0);
        let size_width = largest.to_string().len();
        let mut line = |volume: &str, format: &str, content: &str, size: &str, vmid: Option<&str>| {
            let vmid = vmid.map(|vmid| format!(" {vmid}")).unwrap_or_default();
            writeln!(out, "{volume:<name_width$} {format:<7} {content:<9} {size:>size_width$}{vmid}")
        };
        line("Volid", "Format", "Type", "Size", Some("VMID"))?;
        let (owned, others): (Vec<&Row>, Vec<&Row>) = self.volumes.iter().partition(|row| row.vmid.is_some());
        for row in owned.into_iter().chain(others) {
            let vmid = row.vmid.map(|vmid| vmid.to_string());
            line(&row.volume, row.format, row.content, &row.size.to_string(), vmid.as_deref())?;
        }
        Ok(())
    }

    fn as_tree(&self, out: &mut dyn Write) -> io::Result<()> {
        let rows: Vec<[String; 5]> = self
            .volumes
            .iter()
            .map(|row| {
                let indent = "  ".repeat(row.depth);
                let relation = match (&row.snapshot, &row.parent) {
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
        columns(out, &rows, [false, true, true, false, false])
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
            return Err(lookup::no_pool(&storage));
        }
        let guests = Guests::beside(context.resolver.file().path());
        let volumes = self.rows(&view, &storage, &guests);
        let mut notes = pending(&view.vg.name, &view.pending);
        notes.extend(self.left_out(&view, &storage));
        let storage = storage.to_string();
        let warnings = [context.resolver.warnings(), view.warnings].concat();
        context.print(&Volumes { storage, volumes, notes, warnings, tree: self.tree })
    }

    /// The LUNs of a target. They belong to no guest.
    fn luns(&self, context: &Context, storage: &IscsiStorage) -> Result<(), CliError> {
        let seen = storage.look()?;
        if !seen.is_active() {
            return Err(storage.not_active());
        }
        let is_wanted = storage.holds_images
            && self.vmid.is_none()
            && self.content.as_deref().is_none_or(|content| content == IMAGES);
        let mut volumes = Vec::new();
        let mut notes = Vec::new();
        let mut warnings = context.resolver.warnings();
        if !storage.holds_images && !seen.units.is_empty() {
            let (id, count) = (&storage.id, seen.units.len());
            notes.push(format!(
                "{count} LUNs are left out: the content of storage '{id}' is none; 'thinvol iscsi sessions' shows them"
            ));
        }
        for unit in seen.units.iter().filter(|_| is_wanted) {
            match storage.volume_id(unit) {
                Some(volume) => volumes.push(lun_row(volume, unit)),
                None => warnings.push(format!(
                    "LUN {} ({}) is left out: it has no name in /dev/disk/by-id",
                    unit.lun,
                    unit.devices.join(", ")
                )),
            }
        }
        let storage = storage.id.to_string();
        context.print(&Volumes { storage, volumes, notes, warnings, tree: self.tree })
    }

    /// What to say of volumes that have no volume id.
    fn left_out(&self, view: &View, storage: &Storage) -> Option<String> {
        let lineage = Lineage::of(&view.vg);
        let in_pool = view.vg.lvs.iter().filter(|lv| lv.thin().is_some_and(|thin| thin.pool == storage.pool));
        let count =
            in_pool.filter(|lv| !is_listed(storage, lv) && !is_live_snapshot(lineage.descent(lv))).count();
        let Storage { vg, pool, .. } = storage;
        (count > 0 && !self.tree && self.vmid.is_none()).then(|| {
            format!("{count} volumes with other names are left out; 'thinvol list {vg}/{pool}' shows them")
        })
    }

    fn rows(&self, view: &View, storage: &Storage, guests: &Guests) -> Vec<Row> {
        let lineage = Lineage::of(&view.vg);
        let seen: std::collections::HashMap<_, _> =
            view.volumes.iter().map(|volume| (&volume.name, volume)).collect();
        let mut rows = Vec::new();
        // The depth of the topmost kept ancestor: what hangs below it is kept with it.
        let mut kept_above: Option<usize> = None;
        for line in lineage.tree(&storage.pool) {
            let Some(volume) = seen.get(&line.lv.name) else { continue };
            let row = row(storage, volume, line.lv, line.descent, line.depth);
            let row = Row { content: guests.content_of(row.vmid).word(), ..row };
            let wanted = self.vmid.is_none_or(|vmid| row.vmid == Some(vmid))
                && self.content.as_ref().is_none_or(|content| content == row.content);
            if self.tree {
                kept_above = kept_above.filter(|depth| line.depth > *depth);
                if wanted || kept_above.is_some() {
                    let top = *kept_above.get_or_insert(line.depth);
                    rows.push(Row { depth: line.depth - top, ..row });
                }
            } else if wanted && is_listed(storage, line.lv) && !is_live_snapshot(line.descent) {
                rows.push(row);
            }
        }
        if !self.tree {
            rows.sort_by_cached_key(|row| row.volume.to_ascii_lowercase());
        }
        rows
    }
}

/// Whether a list of that storage shows it: of one named by its id only what has a volume id.
fn is_listed(storage: &Storage, lv: &Lv) -> bool {
    storage.id.is_none() || storage.volume(lv.name.clone()).storage.is_some()
}

fn is_live_snapshot(descent: Option<Descent<'_>>) -> bool {
    matches!(descent, Some(Descent { parent: Parent::Present(_), relation: Relation::Snapshot(_) }))
}

fn lun_row(volume: String, unit: &Unit) -> Row {
    Row {
        volume,
        format: "raw",
        content: IMAGES,
        size: unit.size.get(),
        mapped: None,
        vmid: None,
        uuid: None,
        active: unit.is_running,
        created: None,
        depth: 0,
        parent: None,
        snapshot: None,
        of_lun: Some(OfLun { wwid: unit.wwid.clone() }),
    }
}

fn row(storage: &Storage, volume: &VolumeView, lv: &Lv, descent: Option<Descent<'_>>, depth: usize) -> Row {
    let parent = descent.map(|descent| match descent.parent {
        Parent::Present(lv) => ParentRef {
            volume: Some(storage.volume(lv.name.clone()).to_string()),
            uuid: Some(lv.id.to_string()),
        },
        Parent::Gone(uuid) => ParentRef { volume: None, uuid: Some(uuid.to_string()) },
        Parent::Unreadable => ParentRef { volume: None, uuid: None },
    });
    let snapshot = descent.and_then(|descent| match descent.relation {
        Relation::Snapshot(snap) => Some(snap.to_owned()),
        Relation::Clone => None,
    });
    Row {
        volume: storage.volume(lv.name.clone()).to_string(),
        format: "raw",
        content: IMAGES,
        size: volume.size.get(),
        mapped: volume.mapped.map(|mapped| mapped.get()),
        vmid: names::owner(&lv.name),
        uuid: Some(lv.id.to_string()),
        active: volume.active,
        created: lv.creation_time,
        depth,
        parent,
        snapshot,
        of_lun: None,
    }
}

#[cfg(test)]
mod tests;
