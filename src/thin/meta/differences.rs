//! What two thin devices do not share.

use super::cursor::{Cursor, Item};
use super::node::Tree;
use super::{MetaError, ReadBlock, ThinMeta};
use base::ids::ThinId;
use base::units::Chunks;

/// How two devices differ at a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DifferenceKind {
    /// Only the first maps it.
    LeftOnly,
    /// Only the second maps it.
    RightOnly,
    /// Each maps it to data of its own. The data may still be equal.
    Changed,
}

/// Chunks in a row at which two devices differ alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The first of them.
    pub chunk: Chunks,
    /// How many.
    pub length: Chunks,
    /// How they differ.
    pub kind: DifferenceKind,
}

/// Where one side stands.
#[derive(Clone, Copy)]
enum Place {
    Child { block: u64, low: u64, height: usize },
    Entry { key: u64, data: u64 },
    End,
}

/// What to do next.
enum WalkStep {
    /// Go into the node on this side.
    Descend {
        left: bool,
        right: bool,
    },
    /// Pass over the item on these sides, which differ so at this chunk, if at all.
    Skip {
        left: bool,
        right: bool,
        differ: Option<(u64, DifferenceKind)>,
    },
    Done,
}

impl<R: ReadBlock> ThinMeta<R> {
    /// The chunks at which two thin devices differ, in order, in runs as long as possible. Nodes that both
    /// devices share are not read, so that the cost is that of the differences.
    ///
    /// # Errors
    /// [`MetaError::NoDevice`], or if a block of their trees cannot be read or is damaged.
    pub fn differences(&mut self, left: ThinId, right: ThinId) -> Result<Vec<Difference>, MetaError> {
        let roots = (self.mapping_root(left)?, self.mapping_root(right)?);
        let mut found = Vec::new();
        if roots.0 == roots.1 {
            return Ok(found);
        }
        let mut left = Cursor::open(&mut self.reader, &self.superblock, roots.0, Tree::Mappings)?;
        let mut right = Cursor::open(&mut self.reader, &self.superblock, roots.1, Tree::Mappings)?;
        loop {
            match next(self.place(&mut left)?, self.place(&mut right)?) {
                WalkStep::Done => return Ok(found),
                WalkStep::Descend { left: on_left, right: on_right } => {
                    if on_left {
                        left.descend(&mut self.reader)?;
                    }
                    if on_right {
                        right.descend(&mut self.reader)?;
                    }
                }
                WalkStep::Skip { left: on_left, right: on_right, differ } => {
                    if let Some((chunk, kind)) = differ {
                        push(&mut found, chunk, kind);
                    }
                    if on_left {
                        left.skip();
                    }
                    if on_right {
                        right.skip();
                    }
                }
            }
        }
    }

    fn place(&self, cursor: &mut Cursor) -> Result<Place, MetaError> {
        Ok(match cursor.peek() {
            None => Place::End,
            Some(Item::Child { block, low, height, .. }) => Place::Child { block, low, height },
            Some(Item::Entry { block, key, value }) => {
                let (data, _) = self.superblock.unpack_mapping(block, value)?;
                Place::Entry { key, data }
            }
        })
    }
}

fn next(left: Place, right: Place) -> WalkStep {
    use Place::{Child, End, Entry};
    let skip = |left, right, differ| WalkStep::Skip { left, right, differ };
    match (left, right) {
        (End, End) => WalkStep::Done,
        (Child { block: a, .. }, Child { block: b, .. }) if a == b => skip(true, true, None),
        // The taller node first: the other may be found whole inside it.
        (Child { height: a, .. }, Child { height: b, .. }) => {
            WalkStep::Descend { left: a >= b, right: b >= a }
        }
        (Child { low, .. }, Entry { key, .. }) if low > key => right_only(key),
        (Entry { key, .. }, Child { low, .. }) if low > key => left_only(key),
        (Child { .. }, _) => WalkStep::Descend { left: true, right: false },
        (_, Child { .. }) => WalkStep::Descend { left: false, right: true },
        (Entry { key, .. }, End) => left_only(key),
        (End, Entry { key, .. }) => right_only(key),
        (Entry { key: a, data: old }, Entry { key: b, data: new }) => match a.cmp(&b) {
            std::cmp::Ordering::Less => left_only(a),
            std::cmp::Ordering::Greater => right_only(b),
            std::cmp::Ordering::Equal => {
                skip(true, true, (old != new).then_some((a, DifferenceKind::Changed)))
            }
        },
    }
}

fn left_only(chunk: u64) -> WalkStep {
    WalkStep::Skip { left: true, right: false, differ: Some((chunk, DifferenceKind::LeftOnly)) }
}

fn right_only(chunk: u64) -> WalkStep {
    WalkStep::Skip { left: false, right: true, differ: Some((chunk, DifferenceKind::RightOnly)) }
}

/// Adds a chunk after all others, to the last run if it goes on there.
fn push(found: &mut Vec<Difference>, chunk: u64, kind: DifferenceKind) {
    match found.last_mut() {
        Some(last) if last.kind == kind && last.chunk.get().checked_add(last.length.get()) == Some(chunk) => {
            last.length = Chunks::new(last.length.get() + 1);
        }
        _ => found.push(Difference { chunk: Chunks::new(chunk), length: Chunks::new(1), kind }),
    }
}
