//! A volume group as reading verbs show it: the metadata and what the kernel says of it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use nix::errno::Errno;
use serde::Serialize;

use crate::condition::Condition;
use crate::lineage::Lineage;
use crate::observed::{Observed, PoolState};
use crate::pool_rules::PoolRules;
use crate::stack::DevRef;
use base::ids::{DevNo, LvName, LvmUuid, ThinId, TransactionId, VgName};
use base::units::{Bytes, Extents, Sectors};
use dm::kernel::{DmError, Kernel, StatusFlush};
use dm::name::{DmUuid, Layer};
use dm::status::{PoolStatus, ThinStatus};
use dm::table::TargetLine;
use lvm2::format::model::{Glance, Lv, ThinPool, Vg};

mod family;
#[cfg(any(test, feature = "testing"))]
pub mod fixture;

pub use self::family::{MadeAs, MadeFrom, ParentVolume};

/// A volume group.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct VgView {
    /// Its name.
    pub name: VgName,
    /// Its identity.
    pub uuid: LvmUuid,
    /// Its thin pools.
    pub pools: Vec<PoolView>,
    /// Its visible volumes, pools excepted.
    pub volumes: Vec<VolumeView>,
    /// What is not as it should be.
    pub warnings: Vec<String>,
    /// What a crash left and recovery would mend.
    pub pending: Vec<String>,
}

/// A thin pool.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PoolView {
    /// Its name.
    pub name: LvName,
    /// Its identity.
    pub uuid: LvmUuid,
    /// Whether its target runs.
    pub active: bool,
    /// Whether the pool LV itself has a device.
    pub visible_device: bool,
    /// Size of its data.
    pub size: Bytes,
    /// Size of its metadata.
    pub metadata_size: Bytes,
    /// Size of a chunk.
    pub chunk_size: Sectors,
    /// The transaction id in the metadata.
    pub transaction_id: TransactionId,
    /// What the kernel says of it, if it runs.
    pub status: Option<PoolStatus>,
    /// Number of thin volumes.
    pub volumes: usize,
    /// Sum of their sizes.
    pub volumes_size: Bytes,
    /// What state it is in.
    #[serde(skip)]
    pub condition: Condition,
    /// What its owner has said of it, if its tags can be read.
    pub rules: PoolRules,
}

/// A volume.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct VolumeView {
    /// Its name.
    pub name: LvName,
    /// Its identity.
    pub uuid: LvmUuid,
    /// Its size.
    pub size: Bytes,
    /// The pool it lives in, if it is thin.
    pub pool: Option<LvName>,
    /// Its id in the pool, if it is thin.
    pub thin_id: Option<ThinId>,
    /// What LVM says it was made from.
    pub origin: Option<LvName>,
    /// What it was made from, as thinvol records it, or as names and LVM's origin together show. Only where all volumes
    /// are shown.
    pub made_from: Option<MadeFrom>,
    /// Tags.
    pub tags: Vec<String>,
    /// When it was created, in seconds since 1970.
    pub creation_time: Option<u64>,
    /// Whether it may be written.
    pub writable: bool,
    /// Whether its device exists.
    pub active: bool,
    /// How many openers the device has.
    pub open_count: u32,
    /// Whether I/O to it is held back.
    pub suspended: bool,
    /// How much of it has chunks in the pool, its own or shared; only while active.
    pub mapped: Option<Bytes>,
    /// The device's number.
    pub dev: Option<DevNo>,
    /// Where users find the device when it is active.
    pub path: PathBuf,
}

/// How much of a volume group is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Detail {
    /// Its pools: [`VgView::volumes`] is empty.
    Pools,
    /// Its pools, and those of its volumes that have a device.
    Active,
    /// Its volumes, too.
    Volumes,
}

/// Puts a view together. Each active thin volume that is shown costs one status ioctl.
///
/// # Errors
/// If device-mapper does not answer.
pub fn view(
    vg: &Vg,
    observed: &Observed,
    kernel: &dyn Kernel,
    detail: Detail,
    mut warnings: Vec<String>,
    pending: Vec<String>,
) -> Result<VgView, DmError> {
    let pools: Vec<PoolView> = vg.pools().map(|(lv, pool)| pool_view(vg, lv, pool, observed)).collect();
    let mut volumes = Vec::new();
    let with_device: BTreeSet<LvmUuid> =
        observed.devices.keys().filter_map(|uuid| uuid.lvm_parts().ok()).map(|parts| parts.lv).collect();
    let is_wanted = |lv: &Glance<'_>| match detail {
        Detail::Pools => false,
        Detail::Active => with_device.contains(&lv.id()),
        Detail::Volumes => true,
    };
    let lineage = (detail == Detail::Volumes).then(|| Lineage::of(vg));
    let shown = |lv: &Glance<'_>| is_wanted(lv) && lv.is_visible() && lv.lv().thin_pool().is_none();
    for lv in vg.lvs.glances().filter(shown).map(Glance::lv) {
        let made_from = lineage.as_ref().and_then(|lineage| lineage.descent(lv)).map(MadeFrom::from);
        let volume = VolumeView { made_from, ..volume_view(vg, lv, observed, kernel)? };
        volumes.extend(Some(volume).filter(|volume| volume.active || detail == Detail::Volumes));
    }
    for pool in &pools {
        let shown = format!("{}/{}", vg.name, pool.name);
        warnings.extend(trouble(&shown, &pool.condition));
        let bad = vg.lv(&pool.name).and_then(|lv| PoolRules::of(lv).err());
        warnings.extend(bad.map(|bad| format!("pool {shown}: {bad}")));
    }
    Ok(VgView { name: vg.name.clone(), uuid: vg.id, pools, volumes, warnings, pending })
}

fn size(vg: &Vg, lv: &Lv) -> Bytes {
    bytes(vg, lv.extents())
}

fn bytes(vg: &Vg, extents: Option<Extents>) -> Bytes {
    let sectors = extents.and_then(|extents| extents.to_sectors(vg.extent_size));
    sectors.and_then(Sectors::to_bytes).unwrap_or(Bytes::ZERO)
}

fn pool_view(vg: &Vg, lv: &Lv, pool: &ThinPool, observed: &Observed) -> PoolView {
    let link = DmUuid::of_lv(&vg.id, &lv.id, Layer::Pool);
    let seen = observed.pools.get(&lv.name);
    let status = match seen.map(|seen| &seen.state) {
        Some(PoolState::Active(status) | PoolState::ActiveNew(status)) => Some(status.clone()),
        _ => None,
    };
    let condition = seen.map_or(Condition::Inactive, |seen| {
        let missing = [&pool.metadata, &pool.data].map(|part| missing_under(vg, part, observed));
        Condition::of(lv, pool, &seen.state, missing)
    });
    let new = matches!(seen.map(|seen| &seen.state), Some(PoolState::ActiveNew(_)));
    let sizes = vg.glances_of(&lv.name).map(|(thin, _)| bytes(vg, thin.extents()).get());
    PoolView {
        name: lv.name.clone(),
        uuid: lv.id,
        active: status.is_some(),
        visible_device: new || observed.device(&link).is_some(),
        size: size(vg, lv),
        metadata_size: vg.lv(&pool.metadata).map_or(Bytes::ZERO, |tmeta| size(vg, tmeta)),
        chunk_size: pool.chunk_size,
        transaction_id: pool.transaction_id,
        status,
        volumes: vg.glances_of(&lv.name).count(),
        volumes_size: Bytes::new(sizes.fold(0, u64::saturating_add)),
        condition,
        rules: PoolRules::of(lv).unwrap_or_default(),
    }
}

/// What to warn of. Physical volumes that are missing are told of the group, and transactions that differ by recovery.
fn trouble(pool: &str, condition: &Condition) -> Option<String> {
    match condition {
        Condition::TransactionsDiffer { .. } | Condition::PartMissing { .. } => None,
        condition => {
            let way_out = condition.way_out(pool)?;
            Some(format!("pool {pool} {}: {way_out}", condition.words()))
        }
    }
}

/// The physical volumes that are not here under an LV, with all it is made of.
fn missing_under(vg: &Vg, name: &LvName, observed: &Observed) -> Vec<String> {
    let mut missing = Vec::new();
    let (mut todo, mut seen) = (vec![name.as_str()], BTreeSet::new());
    while let Some(name) = todo.pop().filter(|name| seen.insert(*name)) {
        if let Some(lv) = LvName::new(name).ok().and_then(|name| vg.lv(&name)) {
            todo.extend(lv.segments.iter().flat_map(|segment| segment.kind.areas()));
        } else if let Some(pv) = vg.pvs.iter().find(|pv| pv.key == name) {
            let is_here =
                observed.numbers.contains_key(&DevRef::Pv(pv.key.clone())) && !pv.is_marked_missing();
            missing.extend((!is_here).then(|| pv.id.to_string()));
        }
    }
    missing
}

/// How much of a thin volume its status line says has chunks.
fn mapped(line: &TargetLine) -> Option<Bytes> {
    match ThinStatus::parse(&line.params) {
        Ok(ThinStatus::Working { mapped, .. }) => mapped.to_bytes(),
        _ => None,
    }
}

fn volume_view(vg: &Vg, lv: &Lv, observed: &Observed, kernel: &dyn Kernel) -> Result<VolumeView, DmError> {
    let thin = lv.thin();
    let device = observed.device(&DmUuid::of_lv(&vg.id, &lv.id, Layer::Plain));
    let (device, mapped) = match (thin, device) {
        (Some(_), Some(device)) => {
            match kernel.status(&device.name, StatusFlush::NoFlush) {
                Ok((_, lines)) => (Some(device), lines.first().and_then(mapped)),
                // Gone since it was looked at, under the lock.
                Err(error) if error.errno == Errno::ENXIO => (None, None),
                Err(error) => return Err(error),
            }
        }
        _ => (device, None),
    };
    Ok(VolumeView {
        name: lv.name.clone(),
        uuid: lv.id,
        size: size(vg, lv),
        pool: thin.map(|thin| thin.pool.clone()),
        thin_id: thin.map(|thin| thin.device_id),
        origin: thin.and_then(|thin| thin.origin.clone()),
        made_from: None,
        tags: lv.tags.clone(),
        creation_time: lv.creation_time,
        writable: lv.is_writable(),
        active: device.is_some(),
        open_count: device.map_or(0, |device| device.open_count),
        suspended: device.is_some_and(|device| device.suspended),
        mapped,
        dev: device.map(|device| device.dev),
        path: PathBuf::from(format!("/dev/{}/{}", vg.name, lv.name)),
    })
}
