//! The two CRCs of the formats we read and write.

use crc::{Algorithm, Crc, Digest, Table};

/// CRC-32, polynomial 0xedb88320 reflected, initial 0xf597a6cf, no final xor.
/// Source: lvm2 `lib/misc/crc.c`, `lib/misc/crc.h` (`INITIAL_CRC`). Its check of `123456789` is 0x4991cf02.
const LVM: Algorithm<u32> = Algorithm {
    width: 32,
    poly: 0x04c1_1db7,
    init: 0xf597_a6cf_u32.reverse_bits(),
    refin: true,
    refout: true,
    xorout: 0,
    check: 0x4991_cf02,
    residue: 0,
};

/// CRC-32C as `crc32c(~0, …)` in the kernel computes it: without the final xor of the published CRC-32C.
/// Source: Linux `drivers/md/persistent-data/dm-block-manager.c` (`dm_bm_checksum`).
const CRC32C_UNINVERTED: Algorithm<u32> =
    Algorithm { xorout: 0, check: 0x1cf9_6d7c, residue: 0, ..crc::CRC_32_ISCSI };

static LVM_CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&LVM);
static CRC32C_CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC32C_UNINVERTED);

/// The LVM checksum of one run of bytes: labels, metadata area headers, metadata texts, hints.
pub fn lvm(data: &[u8]) -> u32 {
    LVM_CRC.checksum(data)
}

/// The LVM checksum of bytes that come in parts, as a text that wraps around its ring does.
#[derive(Clone)]
pub struct LvmCrc(Digest<'static, u32, Table<16>>);

impl LvmCrc {
    /// A checksum of nothing yet.
    pub fn new() -> Self {
        Self(LVM_CRC.digest())
    }

    /// Continues with the next part.
    pub fn update(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    /// The checksum of all parts.
    pub fn finish(self) -> u32 {
        self.0.finalize()
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
    use super::{CRC32C_UNINVERTED, LVM, LvmCrc, crc32c, lvm};

    #[test]
    fn check_values_hold() {
        assert_eq!(lvm(b"123456789"), LVM.check);
        assert_eq!(lvm(b""), 0xf597_a6cf);
        assert_eq!(crc32c(b"123456789"), CRC32C_UNINVERTED.check);
        assert_eq!(!crc32c(b"123456789"), 0xe306_9283, "the published check of CRC-32C");
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let mut parts = LvmCrc::new();
        parts.update(b"1234");
        parts.update(b"56789");
        assert_eq!(parts.finish(), lvm(b"123456789"));
    }
}
