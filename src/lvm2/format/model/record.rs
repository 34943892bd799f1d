//! The text of a thin volume in the form in which LVM writes it into metadata areas, read without a tree: where
//! thousands of volumes are not concerned by a change, nearly all of a text is such records.
//!
//! Anything else (another kind, another order, a field more, a comment) is no record and is read from the tree. So a
//! record keeps all rules about itself, and yields the same values as the tree.

use super::{Lv, Segment, SegmentKind, Thin};
use crate::format::text::Taken;
use base::ids::{LVM_NAME_MAX, LvName, LvmUuid, ThinId, TransactionId};
use base::units::Extents;

/// Longest tag. Source: as for `check::valid_tag`.
const TAG_MAX: usize = 1023;

/// A part of a record, from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Part {
    start: u16,
    end: u16,
}

/// The place of a thin volume's record, with the fields that identify it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where its name begins in the text.
    start: u32,
    /// What follows the closing brace, from the start.
    end: u16,
    name_end: u16,
    /// The words of its status: always READ, maybe WRITE, maybe VISIBLE.
    is_writable: bool,
    is_visible: bool,
    flags: Part,
    tags: Part,
    host: Part,
    pool: Part,
    /// Empty if there is none.
    origin: Part,
    /// Its identity.
    pub id: LvmUuid,
    /// Its id in the pool.
    pub device_id: ThinId,
    /// Its size.
    pub extents: Extents,
    creation_time: u64,
    transaction_id: u64,
}

impl Record {
    /// The record whose name begins at `at`, if there is one.
    pub fn at(text: &[u8], at: usize) -> Option<Self> {
        let rest = &text[at..text.len().min(at + usize::from(u16::MAX))];
        let mut cursor = Cursor { rest, at: 0 };
        let name = cursor.name()?;
        cursor.word(b" {\nid = \"")?;
        let id = cursor.uuid()?;
        cursor.word(b"\"\nstatus = [\"READ\"")?;
        let is_writable = cursor.word(b", \"WRITE\"").is_some();
        let is_visible = cursor.word(b", \"VISIBLE\"").is_some();
        cursor.word(b"]\nflags = [")?;
        let flags = cursor.list(|word| word.bytes().all(|c| c.is_ascii_uppercase() || c == b'_'))?;
        let tags = match cursor.word(b"\ntags = [") {
            Some(()) => cursor.list(is_tag)?,
            None => Part::default(),
        };
        cursor.word(b"\ncreation_time = ")?;
        let creation_time = cursor.number()?;
        cursor.word(b"\ncreation_host = \"")?;
        let host = cursor.quoted()?;
        cursor.word(b"\nsegment_count = 1\n\nsegment1 {\nstart_extent = 0\nextent_count = ")?;
        let extents = cursor.number().filter(|count| (1..=u64::from(u32::MAX)).contains(count))?;
        cursor.word(b"\n\ntype = \"thin\"\nthin_pool = \"")?;
        let pool = cursor.name()?;
        cursor.word(b"\"\ntransaction_id = ")?;
        let transaction_id = cursor.number()?;
        cursor.word(b"\ndevice_id = ")?;
        let device_id = ThinId::new(cursor.number().filter(|id| *id != 0)?).ok()?;
        let origin = match cursor.word(b"\norigin = \"") {
            Some(()) => {
                let origin = cursor.name()?;
                cursor.word(b"\"")?;
                origin
            }
            None => Part::default(),
        };
        cursor.word(b"\n}\n}")?;
        Some(Self {
            start: u32::try_from(at).ok()?,
            end: u16::try_from(cursor.at).ok()?,
            name_end: name.end,
            is_writable,
            is_visible,
            flags,
            tags,
            host,
            pool,
            origin,
            id,
            device_id,
            extents: Extents::new(extents),
            creation_time,
            transaction_id,
        })
    }

    /// The same record where the same bytes stand at another place.
    pub fn moved(&self, from: usize, to: usize) -> Option<Self> {
        let start = u32::try_from((self.start() + to).checked_sub(from)?).ok()?;
        Some(Self { start, ..self.clone() })
    }

    /// Where its name begins in the text.
    pub fn start(&self) -> usize {
        usize::try_from(self.start).expect("32 bits fit the address space")
    }

    /// What follows its closing brace in the text.
    pub fn end(&self) -> usize {
        self.start() + usize::from(self.end)
    }

    /// Where its name and the whole of it end.
    pub fn taken(&self) -> Taken {
        Taken { key_end: self.start() + usize::from(self.name_end), end: self.end() }
    }

    /// Its bytes in the text that it was read from.
    pub fn bytes<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        &text[self.start()..self.end()]
    }

    fn part_bytes<'t>(&self, text: &'t [u8], part: Part) -> &'t [u8] {
        let start = self.start();
        &text[start + usize::from(part.start)..start + usize::from(part.end)]
    }

    fn part<'t>(&self, text: &'t [u8], part: Part) -> &'t str {
        text_of(self.part_bytes(text, part))
    }

    /// Its name.
    pub fn name<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        self.part_bytes(text, Part { start: 0, end: self.name_end })
    }

    /// Its pool.
    pub fn pool<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        self.part_bytes(text, self.pool)
    }

    /// The volume it was made from.
    pub fn origin<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        (self.origin != Part::default()).then(|| self.part_bytes(text, self.origin))
    }

    /// Its tags.
    pub fn tags<'t>(&self, text: &'t [u8]) -> impl Iterator<Item = &'t str> {
        words(self.part(text, self.tags))
    }

    /// When it was made, in seconds since 1970.
    pub fn creation_time(&self) -> u64 {
        self.creation_time
    }

    /// Whether users see it.
    pub fn is_visible(&self) -> bool {
        self.is_visible
    }

    /// All its fields.
    pub fn lv(&self, text: &[u8]) -> Lv {
        let name = |part| LvName::new(self.part(text, part)).expect("the record holds names");
        let owned = |part| words(self.part(text, part)).map(str::to_owned).collect();
        let status = [("READ", true), ("WRITE", self.is_writable), ("VISIBLE", self.is_visible)];
        let thin = Thin {
            pool: name(self.pool),
            transaction_id: TransactionId(self.transaction_id),
            device_id: self.device_id,
            external_origin: None,
            origin: (self.origin != Part::default()).then(|| name(self.origin)),
            merge: None,
        };
        Lv {
            name: name(Part { start: 0, end: self.name_end }),
            id: self.id,
            status: status.iter().filter(|(_, on)| *on).map(|(word, _)| (*word).to_owned()).collect(),
            flags: owned(self.flags),
            tags: owned(self.tags),
            creation_time: Some(self.creation_time),
            creation_host: Some(self.part(text, self.host).to_owned()),
            profile: None,
            read_ahead: None,
            fixed_minor: None,
            segments: vec![Segment {
                start: Extents::ZERO,
                count: self.extents,
                tags: Vec::new(),
                kind: SegmentKind::Thin(thin),
            }],
        }
    }
}

/// A part of a record as text.
pub(super) fn text_of(part: &[u8]) -> &str {
    std::str::from_utf8(part).expect("a record holds ASCII")
}

/// The words of a checked list, between its brackets.
fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(", ").filter(|word| !word.is_empty()).map(|word| word.trim_matches('"'))
}

fn is_tag(word: &str) -> bool {
    let fits = |c: u8| c.is_ascii_alphanumeric() || b"_.+-/=!:&#".contains(&c);
    !word.is_empty() && word.len() <= TAG_MAX && !word.starts_with('-') && word.bytes().all(fits)
}

/// Reads a record from its start.
struct Cursor<'t> {
    rest: &'t [u8],
    at: usize,
}

impl<'t> Cursor<'t> {
    /// Steps over these bytes, if they come next.
    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(word)?;
        self.at += word.len();
        Some(())
    }

    fn step(&mut self, count: usize) -> Option<&'t [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        self.at += count;
        Some(taken)
    }

    fn part(&self, length: usize) -> Option<Part> {
        Some(Part { start: u16::try_from(self.at).ok()?, end: u16::try_from(self.at + length).ok()? })
    }

    /// A name that LVM takes.
    fn name(&mut self) -> Option<Part> {
        let length = self.rest.iter().position(|c| !IS_NAME[usize::from(*c)])?;
        let part = self.part(length)?;
        let name = self.step(length)?;
        let is_name = (1..=LVM_NAME_MAX).contains(&length)
            && name[0] != b'-'
            && !(name[0] == b'.' && matches!(name, b"." | b".."));
        is_name.then_some(part)
    }

    /// A number without a leading zero.
    fn number(&mut self) -> Option<u64> {
        let length = self.rest.iter().position(|c| !c.is_ascii_digit())?;
        let digits = self.step(length)?;
        if !(1..=18).contains(&length) || (digits[0] == b'0' && length > 1) {
            return None;
        }
        Some(digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
    }

    fn uuid(&mut self) -> Option<LvmUuid> {
        const DASHES: [usize; 6] = [6, 11, 16, 21, 26, 31];
        let text: &[u8; 38] = self.step(38)?.try_into().ok()?;
        if DASHES.iter().any(|at| text[*at] != b'-') {
            return None;
        }
        let mut compact = [0; 32];
        compact[..6].copy_from_slice(&text[..6]);
        for group in 0..5 {
            compact[6 + 4 * group..10 + 4 * group].copy_from_slice(&text[7 + 5 * group..11 + 5 * group]);
        }
        compact[26..].copy_from_slice(&text[32..]);
        LvmUuid::from_compact(&compact).ok()
    }

    /// What stands before the quote that comes next.
    fn quoted(&mut self) -> Option<Part> {
        let is_plain = |c: u8| (b' '..=b'~').contains(&c) && c != b'\\';
        let length = self.rest.iter().position(|c| *c == b'"' || !is_plain(*c))?;
        let part = self.part(length)?;
        self.step(length)?;
        self.word(b"\"")?;
        Some(part)
    }

    /// What stands between the bracket before and the one that comes next: quoted words that are all of that kind.
    fn list(&mut self, is_word: impl Fn(&str) -> bool) -> Option<Part> {
        let start = self.part(0)?.start;
        let mut count = 0;
        while self.word(b"]").is_none() {
            if count > 0 {
                self.word(b", ")?;
            }
            self.word(b"\"")?;
            let (rest, word) = (self.rest, self.quoted()?);
            let word = rest.get(..usize::from(word.end - word.start))?;
            if word.is_empty() || !is_word(std::str::from_utf8(word).ok()?) {
                return None;
            }
            count += 1;
        }
        Some(Part { start, end: u16::try_from(self.at - 1).ok()? })
    }
}

/// The bytes that names are made of. Source: as for `LvName`.
static IS_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let names = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._+-";
    let mut at = 0;
    while at < names.len() {
        table[names[at] as usize] = true;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests;
