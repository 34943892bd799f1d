//! The header of a metadata area: which bytes of the ring are the text.

use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ring::TextLocn;
pub use super::slot::{HEADER_BYTES, MdaError, RawLocn};
use crate::format::label::layout::{Area, read_struct};
use base::bytes::crc;

/// [`HEADER_BYTES`] as a length.
pub const HEADER_LEN: usize = 512;

/// What marks the header. Source: lvm2 `lib/format_text/layout.h` (`FMTT_MAGIC`).
pub const MAGIC: [u8; 16] = *b" LVM2 x[5A%r0N*>";

/// The only version. Source: lvm2 `lib/format_text/layout.h` (`FMTT_VERSION`).
pub const VERSION: u32 = 1;

/// The slot flag of an area that holds no text in use. Source: lvm2 `lib/format_text/layout.h`
/// (`RAW_LOCN_IGNORED`).
pub const IGNORED: u32 = 1;

/// One slot of the header on disk. Source: lvm2 `lib/format_text/layout.h` (`struct raw_locn`).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawLocnDisk {
    /// Of the text's first byte, from the area's start.
    pub offset: U64,
    /// Of the text in bytes, with the NUL that stock lvm2 writes behind it.
    pub size: U64,
    /// LVM CRC of the text.
    pub checksum: U32,
    /// Bit 0: [`IGNORED`].
    pub flags: U32,
}

const _: () = assert!(size_of::<RawLocnDisk>() == 24);

/// The header sector on disk. Source: lvm2 `lib/format_text/layout.h` (`struct mda_header`).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct MdaHeaderDisk {
    /// LVM CRC of the sector from `magic` to its end.
    pub checksum: U32,
    /// [`MAGIC`].
    pub magic: [u8; 16],
    /// [`VERSION`].
    pub version: U32,
    /// Of this header, from the device's start, in bytes.
    pub start: U64,
    /// Of the area with this header, in bytes.
    pub size: U64,
    /// The committed and the precommitted text.
    pub slots: [RawLocnDisk; 2],
    /// Zeros; kept as found.
    pub rest: [u8; 424],
}

const _: () = assert!(size_of::<MdaHeaderDisk>() == HEADER_LEN);
const CRC_FROM: usize = std::mem::offset_of!(MdaHeaderDisk, magic);

/// A header whose checksum, magic, version and place were checked, but not its slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MdaHeader {
    area: Area,
    committed: RawLocn,
    precommitted: RawLocn,
    rest: [u8; 424],
}

impl MdaHeader {
    /// The header of an area that never held a text.
    pub fn empty(area: Area) -> Self {
        Self { area, committed: RawLocn::default(), precommitted: RawLocn::default(), rest: [0; 424] }
    }

    /// Checks the sector at the start of `area`.
    ///
    /// # Errors
    /// If it is damaged or not the header of that area.
    pub fn parse(sector: &[u8; HEADER_LEN], area: Area) -> Result<Self, MdaError> {
        let at = area.offset;
        let disk: MdaHeaderDisk = read_struct(sector, 0).expect("the sector has the size of the header");
        let wrong = |what, found: String, expected: String| MdaError::Header { at, what, found, expected };
        let field = |(what, found, expected): (&'static str, u64, u64)| {
            if found == expected { Ok(()) } else { Err(wrong(what, found.to_string(), expected.to_string())) }
        };
        // What lvm2 does not mend comes first, and decides what there is to do.
        if disk.magic != MAGIC {
            let shown = |magic: [u8; 16]| format!("'{}'", magic.escape_ascii());
            return Err(wrong("magic", shown(disk.magic), shown(MAGIC)));
        }
        field(("start", disk.start.get(), area.offset))?;
        let (found, expected) = (disk.checksum.get(), crc::lvm(&sector[CRC_FROM..]));
        if found != expected {
            return Err(MdaError::HeaderChecksum { at, found, expected });
        }
        field(("version", disk.version.get().into(), VERSION.into()))?;
        field(("size", disk.size.get(), area.size))?;
        let [committed, precommitted] = disk.slots.map(|slot| RawLocn::from(&slot));
        Ok(Self { area, committed, precommitted, rest: disk.rest })
    }

    /// The sector that holds this header.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut disk = MdaHeaderDisk {
            checksum: U32::new(0),
            magic: MAGIC,
            version: U32::new(VERSION),
            start: U64::new(self.area.offset),
            size: U64::new(self.area.size),
            slots: [self.committed, self.precommitted].map(|slot| RawLocnDisk::from(&slot)),
            rest: self.rest,
        };
        disk.checksum = U32::new(crc::lvm(&disk.as_bytes()[CRC_FROM..]));
        disk.as_bytes().try_into().expect("the header has the size of the sector")
    }

    /// The area this is the header of.
    pub fn area(&self) -> Area {
        self.area
    }

    /// Whether the area is set aside: it holds no text in use, and gets none.
    pub fn is_ignored(&self) -> bool {
        self.committed.flags & IGNORED != 0
    }

    /// The committed text, or `None` in an area that is ignored or empty.
    ///
    /// # Errors
    /// If it would not be within the ring.
    pub fn text(&self) -> Result<Option<TextLocn>, MdaError> {
        if self.is_ignored() || self.committed.offset == 0 {
            return Ok(None);
        }
        TextLocn::new(self.area, &self.committed).map(Some)
    }

    /// The slot of a commit under way or given up. lvm2 since 2.03 writes it and never reads it; so do we
    /// not.
    pub fn precommitted(&self) -> Option<RawLocn> {
        (self.precommitted.offset != 0).then_some(self.precommitted)
    }

    /// The slot of the committed text as it is on disk.
    pub fn committed(&self) -> RawLocn {
        self.committed
    }

    /// This header once the text at `locn` is committed: flags kept, nothing precommitted.
    #[must_use]
    pub fn with_text(&self, locn: &TextLocn) -> Self {
        let committed = RawLocn { flags: self.committed.flags, ..locn.to_raw() };
        Self { committed, precommitted: RawLocn::default(), ..self.clone() }
    }

    /// This header with the area ignored or in use.
    #[cfg(test)]
    pub fn with_ignored(&self, ignored: bool) -> Self {
        let flags = self.committed.flags & !IGNORED | if ignored { IGNORED } else { 0 };
        Self { committed: RawLocn { flags, ..self.committed }, ..self.clone() }
    }

    /// This header with something in the precommit slot, as lvm2 leaves it when it crashes before its commit.
    #[cfg(test)]
    pub fn with_precommitted(&self, precommitted: RawLocn) -> Self {
        Self { precommitted, ..self.clone() }
    }
}

impl From<&RawLocnDisk> for RawLocn {
    fn from(disk: &RawLocnDisk) -> Self {
        Self {
            offset: disk.offset.get(),
            size: disk.size.get(),
            checksum: disk.checksum.get(),
            flags: disk.flags.get(),
        }
    }
}

impl From<&RawLocn> for RawLocnDisk {
    fn from(slot: &RawLocn) -> Self {
        Self {
            offset: U64::new(slot.offset),
            size: U64::new(slot.size),
            checksum: U32::new(slot.checksum),
            flags: U32::new(slot.flags),
        }
    }
}
