//! The metadata of a thin pool: what is committed and what is not yet.
//!
//! Source: Linux `drivers/md/dm-thin-metadata.c`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nix::errno::Errno;

use super::Blocks;

/// Where a pool's metadata lives: a disk and the sector that the metadata device starts at.
pub(super) type StoreKey = (base::ids::DevNo, u64);

/// Where a chunk of a thin device is, and the pool's time when it was put there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) block: u64,
    pub(super) time: u32,
}

/// A thin device as the metadata knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ThinDevice {
    pub(super) transaction_id: u64,
    pub(super) creation_time: u32,
    pub(super) snapshotted_time: u32,
    pub(super) mappings: Arc<BTreeMap<u64, Mapping>>,
}

/// A thin device's details, as the model's metadata holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimThinDevice {
    /// Number of mapped chunks.
    pub mapped_blocks: u64,
    /// The pool's transaction id when the device was made.
    pub transaction_id: u64,
    /// The pool's time when the device was made; it goes up by one with each snapshot.
    pub creation_time: u32,
    /// The pool's time when the device last was the origin or the result of a snapshot.
    pub snapshotted_time: u32,
}

impl From<&ThinDevice> for SimThinDevice {
    fn from(device: &ThinDevice) -> Self {
        Self {
            mapped_blocks: u64::try_from(device.mappings.len()).unwrap_or(u64::MAX),
            transaction_id: device.transaction_id,
            creation_time: device.creation_time,
            snapshotted_time: device.snapshotted_time,
        }
    }
}

/// Where a chunk of a thin device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimMapping {
    /// The chunk of the thin device.
    pub chunk: u64,
    /// The chunk of the data device.
    pub data: u64,
    /// The pool's time when it was mapped.
    pub time: u32,
}

/// All that a pool's metadata holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimPoolDump {
    /// The pool's transaction id.
    pub transaction_id: u64,
    /// The pool's time.
    pub time: u32,
    /// Sectors of a chunk.
    pub chunk_size: u64,
    /// Chunks of the data device.
    pub data_blocks: u64,
    /// The thin devices by their ids, with what they map.
    pub devices: Vec<(u32, SimThinDevice, Vec<SimMapping>)>,
}

impl ThinDevice {
    /// Its mappings in order.
    pub(super) fn mapped(&self) -> Vec<SimMapping> {
        let all = self.mappings.iter();
        all.map(|(chunk, Mapping { block, time })| SimMapping { chunk: *chunk, data: *block, time: *time })
            .collect()
    }
}

/// A metadata snapshot: the block of its root, and the devices as they were, whose chunks are not used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) root: u64,
    pub(super) devices: Arc<BTreeMap<u32, ThinDevice>>,
    /// Whether the pool has changed since, and has other trees than these.
    left: bool,
}

impl Held {
    /// The blocks of its own: a copy of the superblock, and the roots of both trees once the pool has others.
    fn own_blocks(&self) -> u64 {
        if self.left { 3 } else { 1 }
    }
}

/// The pool as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Superblock {
    pub(super) transaction_id: u64,
    pub(super) time: u32,
    pub(super) held: Option<Held>,
    pub(super) data_blocks: u64,
    pub(super) metadata_blocks: u64,
}

/// One state of the metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) superblock: Superblock,
    pub(super) devices: BTreeMap<u32, ThinDevice>,
}

impl Metadata {
    /// The chunks that its devices and those it holds map, some more than once.
    pub(super) fn mapped(&self) -> impl Iterator<Item = u64> {
        let held = self.superblock.held.iter().flat_map(|held| held.devices.values());
        let devices = self.devices.values().chain(held);
        devices.flat_map(|device| device.mappings.values()).map(|mapping| mapping.block)
    }
}

/// What a pool without devices takes: its superblock; the space map of the metadata (index, one bitmap, counts); that
/// of the data (tree of bitmaps, one bitmap, counts); the tree of the devices and that of their details.
const FIXED_BLOCKS: u64 = 9;

/// The kernel keeps a tenth of the metadata's blocks in reserve, and 4 MiB at most. Source: Linux
/// `drivers/md/dm-thin-metadata.c` (`__set_metadata_reserve`).
const RESERVED_SHARE: u64 = 10;
/// See [`RESERVED_SHARE`].
const RESERVED_MOST: u64 = 1024;

/// Entries of a leaf that was split: half of the 252 that a block of 4096 bytes holds. Source: Linux
/// `drivers/md/persistent-data/dm-btree.c` (`calc_max_entries`).
const HALF_LEAF: usize = 126;

/// Both states of a pool's metadata: on disk, and in the kernel.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pub(super) chunk_size: u64,
    pub(super) needs_check: bool,
    /// The flag as the disk has it: the kernel writes it when it lets go of the metadata, not when it sets it.
    needs_check_on_disk: bool,
    pub(super) corrupt: bool,
    pub(super) committed: Metadata,
    pub(super) working: Metadata,
    dirty: BTreeSet<u32>,
}

impl Store {
    /// Metadata as the kernel formats it.
    pub(super) fn format(chunk_size: u64, metadata_blocks: u64) -> Self {
        let superblock =
            Superblock { transaction_id: 0, time: 0, held: None, data_blocks: 0, metadata_blocks };
        let empty = Metadata { superblock, devices: BTreeMap::new() };
        Self {
            chunk_size,
            needs_check: false,
            needs_check_on_disk: false,
            corrupt: false,
            committed: empty.clone(),
            working: empty,
            dirty: BTreeSet::new(),
        }
    }

    /// What a repair makes of what is committed, without a device that it does not find.
    pub(super) fn repaired(&self, lost: Option<u32>) -> Self {
        let mut committed = self.committed.clone();
        committed.superblock.held = None;
        committed.devices.retain(|id, _| Some(*id) != lost);
        Self {
            chunk_size: self.chunk_size,
            needs_check: false,
            needs_check_on_disk: false,
            corrupt: false,
            working: committed.clone(),
            committed,
            dirty: BTreeSet::new(),
        }
    }

    /// Makes the working state the committed one.
    pub(super) fn commit(&mut self) {
        self.committed.superblock = self.working.superblock.clone();
        for id in std::mem::take(&mut self.dirty) {
            match self.working.devices.get(&id) {
                Some(device) => self.committed.devices.insert(id, device.clone()),
                None => self.committed.devices.remove(&id),
            };
        }
    }

    /// Drops everything that is not committed, and gives the devices that had changed, with how many chunks they had
    /// mapped: the kernel goes on to say so. The transaction id and the time stay, too, as they were set. Source:
    /// `dm_pool_abort_metadata`.
    pub(super) fn abort(&mut self) -> BTreeMap<u32, usize> {
        let dropped = std::mem::replace(&mut self.working, self.committed.clone());
        self.working.superblock.transaction_id = dropped.superblock.transaction_id;
        self.working.superblock.time = dropped.superblock.time;
        let mapped = |id| dropped.devices.get(&id).map(|device| (id, device.mappings.len()));
        std::mem::take(&mut self.dirty).into_iter().filter_map(mapped).collect()
    }

    /// What the kernel knew and had not written is lost.
    pub(super) fn forget(&mut self) {
        self.working = self.committed.clone();
        self.dirty.clear();
        self.needs_check = self.needs_check_on_disk;
    }

    /// The kernel lets go of the metadata, and writes what it had not.
    pub(super) fn close(&mut self) {
        self.needs_check_on_disk = self.needs_check;
        self.forget();
    }

    /// Whether the device has changed since the last commit.
    pub(super) fn has_changed(&self, id: u32) -> bool {
        self.dirty.contains(&id)
    }

    /// The chunks that cannot be given out: mapped now, mapped as of the last commit, or held.
    pub(super) fn used_blocks(&self) -> Blocks {
        self.working.mapped().chain(self.committed.mapped()).collect()
    }

    /// How many chunks a status counts as used: not those that this transaction has freed, though they are not used
    /// again before it is committed.
    pub(super) fn allocated(&self) -> usize {
        self.working.mapped().collect::<Blocks>().len()
    }

    /// The metadata blocks that cannot be given out: what the kernel keeps in reserve for its own way out, and what
    /// is used.
    pub(super) fn metadata_used(&self) -> u64 {
        let total = self.working.superblock.metadata_blocks;
        (self.metadata_in_use() + (total / RESERVED_SHARE).min(RESERVED_MOST)).min(total)
    }

    /// The metadata blocks that both trees of the devices, what is held, and both space maps take: what the kernel
    /// counts right after a commit. Exact as long as each tree of mappings has one leaf (252 mappings).
    fn metadata_in_use(&self) -> u64 {
        let held = self.working.superblock.held.as_ref();
        let devices = self.working.devices.values().chain(held.iter().flat_map(|held| held.devices.values()));
        // A snapshot shares its origin's tree until one of them changes.
        let trees: BTreeMap<_, _> = devices
            .map(|device| (Arc::as_ptr(&device.mappings), 1 + device.mappings.len() / HALF_LEAF))
            .collect();
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let own = held.map_or(0, Held::own_blocks);
        FIXED_BLOCKS + own + count(trees.values().sum()) + count(self.working.devices.len() / HALF_LEAF)
    }

    /// A chunk that is free, or `None`.
    pub(super) fn free_block(&self) -> Option<u64> {
        let used = self.used_blocks();
        (0..self.working.superblock.data_blocks).find(|block| !used.contains(block))
    }

    /// The device `id` changes: so do both trees.
    fn note_change(&mut self, id: u32) {
        self.dirty.insert(id);
        if let Some(held) = &mut self.working.superblock.held {
            held.left = true;
        }
    }

    /// The device `id`, to be changed.
    pub(super) fn device_mut(&mut self, id: u32) -> Result<&mut ThinDevice, Errno> {
        self.note_change(id);
        self.working.devices.get_mut(&id).ok_or(Errno::ENODATA)
    }

    /// Makes an empty device.
    pub(super) fn create_thin(&mut self, id: u32) -> Result<(), Errno> {
        if self.working.devices.contains_key(&id) {
            return Err(Errno::EEXIST);
        }
        let Superblock { transaction_id, time, .. } = self.working.superblock;
        let device = ThinDevice {
            transaction_id,
            creation_time: time,
            snapshotted_time: time,
            mappings: Arc::default(),
        };
        self.note_change(id);
        self.working.devices.insert(id, device);
        Ok(())
    }

    /// Makes a device with the content of another.
    pub(super) fn create_snap(&mut self, id: u32, origin: u32) -> Result<(), Errno> {
        if self.working.devices.contains_key(&id) {
            return Err(Errno::EEXIST);
        }
        let mappings = Arc::clone(&self.working.devices.get(&origin).ok_or(Errno::ENODATA)?.mappings);
        let time = self.working.superblock.time.checked_add(1).ok_or(Errno::EOVERFLOW)?;
        self.working.superblock.time = time;
        self.device_mut(origin)?.snapshotted_time = time;
        let transaction_id = self.working.superblock.transaction_id;
        let snapshot = ThinDevice { transaction_id, creation_time: time, snapshotted_time: time, mappings };
        self.note_change(id);
        self.working.devices.insert(id, snapshot);
        Ok(())
    }

    /// Removes a device.
    pub(super) fn delete(&mut self, id: u32) -> Result<(), Errno> {
        self.working.devices.remove(&id).ok_or(Errno::ENODATA)?;
        self.note_change(id);
        Ok(())
    }

    /// Moves the transaction id on, if it is what the caller believes.
    pub(super) fn set_transaction_id(&mut self, old: u64, new: u64) -> Result<(), Errno> {
        let current = &mut self.working.superblock.transaction_id;
        if *current != old {
            return Err(Errno::EINVAL);
        }
        *current = new;
        Ok(())
    }

    /// Keeps the committed state readable. The kernel allows one such at a time.
    pub(super) fn reserve_snapshot(&mut self) -> Result<(), Errno> {
        if self.working.superblock.held.is_some() {
            return Err(Errno::EBUSY);
        }
        let devices = Arc::new(self.committed.devices.clone());
        self.working.superblock.held = Some(Held { root: self.metadata_used(), devices, left: false });
        Ok(())
    }

    /// Lets go of the state that is kept.
    pub(super) fn release_snapshot(&mut self) -> Result<(), Errno> {
        self.working.superblock.held.take().map(drop).ok_or(Errno::EINVAL)
    }
}
