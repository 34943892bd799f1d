//! The extents of a volume group that no segment lies on.

use std::collections::{HashMap, HashSet};

use crate::format::model::{Pv, Segment, SegmentKind, Vg};
use base::units::Extents;

/// A run of free extents of one physical volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) start: u64,
    pub(super) count: u64,
}

/// The free extents of one physical volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FreePv {
    pub(super) key: String,
    /// By their start.
    pub(super) runs: Vec<Run>,
}

/// The free extents of the physical volumes that may be allocated on, in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Free {
    pub(super) pvs: Vec<FreePv>,
}

impl Free {
    /// The free extents of those physical volumes that `may` lets be used, are marked as allocatable, and not as
    /// missing. Where a segment of a kind that is not known lies on a physical volume itself, as while `pvmove` runs,
    /// none of that volume's extents count as free.
    pub fn of(vg: &Vg, may: impl Fn(&Pv) -> bool) -> Self {
        let mut used: HashMap<&str, Vec<(u64, u64)>> = HashMap::new();
        let mut unknown: HashSet<&str> = HashSet::new();
        for segment in vg.lvs.iter().flat_map(|lv| &lv.segments) {
            match &segment.kind {
                SegmentKind::Striped(striped) => {
                    let width = u64::try_from(striped.stripes.len()).unwrap_or(u64::MAX).max(1);
                    let length = segment.count.get().div_ceil(width);
                    for stripe in &striped.stripes {
                        let start = stripe.start.get();
                        used.entry(&stripe.area).or_default().push((start, start.saturating_add(length)));
                    }
                }
                SegmentKind::Opaque { pvs, .. } => unknown.extend(pvs.iter().map(String::as_str)),
                SegmentKind::ThinPool(_) | SegmentKind::Thin(_) => {}
            }
        }
        let usable = vg.pvs.iter().filter(|pv| {
            pv.is_allocatable() && !pv.is_marked_missing() && !unknown.contains(pv.key.as_str()) && may(pv)
        });
        let free = |pv: &Pv| {
            let used = used.remove(pv.key.as_str()).unwrap_or_default();
            FreePv { key: pv.key.clone(), runs: gaps(used, pv.pe_count.get()) }
        };
        Self { pvs: usable.map(free).collect() }
    }

    /// How many there are.
    pub fn total(&self) -> Extents {
        let runs = self.pvs.iter().flat_map(|pv| &pv.runs);
        Extents::new(runs.fold(0, |sum: u64, run| sum.saturating_add(run.count)))
    }

    /// Leaves out what these segments lie on.
    pub fn without(&mut self, segments: &[Segment]) {
        for segment in segments {
            let SegmentKind::Striped(striped) = &segment.kind else { continue };
            let width = u64::try_from(striped.stripes.len()).unwrap_or(u64::MAX).max(1);
            for stripe in &striped.stripes {
                let Some(pv) = self.pvs.iter_mut().find(|pv| pv.key == stripe.area) else { continue };
                let (start, end) = (stripe.start.get(), stripe.start.get() + segment.count.get() / width);
                let cut = |run: &Run| {
                    let before = Run {
                        start: run.start,
                        count: start.clamp(run.start, run.start + run.count) - run.start,
                    };
                    let from = end.clamp(run.start, run.start + run.count);
                    [before, Run { start: from, count: run.start + run.count - from }]
                };
                pv.runs = pv.runs.iter().flat_map(cut).filter(|run| run.count > 0).collect();
            }
        }
    }

    /// Takes extents out, of the start of a run or of its middle.
    pub(super) fn remove(&mut self, pv: usize, start: u64, count: u64) {
        let runs = &mut self.pvs[pv].runs;
        let Some(at) = runs.iter().position(|run| run.start <= start && start - run.start < run.count) else {
            return;
        };
        let run = runs.remove(at);
        let (before, end) = (start - run.start, run.start + run.count);
        let after = end.saturating_sub(start + count);
        if after > 0 {
            runs.insert(at, Run { start: start + count, count: after });
        }
        if before > 0 {
            runs.insert(at, Run { start: run.start, count: before });
        }
    }
}

/// What is left of `0..count` without these ranges, which may overlap or reach beyond it.
fn gaps(mut used: Vec<(u64, u64)>, count: u64) -> Vec<Run> {
    used.sort_unstable();
    let (mut runs, mut next) = (Vec::new(), 0);
    for (start, end) in used {
        let start = start.min(count);
        if start > next {
            runs.push(Run { start: next, count: start - next });
        }
        next = next.max(end);
    }
    if count > next {
        runs.push(Run { start: next, count: count - next });
    }
    runs
}
