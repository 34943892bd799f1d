//! What a plan will leave: the devices and pools that the plan after it will meet, before anything is done.
//!
//! Devices come and go as the steps say; a pool is as its text wants it to be. What only the kernel can know, such as
//! how full a pool is that is started, is taken to be no hindrance: the executor looks at it when its turn comes.

use std::collections::BTreeMap;

use crate::observed::{Inventory, Observed, PoolSeen, PoolState};
use crate::plan::{Plan, Planned, Step};
use crate::stack::{DevRef, DeviceSpec};
use base::ids::{DevNo, TransactionId};
use base::units::Sectors;
use dm::kernel::DeviceInfo;
use dm::name::{DmName, DmUuid, Layer};
use dm::status::{Discards, METADATA_BLOCK_SECTORS, NoSpace, PoolMode, PoolStatus, PoolWorking, Usage};
use lvm2::format::model::{ERROR_WHEN_FULL, Lv, ThinPool, Vg};
use lvm2::format::monitoring::Registration;

/// Changes what was seen before a plan into what will be seen after it. `vg` is the volume group as it will be.
pub fn forecast(observed: &mut Observed, plan: &Plan, vg: &Vg) {
    devices(observed, &plan.steps);
    if plan.commits() > 0 {
        observed.lagging.clear();
    }
    observed.pools.retain(|pool, _| vg.lv(pool).and_then(Lv::thin_pool).is_some());
    for (lv, pool) in vg.pools() {
        let before = observed.pools.get(&lv.name);
        if before.is_none() && pool.transaction_id != TransactionId(0) {
            // It was not looked at, and is not new.
            continue;
        }
        let stepped = stepped(plan, vg, lv);
        let state = state(observed, vg, (lv, pool), before.map(|seen| &seen.state), stepped);
        let before = observed.pools.remove(&lv.name).unwrap_or_else(|| PoolSeen {
            state: state.clone(),
            inventory: Inventory::Clean,
            making: None,
            watch: None,
            superblock: None,
            strangers: BTreeMap::new(),
        });
        let watch = watched(plan, &DmUuid::of_lv(&vg.id, &lv.id, Layer::Tpool)).or(before.watch);
        let watch = watch.filter(|_| matches!(state, PoolState::ActiveNew(_)));
        let seen = PoolSeen { state, watch, ..before };
        observed.pools.insert(lv.name.clone(), seen);
    }
}

/// The transaction id that a plan steps a pool to, if it does.
fn stepped(plan: &Plan, vg: &Vg, lv: &Lv) -> Option<TransactionId> {
    let target = DmName::of_lv(&vg.name, &lv.name, Layer::Tpool).ok()?;
    plan.steps.iter().rev().find_map(|planned| match &planned.step {
        Step::SetTransaction { tpool, to, .. } if *tpool == target => Some(*to),
        _ => None,
    })
}

/// How dmeventd is told to watch a pool's target.
fn watched(plan: &Plan, target: &DmUuid) -> Option<Registration> {
    plan.steps.iter().find_map(|planned| match &planned.step {
        Step::Watch { tpool, how, .. } if tpool == target => Some(how.clone()),
        _ => None,
    })
}

fn devices(observed: &mut Observed, steps: &[Planned]) {
    for planned in steps {
        match &planned.step {
            Step::CreateDevice(spec) => created(observed, spec),
            Step::RemoveDevice(spec) => removed(observed, spec),
            Step::ReloadDevice(spec) => {
                observed.tables.remove(&spec.uuid);
                if let Some(device) = observed.devices.get_mut(&spec.uuid) {
                    (device.inactive_table, device.live_table) = (false, true);
                    device.read_only = spec.read_only;
                }
            }
            Step::RenameDevice { from, to, .. } => {
                let uuid = observed.listed.remove(from).flatten();
                if let Some(device) = uuid.as_ref().and_then(|uuid| observed.devices.get_mut(uuid)) {
                    device.name = to.clone();
                }
                observed.listed.insert(to.clone(), uuid);
                if let Some(number) = observed.numbers.remove(&DevRef::Device(from.clone())) {
                    observed.numbers.insert(DevRef::Device(to.clone()), number);
                }
            }
            Step::Resume { name, .. } => {
                let found = observed.devices.values_mut().find(|device| device.name == *name);
                found.into_iter().for_each(|device| device.suspended = false);
            }
            Step::Apart(apart) => devices(observed, &apart.steps),
            _ => {}
        }
    }
}

fn created(observed: &mut Observed, spec: &DeviceSpec) {
    // Any number that no other device has: the real one is looked up when its turn comes.
    let number = observed.numbers.values().filter(|dev| dev.major == 0).map(|dev| dev.minor).max();
    let dev = DevNo { major: 0, minor: number.map_or(0, |last| last.saturating_add(1)) };
    let device = DeviceInfo {
        name: spec.name.clone(),
        uuid: Some(spec.uuid.clone()),
        dev,
        open_count: 0,
        suspended: false,
        read_only: spec.read_only,
        live_table: true,
        inactive_table: false,
        event_nr: 0,
    };
    observed.tables.remove(&spec.uuid);
    observed.numbers.insert(DevRef::Device(spec.name.clone()), dev);
    observed.listed.insert(spec.name.clone(), Some(spec.uuid.clone()));
    observed.devices.insert(spec.uuid.clone(), device);
    below(observed, spec, |open| open.saturating_add(1));
}

fn removed(observed: &mut Observed, spec: &DeviceSpec) {
    observed.tables.remove(&spec.uuid);
    observed.numbers.remove(&DevRef::Device(spec.name.clone()));
    observed.listed.remove(&spec.name);
    if observed.devices.remove(&spec.uuid).is_some() {
        below(observed, spec, |open| open.saturating_sub(1));
    }
}

/// Counts what has the devices below a device open.
fn below(observed: &mut Observed, spec: &DeviceSpec, count: impl Fn(u32) -> u32) {
    for name in spec.devices_below() {
        let Some(Some(uuid)) = observed.listed.get(name) else { continue };
        if let Some(device) = observed.devices.get_mut(uuid) {
            device.open_count = count(device.open_count);
        }
    }
}

/// What a pool will be like.
fn state(
    observed: &Observed,
    vg: &Vg,
    (lv, pool): (&Lv, &ThinPool),
    before: Option<&PoolState>,
    stepped: Option<TransactionId>,
) -> PoolState {
    let device = observed.device(&DmUuid::of_lv(&vg.id, &lv.id, Layer::Tpool));
    let Some(device) = device.filter(|device| device.live_table) else {
        return match before {
            Some(state @ (PoolState::Inactive(_) | PoolState::Unreadable(_))) if stepped.is_none() => {
                state.clone()
            }
            _ => PoolState::Inactive(stepped.unwrap_or(pool.transaction_id)),
        };
    };
    let status = match before {
        Some(PoolState::Active(status) | PoolState::ActiveNew(status)) => status.clone(),
        _ => PoolStatus::Working(started(vg, lv, pool)),
    };
    let status = match status {
        PoolStatus::Working(working) => {
            let transaction_id = stepped.unwrap_or(working.transaction_id);
            PoolStatus::Working(PoolWorking { transaction_id, ..changed(vg, lv, pool, working) })
        }
        failed => failed,
    };
    let is_layered = device.name.lvm_parts().is_ok_and(|parts| parts.layer.as_deref() == Some("tpool"));
    if is_layered { PoolState::Active(status) } else { PoolState::ActiveNew(status) }
}

/// A pool that is started.
fn started(vg: &Vg, lv: &Lv, pool: &ThinPool) -> PoolWorking {
    let (data, metadata) = sizes(vg, lv, pool);
    PoolWorking {
        transaction_id: pool.transaction_id,
        metadata: Usage { used: 0, total: metadata },
        data: Usage { used: 0, total: data },
        held_metadata_root: None,
        mode: PoolMode::ReadWrite,
        discards: Discards::Passdown,
        no_space: NoSpace::Queue,
        needs_check: false,
        metadata_low_water: None,
    }
}

/// A running pool as its text wants it.
fn changed(vg: &Vg, lv: &Lv, pool: &ThinPool, working: PoolWorking) -> PoolWorking {
    let (data, metadata) = sizes(vg, lv, pool);
    PoolWorking {
        metadata: Usage { total: working.metadata.total.max(metadata), ..working.metadata },
        data: Usage { total: working.data.total.max(data), ..working.data },
        no_space: if lv.has_flag(ERROR_WHEN_FULL) { NoSpace::Error } else { NoSpace::Queue },
        ..working
    }
}

/// How many chunks and blocks of metadata a pool has.
fn sizes(vg: &Vg, lv: &Lv, pool: &ThinPool) -> (u64, u64) {
    let sectors = |lv: Option<&Lv>| {
        let extents = lv.and_then(Lv::extents);
        extents.and_then(|extents| extents.to_sectors(vg.extent_size)).map_or(0, Sectors::get)
    };
    let data = sectors(Some(lv)).checked_div(pool.chunk_size.get()).unwrap_or(0);
    (data, sectors(vg.lv(&pool.metadata)) / METADATA_BLOCK_SECTORS)
}
