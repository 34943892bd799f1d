//! A commit of the metadata, as a step of a plan.

use std::sync::Arc;

use serde::Serialize;

use base::bytes::shared::SharedBytes;
use base::ids::Seqno;
use lvm2::format::edit::EditError;
use lvm2::format::metadata::{Metadata, TakingBack};

/// The text of a commit.
#[derive(Clone, Debug)]
enum CommitText {
    /// It is there.
    Made(SharedBytes),
    /// It is made if the commit is made, as few are.
    TakesBack(Box<TakingBack>),
}

/// A metadata commit.
#[derive(Clone, Debug, Serialize)]
pub struct Commit {
    #[serde(skip)]
    text: CommitText,
    /// The text of the commit that is to follow, if one does: both are written before the first flush.
    #[serde(skip)]
    pub following: Option<SharedBytes>,
    /// What it says, if work goes on from there: not kept of a commit that another one follows or that takes one back.
    #[serde(skip)]
    pub metadata: Option<Arc<Metadata>>,
    /// Its sequence number.
    pub seqno: Seqno,
    /// Its length in bytes.
    pub bytes: u64,
    /// What changes with it, in words.
    pub changes: Vec<String>,
}

impl Commit {
    /// Wraps a text with the words for its changes.
    pub fn new(metadata: Metadata, changes: Vec<String>) -> Box<Self> {
        let commit = Self::of_text(metadata.vg.seqno, metadata.disk_text(), changes);
        Box::new(Self { metadata: Some(Arc::new(metadata)), ..*commit })
    }

    /// The same for a text from which no work goes on.
    pub fn of_text(seqno: Seqno, text: impl Into<SharedBytes>, changes: Vec<String>) -> Box<Self> {
        let text: SharedBytes = text.into();
        let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
        Box::new(Self {
            text: CommitText::Made(text),
            following: None,
            metadata: None,
            seqno,
            bytes,
            changes,
        })
    }

    /// The same for what takes the commit before it back.
    pub fn taking_back(back: TakingBack, changes: Vec<String>) -> Box<Self> {
        let (seqno, bytes) = (back.seqno, u64::try_from(back.length).unwrap_or(u64::MAX));
        let text = CommitText::TakesBack(Box::new(back));
        Box::new(Self { text, following: None, metadata: None, seqno, bytes, changes })
    }

    /// The text, as it goes into a metadata area.
    ///
    /// # Errors
    /// If it is made only now, and cannot be: a fault of thinvol.
    pub fn text(&self) -> Result<SharedBytes, EditError> {
        match &self.text {
            CommitText::Made(text) => Ok(text.clone()),
            CommitText::TakesBack(back) => back.text(),
        }
    }
}
