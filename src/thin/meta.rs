//! Reads the metadata of a thin pool from its device: which thin devices there are, and which data each maps.
//!
//! Nothing is trusted: every block's checksum and own number, every key's range, every tree's depth and
//! number of blocks are checked before they are used. Nothing is written, and no I/O is done but through
//! [`ReadBlock`].
//!
//! The metadata of a running pool changes under a reader. Read it through the root that a
//! `reserve_metadata_snap` message holds ([`ThinMeta::open_held`]), or while the pool does not run.
//!
//! Format: Linux `drivers/md/dm-thin-metadata.c`, `drivers/md/persistent-data/dm-btree-internal.h`.

use std::collections::BTreeMap;
use std::io;

use thiserror::Error;

use base::ids::{ThinId, TransactionId};
use base::units::Chunks;

mod cursor;
mod differences;
mod node;
mod sharing;
mod superblock;
mod survey;
#[cfg(test)]
mod tests;

pub use differences::{Difference, DifferenceKind};
pub use sharing::{Holding, Sharing};
pub use superblock::Superblock;
pub use survey::Survey;

use cursor::{Cursor, Item, lookup};
use node::Tree;

/// Bytes of a metadata block, as the length of one in memory.
pub const BLOCK_BYTES: usize = 4096;

const _: () = assert!(BLOCK_BYTES as u64 == dm::status::METADATA_BLOCK_BYTES, "a block has one size");

/// A block of metadata.
pub type Block = [u8; BLOCK_BYTES];

/// Gives the blocks of a metadata device.
pub trait ReadBlock {
    /// Reads the block that starts `block` times [`BLOCK_BYTES`] into the device.
    ///
    /// # Errors
    /// If it cannot be read, or lies past the end.
    fn read_block(&mut self, block: u64) -> io::Result<Block>;
}

impl<F: FnMut(u64) -> io::Result<Block>> ReadBlock for F {
    fn read_block(&mut self, block: u64) -> io::Result<Block> {
        self(block)
    }
}

/// Any reader of blocks.
pub type AnyReader<'a> = &'a mut dyn FnMut(u64) -> io::Result<Block>;

/// Why metadata could not be read.
#[derive(Debug, Error)]
pub enum MetaError {
    /// The device failed.
    #[error("cannot read block {block} of the thin pool's metadata, {what}")]
    Read {
        /// The block.
        block: u64,
        /// What it should hold.
        what: &'static str,
        /// What the device said.
        #[source]
        source: io::Error,
    },
    /// A block is not what it should be. Run `thin_check`, and `thinvol pool repair` if it agrees.
    #[error("block {block} of the thin pool's metadata, {what}, is damaged: {why}")]
    Damaged {
        /// The block.
        block: u64,
        /// What it should hold.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Whoever wanted to read does not want to go on; nothing is said of the metadata.
    #[error("{0}")]
    GivenUp(String),
    /// No metadata snapshot is held.
    #[error("the thin pool's metadata holds no snapshot: send reserve_metadata_snap first")]
    NotHeld,
    /// The device does not exist in the pool.
    #[error("the thin pool's metadata knows no thin device {0}")]
    NoDevice(ThinId),
}

impl MetaError {
    fn damaged(block: u64, what: &'static str, why: impl Into<String>) -> Self {
        Self::Damaged { block, what, why: why.into() }
    }
}

/// What the metadata says of one thin device. Source: Linux `drivers/md/dm-thin-metadata.c`
/// (`disk_device_details`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceDetails {
    /// Chunks it maps.
    pub mapped_blocks: u64,
    /// The pool's transaction id when it was made.
    pub transaction_id: TransactionId,
    /// The pool's time when it was made. The time goes up by one with each snapshot.
    pub creation_time: u32,
    /// The pool's time of the last snapshot that it was the origin or the result of.
    pub snapshotted_time: u32,
}

/// Chunks of a thin device that lie side by side on the data device too, mapped at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappedRun {
    /// First chunk of the thin device.
    pub chunk: Chunks,
    /// First chunk of the data device.
    pub data: Chunks,
    /// Number of chunks.
    pub length: Chunks,
    /// The pool's time when they were mapped.
    pub time: u32,
}

/// The metadata of one thin pool.
pub struct ThinMeta<R> {
    reader: R,
    superblock: Superblock,
}

impl<R: ReadBlock> ThinMeta<R> {
    /// Reads the superblock.
    ///
    /// # Errors
    /// If it cannot be read or is not a thin pool's.
    pub fn open(mut reader: R) -> Result<Self, MetaError> {
        let superblock = Superblock::live(&mut reader)?;
        Ok(Self { reader, superblock })
    }

    /// Reads the superblock as of the last `reserve_metadata_snap`: the one way to read a running pool.
    ///
    /// # Errors
    /// [`MetaError::NotHeld`], or if either superblock cannot be read.
    pub fn open_held(mut reader: R) -> Result<Self, MetaError> {
        let live = Superblock::live(&mut reader)?;
        let root = live.held_root.ok_or(MetaError::NotHeld)?;
        let superblock = Superblock::held(&mut reader, root, &live)?;
        Ok(Self { reader, superblock })
    }

    /// Reads, asking before each block whether to go on.
    ///
    /// # Errors
    /// What the reading ends with.
    pub fn before_each_block<T>(
        &mut self,
        may_go_on: &dyn Fn() -> io::Result<()>,
        read: &dyn Fn(&mut ThinMeta<AnyReader<'_>>) -> Result<T, MetaError>,
    ) -> Result<T, MetaError> {
        let Self { reader, superblock } = self;
        let superblock = *superblock;
        let mut asking = |block| {
            may_go_on()?;
            reader.read_block(block)
        };
        read(&mut ThinMeta { reader: &mut asking, superblock })
    }

    /// The superblock.
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// All thin devices.
    ///
    /// # Errors
    /// If a block of their tree cannot be read or is damaged.
    pub fn details(&mut self) -> Result<BTreeMap<ThinId, DeviceDetails>, MetaError> {
        let mut found = BTreeMap::new();
        let mut cursor =
            Cursor::open(&mut self.reader, &self.superblock, self.superblock.details_root, Tree::Details)?;
        while let Some(item) = cursor.peek() {
            match item {
                Item::Child { .. } => cursor.descend(&mut self.reader)?,
                Item::Entry { block, key, value } => {
                    let id = ThinId::new(key).map_err(|error| {
                        MetaError::damaged(block, Tree::Details.name(), error.to_string())
                    })?;
                    found.insert(id, node::details(block, value)?);
                    cursor.skip();
                }
            }
        }
        Ok(found)
    }

    /// What a thin device maps, in order, in runs as long as possible.
    ///
    /// # Errors
    /// [`MetaError::NoDevice`], or if a block of its tree cannot be read or is damaged.
    pub fn mappings(&mut self, id: ThinId) -> Result<Vec<MappedRun>, MetaError> {
        self.mappings_within(id, Chunks::new(0), Chunks::new(u64::MAX))
    }

    /// What a thin device maps from chunk `from` up to and not including `to`, in order, in runs as long as possible.
    /// Nodes that only hold other chunks are not read.
    ///
    /// # Errors
    /// [`MetaError::NoDevice`], or if a block of its tree cannot be read or is damaged.
    pub fn mappings_within(
        &mut self,
        id: ThinId,
        from: Chunks,
        to: Chunks,
    ) -> Result<Vec<MappedRun>, MetaError> {
        let root = self.mapping_root(id)?;
        let mut runs: Vec<MappedRun> = Vec::new();
        let mut cursor = Cursor::open(&mut self.reader, &self.superblock, root, Tree::Mappings)?;
        while let Some(item) = cursor.peek() {
            match item {
                Item::Child { low, .. } if low >= to.get() => break,
                Item::Child { high: Some(high), .. } if high <= from.get() => cursor.skip(),
                Item::Child { .. } => cursor.descend(&mut self.reader)?,
                Item::Entry { key, .. } if key >= to.get() => break,
                Item::Entry { key, .. } if key < from.get() => cursor.skip(),
                Item::Entry { block, key, value } => {
                    let (data, time) = self.superblock.unpack_mapping(block, value)?;
                    push_run(&mut runs, key, data, time);
                    cursor.skip();
                }
            }
        }
        Ok(runs)
    }

    /// The root of a thin device's mappings.
    fn mapping_root(&mut self, id: ThinId) -> Result<u64, MetaError> {
        let top = self.superblock.mapping_root;
        let found = lookup(&mut self.reader, &self.superblock, top, Tree::Devices, u64::from(id.get()))?;
        match found {
            Some((block, value)) => node::pointer(block, Tree::Devices.name(), &value),
            None => Err(MetaError::NoDevice(id)),
        }
    }
}

/// Adds a chunk after all others, to the last run if it goes on there.
fn push_run(runs: &mut Vec<MappedRun>, chunk: u64, data: u64, time: u32) {
    if let Some(last) = runs.last_mut() {
        let length = last.length.get();
        let follows = last.chunk.get().checked_add(length) == Some(chunk)
            && last.data.get().checked_add(length) == Some(data)
            && last.time == time;
        if follows {
            last.length = Chunks::new(length + 1);
            return;
        }
    }
    runs.push(MappedRun { chunk: Chunks::new(chunk), data: Chunks::new(data), length: Chunks::new(1), time });
}
