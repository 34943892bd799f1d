//! A slot of a metadata area's header, and what can be wrong with an area.

use thiserror::Error;

/// Bytes of the header, and where the ring starts in the area. Source: lvm2 `lib/format_text/layout.h`
/// (`MDA_HEADER_SIZE`).
pub const HEADER_BYTES: u64 = 512;

/// One slot, not checked yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawLocn {
    /// Of the text's first byte, from the area's start; zero in an empty slot.
    pub offset: u64,
    /// Of the text in bytes.
    pub size: u64,
    /// LVM CRC of the text.
    pub checksum: u32,
    /// Bit 0: `IGNORED`.
    pub flags: u32,
}

/// Why a metadata area cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MdaError {
    /// The header is damaged.
    #[error(
        "the metadata area header at byte {at} has checksum {found:#010x} where its content gives {expected:#010x}"
    )]
    HeaderChecksum {
        /// Where the area starts.
        at: u64,
        /// The checksum in the header.
        found: u32,
        /// The checksum of its content.
        expected: u32,
    },
    /// The header is not one, or of another version, place or size than the label says.
    #[error("the metadata area header at byte {at} has {what} {found} instead of {expected}")]
    Header {
        /// Where the area starts.
        at: u64,
        /// The field.
        what: &'static str,
        /// What it holds.
        found: String,
        /// What it should hold.
        expected: String,
    },
    /// The text would not be within the ring.
    #[error(
        "the metadata area at byte {at} has its text at offset {offset} with {size} bytes, which is not within its \
         ring of bytes {HEADER_BYTES} to {end}"
    )]
    TextLocation {
        /// Where the area starts.
        at: u64,
        /// The text's offset in the area.
        offset: u64,
        /// The text's size in bytes.
        size: u64,
        /// The area's size in bytes.
        end: u64,
    },
    /// The text is damaged, or was overwritten while it was read.
    #[error(
        "the text at offset {offset} of the metadata area at byte {at} has checksum {found:#010x} where the header \
         has {expected:#010x}"
    )]
    TextChecksum {
        /// Where the area starts.
        at: u64,
        /// The text's offset in the area.
        offset: u64,
        /// The checksum of the text.
        found: u32,
        /// The checksum in the header.
        expected: u32,
    },
}

impl MdaError {
    /// Whether lvm2 does not recognise it as a metadata area, so that 'vgck --updatemetadata' does not rewrite it.
    /// Source: lvm2 `lib/metadata/metadata.c` (`BAD_MDA_MAGIC`, `BAD_MDA_START`), and its commands.
    pub fn is_foreign(&self) -> bool {
        matches!(self, Self::Header { what: "magic" | "start", .. })
    }
}
