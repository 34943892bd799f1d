//! A volume in a list: what is known of it, and its columns.

use serde_json::json;

use crate::resolve::{Snapshot, Storage};
use crate::table::{Cell, Column};
use base::ids::LvmUuid;
use base::units::{Bytes, Sectors};
use config::names;
use config::types::Content;
use iscsi::storage::units::Unit;
use lvm2::format::model::{Lv, Vg};
use thin::VolumeView;
use thin::changes::SnapName;
use thin::internals::lineage::{Descent, Parent, Relation, TreeLine};

/// What disks are for.
const IMAGES: &str = Content::Images.word();

/// What is known of a volume.
#[derive(Clone, Debug)]
pub struct VolumeRow {
    pub volume: String,
    pub address: String,
    pub format: &'static str,
    pub content: &'static str,
    pub size: u64,
    pub mapped: Option<u64>,
    pub exclusive: Option<u64>,
    pub vmid: Option<u64>,
    pub uuid: Option<LvmUuid>,
    pub active: bool,
    pub created: Option<u64>,
    pub depth: usize,
    pub parent: Option<ParentRef>,
    pub snapshot: Option<String>,
    /// The snapshot it was made as and does not count as any more.
    pub former: Option<String>,
    pub tags: Vec<String>,
    pub wwid: Option<String>,
}

/// What a volume was made from.
#[derive(Clone, Debug)]
pub struct ParentRef {
    pub volume: Option<String>,
    pub uuid: Option<String>,
}

/// The columns of the text. Source: pve-storage `PVE/CLI/pvesm.pm` (`list`).
pub const USUAL: &[&str] = &["address", "format", "content", "size", "vmid"];

/// All columns.
pub const COLUMNS: &[Column<VolumeRow>] = &[
    Column {
        name: "volume",
        title: "Volume",
        form: "text",
        about: "its volume id, or <vg>/<lv>",
        cell: |row| Cell::Text(row.volume.clone()),
    },
    Column {
        name: "address",
        title: "Volid",
        form: "text",
        about: "how commands call it: of a snapshot <volume>@<snapshot>",
        cell: |row| Cell::Text(row.address.clone()),
    },
    Column {
        name: "format",
        title: "Format",
        form: "\"raw\"",
        about: "always raw",
        cell: |row| Cell::Text(row.format.to_owned()),
    },
    Column {
        name: "content",
        title: "Type",
        form: "\"images\" or \"rootdir\"",
        about: "images, or rootdir if its guest is a container",
        cell: |row| Cell::Text(row.content.to_owned()),
    },
    Column {
        name: "size",
        title: "Size",
        form: "number (bytes)",
        about: "how large it is",
        cell: |row| Cell::Size(row.size),
    },
    Column {
        name: "mapped",
        title: "Mapped",
        form: "number (bytes) or null",
        about: "how much of the pool it maps, shared or not; known of active volumes",
        cell: |row| Cell::size(row.mapped),
    },
    Column {
        name: "exclusive",
        title: "Alone",
        form: "number (bytes) or null (without --exclusive)",
        about: "how much of that no other volume or snapshot has; with --exclusive",
        cell: |row| Cell::size(row.exclusive),
    },
    Column {
        name: "shared",
        title: "Shared",
        form: "number (bytes) or null (without --exclusive)",
        about: "how much of it another one has, too; with --exclusive",
        cell: |row| Cell::size(row.exclusive.and_then(|exclusive| row.mapped?.checked_sub(exclusive))),
    },
    Column {
        name: "vmid",
        title: "VMID",
        form: "number or null",
        about: "the guest it belongs to",
        cell: |row| Cell::number(row.vmid),
    },
    Column {
        name: "uuid",
        title: "UUID",
        form: "text or null (of a LUN)",
        about: "LVM's id of it",
        cell: |row| Cell::text(row.uuid),
    },
    Column {
        name: "active",
        title: "Active",
        form: "boolean",
        about: "whether its device is there",
        cell: |row| Cell::Flag(row.active),
    },
    Column {
        name: "created",
        title: "Created",
        form: "number (seconds since 1970) or null",
        about: "when it was made",
        cell: |row| row.created.map_or(Cell::Nothing, Cell::Moment),
    },
    Column {
        name: "depth",
        title: "Depth",
        form: "number (of ancestors in the tree)",
        about: "how many ancestors it has",
        cell: |row| Cell::number(u64::try_from(row.depth).ok()),
    },
    Column {
        name: "parent",
        title: "Parent",
        form: "{\"volume\": text or null, \"uuid\": text or null} or null",
        about: "what it was made from",
        cell: |row| match &row.parent {
            None => Cell::Nothing,
            Some(ParentRef { volume, uuid }) => Cell::Composite(
                json!({"volume": volume, "uuid": uuid}),
                volume.clone().unwrap_or_else(|| "(gone)".to_owned()),
            ),
        },
    },
    Column {
        name: "snapshot",
        title: "Snapshot",
        form: "text (its name) or null",
        about: "the name of the snapshot, if it is one",
        cell: |row| Cell::text(row.snapshot.as_ref()),
    },
    Column {
        name: "tags",
        title: "Tags",
        form: "[text]",
        about: "its LVM tags",
        cell: |row| Cell::words(&row.tags),
    },
    Column {
        name: "wwid",
        title: "WWID",
        form: "text or null",
        about: "the worldwide name of a LUN",
        cell: |row| Cell::text(row.wwid.as_ref()),
    },
];

impl VolumeRow {
    /// The row of a LUN, which belongs to no guest.
    pub fn of_lun(volume: String, unit: &Unit) -> Self {
        Self {
            address: volume.clone(),
            volume,
            format: "raw",
            content: IMAGES,
            size: unit.size.get(),
            mapped: None,
            exclusive: None,
            vmid: None,
            uuid: None,
            active: unit.is_running,
            created: None,
            depth: 0,
            parent: None,
            snapshot: None,
            former: None,
            tags: vec![],
            wwid: unit.wwid.as_ref().map(ToString::to_string),
        }
    }

    /// The row of a volume of a pool, of which `active` is the view if it has a device. A snapshot belongs to the guest
    /// of its volume.
    pub fn of_volume(storage: &Storage, vg: &Vg, active: Option<&VolumeView>, line: &TreeLine<'_>) -> Self {
        let &TreeLine { depth, lv, descent } = line;
        let parent = descent.map(|descent| match descent.parent {
            Parent::Present(lv) => {
                ParentRef { volume: Some(storage.name_of(lv.name.as_str())), uuid: Some(lv.id.to_string()) }
            }
            Parent::Gone(uuid) => ParentRef { volume: None, uuid: Some(uuid.to_string()) },
            Parent::Unreadable => ParentRef { volume: None, uuid: None },
        });
        let snapshot = descent.and_then(|descent| match descent.relation {
            Relation::Snapshot(snap) => Some(snap),
            Relation::FormerSnapshot(_) | Relation::Clone => None,
        });
        let former = descent.and_then(|descent| match descent.relation {
            Relation::FormerSnapshot(snap) => Some(snap.to_owned()),
            Relation::Snapshot(_) | Relation::Clone => None,
        });
        let of = live_snapshot_of(descent);
        let own = storage.name_of(lv.name());
        let size = lv.extents().and_then(|extents| extents.to_sectors(vg.extent_size));
        let address = of
            .zip(snapshot.and_then(|snap| SnapName::new(snap).ok()))
            .map(|(of, snap)| Snapshot { volume: storage.volume(of.name.clone()), snap }.to_string());
        Self {
            address: address.unwrap_or_else(|| own.clone()),
            volume: own,
            format: "raw",
            content: IMAGES,
            size: size.and_then(Sectors::to_bytes).unwrap_or(Bytes::ZERO).get(),
            mapped: active.and_then(|volume| volume.mapped).map(Bytes::get),
            exclusive: None,
            vmid: names::owner_in(of.map_or(lv.name(), |of| of.name.as_str())),
            uuid: Some(lv.id()),
            active: active.is_some_and(|volume| volume.active),
            created: lv.creation_time(),
            depth,
            parent,
            snapshot: snapshot.map(str::to_owned),
            former,
            tags: lv.tags(),
            wwid: None,
        }
    }
}

/// The volume of which something is a snapshot, if that is there.
pub fn live_snapshot_of(descent: Option<Descent<'_>>) -> Option<&Lv> {
    match descent {
        Some(Descent { parent: Parent::Present(lv), relation: Relation::Snapshot(_) }) => Some(lv),
        _ => None,
    }
}
