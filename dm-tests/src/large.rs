//! A volume group with many volumes: its metadata, and what is observed for a plan. Costs that grow with the number of
//! volumes are measured and limited with it.

use std::collections::BTreeMap;

use base::ids::{DevNo, LvmUuid, ThinId, TransactionId};
use base::units::Extents;
use dm::kernel::DeviceInfo;
use dm::name::{DmName, DmUuid, Layer};
use dm::status::PoolStatus;
use lvm2::format::edit::{Edit, NewThin};
use lvm2::format::metadata::Metadata;
use thin::internals::observed::{Inventory, Observed, PlanInputs, PoolSeen, PoolState};

use crate::world::text::{POOL, fresh, uuid};
use crate::world::{lv, metadata_header};

/// The transaction id of the pool.
const TRANSACTION: u64 = 7;

/// The name of a volume by its number.
pub fn name(number: u32) -> String {
    format!("vm-{}-disk-{}", 100 + number / 4, number % 4)
}

fn volume(number: u32, transaction: u64) -> NewThin {
    NewThin {
        name: lv(&name(number)),
        id: uuid(b'x' - b'a' + 10, number),
        read_only: false,
        flags: Vec::new(),
        tags: vec![format!("pve-vm-{}", 100 + number / 4)],
        creation_time: 1_795_413_600,
        creation_host: "node1".into(),
        extents: Extents::new(2),
        pool: lv(POOL),
        transaction_id: TransactionId(transaction),
        device_id: ThinId::new(u64::from(number) + 1).expect("there are fewer volumes than ids"),
        origin: None,
        external_origin: None,
    }
}

/// The metadata of a volume group with `count` thin volumes in one pool.
///
/// # Panics
/// If it cannot be made.
pub fn metadata(count: u32) -> Metadata {
    let metadata = Metadata::parse(fresh(1, 1).as_bytes()).expect("a constant text");
    let mut edits: Vec<Edit> =
        (0..count).map(|number| Edit::AddThin(volume(number, TRANSACTION - 1))).collect();
    edits.push(Edit::SetPoolTransaction { pool: lv(POOL), id: TransactionId(TRANSACTION) });
    metadata.apply(&edits, &metadata_header()).expect("the volumes can be added")
}

/// What is observed of it: the pool runs and every volume is active. It has UUIDs for that many `requests`.
///
/// # Panics
/// If a name does not fit.
pub fn observed(metadata: &Metadata, requests: usize) -> Observed {
    let vg = &metadata.vg;
    let mut observed = observed_few(requests);
    for (minor, lv) in (0..).zip(vg.lvs.iter().filter(|lv| lv.thin().is_some())) {
        let name = DmName::of_lv(&vg.name, &lv.name, Layer::Plain).expect("a short name");
        let uuid = DmUuid::of_lv(&vg.id, &lv.id, Layer::Plain);
        let dev = DevNo { major: 253, minor };
        let info = DeviceInfo {
            name: name.clone(),
            uuid: Some(uuid.clone()),
            dev,
            open_count: 0,
            suspended: false,
            read_only: false,
            live_table: true,
            inactive_table: false,
            event_nr: 0,
        };
        observed.devices.insert(uuid.clone(), info);
        observed.listed.insert(name, Some(uuid));
    }
    observed
}

/// The same with all volumes inactive.
///
/// # Panics
/// If a constant is not what it should be.
pub fn observed_few(requests: usize) -> Observed {
    let status = format!("{TRANSACTION} 200/1024 0/1600 - rw discard_passdown queue_if_no_space - 1024");
    let seen = PoolSeen {
        making: None,
        watch: None,
        superblock: None,
        state: PoolState::Active(PoolStatus::parse(&status).expect("a constant status")),
        inventory: Inventory::Clean,
        strangers: BTreeMap::new(),
    };
    let fresh_uuid = |number: usize| -> LvmUuid {
        uuid(b'y' - b'a' + 10, u32::try_from(number).expect("there are few requests"))
    };
    Observed {
        pools: BTreeMap::from([(lv(POOL), seen)]),
        inputs: PlanInputs { uuids: (0..requests).map(fresh_uuid).collect(), header: metadata_header() },
        ..Observed::default()
    }
}
