//! The superblock: block 0, and the block a metadata snapshot holds.
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 4 | CRC-32C of bytes 4 to 4095, xor 160774 |
//! | 4 | 4 | flags; bit 0: needs check |
//! | 8 | 8 | its own block number |
//! | 16 | 16 | uuid, unused |
//! | 32 | 8 | magic, 27022010 |
//! | 40 | 4 | version |
//! | 44 | 4 | time |
//! | 48 | 8 | transaction id |
//! | 56 | 8 | block of the held superblock, or 0 |
//! | 64 | 128 | space map of the data: number of blocks, number allocated, … |
//! | 192 | 128 | space map of the metadata: the same |
//! | 320 | 8 | root of the mappings |
//! | 328 | 8 | root of the details |
//! | 336 | 4 | sectors of a data chunk |
//! | 340 | 4 | sectors of a metadata block, 8 |
//! | 344 | 8 | metadata blocks when the pool was made |
//! | 352 | 4 | compatible features |
//! | 356 | 4 | features that forbid writing |
//! | 360 | 4 | features that forbid reading |
//!
//! Source: Linux `drivers/md/dm-thin-metadata.c` (`thin_disk_superblock`; of `metadata_nr_blocks` only
//! `__write_initial_superblock` writes anything, so that it stays as it was when the metadata grows).

use super::node::{self, checksum};
use super::{BLOCK_BYTES, MetaError, ReadBlock};
use base::bytes::le;
use base::ids::TransactionId;
use base::units::{Chunks, SECTOR_BYTES, Sectors};
use dm::status::METADATA_MAX_BLOCKS;
use dm::table::{CHUNK_MAX, CHUNK_MIN};

/// Source: `THIN_SUPERBLOCK_MAGIC`.
const MAGIC: u64 = 27_022_010;
/// Source: `SUPERBLOCK_CSUM_XOR`.
const SALT: u32 = 160_774;
/// Flag bit of `needs_check`. Source: `THIN_METADATA_NEEDS_CHECK_FLAG`.
const NEEDS_CHECK: u32 = 1;

/// Where the space maps say how many blocks there are. Source: Linux
/// `drivers/md/persistent-data/dm-space-map-common.h` (`disk_sm_root`).
const DATA_SPACE_MAP: usize = 64;
const METADATA_SPACE_MAP: usize = 192;

const WHAT: &str = "a superblock";

/// What the superblock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// LVM's transaction id.
    pub transaction_id: TransactionId,
    /// How many snapshots were taken.
    pub time: u32,
    /// Whether the pool refuses changes until it was checked.
    pub needs_check: bool,
    /// The block of the superblock that `reserve_metadata_snap` keeps, if there is one.
    pub held_root: Option<u64>,
    /// Size of a chunk.
    pub chunk_size: Sectors,
    /// Chunks of the data device.
    pub data_blocks: Chunks,
    /// Blocks of the metadata device.
    pub metadata_blocks: u64,
    /// Root of the tree of devices, each value the root of its mappings.
    pub(super) mapping_root: u64,
    /// Root of the tree of details.
    pub(super) details_root: u64,
}

impl Superblock {
    /// Reads and checks the live superblock.
    pub(super) fn live(reader: &mut impl ReadBlock) -> Result<Self, MetaError> {
        let superblock = Self::read(reader, 0)?;
        let blocks = superblock.metadata_blocks;
        if !(1..=METADATA_MAX_BLOCKS).contains(&blocks) {
            return Err(MetaError::damaged(
                0,
                WHAT,
                format!("a size of {blocks} metadata blocks is not possible"),
            ));
        }
        Ok(superblock)
    }

    /// Reads and checks the superblock that a metadata snapshot holds. The kernel blanks the space maps, and with them
    /// the sizes, in the copy; they never shrink. Source: Linux `drivers/md/dm-thin-metadata.c`
    /// (`__reserve_metadata_snap`).
    pub(super) fn held(reader: &mut impl ReadBlock, block: u64, live: &Self) -> Result<Self, MetaError> {
        let (data_blocks, metadata_blocks) = (live.data_blocks, live.metadata_blocks);
        Ok(Self { data_blocks, metadata_blocks, ..Self::read(reader, block)? })
    }

    /// Reads the superblock in `block`. Its sizes are not checked.
    fn read(reader: &mut impl ReadBlock, block: u64) -> Result<Self, MetaError> {
        let data =
            reader.read_block(block).map_err(|source| MetaError::Read { block, what: WHAT, source })?;
        let bad = |why: String| MetaError::damaged(block, WHAT, why);
        let short = |error: le::OutOfBounds| bad(error.to_string());
        let u32_at = |offset| le::u32(&data, offset).map_err(short);
        let u64_at = |offset| le::u64(&data, offset).map_err(short);

        let magic = u64_at(32)?;
        if magic != MAGIC {
            return Err(bad(format!("its magic number is {magic}, not {MAGIC}")));
        }
        if u32_at(0)? != checksum(&data, SALT) {
            return Err(bad("its checksum is wrong".into()));
        }
        node::own_number(block, WHAT, u64_at(8)?)?;
        if u32_at(360)? != 0 {
            return Err(bad(format!(
                "it has features {:#x} that only newer software can read",
                u32_at(360)?
            )));
        }
        let metadata_block_size = u64::from(u32_at(340)?);
        if metadata_block_size.checked_mul(SECTOR_BYTES) != u64::try_from(BLOCK_BYTES).ok() {
            return Err(bad(format!("its metadata blocks have {metadata_block_size} sectors, not 8")));
        }
        let chunk_size = u64::from(u32_at(336)?);
        if !(CHUNK_MIN..=CHUNK_MAX).contains(&chunk_size) || !chunk_size.is_multiple_of(CHUNK_MIN) {
            return Err(bad(format!("a chunk of {chunk_size} sectors is not possible")));
        }
        Ok(Self {
            transaction_id: TransactionId(u64_at(48)?),
            time: u32_at(44)?,
            needs_check: u32_at(4)? & NEEDS_CHECK != 0,
            held_root: Some(u64_at(56)?).filter(|root| *root != 0),
            chunk_size: Sectors::new(chunk_size),
            data_blocks: Chunks::new(u64_at(DATA_SPACE_MAP)?),
            metadata_blocks: u64_at(METADATA_SPACE_MAP)?,
            mapping_root: u64_at(320)?,
            details_root: u64_at(328)?,
        })
    }

    /// Takes the value of a mapping apart, found in `block`: the data chunk and the time.
    pub(super) fn unpack_mapping(&self, block: u64, value: &[u8]) -> Result<(u64, u32), MetaError> {
        let what = node::Tree::Mappings.name();
        let packed = node::pointer(block, what, value)?;
        let data = packed >> 24;
        if data >= self.data_blocks.get() {
            let why = format!("it maps data chunk {data}, but there are {}", self.data_blocks);
            return Err(MetaError::damaged(block, what, why));
        }
        let time = u32::try_from(packed & 0xff_ffff).expect("24 bits fit");
        Ok((data, time))
    }
}
