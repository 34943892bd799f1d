//! The content of a disk, cheap to copy.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The content of a disk: shared bytes and the blocks that differ from them. Copies share both.
#[derive(Clone, Debug)]
pub struct Image {
    base: Arc<[u8]>,
    block: usize,
    changed: BTreeMap<usize, Arc<[u8]>>,
}

impl Image {
    /// An image of these bytes.
    ///
    /// # Panics
    /// If they are not whole blocks of `block` bytes.
    pub fn new(bytes: Vec<u8>, block: usize) -> Self {
        assert!(block > 0 && bytes.len().is_multiple_of(block), "{} bytes in blocks of {block}", bytes.len());
        Self { base: bytes.into(), block, changed: BTreeMap::new() }
    }

    /// Its length in bytes.
    pub fn size(&self) -> usize {
        self.base.len()
    }

    /// The length of its blocks in bytes.
    pub fn block_size(&self) -> usize {
        self.block
    }

    /// The block with that number.
    ///
    /// # Panics
    /// If there is no such block.
    pub fn block(&self, index: usize) -> &[u8] {
        match self.changed.get(&index) {
            Some(block) => block,
            None => &self.base[index * self.block..(index + 1) * self.block],
        }
    }

    /// Replaces the block with that number.
    ///
    /// # Panics
    /// If there is none, or `bytes` is not of a block's length.
    pub fn set_block(&mut self, index: usize, bytes: Arc<[u8]>) {
        assert!(bytes.len() == self.block && (index + 1) * self.block <= self.size(), "block {index}");
        self.changed.insert(index, bytes);
    }

    /// Fills `buf` from byte `offset` on.
    ///
    /// # Panics
    /// If the image ends before.
    pub fn read(&self, offset: usize, buf: &mut [u8]) {
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let (index, skip) = (at / self.block, at % self.block);
            let (piece, tail) = rest.split_at_mut(rest.len().min(self.block - skip));
            piece.copy_from_slice(&self.block(index)[skip..skip + piece.len()]);
            at += piece.len();
            rest = tail;
        }
    }

    /// The blocks that a write of `bytes` at byte `offset` leaves, without writing them.
    ///
    /// # Panics
    /// If the image ends before.
    pub fn blocks_after(&self, offset: usize, bytes: &[u8]) -> Vec<(usize, Arc<[u8]>)> {
        let mut at = offset;
        let mut rest = bytes;
        let mut blocks = Vec::new();
        while !rest.is_empty() {
            let (index, skip) = (at / self.block, at % self.block);
            let (piece, tail) = rest.split_at(rest.len().min(self.block - skip));
            let mut block = self.block(index).to_vec();
            block[skip..skip + piece.len()].copy_from_slice(piece);
            blocks.push((index, block.into()));
            at += piece.len();
            rest = tail;
        }
        blocks
    }

    /// All its bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = self.base.to_vec();
        for (index, block) in &self.changed {
            bytes[index * self.block..(index + 1) * self.block].copy_from_slice(block);
        }
        bytes
    }
}
