//! Extents: segments without gaps, areas inside their PVs and LVs, no extent used twice.

use std::collections::HashMap;

use super::Report;
use crate::format::model::{Lv, SegmentKind, Striped, Vg};
use base::units::{Extents, Sectors};

/// LVM counts the extents of an LV in 32 bits. Source: lvm2 `lib/metadata/metadata-exported.h`
/// (`MAX_EXTENT_COUNT`).
const EXTENTS_MAX: u64 = u32::MAX as u64;

/// A run of extents on a PV.
struct Run<'a> {
    start: u64,
    end: u64,
    lv: &'a str,
}

type RunsByPv<'a> = HashMap<&'a str, Vec<Run<'a>>>;

pub(super) fn check(vg: &Vg, report: &mut Report<'_>) {
    if vg.extent_size == Sectors::ZERO {
        report.vg("its extent size is zero");
    }
    let sizes: HashMap<&str, Option<Extents>> =
        vg.lvs.iter().map(|lv| (lv.name.as_str(), lv.extents())).collect();
    let mut runs: RunsByPv<'_> = vg.pvs.iter().map(|pv| (pv.key.as_str(), Vec::new())).collect();
    for lv in &vg.lvs {
        segments(lv, report);
        for segment in &lv.segments {
            if let SegmentKind::Striped(striped) = &segment.kind {
                areas(lv, segment.count, striped, &sizes, &mut runs, report);
            }
        }
    }
    for pv in &vg.pvs {
        let runs = runs.remove(pv.key.as_str()).unwrap_or_default();
        pv_runs(vg, &pv.key, pv.pe_count.get(), runs, report);
    }
}

fn segments(lv: &Lv, report: &mut Report<'_>) {
    let name = lv.name.as_str();
    if lv.segments.is_empty() {
        report.lv(name, "it has no segment");
    }
    let mut next = 0;
    for segment in &lv.segments {
        let (start, count) = (segment.start.get(), segment.count.get());
        if start != next {
            report.lv(name, format!("a segment starts at extent {start}, not at {next}"));
        }
        if count == 0 {
            report.lv(name, format!("the segment at extent {start} is empty"));
        }
        next = start.saturating_add(count);
    }
    if next > EXTENTS_MAX {
        report.lv(name, format!("it has more than {EXTENTS_MAX} extents"));
    }
}

fn areas<'a>(
    lv: &'a Lv,
    count: Extents,
    striped: &'a Striped,
    sizes: &HashMap<&str, Option<Extents>>,
    runs: &mut RunsByPv<'a>,
    report: &mut Report<'_>,
) {
    let name = lv.name.as_str();
    let width = u64::try_from(striped.stripes.len()).unwrap_or(u64::MAX);
    let Some(length) = count.get().checked_div(width).filter(|length| length * width == count.get()) else {
        report.lv(name, format!("a segment of {count} extents cannot be spread over {width} stripes"));
        return;
    };
    if width > 1 && striped.stripe_size.is_none_or(|size| size == Sectors::ZERO) {
        report.lv(name, "a striped segment has no stripe size");
    }
    for stripe in &striped.stripes {
        let start = stripe.start.get();
        let end = start.saturating_add(length);
        if let Some(runs) = runs.get_mut(stripe.area.as_str()) {
            runs.push(Run { start, end, lv: name });
        } else if let Some(size) = sizes.get(stripe.area.as_str()) {
            if stripe.area == name {
                report.lv(name, "it lies on itself");
            } else if size.is_none_or(|size| end > size.get()) {
                report.lv(name, format!("extents {start} to {end} are not all inside LV {}", stripe.area));
            }
        } else {
            report.lv(name, format!("it lies on '{}', which is neither a PV nor an LV here", stripe.area));
        }
    }
}

fn pv_runs(vg: &Vg, key: &str, pe_count: u64, mut runs: Vec<Run<'_>>, report: &mut Report<'_>) {
    runs.sort_unstable_by_key(|run| (run.start, run.end));
    for run in runs.iter().filter(|run| run.end > pe_count) {
        report.lv(run.lv, format!("extents {} to {} are beyond PV {key} of {pe_count}", run.start, run.end));
    }
    for pair in runs.windows(2).filter(|pair| pair[1].start < pair[0].end) {
        let [one, two] = [&pair[0], &pair[1]].map(|run| format!("{}/{}", vg.name, run.lv));
        report.pv(key, format!("extent {} is used by {one} and by {two}", pair[1].start));
    }
}
