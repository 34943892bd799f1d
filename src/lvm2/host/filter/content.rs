//! The checks that look inside a device.

use std::io;

use super::reason::Skip;
use sys::io::block::BlockDev;

/// What marks an md superblock, in either byte order. Source: Linux `include/uapi/linux/raid/md_p.h` (`MD_SB_MAGIC`).
const MD_MAGIC: u32 = 0xa92b_4efc;

/// How much of a device the checks at its start look at: md's version 1.2 is at 4096.
pub const START_BYTES: usize = 4096 + 512;

/// Whether the first sector is a partition table: the mark at its end, boot flags of 0 or 0x80, and at least one
/// partition. GPT has one of these as well. Source: lvm2 `lib/device/dev-type.c` (`_has_partition_table`).
pub fn has_partition_table(start: &[u8]) -> bool {
    let Some(sector) = start.get(..512) else { return false };
    if sector[510..] != [0x55, 0xaa] {
        return false;
    }
    let entries = || sector[446..510].chunks_exact(16);
    entries().all(|entry| entry[0] & 0x7f == 0) && entries().any(|entry| entry[12..] != [0; 4])
}

/// Looks for an md superblock at the start of a device: versions 1.1 and 1.2. Source: lvm2 `lib/device/dev-md.c`.
///
/// # Errors
/// [`Skip::MdMember`].
pub fn md_at_start(start: &[u8]) -> Result<(), Skip> {
    for (offset, version) in [(0, "1.1"), (4096, "1.2")] {
        if is_md_magic(start.get(offset..offset + 4)) {
            return Err(member(format!("superblock of version {version} at byte {offset}")));
        }
    }
    Ok(())
}

/// Looks for the superblocks that are at the end of a device: md's versions 0.90 and 1.0, Intel's IMSM, DDF.
/// Source: lvm2 `lib/device/dev-md.c` (`_dev_is_md_component_native`).
///
/// # Errors
/// [`Skip::MdMember`], or [`Skip::Unreadable`] if the end cannot be read.
pub fn md_at_end(device: &dyn BlockDev) -> Result<(), Skip> {
    /// md's unit of placement for 0.90. Source: `md_p.h` (`MD_RESERVED_SECTORS`).
    const RESERVED: u64 = 128;
    const IMSM: &[u8; 24] = b"Intel Raid ISM Cfg Sig. ";
    const DDF: u32 = 0xde11_de11;
    let sectors = device.size().get() / 512;
    if sectors < 2 * RESERVED {
        return Ok(());
    }
    let imsm_back = if device.block_size() == 4096 { 16 } else { 2 };
    let places = [
        (sectors / RESERVED * RESERVED - RESERVED, "0.90"),
        ((sectors - 16) / 8 * 8, "1.0"),
        (sectors - imsm_back, "IMSM"),
        (sectors - 1, "DDF"),
        (sectors.saturating_sub(257), "DDF"),
    ];
    for (sector, version) in places {
        let found = read(device, sector * 512)?;
        let hit = match version {
            "IMSM" => found.starts_with(IMSM),
            "DDF" => is_magic(found.get(..4), DDF),
            _ => is_md_magic(found.get(..4)),
        };
        if hit {
            return Err(member(format!("superblock of version {version} at byte {}", sector * 512)));
        }
    }
    Ok(())
}

fn read(device: &dyn BlockDev, offset: u64) -> Result<[u8; 512], Skip> {
    let mut sector = [0; 512];
    let unreadable = |error: io::Error| Skip::Unreadable { error: error.to_string() };
    device.read_at(offset, &mut sector).map_err(unreadable)?;
    Ok(sector)
}

fn is_md_magic(bytes: Option<&[u8]>) -> bool {
    is_magic(bytes, MD_MAGIC)
}

fn is_magic(bytes: Option<&[u8]>, magic: u32) -> bool {
    let found = bytes.and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
    found.is_some_and(|found| u32::from_le_bytes(found) == magic || u32::from_be_bytes(found) == magic)
}

fn member(evidence: String) -> Skip {
    Skip::MdMember { evidence }
}
