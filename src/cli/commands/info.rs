//! `thinvol info`: details of one volume or pool.

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use crate::context::{Context, pending};
use crate::errors::CliError;
use crate::output::{Answer, moment, pairs};
use crate::resolve::{NamedObject, Storage};
use base::units::Bytes;
use base::units::size::Rounded;
use config::features::{Feature, VolumeKind};
use config::storage;
use config::types::{Content, Type};
use dm::name::{DmUuid, Layer};
use dm::status::{PoolStatus, Usage};
use lvm2::host::dmeventd::Dmeventd;
use thin::internals::lookup;
use thin::internals::pool_rules::PoolRules;
use thin::{MadeAs, MadeFrom, ParentVolume, PoolView, VgView, VolumeView};

const HELP: &str = "\
Examples:
  thinvol info local-lvm:vm-100-disk-0
  thinvol info pve/vm-100-disk-0@daily
  thinvol info local-lvm                           a storage
  thinvol info pve/data

JSON:
  {\"kind\": \"volume\", \"volume\", \"uuid\", \"path\", \"size\": number (bytes),
   \"mapped\": number (bytes) or null, \"pool\": text or null, \"thin_id\": number or null,
   \"origin\": text (LVM's) or null, \"made_from\": text or null,
   \"snapshots\": [{\"name\", \"volume\", \"size\": number (bytes),
     \"created\": number (seconds since 1970) or null}], \"clones\": [text],
   \"features\": [text], \"tags\": [text], \"writable\": boolean, \"active\": boolean, \"suspended\": boolean,
   \"open_count\": number, \"device\": text (major:minor) or null,
   \"created\": number (seconds since 1970) or null, \"notes\": [text], \"warnings\": [text]}
  or
  {\"kind\": \"pool\", \"storage\", \"uuid\", \"active\": boolean, \"size\": number (bytes),
   \"metadata_size\": number (bytes), \"chunk_size\": number (bytes), \"transaction_id\": number,
   \"volumes\": number, \"virtual_size\": number (bytes), \"monitored\": boolean (by dmeventd) or null,
   \"monitors\": [text] (who runs 'thinvol pool monitor'),
   \"condition\" (a word as in 'thinvol status'), \"condition_words\", \"way_out\": text or null,
   \"rules\": {\"overcommit\": text or null, \"reserve\": number (bytes) or null,
     \"extend_at\": number (per cent) or null, \"extend_by\": number (per cent) or null},
   \"kernel\": object or text (the pool's status) or null,
   \"configured\": {\"id\", \"content\": [text], \"nodes\": [text] or null, \"formats\": [text],
     \"shared\": boolean, \"bwlimit\": text or null} or null,
   \"notes\": [text], \"warnings\": [text]}

Features are what Proxmox VE does with a volume: snapshot, clone, template, copy, sparseinit, rename.";

/// Show details of a volume or pool
///
/// Shows the details of a volume, a snapshot or a thin pool: sizes, state, what it was made from, and what was
/// made from it: its clones, and its snapshots from the oldest on with size and time.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct InfoArgs {
    /// The volume, snapshot or pool
    #[arg(value_name = "VOLUME|STORAGE")]
    pub what: String,
}

#[derive(Debug, Serialize)]
struct Info {
    #[serde(flatten)]
    facts: Facts,
    notes: Vec<String>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Facts {
    Volume(VolumeFacts),
    Pool(PoolFacts),
}

#[derive(Debug, Serialize)]
struct VolumeFacts {
    volume: String,
    uuid: String,
    path: String,
    size: u64,
    mapped: Option<u64>,
    pool: Option<String>,
    thin_id: Option<u32>,
    origin: Option<String>,
    made_from: Option<String>,
    snapshots: Vec<SnapshotFacts>,
    clones: Vec<String>,
    features: Vec<Feature>,
    tags: Vec<String>,
    writable: bool,
    active: bool,
    suspended: bool,
    open_count: u32,
    device: Option<String>,
    created: Option<u64>,
}

#[derive(Debug, Serialize)]
struct SnapshotFacts {
    name: String,
    volume: String,
    size: u64,
    created: Option<u64>,
}

#[derive(Debug, Serialize)]
struct PoolFacts {
    storage: String,
    uuid: String,
    active: bool,
    size: u64,
    metadata_size: u64,
    chunk_size: u64,
    transaction_id: u64,
    volumes: usize,
    virtual_size: u64,
    /// Unknown if dmeventd does not answer.
    monitored: Option<bool>,
    /// Who runs 'thinvol pool monitor'.
    monitors: Vec<String>,
    condition: &'static str,
    condition_words: String,
    way_out: Option<String>,
    rules: PoolRules,
    kernel: Option<PoolStatus>,
    configured: Option<Configured>,
}

/// What the configuration says of a pool that was named by its storage id, and what holds for all of its type.
#[derive(Debug, Serialize)]
struct Configured {
    id: String,
    content: Vec<Content>,
    nodes: Option<Vec<String>>,
    formats: [&'static str; 1],
    shared: bool,
    bwlimit: Option<String>,
}

impl Answer for Info {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        match &self.facts {
            Facts::Volume(volume) => pairs(out, &volume.lines()),
            Facts::Pool(pool) => pairs(out, &pool.lines()),
        }
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

fn exact(bytes: u64) -> String {
    format!("{} ({bytes} bytes)", Rounded(Bytes::new(bytes)))
}

impl VolumeFacts {
    fn lines(&self) -> Vec<(&'static str, String)> {
        let state = match (self.active, self.suspended) {
            (false, _) => "inactive".to_owned(),
            (true, true) => "suspended".to_owned(),
            (true, false) => format!("active, open count {}", self.open_count),
        };
        let mut lines = vec![
            ("volume", self.volume.clone()),
            ("uuid", self.uuid.clone()),
            ("path", self.path.clone()),
            ("size", exact(self.size)),
        ];
        lines.extend(self.mapped.map(|mapped| ("mapped", exact(mapped))));
        lines.extend(self.pool.clone().map(|pool| ("pool", pool)));
        lines.extend(self.thin_id.map(|id| ("thin id", id.to_string())));
        lines.extend(self.origin.clone().map(|origin| ("LVM origin", origin)));
        lines.extend(self.made_from.clone().map(|made_from| ("made from", made_from)));
        lines.extend(self.snapshots.iter().map(|snapshot| ("snapshot", snapshot.line())));
        lines.extend(self.clones.iter().map(|clone| ("clone", clone.clone())));
        lines.extend(self.created.map(|created| ("created", moment(created))));
        lines.push(("access", if self.writable { "read and write" } else { "read only" }.to_owned()));
        lines.push(("state", state));
        lines.extend(self.device.clone().map(|device| ("device", device)));
        lines.push(("features", self.features.iter().map(|it| it.name()).collect::<Vec<_>>().join(", ")));
        lines.extend((!self.tags.is_empty()).then(|| ("tags", self.tags.join(", "))));
        lines
    }
}

impl SnapshotFacts {
    fn line(&self) -> String {
        let Self { name, volume, size, created } = self;
        let created = created.map(|created| format!(", {}", moment(created))).unwrap_or_default();
        format!("{name} ({volume}), {}{created}", Rounded(Bytes::new(*size)))
    }
}

impl PoolFacts {
    fn lines(&self) -> Vec<(&'static str, String)> {
        let usage = |usage: Usage| format!("{} of {} ({} %)", usage.used, usage.total, usage.percent());
        let monitored = match self.monitored {
            Some(true) => "by dmeventd".to_owned(),
            Some(false) if !self.monitors.is_empty() => format!("by {}", self.monitors.join(", ")),
            Some(false) => "no".to_owned(),
            None => "unknown".to_owned(),
        };
        let mut lines = vec![
            ("storage", self.storage.clone()),
            ("uuid", self.uuid.clone()),
            ("size", exact(self.size)),
            ("metadata size", exact(self.metadata_size)),
            ("chunk size", exact(self.chunk_size)),
            ("volumes", format!("{}, together {}", self.volumes, exact(self.virtual_size))),
            ("transaction", self.transaction_id.to_string()),
            ("state", if self.active { "active" } else { "inactive" }.to_owned()),
            ("monitored", monitored),
        ];
        lines.extend(
            self.way_out.iter().flat_map(|way_out| {
                [("condition", self.condition_words.clone()), ("way out", way_out.clone())]
            }),
        );
        lines.extend(self.rules.iter().map(|rule| ("rule", rule.words())));
        if let Some(PoolStatus::Working(working)) = &self.kernel {
            lines.push(("chunks used", usage(working.data)));
            lines.push(("metadata used", usage(working.metadata)));
        }
        if let Some(configured) = &self.configured {
            let content: Vec<&str> = configured.content.iter().map(|content| content.word()).collect();
            lines.push(("content", content.join(", ")));
            lines.push((
                "nodes",
                configured.nodes.as_ref().map_or("all".to_owned(), |nodes| nodes.join(", ")),
            ));
            lines.push(("formats", configured.formats.join(", ")));
            lines.push(("shared", if configured.shared { "yes" } else { "no" }.to_owned()));
            lines.extend(configured.bwlimit.clone().map(|limits| ("bandwidth limits", limits)));
        }
        lines
    }
}

impl InfoArgs {
    /// Shows the facts.
    ///
    /// # Errors
    /// If the argument is wrong, there is no such volume or the metadata cannot be read.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let target = context.resolver.target(&self.what)?;
        let (lv, view) = context.reader()?.inspect_object(&target)?;
        let mut warnings = [context.resolver.warnings(), view.warnings.clone()].concat();
        let facts = if let Some(pool) = view.pools.iter().find(|pool| pool.name == lv) {
            let configured = match &target {
                NamedObject::Storage(Storage { id: Some(id), .. }) => {
                    Some(context.resolver.configured(id)?.into())
                }
                _ => None,
            };
            let monitored = monitored(&view, pool).map_err(|error| {
                warnings.push(format!("whether {} is monitored is not known: dmeventd: {error}", self.what));
            });
            Facts::Pool(PoolFacts { monitored: monitored.ok(), ..pool_facts(&view, pool, configured) })
        } else if let Some(volume) = view.volumes.iter().find(|volume| volume.name == lv) {
            let is_snapshot = volume.snapshot_name().is_some();
            let state = if is_snapshot { VolumeKind::Snap } else { VolumeKind::of_volname(lv.as_str()) };
            let features = Type::LVMTHIN.features(state);
            Facts::Volume(VolumeFacts { features, ..volume_facts(&view, volume) })
        } else {
            return Err(lookup::not_thin(&view.name, &lv).into());
        };
        let notes = pending(&view.name, &view.pending);
        context.print(&Info { facts, notes, warnings })
    }
}

fn volume_facts(view: &VgView, volume: &VolumeView) -> VolumeFacts {
    let address = |name: &dyn std::fmt::Display| format!("{}/{name}", view.name);
    VolumeFacts {
        volume: address(&volume.name),
        uuid: volume.uuid.to_string(),
        path: volume.path.display().to_string(),
        size: volume.size.get(),
        mapped: volume.mapped.map(|mapped| mapped.get()),
        pool: volume.pool.as_ref().map(|pool| address(pool)),
        thin_id: volume.thin_id.map(|id| id.get()),
        origin: volume.origin.as_ref().map(|origin| address(origin)),
        made_from: volume.made_from.as_ref().map(|made_from| words(view, made_from)),
        snapshots: snapshots(view, volume),
        clones: view
            .children_of(&volume.name)
            .filter(|child| child.snapshot_name().is_none())
            .map(|clone| address(&clone.name))
            .collect(),
        features: vec![],
        tags: volume.tags.clone(),
        writable: volume.writable,
        active: volume.active,
        suspended: volume.suspended,
        open_count: volume.open_count,
        device: volume.dev.map(|dev| dev.to_string()),
        created: volume.creation_time,
    }
}

/// The snapshots of a volume, the oldest first.
fn snapshots(view: &VgView, volume: &VolumeView) -> Vec<SnapshotFacts> {
    let facts = |snapshot: &VolumeView| {
        Some(SnapshotFacts {
            name: snapshot.snapshot_name()?.to_owned(),
            volume: format!("{}/{}", view.name, snapshot.name),
            size: snapshot.size.get(),
            created: snapshot.creation_time,
        })
    };
    let mut snapshots: Vec<SnapshotFacts> = view.children_of(&volume.name).filter_map(facts).collect();
    snapshots.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
    snapshots
}

fn words(view: &VgView, made_from: &MadeFrom) -> String {
    let parent = match &made_from.parent {
        ParentVolume::Present { name, .. } => format!("{}/{name}", view.name),
        ParentVolume::Gone { uuid } => format!("a volume that is gone ({uuid})"),
        _ => "unknown: its tags contradict each other".to_owned(),
    };
    match &made_from.made_as {
        MadeAs::Snapshot(snap) => format!("{parent}, as snapshot {snap}"),
        MadeAs::FormerSnapshot(snap) => {
            format!("{parent}, as snapshot {snap}; by its name and flags a volume of its own by now")
        }
        _ => parent,
    }
}

/// Whether dmeventd watches a pool's target.
fn monitored(view: &VgView, pool: &PoolView) -> io::Result<bool> {
    Dmeventd::default().watches(&DmUuid::of_lv(&view.uuid, &pool.uuid, Layer::Tpool))
}

fn pool_facts(view: &VgView, pool: &PoolView, configured: Option<Configured>) -> PoolFacts {
    PoolFacts {
        storage: format!("{}/{}", view.name, pool.name),
        uuid: pool.uuid.to_string(),
        active: pool.active,
        size: pool.size.get(),
        metadata_size: pool.metadata_size.get(),
        chunk_size: pool.chunk_size.to_bytes().map_or(0, |bytes| bytes.get()),
        transaction_id: pool.transaction_id.0,
        volumes: pool.volumes,
        virtual_size: pool.volumes_size.get(),
        monitored: None,
        monitors: thin::internals::monitor::monitors().iter().map(ToString::to_string).collect(),
        condition: pool.condition.word(),
        condition_words: pool.condition.words(),
        way_out: pool.condition.way_out(&format!("{}/{}", view.name, pool.name)),
        rules: pool.rules,
        kernel: pool.status.clone(),
        configured,
    }
}

impl From<&storage::Storage> for Configured {
    fn from(storage: &storage::Storage) -> Self {
        Self {
            id: storage.id.to_string(),
            content: storage.content.iter().copied().collect(),
            nodes: storage.nodes.as_ref().map(|nodes| nodes.iter().cloned().collect()),
            formats: ["raw"],
            shared: false,
            bwlimit: storage.bwlimit.clone(),
        }
    }
}
