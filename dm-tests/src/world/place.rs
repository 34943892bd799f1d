//! Where on the disks a pool's metadata lies.

use std::collections::BTreeMap;

use base::ids::{DevNo, LvmUuid};
use base::units::Sectors;
use lvm2::format::model::{SegmentKind, ThinPool, Vg};

/// The disk and the sector at which the pool's metadata starts.
pub fn metadata_place(vg: &Vg, pool: &ThinPool, pvs: &BTreeMap<LvmUuid, DevNo>) -> Option<(DevNo, Sectors)> {
    let SegmentKind::Striped(striped) = &vg.lv(&pool.metadata)?.segments.first()?.kind else { return None };
    let stripe = striped.stripes.first()?;
    let pv = vg.pv(&stripe.area)?;
    let start = stripe.start.to_sectors(vg.extent_size)?.checked_add(pv.pe_start)?;
    Some((*pvs.get(&pv.id)?, start))
}
