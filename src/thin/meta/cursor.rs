//! Walks a tree in the order of its keys, reading only the nodes that the caller descends into.

use std::collections::BTreeSet;

use super::node::{KeyRange, Node, Tree};
use super::{MetaError, ReadBlock, Superblock};

/// Most nodes between root and leaf. A tree of 2^64 keys whose nodes are a third full needs ten.
pub(super) const DEPTH_MAX: usize = 16;

/// What the cursor stands before.
pub(super) enum Item<'a> {
    /// A node that was not read yet.
    Child {
        /// Its block.
        block: u64,
        /// No key in it is smaller.
        low: u64,
        /// All keys in it are smaller, if anything comes after it.
        high: Option<u64>,
        /// Nodes from it down to a leaf, itself included.
        height: usize,
    },
    /// An entry of a leaf.
    Entry {
        /// The leaf's block.
        block: u64,
        /// Its key.
        key: u64,
        /// Its value.
        value: &'a [u8],
    },
}

struct Frame {
    node: Node,
    range: KeyRange,
    index: usize,
}

/// A place in a tree.
pub(super) struct Cursor {
    superblock: Superblock,
    tree: Tree,
    height: usize,
    frames: Vec<Frame>,
    visited: BTreeSet<u64>,
}

impl Cursor {
    /// Stands before the first item below the root.
    pub(super) fn open(
        reader: &mut impl ReadBlock,
        superblock: &Superblock,
        root: u64,
        tree: Tree,
    ) -> Result<Self, MetaError> {
        let height = height(reader, superblock, root, tree)?;
        let mut cursor =
            Self { superblock: *superblock, tree, height, frames: Vec::new(), visited: BTreeSet::new() };
        cursor.enter(reader, root, KeyRange::ALL)?;
        Ok(cursor)
    }

    fn enter(&mut self, reader: &mut impl ReadBlock, block: u64, range: KeyRange) -> Result<(), MetaError> {
        let bad = |why: &str| Err(MetaError::damaged(block, self.tree.name(), why));
        if !self.visited.insert(block) {
            return bad("its tree refers to it twice");
        }
        let node = Node::read(reader, &self.superblock, block, self.tree, range)?;
        if node.leaf != (self.frames.len() + 1 == self.height) {
            return bad("the tree is deeper at some places than at others");
        }
        self.frames.push(Frame { node, range, index: 0 });
        Ok(())
    }

    /// What comes next, or `None` at the end.
    pub(super) fn peek(&mut self) -> Option<Item<'_>> {
        while self.frames.last().is_some_and(|frame| frame.index >= frame.node.keys.len()) {
            self.frames.pop();
            if let Some(parent) = self.frames.last_mut() {
                parent.index += 1;
            }
        }
        let depth = self.frames.len();
        let frame = self.frames.last()?;
        let key = *frame.node.keys.get(frame.index)?;
        if frame.node.leaf {
            return Some(Item::Entry { block: frame.node.block, key, value: frame.node.value(frame.index) });
        }
        let (block, range) = frame.node.child(frame.index, frame.range)?;
        let height = self.height.saturating_sub(depth);
        Some(Item::Child { block, low: range.low, high: range.high, height })
    }

    /// Passes over the item, with all that is below it.
    pub(super) fn skip(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            frame.index += 1;
        }
    }

    /// Reads the child and stands before its first item.
    pub(super) fn descend(&mut self, reader: &mut impl ReadBlock) -> Result<(), MetaError> {
        match self.frames.last().and_then(|frame| frame.node.child(frame.index, frame.range)) {
            Some((block, range)) => self.enter(reader, block, range),
            None => Ok(()),
        }
    }
}

/// Nodes from the root to the leftmost leaf.
fn height(
    reader: &mut impl ReadBlock,
    superblock: &Superblock,
    root: u64,
    tree: Tree,
) -> Result<usize, MetaError> {
    let (mut block, mut range) = (root, KeyRange::ALL);
    for height in 1..=DEPTH_MAX {
        let node = Node::read(reader, superblock, block, tree, range)?;
        match node.child(0, range) {
            Some(child) if !node.leaf => (block, range) = child,
            _ => return Ok(height),
        }
    }
    Err(too_deep(root, tree))
}

/// The value of `key`, and the leaf it is in.
pub(super) fn lookup(
    reader: &mut impl ReadBlock,
    superblock: &Superblock,
    root: u64,
    tree: Tree,
    key: u64,
) -> Result<Option<(u64, Vec<u8>)>, MetaError> {
    let (mut block, mut range) = (root, KeyRange::ALL);
    for _ in 0..DEPTH_MAX {
        let node = Node::read(reader, superblock, block, tree, range)?;
        let after = node.keys.partition_point(|found| *found <= key);
        let Some(index) = after.checked_sub(1) else { return Ok(None) };
        if node.leaf {
            let found = node.keys.get(index) == Some(&key);
            return Ok(found.then(|| (block, node.value(index).to_vec())));
        }
        match node.child(index, range) {
            Some(child) => (block, range) = child,
            None => return Ok(None),
        }
    }
    Err(too_deep(root, tree))
}

fn too_deep(root: u64, tree: Tree) -> MetaError {
    MetaError::damaged(root, tree.name(), format!("the tree below it is deeper than {DEPTH_MAX} nodes"))
}
