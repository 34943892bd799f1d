//! The records that a text consists of, as they are found while it is gone through.

use std::ops::Range;

use super::lvs::Lvs;
use super::record::{Record, text_of};
use crate::format::text::{BETWEEN_CLOSED, Taken};

/// The records of a text, so far.
pub(super) struct Records<'a> {
    found: Vec<Record>,
    /// What the text before said: what is the same there, byte for byte, is not read again.
    before: Option<&'a Lvs>,
    /// Which of its records is to be expected next.
    next: usize,
}

impl<'a> Records<'a> {
    /// None yet, of a text that follows another one, or of any.
    pub(super) fn beside(before: Option<&'a Lvs>) -> Self {
        let room = before.map_or(0, |before| before.records().len() + 1);
        Self { found: Vec::with_capacity(room), before, next: 0 }
    }

    /// All that were found, in text order.
    pub(super) fn found(self) -> Vec<Record> {
        self.found
    }

    /// The record that begins at `at`, with those behind it that the text before had behind it, too.
    pub(super) fn take(&mut self, text: &[u8], at: usize) -> Option<Taken> {
        if self.before.is_none() && self.found.is_empty() {
            // As many as there would be of the usual length: growing would copy them several times.
            self.found.reserve((text.len() - at) / USUAL_LENGTH);
        }
        self.same(text, at).or_else(|| self.other(text, at))
    }

    fn same(&mut self, text: &[u8], at: usize) -> Option<Taken> {
        let before = self.before?;
        let rest = before.records().get(self.next..)?;
        let first = rest.first()?;
        let spans = rest.iter().map(|record| record.start()..record.end());
        let count = same_records((before.text(), spans), (text, at));
        let last = rest.get(count.checked_sub(1)?)?;
        for record in &rest[..count] {
            self.found.push(record.moved(first.start(), at)?);
        }
        self.next += count;
        let taken = first.moved(first.start(), at)?.taken();
        Some(Taken { end: last.end() - first.start() + at, ..taken })
    }

    fn other(&mut self, text: &[u8], at: usize) -> Option<Taken> {
        let record = Record::at(text, at)?;
        if let Some(before) = self.before
            && let Some(known) = before.place(text_of(record.name(text)))
            && let Some(number) = before.record_number(known)
        {
            self.next = number + 1;
        }
        let taken = record.taken();
        self.found.push(record);
        Some(taken)
    }
}

/// About as long is the record of a volume without tags, in bytes.
const USUAL_LENGTH: usize = 280;

/// How many records of a text stand one behind the other in another one, too, from a byte of that on.
pub(crate) fn same_records(
    (old, mut records): (&[u8], impl Iterator<Item = Range<usize>>),
    (new, at): (&[u8], usize),
) -> usize {
    let Some(first) = records.next() else { return 0 };
    let same_to = first.start + common_start(&old[first.start..], &new[at..]);
    if first.end > same_to {
        return 0;
    }
    let mut end = first.end;
    let follows = |record: &Range<usize>| {
        let is_next = record.start == end + BETWEEN_CLOSED.len() && old[end..].starts_with(BETWEEN_CLOSED);
        end = record.end;
        is_next && end <= same_to
    };
    1 + records.take_while(follows).count()
}

/// How many bytes two texts have in common from their start on.
fn common_start(one: &[u8], other: &[u8]) -> usize {
    /// Compared at once.
    const PIECE: usize = 1024;
    let pieces = one.chunks(PIECE).zip(other.chunks(PIECE));
    let whole = pieces.take_while(|(one, other)| one.len() == PIECE && one == other).count() * PIECE;
    let bytes = one[whole..].iter().zip(&other[whole..]);
    whole + bytes.take_while(|(one, other)| one == other).count()
}
