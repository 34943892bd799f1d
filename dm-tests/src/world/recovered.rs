//! States that recovery led to, as a real machine can be given them: the text, and what the pool's metadata holds.

use std::fmt::Write as _;

use base::units::Sectors;
use dm::sim::SimPoolDump;

use super::World;
use super::machine::pvs;
use super::place::metadata_place;

/// One such state, of a volume group with one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// How it came about.
    pub how: String,
    /// The metadata text.
    pub text: String,
    /// The sector of the disk at which the pool's metadata starts.
    pub at: Sectors,
    /// What it holds; nothing if the pool never ran.
    pub pool: Option<SimPoolDump>,
}

impl Recovered {
    /// What the world holds now.
    pub fn of(world: &World, how: &str) -> Self {
        let metadata = world.metadata();
        let bytes = metadata.to_disk();
        let text = String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned();
        let place = metadata
            .vg
            .pools()
            .next()
            .and_then(|(_, pool)| metadata_place(&metadata.vg, pool, &pvs(world.machine.disks.len())));
        let pool = place.and_then(|(disk, at)| world.machine.kernel.pool_dump(disk, at));
        let at = place.map_or(Sectors::ZERO, |(_, at)| at);
        Self { how: how.to_owned(), text, at, pool }
    }

    /// What tells it from others: the text without its number and times, and the pool's metadata.
    pub fn key(&self) -> String {
        let counted = ["seqno", "creation_time", "description"];
        let kept = |line: &&str| !counted.iter().any(|word| line.trim_start().starts_with(word));
        let lines: Vec<&str> = self.text.lines().filter(kept).collect();
        format!("{}\n{:?}", lines.join("\n"), self.pool)
    }
}

/// The metadata as `thin_restore` reads it.
pub fn xml(dump: &SimPoolDump) -> String {
    let mut text = format!(
        "<superblock uuid=\"\" time=\"{}\" transaction=\"{}\" data_block_size=\"{}\" nr_data_blocks=\"{}\">\n",
        dump.time, dump.transaction_id, dump.chunk_size, dump.data_blocks
    );
    for (id, device, mappings) in &dump.devices {
        // A string takes all text.
        let _ = writeln!(
            text,
            "<device dev_id=\"{id}\" mapped_blocks=\"{}\" transaction=\"{}\" creation_time=\"{}\" snap_time=\"{}\">",
            device.mapped_blocks, device.transaction_id, device.creation_time, device.snapshotted_time
        );
        for mapping in mappings {
            let _ = writeln!(
                text,
                "<single_mapping origin_block=\"{}\" data_block=\"{}\" time=\"{}\"/>",
                mapping.chunk, mapping.data, mapping.time
            );
        }
        text.push_str("</device>\n");
    }
    text + "</superblock>\n"
}
