//! What the engine would show of a volume group, for tests.

use std::path::PathBuf;

use base::units::{Bytes, Sectors};
use lvm2::format::model::{Lv, Vg};
use thin::condition::Condition;
use thin::lineage::fixture::{name, uuid, vg};
use thin::pool_rules::PoolRules;
use thin::view::{PoolView, VgView, VolumeView};

/// The metadata and a view of VG `pve` with pool `data` and these thin volumes of 4 MiB, all inactive.
pub fn view(lvs: Vec<Lv>) -> (Vg, VgView) {
    let vg = vg(lvs);
    let volumes: Vec<VolumeView> = vg.lvs.iter().map(|lv| volume(&vg, lv)).collect();
    let pool = PoolView {
        name: name("data"),
        uuid: uuid(0),
        active: false,
        visible_device: false,
        size: Bytes::new(1 << 30),
        metadata_size: Bytes::new(4 << 20),
        chunk_size: Sectors::new(128),
        status: None,
        volumes: volumes.len(),
        volumes_size: Bytes::new(4 << 20),
        condition: Condition::Inactive,
        rules: PoolRules::default(),
    };
    let (name, uuid) = (vg.name.clone(), vg.id);
    (vg, VgView { name, uuid, pools: vec![pool], volumes, warnings: vec![], pending: vec![] })
}

fn volume(vg: &Vg, lv: &Lv) -> VolumeView {
    VolumeView {
        name: lv.name.clone(),
        uuid: lv.id,
        size: Bytes::new(4 << 20),
        pool: lv.thin().map(|thin| thin.pool.clone()),
        thin_id: lv.thin().map(|thin| thin.device_id),
        origin: lv.thin().and_then(|thin| thin.origin.clone()),
        tags: lv.tags.clone(),
        creation_time: lv.creation_time,
        writable: lv.is_writable(),
        active: false,
        open_count: 0,
        suspended: false,
        mapped: None,
        dev: None,
        path: PathBuf::from(format!("/dev/{}/{}", vg.name, lv.name)),
    }
}
