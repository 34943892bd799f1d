//! What the engine would show of a volume group, for tests.

use super::{PoolView, VgView, VolumeView};
use crate::condition::Condition;
use crate::lineage::Lineage;
use crate::lineage::fixture::{name, uuid, vg};
use crate::pool_rules::PoolRules;
use base::ids::{LvName, TransactionId};
use base::units::{Bytes, Sectors};
use dm::status::PoolStatus;
use lvm2::format::model::{Lv, Vg};

/// The metadata and a view of VG `pve` with pool `data` and these thin volumes of 4 MiB, all inactive.
pub fn view(lvs: Vec<Lv>) -> (Vg, VgView) {
    let vg = vg(lvs);
    let view = of(&vg);
    (vg, view)
}

/// A view of such a volume group.
pub fn of(vg: &Vg) -> VgView {
    let lineage = Lineage::of(vg);
    let volumes: Vec<VolumeView> = vg.lvs.iter().map(|lv| volume(vg, &lineage, lv)).collect();
    let pool = PoolView {
        volumes: volumes.len(),
        volumes_size: Bytes::new(4 << 20),
        ..pool(name("data"), Bytes::new(1 << 30), None)
    };
    VgView {
        name: vg.name.clone(),
        uuid: vg.id,
        pools: vec![pool],
        volumes,
        warnings: vec![],
        pending: vec![],
    }
}

/// A pool without volumes; it runs if the kernel says something of it.
pub fn pool(name: LvName, size: Bytes, status: Option<PoolStatus>) -> PoolView {
    PoolView {
        name,
        uuid: uuid(0),
        active: status.is_some(),
        visible_device: status.is_some(),
        size,
        metadata_size: Bytes::new(4 << 20),
        chunk_size: Sectors::new(128),
        transaction_id: TransactionId(0),
        status,
        volumes: 0,
        volumes_size: Bytes::ZERO,
        condition: Condition::Inactive,
        rules: PoolRules::default(),
    }
}

fn volume(vg: &Vg, lineage: &Lineage<'_>, lv: &Lv) -> VolumeView {
    VolumeView {
        name: lv.name.clone(),
        uuid: lv.id,
        size: Bytes::new(4 << 20),
        pool: lv.thin().map(|thin| thin.pool.clone()),
        thin_id: lv.thin().map(|thin| thin.device_id),
        origin: lv.thin().and_then(|thin| thin.origin.clone()),
        made_from: lineage.descent(lv).map(Into::into),
        tags: lv.tags.clone(),
        creation_time: lv.creation_time,
        writable: lv.is_writable(),
        active: false,
        open_count: 0,
        suspended: false,
        mapped: None,
        dev: None,
        path: format!("/dev/{}/{}", vg.name, lv.name).into(),
    }
}
