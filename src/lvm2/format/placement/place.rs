//! A place in the ring for the next text, clear of the one in use.
//!
//! Readers follow the header wherever it points, so the policy is the writer's own. On devices with 512-byte
//! blocks it is lvm2's: behind the text in use, rounded up to a sector, wrapping to just behind the header.
//! (Source: lvm2 `lib/format_text/format-text.c`, `_next_rlocn_offset`, `_vg_write_raw`.)
//!
//! On devices with larger blocks a write changes whole blocks, so a torn one could damage what shares them.
//! There the text keeps to blocks of its own: it shares none with the header or with the text in use, and it
//! never wraps, because a wrapped text must go on right behind the header. Small texts still go round the
//! ring (a place is reused late, which spares readers without lock a retry); large ones go to the ring's two
//! ends in turn, so that any two texts of up to half the ring fit.

use thiserror::Error;

use crate::format::label::layout::Area;
use crate::format::mda::header::HEADER_BYTES;
use crate::format::mda::header::MdaError;
use crate::format::mda::ring::{MAX_TEXT_BYTES, TextLocn};
use base::units::SECTOR_BYTES;

/// Why a text cannot go into a metadata area. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RoomError {
    /// The text is longer than half of the ring.
    #[error(
        "the metadata text of {length} bytes is too large: a metadata area of {area} bytes takes up to {limit}; remove \
         volumes, or add a physical volume with a larger area (pvcreate --metadatasize) and set smaller ones aside \
         (pvchange --metadataignore y)"
    )]
    TooLarge {
        /// The text's length in bytes, with its NUL.
        length: u64,
        /// The longest text the area takes.
        limit: u64,
        /// The area's size in bytes.
        area: u64,
    },
    /// The text in use lies so that nothing of the needed size is free beside it.
    #[error(
        "a metadata area of {area} bytes has no {length} bytes free beside the text in use; make the change in smaller \
         steps, so that the text in use moves to an end of the area"
    )]
    NoGap {
        /// The text's length in bytes, with its NUL.
        length: u64,
        /// The area's size in bytes.
        area: u64,
    },
    /// The header of the text in use is damaged.
    #[error("the text in use cannot be located")]
    Live(#[from] MdaError),
}

/// A run of bytes on the device, from the first to behind the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: u64,
    end: u64,
}

impl Span {
    fn size(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    fn of(area: Area) -> Self {
        Self { start: area.offset, end: area.offset + area.size }
    }
}

/// The ring of one metadata area on a device with blocks of `block` bytes.
#[derive(Clone, Copy, Debug)]
pub struct Ring {
    area: Area,
    block: u64,
}

impl Ring {
    /// The ring of `area`, which is within a device (so that sums of its fields do not overflow).
    ///
    /// `block` is the device's logical block size; less than a sector counts as a sector.
    pub fn new(area: Area, block: u32) -> Self {
        Self { area, block: u64::from(block).max(SECTOR_BYTES) }
    }

    /// What a text is padded to with zeros, in bytes.
    pub fn padding(&self) -> u64 {
        self.block
    }

    /// The longest text that can always be committed beside another one of this length, in bytes.
    ///
    /// With 512-byte blocks it is lvm2's limit, half of the ring less a sector (lvm2
    /// `lib/format_text/format-text.c`, "exceeds maximum metadata size"). With larger blocks it may be less.
    pub fn limit(&self) -> u64 {
        let stock = (self.area.size.saturating_sub(HEADER_BYTES) / 2).saturating_sub(SECTOR_BYTES);
        let whole_blocks = match self.block {
            SECTOR_BYTES => stock,
            block => self.whole_blocks().size() / 2 / block * block,
        };
        stock.min(whole_blocks).min(MAX_TEXT_BYTES)
    }

    /// Where a text of `length` bytes goes, in bytes from the area's start, while `live` is the text in use.
    ///
    /// # Errors
    /// If it is longer than [`Ring::limit`], or `live` lies so that nothing of that size is free beside it.
    pub fn place(&self, live: Option<&TextLocn>, length: u64) -> Result<u64, RoomError> {
        let limit = self.limit();
        if length > limit {
            return Err(RoomError::TooLarge { length, limit, area: self.area.size });
        }
        let (first, second) = live.map(TextLocn::parts).unzip();
        let live: Vec<Span> = [first, second.flatten()].into_iter().flatten().map(Span::of).collect();
        let place = match self.block {
            SECTOR_BYTES => self.place_in_sectors(&live, length),
            _ => self.place_in_blocks(&live, length),
        };
        let start = place.ok_or(RoomError::NoGap { length, area: self.area.size })?;
        Ok(start - self.area.offset)
    }

    /// lvm2's policy. `live` is in the order of the text: its end is the end of the last part.
    fn place_in_sectors(&self, live: &[Span], length: u64) -> Option<u64> {
        let ring = Span { start: self.area.offset + HEADER_BYTES, end: Span::of(self.area).end };
        let next = match live.last() {
            Some(part) => self.area.offset + (part.end - self.area.offset).next_multiple_of(SECTOR_BYTES),
            None => ring.start,
        };
        let start = if next + SECTOR_BYTES > ring.end { ring.start } else { next };
        let padded = length.next_multiple_of(SECTOR_BYTES);
        let first = padded.min(ring.end - start);
        let new = [
            Span { start, end: start + first },
            Span { start: ring.start, end: ring.start + (padded - first) },
        ];
        let clear = |new: &Span| new.size() == 0 || !live.iter().any(|live| live.overlaps(*new));
        new.iter().all(clear).then_some(start)
    }

    /// The part of the ring that is in blocks without the header or anything outside the area.
    fn whole_blocks(&self) -> Span {
        let header_end = self.area.offset + HEADER_BYTES;
        Span {
            start: header_end.next_multiple_of(self.block),
            end: Span::of(self.area).end / self.block * self.block,
        }
    }

    fn place_in_blocks(&self, live: &[Span], length: u64) -> Option<u64> {
        let ring = self.whole_blocks();
        let padded = length.next_multiple_of(self.block);
        // The gaps that the blocks of the text in use leave, from the ring's start to its end.
        let mut taken: Vec<Span> = live.iter().map(|part| self.blocks_of(*part)).collect();
        taken.sort_by_key(|part| part.start);
        let mut gaps = Vec::new();
        let mut from = ring.start;
        for part in &taken {
            gaps.push(Span { start: from, end: part.start.min(ring.end) });
            from = from.max(part.end);
        }
        gaps.push(Span { start: from, end: ring.end });
        gaps.retain(|gap| gap.start < gap.end && gap.size() >= padded);
        if padded <= ring.size() / 4 {
            let behind = live.last().map_or(ring.start, |part| self.blocks_of(*part).end);
            let next = gaps.iter().find(|gap| gap.start >= behind).or(gaps.first())?;
            return Some(next.start);
        }
        let largest = gaps.into_iter().max_by_key(|gap| gap.size())?;
        let at_the_end = largest.end == ring.end && largest.start != ring.start;
        Some(if at_the_end { largest.end - padded } else { largest.start })
    }

    fn blocks_of(&self, part: Span) -> Span {
        Span { start: part.start / self.block * self.block, end: part.end.next_multiple_of(self.block) }
    }
}
