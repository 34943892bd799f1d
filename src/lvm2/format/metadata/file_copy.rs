//! A metadata laid out as a backup or archive file.

use std::ops::Range;

use base::bytes::shared::SharedBytes;
use base::units::Sectors;

/// A backup or archive file, and where it has what: a copy of another state of the group takes from it what is equal.
#[derive(Clone, Debug)]
pub struct FileCopy {
    pub(super) text: String,
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
    /// What is in the file.
    pub fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// The name of the volume that a record is of.
    pub(super) fn name(&self, record: &CopiedRecord) -> &str {
        let text = &self.of[record.disk.clone()];
        let name = text.split(|byte| *byte == b' ').next().unwrap_or_default();
        std::str::from_utf8(name).unwrap_or_default()
    }
}
