//! What devices read ahead for those who read through the page cache, as lvm2 sets it: what the text says, else
//! at least two stripes, or what the physical volumes below read ahead.
//!
//! Source: lvm2 `lib/activate/dev_manager.c` (`_add_new_lv_to_dtree`), `lib/metadata/metadata.c`
//! (`lv_calculate_readahead`), `lib/format_text/import_vsn1.c`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Stacks;
use base::ids::LvName;
use base::units::Sectors;
use lvm2::format::model::{Lv, SegmentKind, Striped};

#[cfg(test)]
mod tests;

/// What a device is to read ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadAhead {
    /// So much; nothing if it is zero.
    Exactly(Sectors),
    /// What the kernel makes it, but no less than this.
    AtLeast(Sectors),
}

/// What the kernel makes each device read ahead, at least: 128 KiB. Source: Linux `VM_READAHEAD_PAGES`.
const KERNELS_LEAST: Sectors = Sectors::new(256);

impl<'a> Stacks<'a> {
    /// The same, for physical volumes that read so much ahead, by their keys. `none` is whether volumes whose text says
    /// nothing of it read nothing ahead (`activation/readahead`).
    #[must_use]
    pub fn with_read_ahead(self, pvs: &'a BTreeMap<String, Sectors>, none: bool) -> Self {
        Self { pvs_read_ahead: Some(pvs), no_read_ahead: none, ..self }
    }

    /// What a volume's device is to read ahead; `None` if what the kernel makes it will do.
    pub(super) fn read_ahead(&self, lv: &Lv) -> Option<ReadAhead> {
        match lv.read_ahead.unwrap_or_default() {
            0 if self.no_read_ahead => Some(ReadAhead::Exactly(Sectors::ZERO)),
            0 => at_least(stripes(lv).unwrap_or_else(|| self.of_pvs_below(lv))),
            // A negative value means none.
            sectors => Some(ReadAhead::Exactly(Sectors::new(u64::try_from(sectors).unwrap_or(0)))),
        }
    }

    /// The same of a thin volume of that pool whose text says nothing of it.
    pub(super) fn read_ahead_of_new(&self, pool: &LvName) -> Option<ReadAhead> {
        if self.no_read_ahead {
            return Some(ReadAhead::Exactly(Sectors::ZERO));
        }
        at_least(self.of_pool(pool))
    }

    /// The most that a physical volume at the start of the volume reads ahead, or of its pool's parts.
    fn of_pvs_below(&self, lv: &Lv) -> Sectors {
        match lv.segments.first().map(|segment| &segment.kind) {
            Some(SegmentKind::Striped(striped)) => self.of_pv(striped),
            Some(SegmentKind::Thin(thin)) => self.of_pool(&thin.pool),
            _ => Sectors::ZERO,
        }
    }

    fn of_pool(&self, pool: &LvName) -> Sectors {
        let pool = self.vg.lv(pool).and_then(Lv::thin_pool);
        let parts = pool.into_iter().flat_map(|pool| [&pool.data, &pool.metadata]);
        let parts = parts.filter_map(|part| self.vg.lv(part)).filter_map(|part| part.segments.first());
        let of_part = parts.filter_map(|segment| match &segment.kind {
            SegmentKind::Striped(striped) => Some(self.of_pv(striped)),
            _ => None,
        });
        of_part.max().unwrap_or_default()
    }

    fn of_pv(&self, striped: &Striped) -> Sectors {
        let pv = striped.stripes.first().and_then(|stripe| self.vg.pv(&stripe.area));
        let known = pv.zip(self.pvs_read_ahead).and_then(|(pv, known)| known.get(&pv.key));
        known.copied().unwrap_or_default()
    }
}

/// Twice the widest stripe of a striped volume.
fn stripes(lv: &Lv) -> Option<Sectors> {
    let width = |striped: &Striped| {
        striped.stripe_size?.get().checked_mul(u64::try_from(striped.stripes.len()).ok()?)
    };
    let widths = lv.segments.iter().filter_map(|segment| match &segment.kind {
        SegmentKind::Striped(striped) => width(striped),
        _ => None,
    });
    widths.max()?.checked_mul(2).map(Sectors::new)
}

fn at_least(sectors: Sectors) -> Option<ReadAhead> {
    (sectors > KERNELS_LEAST).then_some(ReadAhead::AtLeast(sectors))
}
