//! The header of a stream: the size of what follows in bytes, as 8 bytes, the least significant first. Source:
//! pve-storage `PVE/Storage/Plugin.pm` (`write_common_header`, `read_common_header`).

/// Its length.
pub const LENGTH: usize = 8;

/// The header of a stream of that many bytes.
pub const fn of(size: u64) -> [u8; LENGTH] {
    size.to_le_bytes()
}

/// The size that a header says.
pub const fn size(header: [u8; LENGTH]) -> u64 {
    u64::from_le_bytes(header)
}
