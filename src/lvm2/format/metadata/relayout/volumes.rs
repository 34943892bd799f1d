//! Runs of volumes that were not taken apart, which are most of a text: taken from another copy where they are the same
//! there, else laid out line by line.

use std::borrow::Cow;
use std::ops::Range;

use super::super::file_copy::CopiedRecord;
use super::Relayout;
use crate::format::model::record::Record;
use crate::format::model::records::same_records;
use base::units::Extents;

impl Relayout<'_> {
    /// A run of sections that were not taken apart.
    pub(super) fn run(&mut self, run: Range<usize>) {
        let (all, doc) = (self.lvs.records(), self.doc);
        let from = all.partition_point(|record| record.start() < run.start);
        let to = all.partition_point(|record| record.start() < run.end);
        let records = &all[from..to];
        let (start, text) = (run.start, text_of(&doc.text()[run.clone()]));
        let starts = records.first().map(Record::start) == Some(run.start);
        if !starts || records.last().map(Record::end) != Some(run.end) {
            // They are none of the group's volumes.
            return self.lay_out(&text);
        }
        let mut rest = records;
        while let [first, behind @ ..] = rest {
            if first.start() != run.start {
                self.lines.blank();
            }
            rest = match self.copy_same(first.start()) {
                0 => {
                    let from = self.lines.length();
                    // Records hold ASCII, so that all bytes of their run stand where they stood.
                    self.lay_out(text.get(first.start() - start..first.end() - start).unwrap_or_default());
                    self.note(first.start()..first.end(), from..self.lines.length());
                    behind
                }
                count => rest.get(count..).unwrap_or_default(),
            };
        }
    }

    fn note(&mut self, disk: Range<usize>, file: Range<usize>) {
        self.records.push(CopiedRecord { disk, file });
    }

    /// Copies the records from that byte of the text on that the other copy has one behind the other, too; returns how
    /// many.
    fn copy_same(&mut self, at: usize) -> usize {
        let (Some(beside), text) = (self.beside, self.doc.text()) else { return 0 };
        while let Some(old) = beside.records.get(self.next) {
            let rest = &beside.records[self.next..];
            let spans = rest.iter().map(|record| record.disk.clone());
            let count = same_records((&beside.of, spans), (text, at));
            if let Some(last) = count.checked_sub(1) {
                let (file, to) = (old.file.start..rest[last].file.end, self.lines.length());
                self.lines.push_text(&beside.text[file.clone()]);
                for record in &rest[..count] {
                    let moved = |range: &Range<usize>, from: usize, to: usize| {
                        range.start - from + to..range.end - from + to
                    };
                    let disk = moved(&record.disk, old.disk.start, at);
                    self.note(disk, moved(&record.file, file.start, to));
                }
                self.next += count;
                return count;
            }
            // It went, or it changed and is here, or it comes later and what is here is new.
            let name = beside.name(old);
            let here = self.lvs.place(name).and_then(|place| self.lvs.record(place));
            match here {
                Some(record) if record.start() != at => return 0,
                Some(_) => {
                    self.next += 1;
                    return 0;
                }
                None => self.next += 1,
            }
        }
        0
    }

    /// Each line is an assignment, begins a section or ends one.
    fn lay_out(&mut self, text: &str) {
        let ends = memchr::memchr_iter(b'\n', text.as_bytes()).chain([text.len()]);
        let mut start = 0;
        for end in ends {
            let line = &text[start..end];
            start = end + 1;
            match line.as_bytes() {
                [] => self.lines.blank(),
                b"}" => self.lines.close(),
                [name @ .., b' ', b'{'] => self.lines.open(&line[..name.len()]),
                [b'c', ..] | [b'e', ..] => self.with_comment(line),
                _ => self.lines.line(line),
            }
        }
    }

    fn with_comment(&mut self, line: &str) {
        let number = |key| line.strip_prefix(key).and_then(|number: &str| number.parse().ok());
        if let Some(seconds) = number("creation_time = ") {
            self.lines.commented(&[line], self.times.comment(seconds));
        } else if let Some(count) = number("extent_count = ") {
            self.extents(line, count);
        } else {
            self.lines.line(line);
        }
    }

    fn extents(&mut self, line: &str, count: u64) {
        let known = self.size.take().filter(|(known, _)| *known == count);
        let comment = || {
            let sectors = Extents::new(count).to_sectors(self.extent_size);
            sectors.map(super::size_comment).unwrap_or_default()
        };
        let size = known.unwrap_or_else(|| (count, comment()));
        self.lines.commented(&[line], &size.1);
        self.size = Some(size);
    }
}

/// Bytes as text. What is none is looked into byte by byte, which takes its time.
fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}
