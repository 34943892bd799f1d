//! The model's pool metadata in the form that the kernel writes: superblock, details of the devices, and the same as
//! of a metadata snapshot. Source: Linux `drivers/md/dm-thin-metadata.c` (`thin_disk_superblock`,
//! `disk_device_details`), `drivers/md/persistent-data/dm-btree-internal.h`.

use base::bytes::crc::crc32c;
use base::ids::ThinId;
use dm::sim::{SimPoolDump, SimThinDevices};
use thin::internals::meta::BLOCK_BYTES;

pub use thin::internals::meta::Block;

const MAGIC: u64 = 27_022_010;
const SUPERBLOCK_SALT: u32 = 160_774;
const NODE_SALT: u32 = 121_107;
const LEAF: u32 = 2;
const DETAILS_BYTES: usize = 24;
/// As many entries as a node of details has room for: a multiple of three.
const ROOM: usize = 126;
/// How many blocks the metadata device has.
const METADATA_BLOCKS: u64 = 1024;

/// Where the details are, and the superblock and the details of a metadata snapshot.
const DETAILS: u64 = 1;
const HELD: u64 = 2;
const HELD_DETAILS: u64 = 3;

/// A block of the metadata of a pool; zeros where there is nothing.
pub fn block(number: u64, dump: &SimPoolDump, held: Option<&SimThinDevices>) -> Block {
    let live = || dump.devices.iter().filter_map(|(id, device, _)| Some((thin_id(*id)?, *device)));
    match (number, held) {
        (0, held) => superblock(0, dump, held.map_or(0, |_| HELD), DETAILS),
        (DETAILS, _) => details(DETAILS, &live().collect()),
        (HELD, Some(_)) => superblock(HELD, dump, 0, HELD_DETAILS),
        (HELD_DETAILS, Some(devices)) => details(HELD_DETAILS, devices),
        _ => [0; BLOCK_BYTES],
    }
}

fn thin_id(id: u32) -> Option<ThinId> {
    ThinId::new(u64::from(id)).ok()
}

fn superblock(number: u64, dump: &SimPoolDump, held_root: u64, details: u64) -> Block {
    let mut block = [0; BLOCK_BYTES];
    let chunk = u32::try_from(dump.chunk_size).expect("a chunk has few sectors");
    for (at, value) in
        [(8, number), (32, MAGIC), (48, dump.transaction_id), (56, held_root), (64, dump.data_blocks)]
    {
        put(&mut block, at, &value.to_le_bytes());
    }
    put(&mut block, 44, &dump.time.to_le_bytes());
    put(&mut block, 328, &details.to_le_bytes());
    put(&mut block, 336, &chunk.to_le_bytes());
    put(&mut block, 340, &8_u32.to_le_bytes());
    // The space map of the metadata, and what the superblock goes on saying after it grew.
    put(&mut block, 192, &METADATA_BLOCKS.to_le_bytes());
    put(&mut block, 344, &METADATA_BLOCKS.to_le_bytes());
    sealed(block, SUPERBLOCK_SALT)
}

/// All devices in one leaf.
fn details(number: u64, devices: &SimThinDevices) -> Block {
    assert!(devices.len() <= ROOM, "a small machine has no more thin devices than one block describes");
    let mut block = [0; BLOCK_BYTES];
    let count = |number: usize| u32::try_from(number).expect("a node is small").to_le_bytes();
    put(&mut block, 4, &LEAF.to_le_bytes());
    put(&mut block, 8, &number.to_le_bytes());
    for (at, value) in [(16, devices.len()), (20, ROOM), (24, DETAILS_BYTES)] {
        put(&mut block, at, &count(value));
    }
    for (index, (id, device)) in devices.iter().enumerate() {
        put(&mut block, 32 + 8 * index, &u64::from(id.get()).to_le_bytes());
        let at = 32 + 8 * ROOM + DETAILS_BYTES * index;
        put(&mut block, at, &device.mapped_blocks.to_le_bytes());
        put(&mut block, at + 8, &device.transaction_id.to_le_bytes());
        put(&mut block, at + 16, &device.creation_time.to_le_bytes());
        put(&mut block, at + 20, &device.snapshotted_time.to_le_bytes());
    }
    sealed(block, NODE_SALT)
}

fn put(block: &mut Block, at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

fn sealed(mut block: Block, salt: u32) -> Block {
    let sum = crc32c(&block[4..]) ^ salt;
    put(&mut block, 0, &sum.to_le_bytes());
    block
}
