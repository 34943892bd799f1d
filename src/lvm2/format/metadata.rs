//! The metadata of a volume group: its text and what the text says, always together.

use std::sync::OnceLock;

use thiserror::Error;

use crate::format::check::{Carried, Flaw, Violation, check, flaws, flaws_beside, keeps_all_rules_beside};
use crate::format::edit::draft::Draft;
use crate::format::edit::write::Writer;
use crate::format::edit::{Edit, EditError, MetadataHeader};
use crate::format::model::{ModelError, ParsedText, ReadError, Vg};
use crate::format::text::{Document, Layout, TextError};
use base::bytes::shared::SharedBytes;

mod file_copy;
mod relayout;
mod taking_back;

pub use file_copy::FileCopy;
pub use taking_back::TakingBack;

/// What writes the texts, for their first comment.
const GENERATOR: &str = concat!("thinvol version ", env!("CARGO_PKG_VERSION"));

/// A volume group as text and as model; they say the same.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// The text.
    pub doc: Document,
    /// What it says.
    pub vg: Vg,
    flaws: OnceLock<Vec<Flaw>>,
    /// The rules that it breaks, once they were checked.
    broken: OnceLock<Vec<Violation>>,
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
        Self::of_text(text.into())
    }

    /// The same of a text that others hold, too.
    ///
    /// # Errors
    /// As [`Metadata::parse`].
    pub fn of_text(text: SharedBytes) -> Result<Self, MetadataError> {
        let (doc, vg) = Vg::from_text(text, None).map_err(|error| match error {
            ReadError::Text(error) => MetadataError::Text(error),
            ReadError::Model(error) => MetadataError::Model(error),
        })?;
        Ok(Self::unchecked(doc, vg))
    }

    /// The same of a text that was gone through already.
    ///
    /// # Errors
    /// If it does not describe a volume group.
    pub fn of_parsed(parsed: &ParsedText) -> Result<Self, MetadataError> {
        let vg = Vg::from_parsed(parsed)?;
        Ok(Self::unchecked(parsed.doc.clone(), vg))
    }

    fn unchecked(doc: Document, vg: Vg) -> Self {
        Self { doc, vg, flaws: OnceLock::new(), broken: OnceLock::new() }
    }

    /// The same, known to keep all rules, and no LV in it to be flawed.
    #[must_use]
    pub fn known_sound(self) -> Self {
        self.broken.get_or_init(Vec::new);
        self.flaws.get_or_init(Vec::new);
        self
    }

    /// The rules that it breaks: none, if it can be used at all.
    pub fn violations(&self) -> &[Violation] {
        self.broken.get_or_init(|| check(&self.vg))
    }

    /// The LVs that must not be used, in the order of the text.
    pub fn flaws(&self) -> &[Flaw] {
        self.flaws.get_or_init(|| flaws(&self.vg))
    }

    /// Makes the metadata of the next commit: the changes in order, the sequence number counted up, the
    /// header stamped. The new text is read back and must say exactly what the changes mean and keep all
    /// rules, so a fault of the writer is found before anything is written.
    ///
    /// # Errors
    /// If a change makes no sense here or the result would break a rule; see [`EditError`].
    pub fn apply(&self, edits: &[Edit], header: &MetadataHeader) -> Result<Self, EditError> {
        let seqno = self.vg.seqno.next().ok_or(EditError::SeqnoExhausted)?;
        let mut draft = Draft::new(&self.vg);
        edits.iter().try_for_each(|edit| draft.apply(edit))?;
        draft.history.prune();
        let mut doc = self.doc.clone();
        let mut writer = Writer::new(&mut doc, self.vg.extent_size);
        writer.write_lvs(&self.vg, &draft)?;
        writer.write_history(&draft.history)?;
        writer.write_header(seqno.0, header, GENERATOR)?;
        let text = doc.to_bytes();
        // A tree of thousands of volumes takes megabytes: it goes before the next one is made.
        drop(doc);
        let next = self.read_next(text.into())?;
        let carried = differs(&self.vg, &next.vg, &draft).map_err(EditError::Miswritten)?;
        if next.vg.seqno != seqno {
            return Err(EditError::Miswritten("the sequence number".into()));
        }
        next.check_beside(self, &carried);
        // What was flawed before stays so; no change adds to it.
        let (before, now) = (self.flaws(), next.flaws());
        let new = now.iter().filter(|flaw| !before.contains(flaw)).map(|flaw| flaw.in_group(&next.vg));
        let broken: Vec<Violation> = next.violations().iter().cloned().chain(new).collect();
        if broken.is_empty() { Ok(next) } else { Err(EditError::Invalid(broken)) }
    }

    /// Finds without a look at all volumes, if it can, that this keeps the rules that the state before it keeps, and
    /// that no LV is flawed.
    fn check_beside(&self, before: &Self, carried: &Carried) {
        if before.violations().is_empty() && keeps_all_rules_beside(&self.vg, &before.vg, carried) {
            self.broken.get_or_init(Vec::new);
        }
        if before.flaws().is_empty() && flaws_beside(&self.vg, &before.vg, carried) {
            self.flaws.get_or_init(Vec::new);
        }
    }

    /// Reads the text that is to follow this one.
    fn read_next(&self, text: SharedBytes) -> Result<Self, EditError> {
        let (doc, vg) = Vg::from_text(text, Some(&self.vg)).map_err(|error| match error {
            ReadError::Text(error) => EditError::Text(error),
            ReadError::Model(error) => EditError::Model(error),
        })?;
        Ok(Self::unchecked(doc, vg))
    }

    /// The same as [`Metadata::to_disk`], without a copy where the text is as it was read.
    pub fn disk_text(&self) -> SharedBytes {
        let text = self.doc.text();
        let is_whole = !self.doc.is_edited() && text.ends_with(b"\0") && !text.ends_with(b"\0\0");
        if is_whole && self.doc.layout() == Layout::Disk { text.clone() } else { self.to_disk().into() }
    }

    /// The text as it goes into a metadata area, with its final NUL.
    pub fn to_disk(&self) -> Vec<u8> {
        if self.doc.layout() == Layout::File {
            return [relayout::relayout(self, Layout::Disk, None, None).bytes(), b"\0"].concat();
        }
        self.doc.to_bytes_with(1)
    }

    /// The text as a backup or archive file; `generated_by` names the program, such as `thinvol version 1.0`.
    pub fn to_backup_file(&self, generated_by: &str, header: &MetadataHeader) -> Vec<u8> {
        self.to_backup_file_beside(generated_by, header, None).bytes().to_vec()
    }

    /// The same, beside a copy of another state of the group, if there is one: what did not change is taken from it.
    pub fn to_backup_file_beside(
        &self,
        generated_by: &str,
        header: &MetadataHeader,
        other: Option<&FileCopy>,
    ) -> FileCopy {
        relayout::relayout(self, Layout::File, Some((generated_by, header)), other)
    }

    /// The same from a copy of this very state, which was made for another reason.
    pub fn to_backup_file_from(
        &self,
        generated_by: &str,
        header: &MetadataHeader,
        same: FileCopy,
    ) -> FileCopy {
        same.with_header(&relayout::file_header(self, (generated_by, header)))
    }
}

/// What the new text has from the one before, or what it says differently from what was meant.
fn differs(before: &Vg, next: &Vg, meant: &Draft<'_>) -> Result<Carried, String> {
    if !same_but_volumes(before, next) {
        return Err("something besides the logical volumes changed".into());
    }
    // As many, and each of them meant; that none comes twice is one of the rules that are checked next.
    if meant.len() != next.lvs.len() {
        return Err(format!("{} logical volumes instead of {}", next.lvs.len(), meant.len()));
    }
    let mut staying = (0..before.lvs.len()).filter(|at| meant.stays(*at)).peekable();
    let mut carried = Carried { fresh: Vec::new(), gone: meant.gone().collect() };
    for at in 0..next.lvs.len() {
        if staying.next_if(|staying| next.lvs.is_same(at, &before.lvs, *staying)).is_some() {
            continue;
        }
        let found = &next.lvs[at];
        if meant.touched.get(&found.name).is_none_or(|entry| entry.lv != *found) {
            return Err(format!("logical volume {} is not as it was meant", found.name));
        }
        carried.fresh.push(at);
    }
    if carried.fresh.len() != meant.touched.len() {
        return Err("a logical volume is lost".into());
    }
    let remembered = meant.history.records.iter().map(|record| &record.lv);
    if remembered.eq(&next.historical_lvs) {
        Ok(carried)
    } else {
        Err("what is remembered of removed volumes".into())
    }
}

/// Whether two states of a VG differ in their sequence number and logical volumes, with those that were removed, at
/// most.
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
        pr,
        extent_size,
        profile,
        max_lv,
        metadata_copies,
        pvs,
        lvs: _,
        historical_lvs: _,
    } = one;
    (name, id, status, flags, tags) == (&other.name, &other.id, &other.status, &other.flags, &other.tags)
        && (system_id, lock_type, pr, extent_size)
            == (&other.system_id, &other.lock_type, &other.pr, &other.extent_size)
        && (profile, max_lv, metadata_copies) == (&other.profile, &other.max_lv, &other.metadata_copies)
        && *pvs == other.pvs
}

#[cfg(test)]
pub(super) mod tests;
