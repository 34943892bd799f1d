//! The two CRCs of the formats we read and write.

use crc::{Algorithm, Crc, Table};

/// LVM's checksum is the CRC-32 of the polynomial 0xedb88320, reflected, with this start value and no final xor.
/// Source: lvm2 `lib/misc/crc.c`, `lib/misc/crc.h` (`INITIAL_CRC`).
const LVM_INITIAL: u32 = 0xf597_a6cf;

/// CRC-32C as `crc32c(~0, …)` in the kernel computes it: without the final xor of the published CRC-32C.
/// Source: Linux `drivers/md/persistent-data/dm-block-manager.c` (`dm_bm_checksum`).
const CRC32C_UNINVERTED: Algorithm<u32> =
    Algorithm { xorout: 0, check: 0x1cf9_6d7c, residue: 0, ..crc::CRC_32_ISCSI };

static CRC32C_CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC32C_UNINVERTED);

/// The LVM checksum of one run of bytes: labels, metadata area headers, metadata texts, hints.
pub fn lvm(data: &[u8]) -> u32 {
    let mut crc = LvmCrc::new();
    crc.update(data);
    crc.finish()
}

/// The LVM checksum of bytes that come in parts, as a text that wraps around its ring does.
#[derive(Clone)]
pub struct LvmCrc(crc32fast::Hasher);

impl LvmCrc {
    /// A checksum of nothing yet.
    pub fn new() -> Self {
        // The hasher takes and gives the checksums of the usual CRC-32, which are inverted at both ends.
        Self(crc32fast::Hasher::new_with_initial(!LVM_INITIAL))
    }

    /// Continues with the next part.
    pub fn update(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    /// The checksum of all parts.
    pub fn finish(self) -> u32 {
        !self.0.finalize()
    }
}

impl Default for LvmCrc {
    fn default() -> Self {
        Self::new()
    }
}

/// CRC-32C with start value `!0` and no final xor, as dm-persistent-data blocks use it: a block's checksum is
/// `crc32c(block[4..]) ^ salt`, the salt depending on the kind of block.
/// Source: Linux `drivers/md/persistent-data/dm-block-manager.c` (`dm_bm_checksum`).
pub fn crc32c(data: &[u8]) -> u32 {
    CRC32C_CRC.checksum(data)
}

#[cfg(test)]
mod tests {
    use super::{CRC32C_UNINVERTED, LvmCrc, crc32c, lvm};

    #[test]
    fn check_values_hold() {
        assert_eq!(lvm(b"123456789"), 0x4991_cf02);
        assert_eq!(lvm(b""), 0xf597_a6cf);
        assert_eq!(crc32c(b"123456789"), CRC32C_UNINVERTED.check);
        assert_eq!(!crc32c(b"123456789"), 0xe306_9283, "the published check of CRC-32C");
    }

    /// Byte by byte, as the definition says, over lengths that the fast way divides differently.
    #[test]
    fn the_fast_way_is_the_definition() {
        let bytes: Vec<u8> =
            (0_u32..3000).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
        let slow = |bytes: &[u8]| {
            bytes.iter().fold(0xf597_a6cf_u32, |crc, byte| {
                (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
            })
        };
        for length in (0..300).chain([511, 512, 513, 1024, 2999, 3000]) {
            assert_eq!(lvm(&bytes[..length]), slow(&bytes[..length]), "{length} bytes");
        }
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let mut parts = LvmCrc::new();
        parts.update(b"1234");
        parts.update(b"56789");
        assert_eq!(parts.finish(), lvm(b"123456789"));
    }
}
