//! The metadata of a volume group: its text and what the text says, always together.

use std::collections::HashSet;

use thiserror::Error;

use super::check::check;
use super::edit::draft::Draft;
use super::edit::write::Writer;
use super::edit::{Edit, EditError, Stamp};
use super::model::{Lv, ModelError, Vg};
use super::text::{Document, Layout, Section, TextError, Value};

mod relayout;

/// What writes the texts, for their first comment.
const GENERATOR: &str = concat!("thinvol version ", env!("CARGO_PKG_VERSION"));

/// A volume group as text and as model; they say the same.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// The text.
    pub doc: Document,
    /// What it says.
    pub vg: Vg,
}

/// Why a metadata text cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MetadataError {
    /// It is not in LVM's text format.
    #[error("the metadata is not in LVM's text format")]
    Text(#[from] TextError),
    /// It is no volume group.
    #[error("the metadata does not describe a volume group")]
    Model(#[from] ModelError),
}

impl Metadata {
    /// Reads a metadata text: from disk, or a backup or archive file.
    ///
    /// # Errors
    /// If it is not in LVM's text format or does not describe a volume group.
    pub fn parse(text: &[u8]) -> Result<Self, MetadataError> {
        let doc = Document::parse(text)?;
        let vg = Vg::from_document(&doc)?;
        Ok(Self { doc, vg })
    }

    /// Makes the metadata of the next commit: the changes in order, the sequence number counted up, the
    /// header stamped. The new text is read back and must say exactly what the changes mean and keep all
    /// rules, so a fault of the writer is found before anything is written.
    ///
    /// # Errors
    /// If a change makes no sense here or the result would break a rule; see [`EditError`].
    pub fn apply(&self, edits: &[Edit], stamp: &Stamp) -> Result<Self, EditError> {
        let seqno = self.vg.seqno.next().ok_or(EditError::SeqnoExhausted)?;
        let mut draft = Draft::new(&self.vg, self.historical_names());
        edits.iter().try_for_each(|edit| draft.apply(edit))?;
        let mut doc = self.doc.clone();
        let mut writer = Writer::new(&mut doc, self.vg.extent_size);
        writer.write_lvs(&self.vg, &draft)?;
        writer.stamp(seqno.0, stamp, GENERATOR)?;
        let next = Self::parse(&doc.to_bytes()).map_err(|error| match error {
            MetadataError::Text(error) => EditError::Text(error),
            MetadataError::Model(error) => EditError::Model(error),
        })?;
        let meant: Vec<&Lv> = draft.lvs.values().map(|entry| &*entry.lv).collect();
        differs(&self.vg, &next.vg, &meant).map_or(Ok(()), |what| Err(EditError::Miswritten(what)))?;
        if next.vg.seqno != seqno {
            return Err(EditError::Miswritten("the sequence number".into()));
        }
        match check(&next.vg) {
            broken if broken.is_empty() => Ok(next),
            broken => Err(EditError::Invalid(broken)),
        }
    }

    /// The text as it goes into a metadata area, with its final NUL.
    pub fn to_disk(&self) -> Vec<u8> {
        let mut doc = self.doc.clone();
        if doc.layout() == Layout::File {
            return [relayout::relayout(self, Layout::Disk, None).as_bytes(), b"\0"].concat();
        }
        doc.set_trailing_nuls(1);
        doc.to_bytes()
    }

    /// The text as a backup or archive file; `generated_by` names the program, such as `thinvol version 1.0`.
    pub fn to_backup_file(&self, generated_by: &str, stamp: &Stamp) -> Vec<u8> {
        relayout::relayout(self, Layout::File, Some((generated_by, stamp))).into_bytes()
    }

    /// Every string in the records of removed LVs.
    fn historical_names(&self) -> HashSet<String> {
        fn collect(section: Section<'_>, names: &mut HashSet<String>) {
            for (_, value) in section.assignments() {
                let strings = match &value {
                    Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
                    value => value.as_strings().unwrap_or_default(),
                };
                names.extend(strings.into_iter().map(str::to_owned));
            }
            section.sections().for_each(|inner| collect(inner, names));
        }
        let mut names = HashSet::new();
        let vg = self.doc.root().sections().next();
        if let Some(history) = vg.and_then(|vg| vg.section("historical_logical_volumes")) {
            collect(history, &mut names);
        }
        names
    }
}

/// What the new text says differently from what was meant, if anything.
fn differs(before: &Vg, next: &Vg, meant: &[&Lv]) -> Option<String> {
    if !same_but_volumes(before, next) {
        return Some("something besides the logical volumes changed".into());
    }
    let mut meant = meant.to_vec();
    let mut found: Vec<&Lv> = next.lvs.iter().collect();
    meant.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    if meant.len() != found.len() {
        return Some(format!("{} logical volumes instead of {}", found.len(), meant.len()));
    }
    let pair = meant.iter().zip(&found).find(|(meant, found)| meant != found);
    pair.map(|(meant, found)| format!("logical volume {} instead of {}", found.name, meant.name))
}

/// Whether two states of a VG differ in their sequence number and logical volumes at most.
fn same_but_volumes(one: &Vg, other: &Vg) -> bool {
    // All fields are named here, so that a new one cannot be forgotten.
    let Vg {
        name,
        id,
        seqno: _,
        status,
        flags,
        tags,
        system_id,
        lock_type,
        extent_size,
        max_lv,
        metadata_copies,
        pvs,
        lvs: _,
        historical_lvs,
    } = one;
    (name, id, status, flags, tags) == (&other.name, &other.id, &other.status, &other.flags, &other.tags)
        && (system_id, lock_type, extent_size) == (&other.system_id, &other.lock_type, &other.extent_size)
        && (max_lv, metadata_copies) == (&other.max_lv, &other.metadata_copies)
        && (pvs, historical_lvs) == (&other.pvs, &other.historical_lvs)
}

#[cfg(test)]
mod tests;
