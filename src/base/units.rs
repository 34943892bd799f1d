//! Sizes as types, so that sectors, bytes, extents and chunks cannot be mixed up; every operation is checked.

use std::fmt;

use serde::Serialize;

pub mod size;

/// Bytes in one device-mapper and LVM sector, whatever the device's own block size.
/// Source: Linux `include/linux/blk_types.h` (`SECTOR_SIZE`), lvm2 `lib/misc/lib.h` (`SECTOR_SIZE`).
pub const SECTOR_BYTES: u64 = 512;

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// The quantity zero.
            pub const ZERO: Self = Self(0);

            /// Wraps a count in this unit.
            pub const fn new(count: u64) -> Self {
                Self(count)
            }

            /// The count in this unit.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// Sum, or `None` past 2^64 - 1.
            pub fn checked_add(self, other: Self) -> Option<Self> {
                self.0.checked_add(other.0).map(Self)
            }

            /// Difference, or `None` below zero.
            pub fn checked_sub(self, other: Self) -> Option<Self> {
                self.0.checked_sub(other.0).map(Self)
            }

            /// Product with a plain number, or `None` past 2^64 - 1.
            pub fn checked_mul(self, factor: u64) -> Option<Self> {
                self.0.checked_mul(factor).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

unit! {
    /// A count of 512-byte sectors.
    Sectors
}
unit! {
    /// A count of bytes.
    Bytes
}
unit! {
    /// A count of logical or physical extents of one volume group.
    Extents
}
unit! {
    /// A count of thin-pool chunks (data blocks).
    Chunks
}

impl Sectors {
    /// The same length in bytes, or `None` past 2^64 - 1.
    pub fn to_bytes(self) -> Option<Bytes> {
        self.0.checked_mul(SECTOR_BYTES).map(Bytes)
    }
}

impl Bytes {
    /// The smallest number of sectors that holds this many bytes.
    pub fn to_sectors_ceil(self) -> Sectors {
        Sectors(self.0.div_ceil(SECTOR_BYTES))
    }
}

impl Extents {
    /// The length of these extents, or `None` past 2^64 - 1.
    pub fn to_sectors(self, extent_size: Sectors) -> Option<Sectors> {
        self.0.checked_mul(extent_size.0).map(Sectors)
    }

    /// The smallest number of extents that holds `length`; `None` if `extent_size` is zero.
    pub fn holding(length: Sectors, extent_size: Sectors) -> Option<Self> {
        (extent_size.0 != 0).then(|| Self(length.0.div_ceil(extent_size.0)))
    }
}
