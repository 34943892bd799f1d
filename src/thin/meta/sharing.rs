//! What each thin device holds alone and what it shares, as `thin_ls` counts it: what only one device maps goes with
//! it, what two map goes with neither.
//!
//! Devices that are snapshots of each other share nodes of their trees. A node is read once, whoever leads to it; what
//! is below one that two lead to is shared as a whole. Only leaves that one device has for itself are looked at for
//! chunks that another leaf maps, too.

use std::collections::{BTreeMap, HashMap};

use super::cursor::{Cursor, DEPTH_MAX, Item};
use super::node::{self, KeyRange, Node, Tree};
use super::{MetaError, ReadBlock, Superblock, ThinMeta};
use base::ids::ThinId;
use base::units::Chunks;

/// What one device maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// All of it.
    pub mapped: Chunks,
    /// The last chunk of the device that is mapped, if any is.
    pub last: Option<Chunks>,
    /// What no other device maps: it is free once this one is gone.
    pub exclusive: Chunks,
}

/// What all devices of a pool map.
#[derive(Clone, Debug, Default)]
pub struct Sharing {
    /// By device; without those whose trees cannot be read.
    pub devices: BTreeMap<ThinId, Holding>,
    /// The chunks of the data that any maps.
    used: ChunkMap,
}

impl Sharing {
    /// Chunks that are mapped, each counted once.
    pub fn used(&self) -> Chunks {
        Chunks::new(
            self.used.pages.values().flat_map(|page| page.iter()).map(|byte| u64::from(mapped(*byte))).sum(),
        )
    }

    /// How many chunks of each of so many equal parts of the data are mapped, of how many.
    pub fn map(&self, data: Chunks, parts: u64) -> Vec<(u64, u64)> {
        let border = |part: u64| {
            u64::try_from(u128::from(data.get()) * u128::from(part) / u128::from(parts.max(1)))
                .unwrap_or(u64::MAX)
        };
        let mut counts: Vec<(u64, u64)> =
            (0..parts).map(|part| (0, border(part + 1) - border(part))).collect();
        for chunk in self.used.chunks().filter(|chunk| *chunk < data.get()) {
            let part = u128::from(chunk) * u128::from(parts) / u128::from(data.get());
            // The borders are rounded down: it may lie one part further.
            let mut part = u64::try_from(part).unwrap_or(0);
            while part + 1 < parts && border(part + 1) <= chunk {
                part += 1;
            }
            if let Some(count) = usize::try_from(part).ok().and_then(|part| counts.get_mut(part)) {
                count.0 += 1;
            }
        }
        counts
    }
}

/// Chunks in a page of the map, and bits for each.
const PAGE_BYTES: usize = 4096;
const PER_BYTE: u64 = 4;
const PER_PAGE: u64 = PAGE_BYTES as u64 * PER_BYTE;

/// How many of the four chunks of a byte are mapped.
const fn mapped(byte: u8) -> u32 {
    ((byte | byte >> 1) & 0b0101_0101).count_ones()
}

/// For each chunk of the data whether none, one or several leaves map it: two bits, in pages that are made when one of
/// their chunks is mapped.
#[derive(Clone, Debug, Default)]
struct ChunkMap {
    pages: HashMap<u64, Box<[u8; PAGE_BYTES]>>,
}

impl ChunkMap {
    const ONE: u8 = 1;
    const SEVERAL: u8 = 2;

    fn place(chunk: u64) -> (u64, usize, u32) {
        let within = chunk % PER_PAGE;
        let shift = u32::try_from(within % PER_BYTE).unwrap_or(0) * 2;
        (chunk / PER_PAGE, usize::try_from(within / PER_BYTE).unwrap_or(0), shift)
    }

    fn add(&mut self, chunk: u64) {
        let (page, byte, shift) = Self::place(chunk);
        let page = self.pages.entry(page).or_insert_with(|| Box::new([0; PAGE_BYTES]));
        if let Some(byte) = page.get_mut(byte) {
            let state = if *byte >> shift & 3 == 0 { Self::ONE } else { Self::SEVERAL };
            *byte = *byte & !(3 << shift) | state << shift;
        }
    }

    fn is_once(&self, chunk: u64) -> bool {
        let (page, byte, shift) = Self::place(chunk);
        let byte = self.pages.get(&page).and_then(|page| page.get(byte));
        byte.is_some_and(|byte| byte >> shift & 3 == Self::ONE)
    }

    fn chunks(&self) -> impl Iterator<Item = u64> {
        self.pages.iter().flat_map(|(page, bytes)| {
            let first = page * PER_PAGE;
            (first..)
                .zip(bytes.iter().flat_map(|byte| (0..4_u32).map(move |place| byte >> (place * 2) & 3)))
                .filter_map(|(chunk, state)| (state != 0).then_some(chunk))
        })
    }
}

/// A node that was read.
#[derive(Clone, Copy)]
struct Seen {
    /// Whether more than one node or device leads to it.
    shared: bool,
    /// Nodes from it down to a leaf, itself included; 0 while what is below it is being read.
    height: usize,
    /// What is mapped below it.
    below: Below,
    /// The first and the last key of the node.
    keys: Option<(u64, u64)>,
}

/// What is mapped below a node.
#[derive(Clone, Copy, Default)]
struct Below {
    mapped: u64,
    /// The last chunk of the device.
    last: Option<u64>,
}

struct Walk<'a, R> {
    reader: &'a mut R,
    superblock: Superblock,
    nodes: HashMap<u64, Seen>,
    chunks: ChunkMap,
}

impl<R: ReadBlock> ThinMeta<R> {
    /// What each device maps, and what of it no other does. All trees are read, each node once, and those that only one
    /// device has once more.
    ///
    /// # Errors
    /// If a block of the trees cannot be read or is damaged.
    pub fn sharing(&mut self) -> Result<Sharing, MetaError> {
        let (sharing, damaged) = self.all_trees()?;
        damaged.into_iter().next().map_or(Ok(sharing), |(_, error)| Err(error))
    }

    /// The same, past trees that cannot be read: those are told with their devices. What a device that is not among
    /// them holds alone counts against the others only.
    pub(super) fn all_trees(&mut self) -> Result<(Sharing, Vec<(ThinId, MetaError)>), MetaError> {
        let roots = self.mapping_roots()?;
        let superblock = self.superblock;
        let mut walk =
            Walk { reader: &mut self.reader, superblock, nodes: HashMap::new(), chunks: ChunkMap::default() };
        let (mut devices, mut damaged) = (BTreeMap::new(), Vec::new());
        for (id, root) in &roots {
            match walk.count(*root, KeyRange::ALL, 1) {
                Ok((_, Below { mapped, last })) => {
                    let (mapped, last) = (Chunks::new(mapped), last.map(Chunks::new));
                    devices.insert(*id, Holding { mapped, last, exclusive: Chunks::ZERO });
                }
                Err(error) => damaged.push((*id, error)),
            }
        }
        for (id, holding) in &mut devices {
            let Some(root) = roots.get(id) else { continue };
            match walk.exclusive(*root, KeyRange::ALL, 1) {
                Ok(exclusive) => holding.exclusive = Chunks::new(exclusive),
                Err(error) => damaged.push((*id, error)),
            }
        }
        Ok((Sharing { devices, used: walk.chunks }, damaged))
    }

    /// The root of each device's mappings.
    fn mapping_roots(&mut self) -> Result<BTreeMap<ThinId, u64>, MetaError> {
        let mut roots = BTreeMap::new();
        let top = self.superblock.mapping_root;
        let mut cursor = Cursor::open(&mut self.reader, &self.superblock, top, Tree::Devices)?;
        while let Some(item) = cursor.peek() {
            match item {
                Item::Child { .. } => cursor.descend(&mut self.reader)?,
                Item::Entry { block, key, value } => {
                    let what = Tree::Devices.name();
                    let id = ThinId::new(key)
                        .map_err(|error| MetaError::damaged(block, what, error.to_string()))?;
                    roots.insert(id, node::pointer(block, what, value)?);
                    cursor.skip();
                }
            }
        }
        Ok(roots)
    }
}

impl<R: ReadBlock> Walk<'_, R> {
    fn read(&mut self, block: u64, range: KeyRange) -> Result<Node, MetaError> {
        Node::read(self.reader, &self.superblock, block, Tree::Mappings, range)
    }

    /// Reads what is below a node, unless that was done before. Returns its height and what is mapped below it.
    fn count(&mut self, block: u64, range: KeyRange, depth: usize) -> Result<(usize, Below), MetaError> {
        let bad = |why: &str| Err(MetaError::damaged(block, Tree::Mappings.name(), why));
        if let Some(seen) = self.nodes.get_mut(&block) {
            if seen.height == 0 {
                return bad("the tree below it refers to it");
            }
            if seen.keys.is_some_and(|(first, last)| !range.holds(first) || !range.holds(last)) {
                return bad("its keys do not belong here");
            }
            seen.shared = true;
            return Ok((seen.height, seen.below));
        }
        if depth > DEPTH_MAX {
            return bad("it is deeper in its tree than a tree can be");
        }
        let node = self.read(block, range)?;
        let keys = node.keys.first().copied().zip(node.keys.last().copied());
        let seen = Seen { shared: false, height: 0, below: Below::default(), keys };
        self.nodes.insert(block, seen);
        let read = if node.leaf { self.leaf(&node) } else { self.inner(&node, range, depth) };
        // What cannot be read is not there for the next that leads to it, which is told the same.
        let (height, below) = read.inspect_err(|_| {
            self.nodes.remove(&block);
        })?;
        self.nodes.insert(block, Seen { height, below, ..seen });
        Ok((height, below))
    }

    fn leaf(&mut self, node: &Node) -> Result<(usize, Below), MetaError> {
        for index in 0..node.keys.len() {
            let (data, _) = self.superblock.unpack_mapping(node.block, node.value(index))?;
            self.chunks.add(data);
        }
        let mapped = u64::try_from(node.keys.len()).unwrap_or(u64::MAX);
        Ok((1, Below { mapped, last: node.keys.last().copied() }))
    }

    fn inner(&mut self, node: &Node, range: KeyRange, depth: usize) -> Result<(usize, Below), MetaError> {
        let (mut height, mut sum) = (None, Below::default());
        for index in 0..node.keys.len() {
            let Some((child, range)) = node.child(index, range) else { continue };
            let (of_child, below) = self.count(child, range, depth + 1)?;
            if *height.get_or_insert(of_child) != of_child {
                let why = "the tree is deeper at some places than at others";
                return Err(MetaError::damaged(child, Tree::Mappings.name(), why));
            }
            sum = Below { mapped: sum.mapped.saturating_add(below.mapped), last: below.last.or(sum.last) };
        }
        Ok((height.unwrap_or(0) + 1, sum))
    }

    /// How many chunks are mapped below a node and by nothing else.
    fn exclusive(&mut self, block: u64, range: KeyRange, depth: usize) -> Result<u64, MetaError> {
        if depth > DEPTH_MAX || self.nodes.get(&block).is_none_or(|seen| seen.shared) {
            return Ok(0);
        }
        let node = self.read(block, range)?;
        let mut sum = 0_u64;
        for index in 0..node.keys.len() {
            if node.leaf {
                let (data, _) = self.superblock.unpack_mapping(block, node.value(index))?;
                sum += u64::from(self.chunks.is_once(data));
            } else if let Some((child, range)) = node.child(index, range) {
                sum = sum.saturating_add(self.exclusive(child, range, depth + 1)?);
            }
        }
        Ok(sum)
    }
}
