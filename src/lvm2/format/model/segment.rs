//! From a segment's section to its type. Fields: lvm2 `lib/striped/striped.c`, `lib/thin/thin.c`
//! (`_text_import`).

use std::collections::HashSet;

use super::fields::{extents, lv_name, opt_lv_name};
use super::{Discards, Leg, Mirror, PoolMessage, Segment, SegmentKind, Stripe, Striped, Thin, ThinPool};
use crate::format::text::{FieldError, Section, Value};
use base::ids::{LvName, ThinId, TransactionId};
use base::units::{Extents, Sectors};

/// Suffix of the type of a pool that has `crop_metadata`, which keeps older lvm2 away from it.
/// Source: lvm2 `lib/format_text/flags.c`.
const CROP_METADATA: &str = "CROP_METADATA";

/// The type of a mirror without flags.
const RAID1: &str = "raid1";

/// All that the segment of a plain mirror says. Any other word, such as a rebuild or a limit of its speed, is for lvm2.
const MIRROR_KEYS: [&str; 7] =
    ["start_extent", "extent_count", "type", "tags", "device_count", "region_size", "raids"];

/// The names that a segment can refer to.
#[derive(Default)]
pub(super) struct Names {
    /// Of all LVs of the VG.
    pub(super) lvs: HashSet<String>,
    /// The keys of all its PVs.
    pub(super) pvs: HashSet<String>,
}

/// Reads one segment.
pub(super) fn read<'n>(segment: Section<'_>, names: &dyn Fn() -> &'n Names) -> Result<Segment, FieldError> {
    let segtype = segment.str("type")?;
    let mut words = segtype.split('+');
    let kind = match (words.next(), words.next(), words.next()) {
        (Some("striped" | "linear"), None, None) => SegmentKind::Striped(striped(segment)?),
        (Some("thin-pool"), None | Some(CROP_METADATA), None) => SegmentKind::ThinPool(thin_pool(segment)?),
        (Some("thin"), None, None) => SegmentKind::Thin(thin(segment)?),
        _ => {
            let (mut references, mut pvs) = (Vec::new(), Vec::new());
            let names = names();
            collect_names(segment, &names.lvs, &mut HashSet::new(), &mut references);
            collect_names(segment, &names.pvs, &mut HashSet::new(), &mut pvs);
            let mirror = (segtype == RAID1).then(|| mirror(segment)).flatten();
            SegmentKind::Opaque { segtype: segtype.into_owned(), references, pvs, mirror }
        }
    };
    Ok(Segment {
        start: extents(segment, "start_extent")?,
        count: extents(segment, "extent_count")?,
        tags: segment.strings("tags")?,
        kind,
    })
}

/// Every string in the section that is one of these names, once. Sections nest at most 32 deep.
fn collect_names<'a>(
    section: Section<'_>,
    names: &'a HashSet<String>,
    seen: &mut HashSet<&'a str>,
    found: &mut Vec<String>,
) {
    let mut take = |value: &Value<'_>| {
        if let Some(name) = value.as_str().and_then(|text| names.get(text))
            && seen.insert(name)
        {
            found.push(name.clone());
        }
    };
    for (key, value) in section.assignments() {
        match (key.as_ref(), value) {
            ("type" | "tags", _) => {}
            (_, Value::Array(items)) => items.iter().for_each(&mut take),
            (_, value) => take(&value),
        }
    }
    section.sections().for_each(|inner| collect_names(inner, names, seen, found));
}

/// A plain mirror; nothing if it is any other.
fn mirror(segment: Section<'_>) -> Option<Mirror> {
    let is_plain = segment.sections().next().is_none()
        && segment.assignments().all(|(key, _)| MIRROR_KEYS.contains(&key.as_ref()));
    let Some(Value::Array(raids)) = segment.get("raids").filter(|_| is_plain) else { return None };
    let (pairs, rest) = raids.as_chunks::<2>();
    let name = |value: &Value<'_>| LvName::new(value.as_str()?).ok();
    let legs =
        pairs.iter().map(|[metadata, data]| Some(Leg { metadata: name(metadata)?, data: name(data)? }));
    let legs: Vec<Leg> = legs.collect::<Option<_>>()?;
    let count = segment.u64("device_count").ok()?;
    let region_size = Sectors::new(segment.u64("region_size").ok()?);
    let is_whole = rest.is_empty() && u64::try_from(legs.len()).ok() == Some(count) && count > 0;
    (is_whole && region_size > Sectors::ZERO).then_some(Mirror { region_size, legs })
}

fn striped(segment: Section<'_>) -> Result<Striped, FieldError> {
    let count = segment.u64("stripe_count")?;
    let stripe_size = match count {
        1 => segment.opt_u64("stripe_size")?,
        _ => Some(segment.u64("stripe_size")?),
    };
    let wrong = |problem: &str| segment.error("stripes", problem);
    let Some(Value::Array(items)) = segment.get("stripes") else {
        return Err(wrong("it is missing or no list"));
    };
    let (pairs, rest) = items.as_chunks::<2>();
    if !rest.is_empty() || u64::try_from(pairs.len()).ok() != Some(count) || count == 0 {
        return Err(wrong("it does not hold one name and one extent for each stripe"));
    }
    let stripe = |[area, start]: &[Value<'_>; 2]| {
        let start = u64::try_from(start.as_i64()?).ok()?;
        Some(Stripe { area: area.as_str()?.to_owned(), start: Extents::new(start) })
    };
    let stripes: Option<Vec<Stripe>> = pairs.iter().map(stripe).collect();
    Ok(Striped {
        stripe_size: stripe_size.map(Sectors::new),
        stripes: stripes.ok_or_else(|| wrong("it is not a list of names and extents"))?,
    })
}

fn thin_pool(segment: Section<'_>) -> Result<ThinPool, FieldError> {
    let discards = match segment.opt_str("discards")?.as_deref() {
        None | Some("ignore") => Discards::Ignore,
        Some("nopassdown") => Discards::NoPassdown,
        Some("passdown") => Discards::Passdown,
        Some(word) => return Err(segment.error("discards", format!("'{word}' is no way to treat discards"))),
    };
    Ok(ThinPool {
        metadata: lv_name(segment, "metadata")?,
        data: lv_name(segment, "pool")?,
        transaction_id: TransactionId(segment.u64("transaction_id")?),
        chunk_size: Sectors::new(segment.u64("chunk_size")?),
        discards,
        zero_new_blocks: segment.opt_u64("zero_new_blocks")?.is_some_and(|zero| zero != 0),
        crop_metadata: segment.opt_u64("crop_metadata")?.map(|crop| crop != 0),
        messages: segment.sections().map(message).collect::<Result<_, _>>()?,
    })
}

/// lvm2 takes every section in a pool's segment for a message, in order.
fn message(section: Section<'_>) -> Result<PoolMessage, FieldError> {
    match (section.find("create"), section.find("delete")) {
        (Some(_), None) => Ok(PoolMessage::Create(lv_name(section, "create")?)),
        (None, Some(_)) => Ok(PoolMessage::Delete(thin_id(section, "delete")?)),
        _ => Err(section.own_error("a message of a pool holds either create or delete")),
    }
}

fn thin_id(section: Section<'_>, key: &str) -> Result<ThinId, FieldError> {
    ThinId::new(section.u64(key)?).map_err(|error| section.error(key, error.to_string()))
}

fn thin(segment: Section<'_>) -> Result<Thin, FieldError> {
    Ok(Thin {
        pool: lv_name(segment, "thin_pool")?,
        transaction_id: TransactionId(segment.u64("transaction_id")?),
        device_id: thin_id(segment, "device_id")?,
        external_origin: opt_lv_name(segment, "external_origin")?,
        origin: opt_lv_name(segment, "origin")?,
        merge: opt_lv_name(segment, "merge")?,
    })
}
