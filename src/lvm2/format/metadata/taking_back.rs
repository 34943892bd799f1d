//! The text that takes a commit back, which most commits never need: known by its number and length, and made from the
//! text before when it is.

use super::{Metadata, MetadataError};
use crate::format::edit::write::Writer;
use crate::format::edit::{EditError, MetadataHeader};
use crate::format::text::{Document, Layout, NodeId};
use base::bytes::shared::SharedBytes;
use base::ids::Seqno;

/// A content under the number of the commit after next.
#[derive(Clone, Debug)]
pub struct TakingBack {
    before: SharedBytes,
    header: MetadataHeader,
    /// The number.
    pub seqno: Seqno,
    /// The length of its text in a metadata area, in bytes.
    pub length: usize,
}

impl TakingBack {
    /// The text, as it goes into a metadata area. It is read back and must say nothing else than the one before, but
    /// for its number and its header.
    ///
    /// # Errors
    /// If it cannot be made; see [`EditError`].
    pub fn text(&self) -> Result<SharedBytes, EditError> {
        let before = Metadata::of_text(self.before.clone()).map_err(|error| match error {
            MetadataError::Text(error) => EditError::Text(error),
            MetadataError::Model(error) => EditError::Model(error),
        })?;
        before.after_next(&self.header)
    }
}

impl Metadata {
    /// What takes the next commit back.
    ///
    /// # Errors
    /// If it cannot be made; see [`EditError`].
    pub fn taking_back(&self, header: &MetadataHeader) -> Result<TakingBack, EditError> {
        let (seqno, length) = match self.doc.layout() {
            Layout::File => (self.number_after_next()?, self.after_next(header)?.len()),
            Layout::Disk => {
                let (seqno, doc) = self.renumbered(header)?;
                (seqno, doc.length_with(1))
            }
        };
        let is_as_read = !self.doc.is_edited();
        let before = if is_as_read { self.doc.text().clone() } else { self.doc.to_bytes().into() };
        Ok(TakingBack { before, header: header.clone(), seqno, length })
    }

    fn number_after_next(&self) -> Result<Seqno, EditError> {
        self.vg.seqno.next().and_then(Seqno::next).ok_or(EditError::SeqnoExhausted)
    }

    /// The tree of this content under the number of the commit after next.
    fn renumbered(&self, header: &MetadataHeader) -> Result<(Seqno, Document), EditError> {
        let seqno = self.number_after_next()?;
        let mut doc = self.doc.clone();
        Writer::new(&mut doc, self.vg.extent_size).write_header(seqno.0, header, super::GENERATOR)?;
        Ok((seqno, doc))
    }

    fn after_next(&self, header: &MetadataHeader) -> Result<SharedBytes, EditError> {
        if self.doc.layout() == Layout::File {
            return Ok(self.apply(&[], header)?.apply(&[], header)?.disk_text());
        }
        let (seqno, doc) = self.renumbered(header)?;
        let text: SharedBytes = doc.to_bytes_with(1).into();
        let read = self.read_next(text.clone())?.doc;
        if says_the_same(&self.doc, &read, seqno) {
            Ok(text)
        } else {
            Err(EditError::Miswritten("the same content with another number".into()))
        }
    }
}

/// Whether two texts of one layout describe the same volume group, the second under that number.
fn says_the_same(one: &Document, other: &Document, seqno: Seqno) -> bool {
    let header = ["contents", "version"].into_iter().all(|key| {
        let value =
            |doc: &Document| doc.root().find(key).and_then(|id| doc.value_text(id)).map(<[u8]>::to_vec);
        value(one) == value(other)
    });
    let mut groups = (one.root().sections(), other.root().sections());
    let (Some(old), Some(new)) = (groups.0.next(), groups.1.next()) else { return false };
    let texts = |doc: &Document, sections: &mut dyn Iterator<Item = NodeId>| -> Vec<Vec<u8>> {
        sections.map(|section| doc.node_text(section).to_vec()).collect()
    };
    // What follows the group is nobody's, and stays.
    let rest = texts(one, &mut groups.0.map(|section| section.id()))
        == texts(other, &mut groups.1.map(|section| section.id()));
    let (old_nodes, new_nodes) = (one.children(old.id()), other.children(new.id()));
    let same = |(old, new): (&NodeId, &NodeId)| match other.key(*new) == "seqno" {
        true => one.key(*old) == "seqno",
        false => one.node_text(*old) == other.node_text(*new),
    };
    header
        && rest
        && old.name() == new.name()
        && new.u64("seqno").is_ok_and(|number| number == u64::from(seqno.0))
        && old_nodes.len() == new_nodes.len()
        && old_nodes.iter().zip(new_nodes).all(same)
}
