//! LVs and segments that the text does not hold yet, as lvm2 writes them.
//! Source: lvm2 `lib/format_text/export.c` (`_print_lv`, `_print_segment`).

use crate::format::model::{Discards, Lv, Segment, SegmentKind, Striped, Thin, ThinPool};
use crate::format::text::{Lines, quote, size_comment, time_comment};
use base::units::{Extents, Sectors};

/// Writes a list of words as lvm2 does.
pub(super) fn list(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quote(word)).collect();
    format!("[{}]", quoted.join(", "))
}

/// A size in extents as a comment; empty if it is no size.
pub(super) fn extents_comment(count: Extents, extent_size: Sectors) -> String {
    count.to_sectors(extent_size).map(size_comment).unwrap_or_default()
}

/// Writes an LV.
pub(super) fn new_lv(lines: &mut Lines, lv: &Lv, extent_size: Sectors) {
    lines.blank();
    lines.open(lv.name.as_str());
    lines.line(&format!("id = \"{}\"", lv.id));
    lines.line(&format!("status = {}", list(&lv.status)));
    lines.line(&format!("flags = {}", list(&lv.flags)));
    if !lv.tags.is_empty() {
        lines.line(&format!("tags = {}", list(&lv.tags)));
    }
    if let (Some(time), Some(host)) = (lv.creation_time, &lv.creation_host) {
        lines.commented(&["creation_time = ", &time.to_string()], &time_comment(time));
        lines.line(&format!("creation_host = {}", quote(host)));
    }
    lines.line(&format!("segment_count = {}", lv.segments.len()));
    lines.blank();
    for (number, new) in lv.segments.iter().enumerate() {
        segment(lines, number + 1, new, extent_size);
    }
    lines.close();
}

/// Writes a segment of a kind that is known.
pub(super) fn segment(lines: &mut Lines, number: usize, segment: &Segment, extent_size: Sectors) {
    lines.open(&format!("segment{number}"));
    lines.line(&format!("start_extent = {}", segment.start));
    let comment = extents_comment(segment.count, extent_size);
    lines.commented(&["extent_count = ", &segment.count.to_string()], &comment);
    lines.blank();
    match &segment.kind {
        SegmentKind::Thin(thin) => thin_fields(lines, thin),
        SegmentKind::Striped(striped) => striped_fields(lines, striped),
        SegmentKind::ThinPool(pool) => pool_fields(lines, pool),
        SegmentKind::Opaque { .. } => {}
    }
    lines.close();
}

/// Source: lvm2 `lib/thin/thin.c` (`_thin_text_export`).
fn thin_fields(lines: &mut Lines, thin: &Thin) {
    lines.line("type = \"thin\"");
    lines.line(&format!("thin_pool = {}", quote(thin.pool.as_str())));
    lines.line(&format!("transaction_id = {}", thin.transaction_id));
    lines.line(&format!("device_id = {}", thin.device_id));
    let links =
        [("external_origin", &thin.external_origin), ("origin", &thin.origin), ("merge", &thin.merge)];
    for (key, name) in links {
        if let Some(name) = name {
            lines.line(&format!("{key} = {}", quote(name.as_str())));
        }
    }
}

/// Source: lvm2 `lib/striped/striped.c` (`_striped_text_export`), `lib/format_text/export.c` (`out_areas`).
fn striped_fields(lines: &mut Lines, striped: &Striped) {
    lines.line("type = \"striped\"");
    let count = striped.stripes.len();
    lines.commented(&["stripe_count = ", &count.to_string()], if count == 1 { "# linear" } else { "" });
    if let Some(size) = striped.stripe_size {
        lines.commented(&["stripe_size = ", &size.to_string()], &size_comment(size));
    }
    lines.blank();
    lines.line("stripes = [");
    lines.indent();
    for (number, stripe) in striped.stripes.iter().enumerate() {
        let comma = if number + 1 < count { "," } else { "" };
        lines.line(&format!("{}, {}{comma}", quote(&stripe.area), stripe.start));
    }
    lines.outdent();
    lines.line("]");
}

/// Source: lvm2 `lib/thin/thin.c` (`_thin_pool_text_export`). A new pool has no messages.
fn pool_fields(lines: &mut Lines, pool: &ThinPool) {
    lines.line("type = \"thin-pool\"");
    lines.line(&format!("metadata = {}", quote(pool.metadata.as_str())));
    lines.line(&format!("pool = {}", quote(pool.data.as_str())));
    lines.line(&format!("transaction_id = {}", pool.transaction_id));
    lines.commented(&["chunk_size = ", &pool.chunk_size.to_string()], &size_comment(pool.chunk_size));
    lines.line(&format!("discards = {}", quote(discards(pool.discards))));
    if pool.zero_new_blocks {
        lines.line("zero_new_blocks = 1");
    }
}

/// The word for what happens to discards.
pub(super) fn discards(discards: Discards) -> &'static str {
    match discards {
        Discards::Ignore => "ignore",
        Discards::NoPassdown => "nopassdown",
        Discards::Passdown => "passdown",
    }
}
