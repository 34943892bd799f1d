//! Where a text is in the ring of its metadata area.

use super::slot::{HEADER_BYTES, MdaError, RawLocn};
use crate::format::label::layout::Area;
use base::bytes::crc::LvmCrc;

/// The longest text we read: a bound on what a damaged header can make us allocate. A text of this size would
/// hold some 200,000 volumes; lvm2 itself warns above its `io_memory_size` of 8 MiB.
pub const MAX_TEXT_BYTES: u64 = 64 << 20;

/// A text's place in its ring, known to be within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextLocn {
    area: Area,
    offset: u64,
    size: u64,
    checksum: u32,
}

impl TextLocn {
    /// Checks a slot of the header of `area`.
    ///
    /// # Errors
    /// If the text would not be within the ring, or is longer than [`MAX_TEXT_BYTES`].
    pub fn new(area: Area, slot: &RawLocn) -> Result<Self, MdaError> {
        let RawLocn { offset, size, checksum, .. } = *slot;
        // Later sums cannot overflow: offset and size are below the area's size, which is within a device.
        let in_ring = (HEADER_BYTES..area.size).contains(&offset);
        let fits = (1..=MAX_TEXT_BYTES.min(area.size.saturating_sub(HEADER_BYTES))).contains(&size);
        if in_ring && fits && area.end().is_some() {
            Ok(Self { area, offset, size, checksum })
        } else {
            Err(MdaError::TextLocation { at: area.offset, offset, size, end: area.size })
        }
    }

    /// Of the first byte, from the area's start.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// In bytes, with a trailing NUL if there is one.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// LVM CRC of the text.
    pub fn checksum(&self) -> u32 {
        self.checksum
    }

    /// The slot that points to it, without flags.
    pub fn to_raw(&self) -> RawLocn {
        RawLocn { offset: self.offset, size: self.size, checksum: self.checksum, flags: 0 }
    }

    /// The text's bytes on the device, in order. Where it reaches the area's end it goes on behind the
    /// header.
    /// Source: lvm2 `lib/format_text/format-text.c` (`_vg_write_raw`, `_read_mda_header_and_metadata`).
    pub fn parts(&self) -> (Area, Option<Area>) {
        let first = self.size.min(self.area.size - self.offset);
        let rest = self.size - first;
        (
            Area { offset: self.area.offset + self.offset, size: first },
            (rest > 0).then_some(Area { offset: self.area.offset + HEADER_BYTES, size: rest }),
        )
    }

    /// Checks the text that was read from [`TextLocn::parts`].
    ///
    /// # Errors
    /// If its checksum is not the header's.
    pub fn check(&self, text: &[u8]) -> Result<(), MdaError> {
        let mut crc = LvmCrc::new();
        crc.update(text);
        match crc.finish() {
            found if found == self.checksum => Ok(()),
            found => Err(MdaError::TextChecksum {
                at: self.area.offset,
                offset: self.offset,
                found,
                expected: self.checksum,
            }),
        }
    }
}
