//! `thinvol pool show`: what a pool lies on, how full it is, and what holds it.

mod layout;

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use self::layout::{Piece, layout};
use crate::context::{Context, pending};
use crate::errors::CliError;
use crate::output::{Answer, columns, pairs};
use base::units::size::Rounded;
use base::units::{Bytes, Chunks, Sectors};
use dm::status::{METADATA_BLOCK_SECTORS, PoolStatus};
use lvm2::format::model::Vg;
use thin::internals::engine::ReadMetadata;
use thin::internals::lookup;
use thin::internals::meta::Sharing;
use thin::internals::pool_rules::PoolRules;
use thin::{Detail, PoolView, VgView, VolumeView};

const HELP: &str = "\
Examples:
  thinvol pool show pve/data
  thinvol pool show local-lvm --exclusive          what each volume would give back
  thinvol pool show pve/data --exclusive --holders 50
  thinvol pool show pve/data --json | jq '.layout[] | select(.lv == \"data_tmeta\")'

JSON:
  {\"pool\", \"condition\" (a word as in 'thinvol status'), \"condition_words\", \"way_out\": text or null,
   \"size\": number (bytes), \"used\": number (bytes) or null, \"metadata_size\": number (bytes),
   \"metadata_used\": number (bytes) or null, \"chunk_size\": number (bytes),
   \"promised\": number (bytes, the sizes of all its volumes), \"volumes\": number,
   \"rules\": {\"overcommit\": text or null, \"reserve\": number (bytes) or null,
     \"extend_at\": number (per cent) or null, \"extend_by\": number (per cent) or null},
   \"layout\": [{\"lv\", \"kind\", \"start\": number (bytes), \"size\": number (bytes),
     \"on\": [{\"device\", \"start\": number (bytes)}]}],
   \"map\"?: [{\"used\": number (chunks), \"of\": number (chunks)}] (of equal parts, with --exclusive),
   \"holders\": [{\"volume\", \"size\": number (bytes), \"mapped\": number (bytes) or null,
     \"exclusive\": number (bytes) or null}],
   \"notes\": [text], \"warnings\": [text]}

What is mapped of an inactive volume is known with --exclusive only.";

/// Parts of the picture of a pool's data.
const MAP_PARTS: u64 = 64;

/// How a part of it is drawn, from empty to full.
const SHADES: &[u8] = b" .:-=+*#";

/// Show what a thin pool lies on, how full it is, and what holds it
///
/// Shows where data and metadata of a thin pool lie on the physical volumes, which 'lvs' hides, how full both are,
/// in what state the pool is, and the volumes and snapshots that hold most of it.
///
/// With --exclusive the pool's own metadata is read, as a snapshot of them if the pool runs: then it is told of each
/// volume, active or not, how much it maps, and how much of that no other one does. That is what is free again when
/// this one is freed alone. The volume group is locked for changes meanwhile.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct ShowArgs {
    /// The pool: a storage id or <vg>/<pool>
    pub pool: String,

    /// Read from the pool's metadata what each volume holds, and what it holds alone
    #[arg(long)]
    pub exclusive: bool,

    /// Show so many of the volumes that hold most
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub holders: usize,
}

#[derive(Debug, Serialize)]
struct Shown {
    pool: String,
    condition: &'static str,
    condition_words: String,
    way_out: Option<String>,
    size: u64,
    used: Option<u64>,
    metadata_size: u64,
    metadata_used: Option<u64>,
    chunk_size: u64,
    promised: u64,
    volumes: usize,
    rules: PoolRules,
    layout: Vec<Piece>,
    #[serde(skip_serializing_if = "Option::is_none")]
    map: Option<Vec<Part>>,
    holders: Vec<Holder>,
    notes: Vec<String>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Part {
    used: u64,
    of: u64,
}

#[derive(Debug, Serialize)]
struct Holder {
    volume: String,
    size: u64,
    mapped: Option<u64>,
    exclusive: Option<u64>,
}

fn rounded(bytes: u64) -> String {
    Rounded(Bytes::new(bytes)).to_string()
}

fn bytes(chunks: Chunks, chunk_size: u64) -> u64 {
    chunks.get().saturating_mul(chunk_size)
}

impl Answer for Shown {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        pairs(out, &self.facts())?;
        writeln!(out)?;
        let head = ["Part", "Kind", "From", "Size", "On"].map(str::to_owned);
        let rows: Vec<[String; 5]> =
            std::iter::once(head).chain(self.layout.iter().map(Piece::row)).collect();
        columns(out, &rows, &[false, false, true, true, false])?;
        if self.holders.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        let known = |size: Option<u64>| size.map_or_else(|| "-".to_owned(), rounded);
        let row = |holder: &Holder| {
            [holder.volume.clone(), rounded(holder.size), known(holder.mapped), known(holder.exclusive)]
        };
        let head = ["Volume", "Size", "Mapped", "Alone"].map(str::to_owned);
        let rows: Vec<[String; 4]> = std::iter::once(head).chain(self.holders.iter().map(row)).collect();
        columns(out, &rows, &[false, true, true, true])
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl Shown {
    fn facts(&self) -> Vec<(&'static str, String)> {
        let of = |used: Option<u64>, size: u64| match used {
            Some(used) => format!("{} of {}", rounded(used), rounded(size)),
            None => rounded(size),
        };
        let mut lines = vec![("pool", self.pool.clone()), ("condition", self.condition_words.clone())];
        lines.extend(self.way_out.clone().map(|way_out| ("way out", way_out)));
        lines.extend([
            ("data", of(self.used, self.size)),
            ("metadata", of(self.metadata_used, self.metadata_size)),
            ("chunk size", rounded(self.chunk_size)),
            ("volumes", format!("{}, together {}", self.volumes, rounded(self.promised))),
        ]);
        lines.extend(self.rules.iter().map(|rule| ("rule", rule.words())));
        lines.extend(self.map.iter().map(|map| ("map", picture(map))));
        lines
    }
}

/// How full each part of the data is, as a line.
fn picture(map: &[Part]) -> String {
    let last = SHADES.len() - 1;
    let between = |used: u64, of: u64| {
        usize::try_from(u128::from(used) * (last as u128 - 1) / u128::from(of)).unwrap_or(0)
    };
    let shade = |part: &Part| {
        let place = match (part.used, part.of) {
            (0, _) | (_, 0) => 0,
            (used, of) if used >= of => last,
            (used, of) => 1 + between(used, of),
        };
        char::from(SHADES.get(place).copied().unwrap_or(b'?'))
    };
    format!("[{}]", map.iter().map(shade).collect::<String>())
}

impl ShowArgs {
    /// Shows the pool.
    ///
    /// # Errors
    /// If there is no such pool, or it cannot be looked at.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let storage = context.resolver.storage(&self.pool)?;
        let engine = context.reader()?;
        let sharing = self.exclusive.then(|| engine.sharing(&storage.vg, &storage.pool)).transpose()?;
        let (metadata, view) = engine.inspect_with_metadata(&storage.vg, Detail::Volumes)?;
        let pool = view.pools.iter().find(|pool| pool.name == storage.pool);
        let pool = pool.ok_or_else(|| lookup::no_pool(&storage))?;
        let mut shown = shown((&metadata.vg, &view), pool, sharing.as_ref());
        shown.warnings.splice(0..0, context.resolver.warnings());
        shown.holders.truncate(self.holders);
        context.print(&shown)
    }
}

fn shown((vg, view): (&Vg, &VgView), pool: &PoolView, sharing: Option<&Sharing>) -> Shown {
    let name = format!("{}/{}", vg.name, pool.name);
    let chunk_size = pool.chunk_size.to_bytes().map_or(0, Bytes::get);
    let working = match &pool.status {
        Some(PoolStatus::Working(working)) => Some(working),
        _ => None,
    };
    let used = working.map(|working| Chunks::new(working.data.used)).or(sharing.map(Sharing::used));
    let metadata =
        working.map(|working| Sectors::new(working.metadata.used.saturating_mul(METADATA_BLOCK_SECTORS)));
    let total = pool.size.get().checked_div(chunk_size).unwrap_or(0);
    let parts = |sharing: &Sharing| {
        let parts = sharing.map(Chunks::new(total), MAP_PARTS.min(total));
        parts.into_iter().map(|(used, of)| Part { used, of }).collect()
    };
    Shown {
        condition: pool.condition.word(),
        condition_words: pool.condition.words(),
        way_out: pool.condition.way_out(&name),
        size: pool.size.get(),
        used: used.map(|used| bytes(used, chunk_size).min(pool.size.get())),
        metadata_size: pool.metadata_size.get(),
        metadata_used: metadata.and_then(Sectors::to_bytes).map(Bytes::get),
        chunk_size,
        promised: pool.volumes_size.get(),
        volumes: pool.volumes,
        rules: pool.rules,
        layout: layout(vg, &pool.name),
        map: sharing.map(parts),
        holders: holders(view, pool, sharing, chunk_size),
        notes: pending(&vg.name, &view.pending),
        warnings: view.warnings.clone(),
        pool: name,
    }
}

/// The volumes that hold something, those that hold most alone first.
fn holders(view: &VgView, pool: &PoolView, sharing: Option<&Sharing>, chunk_size: u64) -> Vec<Holder> {
    let in_pool = view.volumes.iter().filter(|volume| volume.pool.as_ref() == Some(&pool.name));
    let holder = |volume: &VolumeView| {
        let held = sharing.zip(volume.thin_id).and_then(|(sharing, id)| sharing.devices.get(&id));
        Holder {
            volume: format!("{}/{}", view.name, volume.name),
            size: volume.size.get(),
            mapped: held.map(|held| bytes(held.mapped, chunk_size)).or(volume.mapped.map(Bytes::get)),
            exclusive: held.map(|held| bytes(held.exclusive, chunk_size)),
        }
    };
    let mut holders: Vec<Holder> = in_pool.map(holder).collect();
    holders.sort_by(|a, b| {
        (b.exclusive, b.mapped).cmp(&(a.exclusive, a.mapped)).then_with(|| a.volume.cmp(&b.volume))
    });
    holders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_holds_anything_is_not_drawn_empty_and_only_a_full_one_full() {
        let part = |used, of| Part { used, of };
        let map = [part(0, 9), part(1, 1000), part(500, 1000), part(999, 1000), part(7, 7)];
        assert_eq!(picture(&map), "[ .=*#]");
        assert_eq!(picture(&[]), "[]");
    }
}
