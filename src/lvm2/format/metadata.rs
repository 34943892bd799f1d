//! The metadata of a volume group: its text and what the text says, always together.

use std::sync::Arc;

use thiserror::Error;

use crate::format::check::{check, flaws};
use crate::format::edit::draft::Draft;
use crate::format::edit::write::Writer;
use crate::format::edit::{Edit, EditError, MetadataHeader};
use crate::format::model::{ModelError, ReadError, Vg};
use crate::format::text::{Document, Layout, NodeId, TextError};
use base::ids::Seqno;

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
        Self::of_text(text.into())
    }

    /// The same of a text that others hold, too.
    ///
    /// # Errors
    /// As [`Metadata::parse`].
    pub fn of_text(text: Arc<[u8]>) -> Result<Self, MetadataError> {
        let (doc, vg) = Vg::from_text(text, None).map_err(|error| match error {
            ReadError::Text(error) => MetadataError::Text(error),
            ReadError::Model(error) => MetadataError::Model(error),
        })?;
        Ok(Self { doc, vg })
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
        differs(&self.vg, &next.vg, &draft).map_or(Ok(()), |what| Err(EditError::Miswritten(what)))?;
        if next.vg.seqno != seqno {
            return Err(EditError::Miswritten("the sequence number".into()));
        }
        let mut broken = check(&next.vg);
        // What was flawed before stays so; no change adds to it.
        let (before, now) = (flaws(&self.vg), flaws(&next.vg));
        let new = now.iter().filter(|flaw| !before.contains(flaw)).map(|flaw| flaw.in_group(&next.vg));
        broken.extend(new);
        if broken.is_empty() { Ok(next) } else { Err(EditError::Invalid(broken)) }
    }

    /// The text of this content two commits on, as it goes into a metadata area: what takes the next commit back. It is
    /// read back and must say nothing else than this one, but for its number and its header.
    ///
    /// # Errors
    /// If it cannot be made; see [`EditError`].
    pub fn after_next(&self, header: &MetadataHeader) -> Result<(Seqno, Arc<[u8]>), EditError> {
        let seqno = self.vg.seqno.next().and_then(Seqno::next).ok_or(EditError::SeqnoExhausted)?;
        if self.doc.layout() == Layout::File {
            let again = self.apply(&[], header)?.apply(&[], header)?;
            return Ok((again.vg.seqno, again.disk_text()));
        }
        let mut doc = self.doc.clone();
        Writer::new(&mut doc, self.vg.extent_size).write_header(seqno.0, header, GENERATOR)?;
        let text: Arc<[u8]> = doc.to_bytes_with(1).into();
        drop(doc);
        let read = self.read_next(Arc::clone(&text))?.doc;
        if says_the_same(&self.doc, &read, seqno) {
            Ok((seqno, text))
        } else {
            Err(EditError::Miswritten("the same content with another number".into()))
        }
    }

    /// Reads the text that is to follow this one.
    fn read_next(&self, text: Arc<[u8]>) -> Result<Self, EditError> {
        let (doc, vg) = Vg::from_text(text, Some(&self.vg)).map_err(|error| match error {
            ReadError::Text(error) => EditError::Text(error),
            ReadError::Model(error) => EditError::Model(error),
        })?;
        Ok(Self { doc, vg })
    }

    /// The same as [`Metadata::to_disk`], without a copy where the text is as it was read.
    pub fn disk_text(&self) -> Arc<[u8]> {
        let text = self.doc.text();
        let is_whole = !self.doc.is_edited() && text.ends_with(b"\0") && !text.ends_with(b"\0\0");
        if is_whole && self.doc.layout() == Layout::Disk { Arc::clone(text) } else { self.to_disk().into() }
    }

    /// The text as it goes into a metadata area, with its final NUL.
    pub fn to_disk(&self) -> Vec<u8> {
        if self.doc.layout() == Layout::File {
            return [relayout::relayout(self, Layout::Disk, None).as_bytes(), b"\0"].concat();
        }
        self.doc.to_bytes_with(1)
    }

    /// The text as a backup or archive file; `generated_by` names the program, such as `thinvol version 1.0`.
    pub fn to_backup_file(&self, generated_by: &str, header: &MetadataHeader) -> Vec<u8> {
        relayout::relayout(self, Layout::File, Some((generated_by, header))).into_bytes()
    }
}

/// What the new text says differently from what was meant, if anything.
fn differs(before: &Vg, next: &Vg, meant: &Draft<'_>) -> Option<String> {
    if !same_but_volumes(before, next) {
        return Some("something besides the logical volumes changed".into());
    }
    // As many, and each of them meant; that none comes twice is one of the rules that are checked next.
    if meant.len() != next.lvs.len() {
        return Some(format!("{} logical volumes instead of {}", next.lvs.len(), meant.len()));
    }
    let mut staying = (0..before.lvs.len()).filter(|at| meant.stays(*at)).peekable();
    let mut made = 0;
    for at in 0..next.lvs.len() {
        if staying.next_if(|staying| next.lvs.is_same(at, &before.lvs, *staying)).is_some() {
            continue;
        }
        let found = &next.lvs[at];
        if meant.touched.get(&found.name).is_none_or(|entry| entry.lv != *found) {
            return Some(format!("logical volume {} is not as it was meant", found.name));
        }
        made += 1;
    }
    if made != meant.touched.len() {
        return Some("a logical volume is lost".into());
    }
    let remembered = meant.history.records.iter().map(|record| &record.lv);
    (!remembered.eq(&next.historical_lvs)).then(|| "what is remembered of removed volumes".into())
}

/// Whether two texts of one layout describe the same volume group, the second under that number.
fn says_the_same(one: &Document, other: &Document, seqno: Seqno) -> bool {
    let header = ["contents", "version"].into_iter().all(|key| {
        let value =
            |doc: &Document| doc.root().find(key).and_then(|id| doc.value_text(id)).map(<[u8]>::to_vec);
        value(one) == value(other)
    });
    let mut groups = (one.root().sections(), other.root().sections());
    let (Some(old), Some(new), None, None) =
        (groups.0.next(), groups.1.next(), groups.0.next(), groups.1.next())
    else {
        return false;
    };
    let (old_nodes, new_nodes) = (one.children(old.id()), other.children(new.id()));
    let same = |(old, new): (&NodeId, &NodeId)| match other.key(*new) == "seqno" {
        true => one.key(*old) == "seqno",
        false => one.node_text(*old) == other.node_text(*new),
    };
    header
        && old.name() == new.name()
        && new.u64("seqno").is_ok_and(|number| number == u64::from(seqno.0))
        && old_nodes.len() == new_nodes.len()
        && old_nodes.iter().zip(new_nodes).all(same)
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
mod tests;
