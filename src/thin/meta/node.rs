//! The nodes of the trees.
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 4 | CRC-32C of bytes 4 to 4095, xor 121107 |
//! | 4 | 4 | 1: internal, 2: leaf |
//! | 8 | 8 | its own block number |
//! | 16 | 4 | entries |
//! | 20 | 4 | room for entries |
//! | 24 | 4 | bytes of a value |
//! | 28 | 4 | padding |
//! | 32 | 8 each | keys, then values |
//!
//! Source: Linux `drivers/md/persistent-data/dm-btree-internal.h` (`node_header`), `dm-btree-spine.c`
//! (`node_check`).

use super::{BLOCK_BYTES, Block, DeviceDetails, MetaError, ReadBlock, Superblock};
use base::bytes::{crc, le};
use base::ids::TransactionId;

/// Source: Linux `drivers/md/persistent-data/dm-btree-spine.c` (`BTREE_CSUM_XOR`).
const SALT: u32 = 121_107;
const INTERNAL: u32 = 1;
const LEAF: u32 = 2;
const HEADER_BYTES: usize = 32;
const KEY_BYTES: usize = 8;
const POINTER_BYTES: usize = 8;
/// Source: Linux `drivers/md/dm-thin-metadata.c` (`disk_device_details`).
const DETAILS_BYTES: usize = 24;

/// Which tree a node belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tree {
    /// Device id to details.
    Details,
    /// Device id to the root of its mappings.
    Devices,
    /// Chunk to data chunk and time.
    Mappings,
}

impl Tree {
    /// What messages call its nodes.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Details => "a node of the tree of device details",
            Self::Devices => "a node of the tree of devices",
            Self::Mappings => "a node of a device's tree of mappings",
        }
    }

    const fn leaf_value_bytes(self) -> usize {
        match self {
            Self::Details => DETAILS_BYTES,
            Self::Devices | Self::Mappings => POINTER_BYTES,
        }
    }
}

/// The keys a node may hold: from `low` on, and below `high` if there is a node to the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyRange {
    pub(super) low: u64,
    pub(super) high: Option<u64>,
}

impl KeyRange {
    /// All keys.
    pub(super) const ALL: Self = Self { low: 0, high: None };

    pub(super) fn holds(self, key: u64) -> bool {
        key >= self.low && self.high.is_none_or(|high| key < high)
    }
}

/// A node whose checksum, number, sizes and keys are right.
pub(super) struct Node {
    pub(super) block: u64,
    pub(super) leaf: bool,
    pub(super) keys: Vec<u64>,
    data: Box<Block>,
    values_at: usize,
    value_bytes: usize,
}

/// The checksum a block should carry.
pub(super) fn checksum(data: &Block, salt: u32) -> u32 {
    crc::crc32c(&data[4..]) ^ salt
}

/// A block must carry its own number, or it was written to the wrong place.
pub(super) fn own_number(block: u64, what: &'static str, found: u64) -> Result<(), MetaError> {
    if found == block {
        Ok(())
    } else {
        Err(MetaError::damaged(block, what, format!("it says it is block {found}")))
    }
}

/// The one number a value of 8 bytes holds.
pub(super) fn pointer(block: u64, what: &'static str, value: &[u8]) -> Result<u64, MetaError> {
    le::u64(value, 0).map_err(|error| MetaError::damaged(block, what, error.to_string()))
}

/// The details a value of 24 bytes holds.
pub(super) fn details(block: u64, value: &[u8]) -> Result<DeviceDetails, MetaError> {
    let short = |error: le::OutOfBounds| MetaError::damaged(block, Tree::Details.name(), error.to_string());
    Ok(DeviceDetails {
        mapped_blocks: le::u64(value, 0).map_err(short)?,
        transaction_id: TransactionId(le::u64(value, 8).map_err(short)?),
        creation_time: le::u32(value, 16).map_err(short)?,
        snapshotted_time: le::u32(value, 20).map_err(short)?,
    })
}

impl Node {
    /// Reads and checks the node in `block`, which may hold keys in `range` only.
    pub(super) fn read(
        reader: &mut impl ReadBlock,
        superblock: &Superblock,
        block: u64,
        tree: Tree,
        range: KeyRange,
    ) -> Result<Self, MetaError> {
        let what = tree.name();
        let bad = |why: String| MetaError::damaged(block, what, why);
        if block == 0 || block >= superblock.metadata_blocks {
            return Err(bad(format!("there are blocks 1 to {} only", superblock.metadata_blocks - 1)));
        }
        let data = reader.read_block(block).map_err(|source| MetaError::Read { block, what, source })?;
        let short = |error: le::OutOfBounds| bad(error.to_string());
        let field = |offset| le::u32(&data, offset).map_err(short);
        let count = |offset| {
            field(offset).and_then(|n| usize::try_from(n).map_err(|_| bad(format!("{n} does not fit"))))
        };
        if field(0)? != checksum(&data, SALT) {
            return Err(bad("its checksum is wrong".into()));
        }
        own_number(block, what, le::u64(&data, 8).map_err(short)?)?;
        let leaf = match field(4)? {
            INTERNAL => false,
            LEAF => true,
            flags => return Err(bad(format!("its flags {flags:#x} are neither internal nor leaf"))),
        };
        let (entries, room, value_bytes) = (count(16)?, count(20)?, count(24)?);
        let expected = if leaf { tree.leaf_value_bytes() } else { POINTER_BYTES };
        if value_bytes != expected {
            return Err(bad(format!("its values have {value_bytes} bytes, not {expected}")));
        }
        if entries > room || room > (BLOCK_BYTES - HEADER_BYTES) / (KEY_BYTES + value_bytes) {
            return Err(bad(format!("it has {entries} entries and room for {room}")));
        }
        if entries == 0 && !leaf {
            return Err(bad("it is internal and empty".into()));
        }
        let key = |index: usize| le::u64(&data, HEADER_BYTES + index * KEY_BYTES).map_err(short);
        let keys: Vec<u64> = (0..entries).map(key).collect::<Result<_, _>>()?;
        if !keys.is_sorted_by(|a, b| a < b) {
            return Err(bad("its keys do not ascend".into()));
        }
        if let Some(key) = keys.iter().find(|key| !range.holds(**key)) {
            return Err(bad(format!("key {key} does not belong here")));
        }
        let values_at = HEADER_BYTES + room * KEY_BYTES;
        Ok(Self { block, leaf, keys, data: Box::new(data), values_at, value_bytes })
    }

    /// The value at `index`; empty past the last.
    pub(super) fn value(&self, index: usize) -> &[u8] {
        le::slice(&self.data[..], self.values_at + index * self.value_bytes, self.value_bytes)
            .unwrap_or_default()
    }

    /// The child at `index`, and the keys it may hold within those of this node.
    pub(super) fn child(&self, index: usize, range: KeyRange) -> Option<(u64, KeyRange)> {
        let low = *self.keys.get(index)?;
        let high = self.keys.get(index + 1).copied().or(range.high);
        Some((le::u64(self.value(index), 0).ok()?, KeyRange { low, high }))
    }
}
