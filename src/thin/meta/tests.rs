//! Metadata that thin-provisioning-tools made, whole and damaged.

use std::io;

use proptest::prelude::{any, prop_assert, proptest};
use proptest::prop_oneof;
use proptest::strategy::Just;

use super::node::checksum;
use super::{BLOCK_BYTES, Block, DeviceDetails, Difference, DifferenceKind, MappedRun, MetaError, ThinMeta};
use base::ids::{ThinId, TransactionId};
use base::units::{Chunks, Sectors};

const SUPERBLOCK_SALT: u32 = 160_774;
const NODE_SALT: u32 = 121_107;
/// Blocks in use in the fixture; its device has 128.
const BLOCKS: usize = 12;

/// `testdata/small.hex`: what thin_restore makes of `testdata/small.xml`.
fn fixture() -> Vec<Block> {
    let mut blocks = vec![[0; BLOCK_BYTES]; BLOCKS];
    for line in include_str!("testdata/small.hex").lines().filter(|line| !line.starts_with('#')) {
        let (offset, row) = line.split_once(' ').unwrap();
        let offset = usize::from_str_radix(offset, 16).unwrap();
        for (index, pair) in row.as_bytes().chunks(2).enumerate() {
            let byte = u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
            let at = offset + index;
            blocks[at / BLOCK_BYTES][at % BLOCK_BYTES] = byte;
        }
    }
    blocks
}

fn reader(blocks: &[Block]) -> impl FnMut(u64) -> io::Result<Block> + use<> {
    let blocks = blocks.to_vec();
    move |block| {
        let index = usize::try_from(block).map_err(io::Error::other)?;
        blocks.get(index).copied().ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    }
}

fn id(id: u64) -> ThinId {
    ThinId::new(id).unwrap()
}

/// Reads all there is to read.
fn read_all(blocks: &[Block]) -> Result<(), MetaError> {
    let mut meta = ThinMeta::open(reader(blocks))?;
    let ids: Vec<ThinId> = meta.details()?.into_keys().collect();
    for id in &ids {
        meta.mappings(*id)?;
    }
    for pair in ids.windows(2) {
        meta.differences(pair[0], pair[1])?;
    }
    meta.sharing()?;
    let damaged = meta.survey().damaged;
    damaged.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))?;
    Ok(())
}

#[test]
fn what_the_tools_wrote_is_read() {
    let mut meta = ThinMeta::open(reader(&fixture())).unwrap();
    let superblock = *meta.superblock();
    assert_eq!(superblock.transaction_id, TransactionId(7));
    assert_eq!((superblock.time, superblock.needs_check, superblock.held_root), (2, false, None));
    assert_eq!((superblock.chunk_size, superblock.data_blocks), (Sectors::new(128), Chunks::new(1000)));
    assert_eq!(superblock.metadata_blocks, 128);

    let details = meta.details().unwrap();
    assert_eq!(details.keys().copied().collect::<Vec<_>>(), [id(1), id(5), ThinId::MAX]);
    let expected = DeviceDetails {
        mapped_blocks: 5,
        transaction_id: TransactionId(3),
        creation_time: 1,
        snapshotted_time: 1,
    };
    assert_eq!(details[&id(5)], expected);

    let run = |chunk, data, length, time| MappedRun {
        chunk: Chunks::new(chunk),
        data: Chunks::new(data),
        length: Chunks::new(length),
        time,
    };
    assert_eq!(
        meta.mappings(id(1)).unwrap(),
        [run(0, 10, 4, 0), run(9, 20, 1, 1), run(4_000_000, 999, 1, 2)]
    );
    let within = |meta: &mut ThinMeta<_>, from, to| {
        meta.mappings_within(id(1), Chunks::new(from), Chunks::new(to)).unwrap()
    };
    assert_eq!(within(&mut meta, 1, 3), [run(1, 11, 2, 0)]);
    assert_eq!(within(&mut meta, 4, 9), []);
    assert_eq!(within(&mut meta, 3, 10), [run(3, 13, 1, 0), run(9, 20, 1, 1)]);
    assert_eq!(within(&mut meta, 4_000_000, 4_000_001), [run(4_000_000, 999, 1, 2)]);
    assert_eq!(meta.mappings(ThinId::MAX).unwrap(), []);
    assert!(matches!(meta.mappings(id(2)), Err(MetaError::NoDevice(missing)) if missing == id(2)));
}

#[test]
fn devices_differ_where_they_map_other_data() {
    let mut meta = ThinMeta::open(reader(&fixture())).unwrap();
    let run = |chunk, kind| Difference { chunk: Chunks::new(chunk), length: Chunks::new(1), kind };
    let forward = [run(3, DifferenceKind::Changed), run(4_000_000, DifferenceKind::LeftOnly)];
    assert_eq!(meta.differences(id(1), id(5)).unwrap(), forward);
    let backward = [run(3, DifferenceKind::Changed), run(4_000_000, DifferenceKind::RightOnly)];
    assert_eq!(meta.differences(id(5), id(1)).unwrap(), backward);
    assert_eq!(meta.differences(id(1), id(1)).unwrap(), []);
    let against_nothing = meta.differences(ThinId::MAX, id(1)).unwrap();
    let lengths: Vec<u64> = against_nothing.iter().map(|d| d.length.get()).collect();
    assert_eq!(lengths, [4, 1, 1]);
    assert!(against_nothing.iter().all(|d| d.kind == DifferenceKind::RightOnly));
}

/// What `thin_ls` says of it: devices 1 and 5 share chunks 10 to 12 and 20.
#[test]
fn what_two_devices_map_neither_holds_alone() {
    let mut meta = ThinMeta::open(reader(&fixture())).unwrap();
    let sharing = meta.sharing().unwrap();
    let held: Vec<(u64, u64)> =
        sharing.devices.values().map(|it| (it.mapped.get(), it.exclusive.get())).collect();
    assert_eq!(held, [(6, 2), (5, 1), (0, 0)]);
    let last: Vec<Option<u64>> = sharing.devices.values().map(|it| it.last.map(Chunks::get)).collect();
    assert_eq!(last, [Some(4_000_000), Some(9), None]);
    assert_eq!(sharing.used(), Chunks::new(7));
    let map = sharing.map(Chunks::new(1000), 3);
    assert_eq!(map.iter().map(|part| part.1).collect::<Vec<_>>(), [333, 333, 334]);
    assert_eq!(map.iter().map(|part| part.0).sum::<u64>(), 7);
    assert_eq!(map[1].0, 0);
}

/// The tree of one device is damaged: the others are read all the same.
#[test]
fn what_can_be_read_of_a_damaged_pool_is() {
    let mut blocks = fixture();
    blocks[10][100] ^= 1;
    let survey = ThinMeta::open(reader(&blocks)).unwrap().survey();
    assert_eq!(survey.details.len(), 3);
    assert_eq!(survey.sharing.devices.keys().copied().collect::<Vec<_>>(), [id(5), ThinId::MAX]);
    let [(Some(device), error)] = survey.damaged.as_slice() else { panic!("{:?}", survey.damaged) };
    assert_eq!(*device, id(1));
    assert!(error.to_string().contains("its checksum is wrong"), "{error}");
}

/// A second device with the root of the first: all of both is shared.
#[test]
fn devices_that_have_one_tree_share_all_of_it() {
    let mut blocks = fixture();
    // Block 7 holds the devices: keys, then roots.
    let (first, second) = (2048, 2056);
    let root = blocks[7][first..first + 8].to_vec();
    blocks[7][second..second + 8].copy_from_slice(&root);
    seal(&mut blocks[7], NODE_SALT);
    let sharing = ThinMeta::open(reader(&blocks)).unwrap().sharing().unwrap();
    let held: Vec<(u64, u64)> =
        sharing.devices.values().map(|it| (it.mapped.get(), it.exclusive.get())).collect();
    assert_eq!(held, [(6, 0), (6, 0), (0, 0)]);
}

#[test]
fn a_held_root_is_read_instead_of_the_live_one() {
    let mut blocks = fixture();
    assert!(matches!(ThinMeta::open_held(reader(&blocks)), Err(MetaError::NotHeld)));
    let mut held = blocks[0];
    held[8] = 12;
    held[64..320].fill(0);
    seal(&mut held, SUPERBLOCK_SALT);
    blocks.push(held);
    blocks[0][56] = 12;
    blocks[0][48] = 8;
    seal(&mut blocks[0], SUPERBLOCK_SALT);
    let mut meta = ThinMeta::open_held(reader(&blocks)).unwrap();
    assert_eq!(meta.superblock().transaction_id, TransactionId(7), "as of then");
    assert_eq!(meta.mappings(id(1)).unwrap().len(), 3, "the data's size is in the live one");
}

/// The kernel leaves the number of blocks in the superblock as it was when the pool was made; the space map knows.
#[test]
fn metadata_that_grew_is_read_to_its_end() {
    let mut blocks = fixture();
    blocks.resize(200, [0; BLOCK_BYTES]);
    let mut details = blocks[6];
    details[8] = 150;
    seal(&mut details, NODE_SALT);
    blocks[150] = details;
    let at = |blocks: &mut [Block], size: u8| {
        (blocks[0][192], blocks[0][328]) = (size, 150);
        seal(&mut blocks[0], SUPERBLOCK_SALT);
        read_all(blocks).map_err(|error| error.to_string())
    };
    at(&mut blocks, 200).unwrap();
    let refused = at(&mut blocks, 128).unwrap_err();
    assert!(refused.contains("there are blocks 1 to 127 only"), "{refused}");
}

fn seal(block: &mut Block, salt: u32) {
    let sum = checksum(block, salt);
    block[..4].copy_from_slice(&sum.to_le_bytes());
}

/// The message for a fixture in which `change` was made to `block` and its checksum put right.
fn refused(block: usize, change: impl FnOnce(&mut Block)) -> String {
    let mut blocks = fixture();
    change(&mut blocks[block]);
    seal(&mut blocks[block], if block == 0 { SUPERBLOCK_SALT } else { NODE_SALT });
    read_all(&blocks).unwrap_err().to_string()
}

#[test]
fn damage_behind_a_right_checksum_is_named() {
    // Block 6 holds the details, 7 the devices, 10 the mappings of device 1.
    let cases = [
        (
            refused(0, |b| b[32] = 0),
            "block 0 of the thin pool's metadata, a superblock, is damaged: its magic number",
        ),
        (refused(0, |b| b[8] = 3), "it says it is block 3"),
        (refused(0, |b| b[360] = 1), "features 0x1 that only newer software"),
        (refused(0, |b| b[340] = 1), "metadata blocks have 1 sectors, not 8"),
        (refused(0, |b| b[192] = 0), "a size of 0 metadata blocks"),
        (refused(0, |b| b[336] = 1), "a chunk of 1 sectors"),
        (
            refused(0, |b| b[328] = 200),
            "block 200 of the thin pool's metadata, a node of the tree of device details",
        ),
        (refused(6, |b| b[4] = 3), "flags 0x3 are neither"),
        (refused(6, |b| b[24] = 8), "its values have 8 bytes, not 24"),
        (refused(6, |b| b[16] = 200), "200 entries and room for 126"),
        (refused(6, |b| b[32] = 9), "its keys do not ascend"),
        (refused(6, |b| b[51] = 1), "is above 16777215"),
        (refused(10, |b| b[23] = 1), "room for 16777468"),
        (refused(7, |b| b[2048..2056].fill(0xff)), "there are blocks 1 to 127 only"),
        (refused(10, |b| b[2048 + 7] = 1), "it maps data chunk"),
        (refused(10, |b| (b[4], b[16]) = (1, 0)), "it is internal and empty"),
    ];
    for (message, expected) in cases {
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }
}

#[test]
fn a_tree_that_refers_to_itself_ends() {
    let message = refused(10, |block| {
        block[4] = 1;
        block[16] = 1;
        let (key, value) = (32, 32 + 252 * 8);
        block[key..key + 8].fill(0);
        block[value..value + 8].copy_from_slice(&10_u64.to_le_bytes());
    });
    assert!(message.contains("deeper than 16 nodes"), "{message}");
}

proptest! {
    /// One changed byte in any block of the trees is noticed: the checksum covers all of it.
    #[test]
    fn any_changed_byte_is_an_error(
        block in prop_oneof![Just(0_usize), Just(6), Just(7), Just(8), Just(10), Just(11)],
        at in 0..BLOCK_BYTES,
        flip in 1..=255_u8,
    ) {
        let mut blocks = fixture();
        blocks[block][at] ^= flip;
        prop_assert!(read_all(&blocks).is_err());
    }

    /// Damage that keeps its checksum is an answer or an error, and the reader always ends.
    #[test]
    fn sealed_damage_never_panics(
        changes in proptest::collection::vec(
            (0..BLOCKS, prop_oneof![0..64_usize, 0..BLOCK_BYTES], any::<u8>()), 1..6),
    ) {
        let mut blocks = fixture();
        for (block, at, value) in changes {
            blocks[block][at] = value;
            seal(&mut blocks[block], if block == 0 { SUPERBLOCK_SALT } else { NODE_SALT });
        }
        read_all(&blocks).map_or_else(|error| assert!(!error.to_string().is_empty()), |()| ());
    }

    #[test]
    fn short_and_failing_devices_are_errors(kept in 0..BLOCKS) {
        let blocks = fixture();
        let failed = matches!(read_all(&blocks[..kept]), Err(MetaError::Read { .. }));
        prop_assert!(failed);
    }
}
