//! The metadata of a thin pool, as its device holds it.

use std::io;

use base::bytes::{crc, le};
use thin::internals::meta::{BLOCK_BYTES, Block, ThinMeta};

/// Thin devices whose mappings are read; more of them show nothing new.
const DEVICES: usize = 32;

/// What the checksums of a superblock and of a tree's node are combined with. Source: Linux
/// `drivers/md/dm-thin-metadata.c` (`SUPERBLOCK_CSUM_XOR`), `drivers/md/persistent-data/dm-btree-spine.c`
/// (`BTREE_CSUM_XOR`).
const SALTS: [u32; 2] = [160_774, 121_107];

/// Reads the bytes as a metadata device, as they are and with all checksums made right: else few damaged blocks would
/// be looked into.
pub fn metadata(bytes: &[u8]) {
    read(bytes);
    let mut sealed = bytes.to_vec();
    for (number, block) in sealed.chunks_exact_mut(BLOCK_BYTES).enumerate() {
        let sum = crc::crc32c(&block[4..]) ^ SALTS[number.min(1)];
        le::put_u32(block, 0, sum).expect("a block is longer than its checksum");
    }
    read(&sealed);
}

/// No read goes over the end, and the work is bounded by the size.
fn read(bytes: &[u8]) {
    let blocks = u64::try_from(bytes.len() / BLOCK_BYTES).unwrap_or(u64::MAX);
    let mut reads = 0_u64;
    let reader = |block: u64| -> io::Result<Block> {
        reads += 1;
        // Each device walks at most its own tree; a cycle would never end.
        assert!(reads <= 64 + blocks * (4 + u64::try_from(DEVICES).unwrap_or(0)), "the work is not bounded");
        let at = usize::try_from(block).ok().and_then(|block| block.checked_mul(BLOCK_BYTES));
        let found = at.and_then(|at| bytes.get(at..)?.first_chunk::<BLOCK_BYTES>().copied());
        found.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    };
    let Ok(mut meta) = ThinMeta::open(reader) else { return };
    let Ok(details) = meta.details() else { return };
    for id in details.keys().take(DEVICES) {
        let Ok(runs) = meta.mappings(*id) else { continue };
        let ordered = runs.windows(2).all(|pair| pair[0].chunk.get() < pair[1].chunk.get());
        assert!(ordered, "the mappings of device {id} are not in order");
    }
}

/// What `thin_restore` made of a small pool.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut device = Vec::new();
    let rows = include_str!("../../../src/thin/meta/testdata/small.hex");
    for line in rows.lines().filter(|line| !line.starts_with('#')) {
        let Some((offset, row)) = line.split_once(' ') else { continue };
        let at = usize::from_str_radix(offset, 16).unwrap_or(0);
        let hex = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap_or("0"), 16).unwrap_or(0);
        let row: Vec<u8> = row.as_bytes().chunks(2).map(hex).collect();
        device.resize(device.len().max(at + row.len()), 0);
        device[at..at + row.len()].copy_from_slice(&row);
    }
    device.resize(device.len().next_multiple_of(BLOCK_BYTES), 0);
    vec![device]
}
