//! The disk.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::fault::{Effect, Fault, Faults, Operation};
use super::image::Image;
use crate::io::block::BlockDev;
use base::units::Bytes;

/// The order of writes and flushes on the disks that share it.
#[derive(Clone, Debug, Default)]
pub struct Timeline(Arc<AtomicUsize>);

impl Timeline {
    /// How many writes and flushes there were.
    pub fn now(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Whether both are the same one.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn tick(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// One write or flush.
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// The blocks that a write left, in order; of a failed one those that were written nevertheless.
    Write(Vec<(usize, Arc<[u8]>)>),
    /// A flush, and whether it succeeded.
    Flush { done: bool },
}

/// One write or flush, as a test may want to see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logged {
    /// So many blocks were written from that block on.
    Write {
        /// The number of the first block.
        block: usize,
        /// How many.
        blocks: usize,
    },
    /// A flush that succeeded.
    Flush,
    /// A flush that failed.
    FailedFlush,
}

#[derive(Debug)]
pub(super) struct DiskState {
    pub(super) initial: Image,
    pub(super) current: Image,
    /// Each with its time on the timeline.
    pub(super) ops: Vec<(usize, Op)>,
    faults: Faults,
    reads: usize,
}

/// A disk in memory. Share it by `Arc` or `Rc` to look at it while a store has it.
#[derive(Debug)]
pub struct MemDisk {
    name: String,
    timeline: Timeline,
    state: Mutex<DiskState>,
}

impl MemDisk {
    /// A disk of `size` zeros, in blocks of `block` bytes.
    ///
    /// # Panics
    /// If the size is not a whole number of blocks.
    pub fn new(name: &str, size: usize, block: usize) -> Self {
        Self::from_image(name, Image::new(vec![0; size], block), Timeline::default())
    }

    /// A disk with that content, whose writes and flushes are counted on that timeline.
    pub fn from_image(name: &str, image: Image, timeline: Timeline) -> Self {
        let (initial, current) = (image.clone(), image);
        let state = DiskState { initial, current, ops: Vec::new(), faults: Faults::default(), reads: 0 };
        Self { name: name.to_owned(), timeline, state: Mutex::new(state) }
    }

    /// The timeline its writes and flushes are on.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Its content as reads see it.
    pub fn image(&self) -> Image {
        self.state().current.clone()
    }

    /// Makes an operation to come fail.
    pub fn inject(&self, fault: Fault) {
        self.state().faults.add(fault);
    }

    /// Takes back all faults.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// How many reads there were, failed ones included.
    pub fn reads(&self) -> usize {
        self.state().reads
    }

    /// Its writes and flushes so far, each with its time on the timeline.
    pub fn log(&self) -> Vec<(usize, Logged)> {
        let logged = |op: &Op| match op {
            Op::Write(blocks) => {
                Logged::Write { block: blocks.first().map_or(0, |(index, _)| *index), blocks: blocks.len() }
            }
            Op::Flush { done: true } => Logged::Flush,
            Op::Flush { done: false } => Logged::FailedFlush,
        };
        self.state().ops.iter().map(|(time, op)| (*time, logged(op))).collect()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, DiskState> {
        // A test that panicked in another thread does not make the content wrong.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DiskState {
    /// The range as positions in the image, or `kind` if it is not within it.
    fn start_of(&self, offset: u64, length: usize, kind: io::ErrorKind) -> io::Result<usize> {
        usize::try_from(offset)
            .ok()
            .filter(|start| start.checked_add(length).is_some_and(|end| end <= self.current.size()))
            .ok_or_else(|| io::Error::from(kind))
    }
}

impl BlockDev for MemDisk {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn size(&self) -> Bytes {
        Bytes::new(u64::try_from(self.state().current.size()).expect("memory is smaller than 2^64 bytes"))
    }

    fn block_size(&self) -> u32 {
        u32::try_from(self.state().current.block_size()).expect("a block is small")
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        state.reads += 1;
        if state.faults.strike(Operation::Read).is_some() {
            return Err(Fault::error());
        }
        let start = state.start_of(offset, buf.len(), io::ErrorKind::UnexpectedEof)?;
        state.current.read(start, buf);
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let start = state.start_of(offset, buf.len(), io::ErrorKind::WriteZero)?;
        let mut blocks = state.current.blocks_after(start, buf);
        let failed = state.faults.strike(Operation::Write);
        match failed {
            Some(Effect::Nothing) => blocks.clear(),
            Some(Effect::Blocks(count)) => blocks.truncate(count),
            Some(Effect::Everything) | None => {}
        }
        for (index, block) in &blocks {
            state.current.set_block(*index, Arc::clone(block));
        }
        state.ops.push((self.timeline.tick(), Op::Write(blocks)));
        if failed.is_some() { Err(Fault::error()) } else { Ok(()) }
    }

    fn flush(&self) -> io::Result<()> {
        let mut state = self.state();
        let done = state.faults.strike(Operation::Flush).is_none();
        state.ops.push((self.timeline.tick(), Op::Flush { done }));
        if done { Ok(()) } else { Err(Fault::error()) }
    }
}
