//! Discarding a whole volume before it is removed, zeroing a whole new one.
//!
//! Removing a thin volume gives its chunks back to the pool, but does not discard them on the disks below. A discard of
//! the whole volume does, if the pool passes discards down. dm-thin passes a chunk down only when the last volume that
//! shares it discards it, and silently ignores the parts of a discard that are less than a chunk (Linux
//! `drivers/md/dm-thin.c`, `passdown_double_checking_shared_status`, `get_bio_block_range`): so all volumes to
//! be removed are discarded before the first is deleted, in pieces of whole chunks.
//!
//! A new volume is zeroed if its pool does not zero chunks, so that its user does not see what earlier volumes left in
//! them. A volume is never zeroed before it is removed: for a write to a chunk from before the last snapshot, dm-thin
//! allocates a new chunk (`break_sharing`), even when the snapshot is gone, and the old chunk would be freed with its
//! content. A discard is the way to erase it.

use std::fmt;

use serde::Serialize;

use base::ids::LvName;
use base::units::size::Rounded;
use base::units::{Bytes, Sectors};
use dm::name::{DmName, DmUuid};

/// What a disk discards in a moment, so that a signal is heeded between.
const DISCARDED_AT_ONCE: u64 = 1 << 30;

/// What a disk writes in a moment.
const ZEROED_AT_ONCE: u64 = 16 << 20;

/// What is done to all of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WipeMethod {
    /// The disks below get its space back.
    Discard,
    /// It is overwritten with zeros, which allocates all of it.
    Zero,
}

/// A volume that is discarded or zeroed, in nobody's use meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wipe {
    /// What is done to it.
    pub how: WipeMethod,
    /// The volume.
    pub volume: LvName,
    /// Its device, which is active and takes writes.
    pub device: DmName,
    /// The device's identity: a name can come to mean another device at any time.
    pub uuid: DmUuid,
    /// How much of it there is.
    pub size: Bytes,
    /// How much is done at once: whole chunks of the pool.
    pub piece: Bytes,
}

impl Wipe {
    /// All of a volume in a pool with chunks of that size.
    pub fn all(
        how: WipeMethod,
        volume: LvName,
        (device, uuid): (DmName, DmUuid),
        size: Bytes,
        chunk: Sectors,
    ) -> Self {
        let at_once = match how {
            WipeMethod::Discard => DISCARDED_AT_ONCE,
            WipeMethod::Zero => ZEROED_AT_ONCE,
        };
        // A pool with chunks of nothing does not run.
        let chunk = chunk.to_bytes().map_or(at_once, Bytes::get).max(1);
        let piece = Bytes::new((at_once / chunk).max(1).saturating_mul(chunk));
        Self { how, volume, device, uuid, size, piece }
    }

    /// The pieces, in order: where each starts and how long it is, in bytes.
    pub fn pieces(&self) -> impl Iterator<Item = (u64, u64)> + use<> {
        let (size, piece) = (self.size.get(), self.piece.get().max(1));
        (0..size.div_ceil(piece)).map(move |number| {
            let start = number * piece;
            (start, piece.min(size - start))
        })
    }

    /// What of a volume is no whole chunk of its pool: no discard gives it back.
    pub fn rest(size: Bytes, chunk: Sectors) -> Bytes {
        let chunk = chunk.to_bytes().map_or(0, Bytes::get);
        Bytes::new(size.get().checked_rem(chunk).unwrap_or(0))
    }
}

impl fmt::Display for Wipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (volume, size) = (&self.volume, Rounded(self.size));
        match self.how {
            WipeMethod::Discard => write!(f, "discard all {size} of {volume}"),
            WipeMethod::Zero => write!(f, "overwrite all {size} of {volume} with zeros"),
        }
    }
}

/// A volume that lost what it held, although the change it was for was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emptied {
    /// The volume.
    pub volume: LvName,
    /// How much of it is gone, from its start.
    pub done: Bytes,
    /// How much of it there is.
    pub of: Bytes,
}

impl fmt::Display for Emptied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.done == self.of {
            return write!(f, "{} (all {})", self.volume, Rounded(self.of));
        }
        write!(f, "{} ({} of {} at least)", self.volume, Rounded(self.done), Rounded(self.of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wipe(how: WipeMethod, size: u64, chunk_sectors: u64) -> Wipe {
        let device = (DmName::new("pve-a").unwrap(), DmUuid::new("LVM-x").unwrap());
        Wipe::all(how, LvName::new("a").unwrap(), device, Bytes::new(size), Sectors::new(chunk_sectors))
    }

    #[test]
    fn pieces_are_of_whole_chunks_and_cover_all() {
        for (how, at_most) in [(WipeMethod::Discard, 1 << 30), (WipeMethod::Zero, 16 << 20)] {
            for chunk in [128, 384, 2048, 3 << 11, 1 << 21] {
                let wipe = wipe(how, (5 << 30) + (4 << 20), chunk);
                let bytes = chunk * 512;
                let mut end = 0;
                for (start, length) in wipe.pieces() {
                    assert_eq!((start, start % bytes), (end, 0), "a piece starts at a chunk");
                    assert!(length <= bytes.max(at_most) && length > 0);
                    end = start + length;
                }
                assert_eq!(end, (5 << 30) + (4 << 20));
            }
        }
        assert_eq!(wipe(WipeMethod::Discard, 0, 128).pieces().count(), 0);
    }

    #[test]
    fn what_is_no_whole_chunk_is_the_rest() {
        let rest = |size, chunk| Wipe::rest(Bytes::new(size), Sectors::new(chunk)).get();
        assert_eq!((rest(8 << 20, 128), rest(8 << 20, 384), rest(8 << 20, 0)), (0, 131_072, 0));
    }
}
