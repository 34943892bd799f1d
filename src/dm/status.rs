//! Status lines of `thin-pool` and `thin` targets.
//!
//! Source: Linux `drivers/md/dm-thin.c` (`pool_status`, `thin_status`), versions 4.0 to 6.18: words were only
//! ever added at the end, so a shorter line is an older kernel's and words after the known ones are left
//! alone.

use serde::Serialize;

pub use super::words::LineError;
use super::words::Words;
use base::ids::TransactionId;
use base::units::{SECTOR_BYTES, Sectors};

mod percent;
#[cfg(test)]
mod tests;

pub use percent::{Percent, Usage};

/// Sectors of a block of pool metadata. Source: Linux `drivers/md/dm-thin-metadata.h` (`THIN_METADATA_BLOCK_SIZE`).
pub const METADATA_BLOCK_SECTORS: u64 = 8;
/// Bytes of one.
pub const METADATA_BLOCK_BYTES: u64 = METADATA_BLOCK_SECTORS * SECTOR_BYTES;

/// Blocks of pool metadata that the kernel uses at most. Source: Linux
/// `drivers/md/persistent-data/dm-space-map-metadata.h` (`DM_SM_METADATA_MAX_BLOCKS`).
pub const METADATA_MAX_BLOCKS: u64 = 255 * ((1 << 14) - 64);
/// Sectors of them. Source: Linux `drivers/md/dm-thin-metadata.h` (`THIN_METADATA_MAX_SECTORS`).
pub const METADATA_MAX_SECTORS: u64 = METADATA_MAX_BLOCKS * METADATA_BLOCK_SECTORS;

/// What a thin pool lets its users do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolMode {
    /// Everything.
    ReadWrite,
    /// Reads, and writes to chunks that exist: no data space is left.
    OutOfDataSpace,
    /// Reads only; no change of metadata. The kernel does not tell apart a pool out of metadata space.
    ReadOnly,
}

/// What a thin pool does with discards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Discards {
    /// Drops them.
    Ignore,
    /// Frees the chunks.
    NoPassdown,
    /// Frees the chunks and tells the data device.
    Passdown,
}

/// What a thin pool does with writes it has no space for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoSpace {
    /// Fails them at once.
    Error,
    /// Holds them back, for `no_space_timeout` seconds, hoping that the pool grows.
    Queue,
}

/// The status of a thin pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum PoolStatus {
    /// The pool works, if only for reading.
    Working(PoolWorking),
    /// The pool has given up: no I/O, no metadata.
    Failed,
    /// The kernel could not read the numbers from the metadata.
    Error,
}

/// The numbers of a working thin pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PoolWorking {
    /// The transaction id in its superblock.
    pub transaction_id: TransactionId,
    /// Metadata blocks of 4 KiB.
    pub metadata: Usage,
    /// Data chunks.
    pub data: Usage,
    /// The block of the root that a metadata snapshot holds, if there is one.
    pub held_metadata_root: Option<u64>,
    /// What users may do.
    pub mode: PoolMode,
    /// What happens to discards.
    pub discards: Discards,
    /// What happens to writes without space.
    pub no_space: NoSpace,
    /// Whether the metadata must be checked before it can be changed again.
    pub needs_check: bool,
    /// Free metadata blocks at which the kernel raises an event; older kernels do not say.
    pub metadata_low_water: Option<u64>,
}

/// The status of a thin device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ThinStatus {
    /// The device works.
    Working {
        /// Sectors that have chunks of their own or shared.
        mapped: Sectors,
        /// The last mapped sector, if any is mapped.
        highest_mapped: Option<Sectors>,
    },
    /// The device has no table in use yet.
    Inactive,
    /// The pool has given up.
    Failed,
    /// The kernel could not read the numbers from the metadata.
    Error,
}

impl PoolStatus {
    /// Reads the status of a `thin-pool` target.
    ///
    /// # Errors
    /// At the first word that is not as the kernel writes it.
    pub fn parse(text: &str) -> Result<Self, LineError> {
        match text.trim_ascii() {
            "Fail" => Ok(Self::Failed),
            "Error" => Ok(Self::Error),
            text => PoolWorking::parse(text).map(Self::Working),
        }
    }
}

impl PoolWorking {
    fn parse(text: &str) -> Result<Self, LineError> {
        let mut words = Words::new("thin-pool status", text);
        let transaction_id = TransactionId(words.parse("the transaction id")?);
        let metadata = usage(&mut words, "<used>/<total> metadata blocks")?;
        let data = usage(&mut words, "<used>/<total> data chunks")?;
        let held_metadata_root = match words.need("the held metadata root or -")? {
            "-" => None,
            block => Some(block.parse().map_err(|_| words.error("the held metadata root or -"))?),
        };
        let mode = match words.need("the mode")? {
            "rw" => PoolMode::ReadWrite,
            "ro" => PoolMode::ReadOnly,
            "out_of_data_space" => PoolMode::OutOfDataSpace,
            _ => return Err(words.error("rw, ro or out_of_data_space")),
        };
        let discards = match words.need("the discard mode")? {
            "ignore_discard" => Discards::Ignore,
            "no_discard_passdown" => Discards::NoPassdown,
            "discard_passdown" => Discards::Passdown,
            _ => return Err(words.error("ignore_discard, no_discard_passdown or discard_passdown")),
        };
        let no_space = match words.need("the no space mode")? {
            "error_if_no_space" => NoSpace::Error,
            "queue_if_no_space" => NoSpace::Queue,
            _ => return Err(words.error("error_if_no_space or queue_if_no_space")),
        };
        let needs_check = match words.next() {
            None | Some("-") => false,
            Some("needs_check") => true,
            Some(_) => return Err(words.error("needs_check or -")),
        };
        let metadata_low_water = match words.next() {
            None => None,
            Some(blocks) => Some(blocks.parse().map_err(|_| words.error("the metadata low water mark"))?),
        };
        Ok(Self {
            transaction_id,
            metadata,
            data,
            held_metadata_root,
            mode,
            discards,
            no_space,
            needs_check,
            metadata_low_water,
        })
    }
}

fn usage(words: &mut Words<'_>, expected: &'static str) -> Result<Usage, LineError> {
    words.pair(expected).map(|(used, total)| Usage { used, total })
}

impl ThinStatus {
    /// Reads the status of a `thin` target.
    ///
    /// # Errors
    /// At the first word that is not as the kernel writes it.
    pub fn parse(text: &str) -> Result<Self, LineError> {
        match text.trim_ascii() {
            "Fail" => return Ok(Self::Failed),
            "Error" => return Ok(Self::Error),
            "-" => return Ok(Self::Inactive),
            _ => {}
        }
        let mut words = Words::new("thin status", text);
        let mapped = Sectors::new(words.parse("the number of mapped sectors")?);
        let highest_mapped = match words.need("the highest mapped sector or -")? {
            "-" => None,
            sector => {
                let sector = sector.parse().map_err(|_| words.error("the highest mapped sector or -"))?;
                Some(Sectors::new(sector))
            }
        };
        Ok(Self::Working { mapped, highest_mapped })
    }
}
