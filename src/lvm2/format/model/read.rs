//! From the text tree to the typed model. Field names: lvm2 `lib/format_text/export.c` and `import_vsn1.c`.

use std::cell::OnceCell;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use super::fields::{extents, parsed, u32_of};
use super::history;
use super::record::Record;
use super::records::Records;
use super::segment::{self, Names};
use super::{Lv, Lvs, Pv, Vg};
use crate::format::text::{Document, FieldError, Section, TextError};
use base::bytes::shared::SharedBytes;
use base::ids::{IdError, Seqno};
use base::units::Sectors;

/// What the header says of LVM's metadata texts. Source: lvm2 `lib/format_text/format-text.h`.
const CONTENTS: &str = "Text Format Volume Group";
/// The version of the format. Source: lvm2 `lib/format_text/format-text.h`.
const VERSION: u64 = 1;

/// Why a text is not the metadata of a volume group.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ModelError {
    /// Its header is missing or of another format.
    #[error("the text is not LVM2 metadata: {0}")]
    NotMetadata(String),
    /// A field is missing or makes no sense.
    #[error("the metadata of the volume group cannot be read: {0}")]
    Field(#[from] FieldError),
}

impl Vg {
    /// Reads a volume group from a metadata text: on disk, backup and archive files alike.
    ///
    /// # Errors
    /// If the text is no LVM2 metadata, or a field that is needed is missing, of the wrong kind or out of
    /// range.
    pub fn from_document(doc: &Document) -> Result<Self, ModelError> {
        read(doc, Arc::default())
    }

    /// Reads a volume group from a text that was gone through.
    ///
    /// # Errors
    /// As [`Vg::from_document`].
    pub(crate) fn from_parsed(parsed: &ParsedText) -> Result<Self, ModelError> {
        read(&parsed.doc, Arc::clone(&parsed.records))
    }

    /// Reads a volume group, and keeps what need not be taken apart as it is. `before` is what the text before said of
    /// it: what is the same there, byte for byte, is not read again.
    ///
    /// # Errors
    /// As [`Vg::from_document`]; or if the text is not in LVM's format.
    pub fn from_text(text: SharedBytes, before: Option<&Self>) -> Result<(Document, Self), ReadError> {
        let parsed = ParsedText::beside(text, before)?;
        let vg = Self::from_parsed(&parsed)?;
        Ok((parsed.doc, vg))
    }
}

/// A text that was gone through once, with the records of volumes in it.
#[derive(Clone, Debug)]
pub struct ParsedText {
    pub(crate) doc: Document,
    records: Arc<Vec<Record>>,
}

impl ParsedText {
    /// Goes through a text.
    ///
    /// # Errors
    /// If it is not in LVM's format.
    pub fn of(text: SharedBytes) -> Result<Self, TextError> {
        Self::beside(text, None)
    }

    /// Its tree.
    pub fn document(&self) -> &Document {
        &self.doc
    }

    fn beside(text: SharedBytes, before: Option<&Vg>) -> Result<Self, TextError> {
        let mut records = Records::beside(before.map(|vg| &vg.lvs));
        let doc = Document::parse_closing(text, VOLUMES, &mut |text, at| records.take(text, at))?;
        Ok(Self { doc, records: Arc::new(records.found()) })
    }
}

/// The section of the LVs.
const VOLUMES: &str = "logical_volumes";

/// Why [`Vg::from_text`] gives nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// The text is not in LVM's format.
    #[error(transparent)]
    Text(#[from] TextError),
    /// It is no volume group.
    #[error(transparent)]
    Model(#[from] ModelError),
}

fn vg_section(doc: &Document) -> Option<Section<'_>> {
    doc.root().sections().next()
}

/// `records` are the sections that were not taken apart.
fn read(doc: &Document, records: Arc<Vec<Record>>) -> Result<Vg, ModelError> {
    let root = doc.root();
    let header = |error: FieldError| ModelError::NotMetadata(error.to_string());
    let contents = root.str("contents").map_err(header)?;
    if contents != CONTENTS {
        return Err(ModelError::NotMetadata(format!("its contents are '{contents}', not '{CONTENTS}'")));
    }
    let version = root.u64("version").map_err(header)?;
    if version != VERSION {
        return Err(ModelError::NotMetadata(format!("its format version is {version}, not {VERSION}")));
    }
    let vg = vg_section(doc);
    let vg = vg.ok_or_else(|| ModelError::NotMetadata("it has no volume group".into()))?;
    Ok(volume_group(doc, vg, records)?)
}

fn volume_group(doc: &Document, vg: Section<'_>, records: Arc<Vec<Record>>) -> Result<Vg, FieldError> {
    no_duplicates(vg)?;
    let extent_size = Sectors::new(u64::from(u32_of(vg, "extent_size")?));
    let pvs = vg.section("physical_volumes").ok_or_else(|| vg.error("physical_volumes", "it is missing"))?;
    let pvs: Vec<Pv> = pvs.sections().map(physical_volume).collect::<Result<_, _>>()?;
    let lvs = volumes(doc, (vg, &pvs), records)?;
    let history = vg.section("historical_logical_volumes");
    let history = history.map(|lvs| lvs.sections().collect::<Vec<_>>()).unwrap_or_default();
    let lock_type = vg.opt_str("lock_type")?.map(|kind| kind.into_owned());
    Ok(Vg {
        name: named(vg)?,
        id: parsed(vg, "id")?,
        seqno: Seqno(u32_of(vg, "seqno")?),
        status: required_strings(vg, "status")?,
        flags: vg.strings("flags")?,
        tags: vg.strings("tags")?,
        system_id: vg.opt_str("system_id")?.map(|id| id.into_owned()),
        lock_type,
        pr: vg.strings("pr")?,
        extent_size,
        profile: vg.opt_str("profile")?.map(|name| name.into_owned()),
        max_lv: vg.opt_u64("max_lv")?.unwrap_or(0),
        metadata_copies: vg.opt_u64("metadata_copies")?.unwrap_or(0),
        pvs,
        lvs,
        historical_lvs: history.into_iter().map(history::read).collect::<Result<_, _>>()?,
    })
}

/// The LVs: the records as they are, the others read.
fn volumes(
    doc: &Document,
    (vg, pvs): (Section<'_>, &[Pv]),
    mut records: Arc<Vec<Record>>,
) -> Result<Lvs, FieldError> {
    let sections = || vg.section(VOLUMES).into_iter().flat_map(|lvs| lvs.sections());
    // There may be records in another section of that name.
    let runs: Vec<Range<usize>> = sections().filter_map(|lv| doc.run(lv.id())).collect();
    let first = runs.first().map_or(usize::MAX, |run| run.start);
    let last = runs.last().map_or(0, |run| run.end);
    if records.iter().any(|record| record.start() < first || record.end() > last) {
        let is_inside = |record: &Record| runs.iter().any(|run| run.contains(&record.start()));
        Arc::make_mut(&mut records).retain(is_inside);
    }
    let names = OnceCell::new();
    let all = || {
        let of_sections = sections().filter(|lv| doc.run(lv.id()).is_none()).map(|lv| lv.name().into_owned());
        let of_records =
            records.iter().map(|record| String::from_utf8_lossy(record.name(doc.text())).into_owned());
        Names {
            lvs: of_sections.chain(of_records).collect(),
            pvs: pvs.iter().map(|pv| pv.key.clone()).collect(),
        }
    };
    let names = || names.get_or_init(all);
    let (mut others, mut known) = (Vec::new(), 0);
    for section in sections() {
        match doc.run(section.id()) {
            Some(run) => known = records.partition_point(|record| record.start() < run.end),
            None => others.push((known + others.len(), logical_volume(section, &names)?)),
        }
    }
    Ok(Lvs::in_text(doc.text().clone(), records, others))
}

fn physical_volume(pv: Section<'_>) -> Result<Pv, FieldError> {
    no_duplicates(pv)?;
    Ok(Pv {
        key: pv.name().into_owned(),
        id: parsed(pv, "id")?,
        device_hint: pv.opt_str("device")?.map(|path| path.into_owned()),
        status: required_strings(pv, "status")?,
        flags: pv.strings("flags")?,
        tags: pv.strings("tags")?,
        dev_size: pv.opt_u64("dev_size")?.map(Sectors::new),
        pe_start: Sectors::new(pv.u64("pe_start")?),
        pe_count: extents(pv, "pe_count")?,
    })
}

/// `names` are those of all LVs and PVs.
fn logical_volume<'n>(lv: Section<'_>, names: &dyn Fn() -> &'n Names) -> Result<Lv, FieldError> {
    no_duplicates(lv)?;
    let mut segments = Vec::with_capacity(1);
    for section in lv.sections() {
        no_duplicates(section)?;
        segments.push(segment::read(section, names)?);
    }
    // lvm2 takes every section for a segment and sorts them by their start.
    segments.sort_by_key(|segment| segment.start);
    let count = lv.u64("segment_count")?;
    if u64::try_from(segments.len()).ok() != Some(count) {
        return Err(lv.error("segment_count", format!("it says {count}, but there are {}", segments.len())));
    }
    let minor = lv.opt_i64("minor")?;
    let major = lv.opt_i64("major")?.unwrap_or(-1);
    Ok(Lv {
        name: named(lv)?,
        id: parsed(lv, "id")?,
        status: required_strings(lv, "status")?,
        flags: lv.strings("flags")?,
        tags: lv.strings("tags")?,
        creation_time: lv.opt_u64("creation_time")?,
        creation_host: lv.opt_str("creation_host")?.map(|host| host.into_owned()),
        profile: lv.opt_str("profile")?.map(|name| name.into_owned()),
        read_ahead: lv.opt_i64("read_ahead")?,
        fixed_minor: minor.map(|minor| (major, minor)),
        segments,
    })
}

/// lvm2 says nothing of duplicate keys and takes one of them: which one depends on its version.
fn no_duplicates(section: Section<'_>) -> Result<(), FieldError> {
    match section.repeated_name() {
        Some(name) => Err(section.error(&name, "it is given twice")),
        None => Ok(()),
    }
}

fn required_strings(section: Section<'_>, key: &str) -> Result<Vec<String>, FieldError> {
    match section.find(key) {
        Some(_) => section.strings(key),
        None => Err(section.error(key, "it is missing")),
    }
}

fn named<T: FromStr<Err = IdError>>(section: Section<'_>) -> Result<T, FieldError> {
    section.name().parse().map_err(|error: IdError| section.own_error(error.to_string()))
}
