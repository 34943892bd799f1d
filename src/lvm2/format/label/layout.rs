//! The label on disk, and its meaning once checked.

use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use base::bytes::le::{self, OutOfBounds};
use base::ids::{LVM_UUID_LEN, LvmUuid};
use base::units::Bytes;

/// Bytes of one label: a sector. Source: lvm2 `lib/label/label.h` (`LABEL_SIZE`).
pub const LABEL_BYTES: usize = 512;

/// How many sectors from the device's start on may hold the label. Source: lvm2 `lib/label/label.h`
/// (`LABEL_SCAN_SECTORS`).
pub const SCAN_SECTORS: usize = 4;

/// Bytes to read from a device's start to find its label.
pub const SCAN_BYTES: usize = SCAN_SECTORS * LABEL_BYTES;

/// The first bytes of a label. Source: lvm2 `lib/label/label.h` (`LABEL_ID`).
pub const LABEL_ID: [u8; 8] = *b"LABELONE";

/// The type of the only label in use. Source: lvm2 `lib/format_text/layout.h` (`LVM2_LABEL`).
pub const LABEL_TYPE: [u8; 8] = *b"LVM2 001";

/// The `version` of the header extension that stock lvm2 writes. Source: lvm2 `lib/format_text/layout.h`
/// (`PV_HEADER_EXTENSION_VSN`).
pub const EXTENSION_VERSION: u32 = 2;

/// The extension flag of a PV that belongs to a volume group. Source: lvm2 `lib/format_text/layout.h`
/// (`PV_EXT_USED`).
pub const EXT_USED: u32 = 1;

/// The first 32 bytes of the label sector. Source: lvm2 `lib/label/label.h` (`struct label_header`).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct LabelHeader {
    /// [`LABEL_ID`].
    pub id: [u8; 8],
    /// The sector of the device this label is in.
    pub sector: U64,
    /// LVM CRC of the sector from `offset` to its end.
    pub crc: U32,
    /// Where the PV header starts, in bytes from the label's start.
    pub offset: U32,
    /// [`LABEL_TYPE`].
    pub kind: [u8; 8],
}

/// Where the checksummed part of the sector starts: at [`LabelHeader::offset`].
pub const CRC_FROM: usize = 20;

const _: () = assert!(size_of::<LabelHeader>() == 32);
const _: () = assert!(std::mem::offset_of!(LabelHeader, offset) == CRC_FROM);

/// What [`LabelHeader::offset`] points to. Source: lvm2 `lib/format_text/layout.h` (`struct pv_header`).
///
/// Behind it: the data areas, an end mark, the metadata areas, an end mark, a [`PvExtension`], the bootloader
/// areas, an end mark; all within the label's sector.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct PvHeader {
    /// The PV's UUID, without dashes and not terminated.
    pub pv_uuid: [u8; LVM_UUID_LEN],
    /// The device's size in bytes when it became a PV or was last resized.
    pub device_size: U64,
}

const _: () = assert!(size_of::<PvHeader>() == 40);

/// The start of the extension. Source: lvm2 `lib/format_text/layout.h` (`struct pv_header_extension`).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct PvExtension {
    /// 0: there is no extension; 1: bootloader areas follow; 2: `flags` is in use, too.
    pub version: U32,
    /// Bit 0: [`EXT_USED`].
    pub flags: U32,
}

const _: () = assert!(size_of::<PvExtension>() == 8);

/// One entry of a list of areas; both fields zero end the list. Source: lvm2 `lib/format_text/layout.h`
/// (`struct disk_locn`).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct DiskLocn {
    /// From the device's start, in bytes.
    pub offset: U64,
    /// In bytes; zero means up to the device's end.
    pub size: U64,
}

const _: () = assert!(size_of::<DiskLocn>() == 16);

/// The `T` at `offset` of `buf`, copied.
///
/// # Errors
/// If it is not all in `buf`.
pub fn read_struct<T: FromBytes>(buf: &[u8], offset: usize) -> Result<T, OutOfBounds> {
    let length = size_of::<T>();
    let error = OutOfBounds { offset, length, buffer: buf.len() };
    T::read_from_bytes(le::slice(buf, offset, length)?).map_err(|_| error)
}

/// A run of bytes on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Area {
    /// From the device's start, in bytes.
    pub offset: u64,
    /// In bytes. Of a data area, zero means up to the device's end.
    pub size: u64,
}

impl Area {
    /// The first byte after it, or `None` past 2^64 - 1.
    pub fn end(&self) -> Option<u64> {
        self.offset.checked_add(self.size)
    }
}

/// A label that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PvLabel {
    /// The PV's UUID.
    pub pv_id: LvmUuid,
    /// The device's size when it became a PV or was last resized.
    pub device_size: Bytes,
    /// Where physical extents are.
    pub data_areas: Vec<Area>,
    /// Where metadata texts are; each within the device, in whole sectors, apart from each other and from the
    /// label.
    pub metadata_areas: Vec<Area>,
    /// The version of the header extension; 0 if there is none.
    pub ext_version: u32,
    /// The flags of the header extension ([`EXT_USED`]); 0 if there is none.
    pub ext_flags: u32,
    /// Room kept for a boot loader.
    pub bootloader_areas: Vec<Area>,
    /// The sector the label is in.
    pub label_sector: u64,
}
