//! The few facts of a text that tell which copy counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use crate::format::model::ParsedText;
use crate::format::text::{Document, FieldError, TextError};
use base::bytes::shared::SharedBytes;
use base::ids::{IdError, LvmUuid, Seqno, VgName};

/// Which volume group a text describes, in which state, on which physical volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The volume group's name.
    pub name: VgName,
    /// The volume group's identity.
    pub id: LvmUuid,
    /// The host that owns it, if one does.
    pub system_id: Option<String>,
    /// The number of the commit.
    pub seqno: Seqno,
    /// Its physical volumes, in text order.
    pub pv_ids: Vec<LvmUuid>,
    /// The devices they were on when the text was written, as far as it says so.
    pub device_hints: BTreeMap<LvmUuid, String>,
}

/// Why a text does not say which volume group it describes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SummaryError {
    /// It is not in LVM's format.
    #[error("the text is not in LVM's format")]
    Text(#[from] TextError),
    /// A field is missing or of the wrong kind.
    #[error("the text has a field that cannot be read")]
    Field(#[from] FieldError),
    /// A name or UUID is not one.
    #[error("the text has a name that is not valid")]
    Id(#[from] IdError),
    /// No section describes a volume group.
    #[error("the text describes no volume group: no section has an 'id' and a 'seqno'")]
    NoVg,
}

/// The section that is not needed: most of a text with many volumes.
const VOLUMES: &str = "logical_volumes";

/// Goes through a text, and reads its summary.
///
/// # Errors
/// If the text is not one of a volume group.
pub fn summarize(text: &SharedBytes) -> Result<(ParsedText, Summary), SummaryError> {
    let parsed = ParsedText::of(text.clone())?;
    let summary = summary(parsed.document())?;
    Ok((parsed, summary))
}

/// The same of a text that was read as a whole before: nothing behind the physical volumes is looked at.
///
/// # Errors
/// If the text is not one of a volume group.
pub fn summarize_start(text: &SharedBytes) -> Result<Summary, SummaryError> {
    summary(&Document::start(text.clone(), VOLUMES)?)
}

fn summary(document: &Document) -> Result<Summary, SummaryError> {
    let is_vg = |section: &crate::format::text::Section<'_>| {
        section.find("id").is_some() && section.find("seqno").is_some()
    };
    let vg = document.root().sections().find(is_vg).ok_or(SummaryError::NoVg)?;
    let seqno = vg.u64("seqno")?;
    let seqno = u32::try_from(seqno).map_err(|_| vg.error("seqno", "it needs more than 32 bits"))?;
    let pvs = vg.section("physical_volumes");
    let (mut pv_ids, mut device_hints) = (Vec::new(), BTreeMap::new());
    for pv in pvs.iter().flat_map(|pvs| pvs.sections()) {
        let id = pv.str("id")?.parse()?;
        pv_ids.push(id);
        let device = pv.opt_str("device").ok().flatten();
        device_hints.extend(device.map(|device| (id, device.into_owned())));
    }
    Ok(Summary {
        name: VgName::new(&vg.name())?,
        id: vg.str("id")?.parse()?,
        system_id: vg.opt_str("system_id")?.filter(|id| !id.is_empty()).map(|id| id.into_owned()),
        seqno: Seqno(seqno),
        pv_ids,
        device_hints,
    })
}

/// A text and what it says, shared by the areas that hold it.
#[derive(Clone, Debug)]
pub struct TextCopy {
    /// The text as on disk, with its NUL if it has one.
    pub text: SharedBytes,
    /// What it says.
    pub summary: Arc<Summary>,
    /// The same gone through, if it was read: not of one that was just written.
    pub parsed: Option<ParsedText>,
}

impl PartialEq for TextCopy {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for TextCopy {}

/// The texts read so far, so that each is parsed and kept once, however many areas hold it.
#[derive(Debug, Default)]
pub struct TextPool(Vec<TextCopy>);

impl TextPool {
    /// With one that was read before.
    pub fn knowing(copy: TextCopy) -> Self {
        Self(vec![copy])
    }

    /// Those of that length.
    pub fn of_length(&self, length: usize) -> impl Iterator<Item = &TextCopy> {
        self.0.iter().filter(move |known| known.text.len() == length)
    }

    /// The text, summarized.
    ///
    /// # Errors
    /// If it is not one of a volume group.
    pub fn take(&mut self, text: impl AsRef<[u8]> + Into<SharedBytes>) -> Result<TextCopy, SummaryError> {
        if let Some(known) = self.0.iter().find(|known| *known.text == *text.as_ref()) {
            return Ok(known.clone());
        }
        let text: SharedBytes = text.into();
        let (parsed, summary) = summarize(&text)?;
        let copy = TextCopy { summary: Arc::new(summary), parsed: Some(parsed), text };
        self.0.push(copy.clone());
        Ok(copy)
    }
}
