//! A metadata laid out as a backup or archive file.

use std::ops::Range;

use memchr::memmem::{Finder, find};

use super::Metadata;
use base::bytes::shared::SharedBytes;
use base::units::Sectors;

/// A backup or archive file with an index of its parts: a copy of another state of the group reuses the equal parts.
#[derive(Clone, Debug)]
pub struct FileCopy {
    pub(super) text: String,
    /// Where the group's section begins in it, behind the header.
    pub(super) body: usize,
    /// The records of volumes in it, in order.
    pub(super) records: Vec<CopiedRecord>,
    /// The text that it is a copy of.
    pub(super) of: SharedBytes,
    pub(super) extent_size: Sectors,
}

/// A record of a volume.
#[derive(Clone, Debug)]
pub(super) struct CopiedRecord {
    /// Where it is in the text that the file is a copy of.
    pub disk: Range<usize>,
    /// The lines that it is in the file.
    pub file: Range<usize>,
}

impl FileCopy {
    /// The content of the file.
    pub fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// Where the group's section begins in it: what is behind depends on the group's text alone.
    pub fn body(&self) -> usize {
        self.body
    }

    /// A file that was written as a copy of this state, its group's section at `body`; nothing if it is not laid out as
    /// one. Whether what it says is that state is for the caller to know.
    pub fn found(metadata: &Metadata, text: String, body: usize) -> Option<Self> {
        const VOLUMES: &[u8] = b"\n\tlogical_volumes {\n";
        // Sections within a volume are indented further.
        const CLOSING: &[u8] = b"\n\t\t}\n";
        let (lvs, bytes) = (&metadata.vg.lvs, text.as_bytes());
        let mut at = body + find(bytes.get(body..)?, VOLUMES)? + VOLUMES.len();
        let closing = Finder::new(CLOSING);
        let mut records = Vec::with_capacity(lvs.records().len() + 1);
        for (place, lv) in lvs.glances().enumerate() {
            let end = at + closing.find(&bytes[at..])? + CLOSING.len();
            let start = at + bytes[at..end].iter().position(|byte| *byte != b'\n')?;
            let rest = bytes[start..end].strip_prefix(b"\t\t")?.strip_prefix(lv.name().as_bytes())?;
            rest.strip_prefix(b" {\n")?;
            let record = lvs.record(place);
            records.extend(
                record.map(|record| CopiedRecord { disk: record.start()..record.end(), file: start..end }),
            );
            at = end;
        }
        let extent_size = metadata.vg.extent_size;
        Some(Self { body, records, of: metadata.doc.text().clone(), extent_size, text })
    }

    /// The same with another header.
    pub(super) fn with_header(mut self, header: &str) -> Self {
        let (was, is) = (self.body, header.len());
        self.text.replace_range(..was, header);
        for record in &mut self.records {
            record.file = record.file.start - was + is..record.file.end - was + is;
        }
        Self { body: is, ..self }
    }

    /// The name of the volume that a record is of.
    pub(super) fn name(&self, record: &CopiedRecord) -> &str {
        let text = &self.of[record.disk.clone()];
        let name = text.split(|byte| *byte == b' ').next().unwrap_or_default();
        std::str::from_utf8(name).unwrap_or_default()
    }
}
