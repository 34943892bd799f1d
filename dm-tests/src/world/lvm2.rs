//! What lvm2 does with a pool that a crash left: the rules of docs/transactions.md, "The two sides".
//!
//! Sources: lvm2 `libdm/libdm-deptree.c` (`_thin_pool_node_send_messages`), `lib/metadata/thin_manip.c`
//! (`get_free_thin_pool_device_id`, `update_thin_pool_lv`), `lib/metadata/lv_manip.c` (`_lv_create_an_lv`).

use base::ids::{ThinId, TransactionId};
use base::units::Extents;
use dm::kernel::{Kernel as _, StatusFlush, Suspend, UdevEvent};
use dm::name::{DmName, DmUuid, Layer};
use dm::sim::SimKernel;
use dm::status::PoolStatus;
use dm::table::TargetLine;
use lvm2::format::edit::{Edit, NewThin};
use lvm2::format::metadata::Metadata;
use lvm2::format::model::{Lv, PoolMessage, ThinPool, Vg};
use nix::errno::Errno;
use thin::internals::stack::{DevRef, DeviceSpec, PoolStack, Stacks};

use super::machine::{disk_number, pvs};
use super::tape::Tape;
use super::{World, lv, metadata_header};

/// The volumes that lvm2 makes.
pub const MADE: [&str; 2] = ["lvm2_new", "lvm2_snap"];

/// Runs `lvcreate -V`, then `lvcreate -s` of a volume that exists, and commits what the text says then.
///
/// # Errors
/// If lvm2 refuses, or takes over a device that holds data, or the text and the pool do not agree afterwards.
pub fn creates(world: &World) -> Result<(), String> {
    let metadata = world.metadata();
    let mut edits = Vec::new();
    // What it does in one pool does not mend another one.
    for (number, (pool_lv, pool)) in metadata.vg.pools().enumerate() {
        let tpool = DmName::of_lv(&metadata.vg.name, &pool_lv.name, Layer::Tpool);
        let tpool = tpool.map_err(|error| error.to_string())?;
        let lvm2 = Lvm2 { world, kernel: &world.machine.kernel, vg: &metadata.vg, pool: pool_lv, tpool };
        edits.push(Edit::SetPoolMessages { pool: pool_lv.name.clone(), messages: Vec::new() });
        let mut at = lvm2.settle(pool)?;
        if number == 0 {
            at = lvm2.create_both(at, &mut edits)?;
        } else if at != pool.transaction_id {
            return Err(format!("{} is at {at}, not {}", pool_lv.name, pool.transaction_id));
        }
        edits.push(Edit::SetPoolTransaction { pool: pool_lv.name.clone(), id: at });
    }
    commit(world, &metadata, &edits)
}

fn commit(world: &World, metadata: &Metadata, edits: &[Edit]) -> Result<(), String> {
    let after = metadata.apply(edits, &metadata_header()).map_err(|error| format!("{error}: {edits:?}"))?;
    for (pool, _) in after.vg.pools() {
        let tpool = DmName::of_lv(&after.vg.name, &pool.name, Layer::Tpool).map_err(|e| e.to_string())?;
        let devices = world.machine.kernel.thin_devices(&tpool).map_err(|e| e.to_string())?;
        for (volume, thin) in after.vg.thins_of(&pool.name) {
            if !devices.contains_key(&thin.device_id) {
                return Err(format!("volume {} has no device {} in its pool", volume.name, thin.device_id));
            }
        }
    }
    let mut store = world.open(&Tape::new(&world.machine, false));
    store.commit(&after.to_disk()).map(|_| ()).map_err(|error| error.to_string())
}

struct Lvm2<'a> {
    world: &'a World,
    kernel: &'a SimKernel,
    vg: &'a Vg,
    pool: &'a Lv,
    tpool: DmName,
}

impl Lvm2<'_> {
    /// `lvcreate -V` and `lvcreate -s`.
    fn create_both(&self, at: TransactionId, edits: &mut Vec<Edit>) -> Result<TransactionId, String> {
        let mut next = self.next_id()?;
        self.check_adoption(next)?;
        edits.push(self.record(MADE[0], next, at, None));
        self.send(&format!("create_thin {next}"), Some(Errno::EEXIST))?;
        let at = self.step(at)?;
        let Some((origin, thin)) = self.vg.thins_of(&self.pool.name).next() else { return Ok(at) };
        next = ThinId::new(u64::from(next.get()) + 1).map_err(|error| error.to_string())?;
        self.snapshot(origin, &format!("create_snap {next} {}", thin.device_id))?;
        edits.push(self.record(MADE[1], next, at, Some(origin)));
        self.step(at)
    }

    /// Starts the pool if it does not run, sends what is pending, and returns the transaction id that both sides have.
    fn settle(&self, pool: &ThinPool) -> Result<TransactionId, String> {
        let lv = self.pool;
        let stacks = Stacks::new(self.vg, 100);
        let stack = stacks.pool(lv, pool).map_err(|error| error.to_string())?;
        let old = DmName::of_lv(&self.vg.name, &lv.name, Layer::Plain).map_err(|error| error.to_string())?;
        let uuid = DmUuid::of_lv(&self.vg.id, &lv.id, Layer::Tpool);
        let running = self.kernel.info_by_uuid(&uuid).map_err(|error| error.to_string())?;
        match (pool.transaction_id.0, running) {
            (0, Some(device)) if device.name != old && device.live_table => {
                return Err(format!("{} runs for a pool that the text calls new", device.name));
            }
            // lvm2 takes a new pool's device away before it commits the first volume.
            (0, Some(device)) => self.did(self.kernel.remove(&device.name, UdevEvent(0)))?,
            (_, Some(device)) if device.name == old => {
                return Err(format!("{old} runs for a pool that the text calls used"));
            }
            _ => {}
        }
        self.start(&stack)?;
        let at = self.transaction()?;
        let text = pool.transaction_id;
        match text.0 {
            _ if at == text => Ok(at),
            0 => Err(format!("a new pool is at transaction {at}")),
            _ if at.next() != Some(text) => Err(format!("transaction_id is {at}, while expected {text}")),
            _ if pool.messages.is_empty() => Err(format!("unexpected transaction id {at}, not {text}")),
            _ => {
                pool.messages.iter().try_for_each(|message| self.replay(message))?;
                self.step(at)
            }
        }
    }

    fn did<T, E: ToString>(&self, result: Result<T, E>) -> Result<(), String> {
        result.map(|_| ()).map_err(|error| error.to_string())
    }

    fn start(&self, stack: &PoolStack) -> Result<(), String> {
        stack.part_devices().chain([&stack.tpool]).try_for_each(|spec| self.bring_up(spec))
    }

    fn bring_up(&self, spec: &DeviceSpec) -> Result<(), String> {
        let numbers = pvs(self.world.machine.disks.len());
        let number = |dev: &DevRef| match dev {
            DevRef::Pv(key) => {
                let id = self.vg.pv(key).map(|pv| pv.id).ok_or("no such PV")?;
                Ok(numbers.get(&id).copied().unwrap_or(disk_number(0)))
            }
            DevRef::Device(name) => match self.kernel.info(name) {
                Ok(Some(info)) => Ok(info.dev),
                _ => Err("a device below is missing"),
            },
        };
        let there = self.kernel.info(&spec.name).map_err(|error| error.to_string())?;
        let table = spec.table(number)?;
        if there.as_ref().is_some_and(|device| device.live_table) {
            // It preloads what has become longer. Source: lvm2 `libdm/libdm-deptree.c` (`dm_tree_preload_children`).
            let length = |lines: &[TargetLine]| lines.iter().map(|line| line.length.get()).sum::<u64>();
            let live = self.kernel.table(&spec.name).map_err(|error| error.to_string())?;
            if length(&live) >= length(&table.0) {
                return Ok(());
            }
        }
        if there.is_none() {
            self.did(self.kernel.create(&spec.name, &spec.uuid, spec.minor))?;
        }
        self.did(self.kernel.load(&spec.name, &table, spec.read_only))?;
        self.did(self.kernel.resume(&spec.name, UdevEvent(0)))
    }

    fn transaction(&self) -> Result<TransactionId, String> {
        let (_, lines) =
            self.kernel.status(&self.tpool, StatusFlush::Flush).map_err(|error| error.to_string())?;
        let line = lines.first().ok_or("the pool has no table")?;
        match PoolStatus::parse(&line.params).map_err(|error| error.to_string())? {
            PoolStatus::Working(working) => Ok(working.transaction_id),
            PoolStatus::Failed | PoolStatus::Error => Err("the pool has failed".into()),
        }
    }

    fn send(&self, message: &str, tolerated: Option<Errno>) -> Result<(), String> {
        match self.kernel.message(&self.tpool, message) {
            Err(error) if Some(error.errno) != tolerated => Err(error.to_string()),
            _ => Ok(()),
        }
    }

    fn step(&self, at: TransactionId) -> Result<TransactionId, String> {
        let next = at.next().ok_or("no transaction id is left")?;
        self.send(&format!("set_transaction_id {at} {next}"), None)?;
        match self.transaction()? {
            now if now == next => Ok(next),
            now => Err(format!("the transaction id is {now} after a step to {next}")),
        }
    }

    fn replay(&self, message: &PoolMessage) -> Result<(), String> {
        match message {
            PoolMessage::Delete(id) => self.send(&format!("delete {id}"), Some(Errno::ENODATA)),
            PoolMessage::Create(name) => {
                let thin = self.vg.lv(name).and_then(Lv::thin).ok_or("a message creates nothing")?;
                let origin = thin.origin.as_ref().and_then(|origin| self.vg.lv(origin)).and_then(Lv::thin);
                let id = thin.device_id;
                match origin {
                    None => self.send(&format!("create_thin {id}"), Some(Errno::EEXIST)),
                    Some(origin) => self.send(&format!("create_snap {id} {}", origin.device_id), None),
                }
            }
        }
    }

    /// The largest id in the text plus one.
    fn next_id(&self) -> Result<ThinId, String> {
        let largest = self.vg.thins_of(&self.pool.name).map(|(_, thin)| thin.device_id.get()).max();
        ThinId::new(u64::from(largest.unwrap_or(0)) + 1).map_err(|error| error.to_string())
    }

    fn check_adoption(&self, id: ThinId) -> Result<(), String> {
        let devices = self.kernel.thin_devices(&self.tpool).map_err(|error| error.to_string())?;
        match devices.get(&id) {
            Some(device) if device.mapped_blocks > 0 => {
                Err(format!("lvm2 takes over device {id} with {} chunks of data", device.mapped_blocks))
            }
            _ => Ok(()),
        }
    }

    /// A snapshot; an active origin is suspended meanwhile.
    fn snapshot(&self, origin: &Lv, message: &str) -> Result<(), String> {
        // It looks for devices by uuid: one may still have an old name.
        let uuid = DmUuid::of_lv(&self.vg.id, &origin.id, Layer::Plain);
        let active = self.kernel.info_by_uuid(&uuid).map_err(|error| error.to_string())?;
        let Some(device) = active.filter(|device| device.live_table) else { return self.send(message, None) };
        self.did(self.kernel.suspend(&device.name, Suspend::FlushAndFreeze))?;
        let sent = self.send(message, None);
        self.did(self.kernel.resume(&device.name, UdevEvent(0)))?;
        sent
    }

    fn record(&self, name: &str, id: ThinId, at: TransactionId, origin: Option<&Lv>) -> Edit {
        Edit::AddThin(NewThin {
            name: lv(name),
            id: self.world.machine.new_uuid(),
            read_only: false,
            flags: Vec::new(),
            tags: Vec::new(),
            creation_time: metadata_header().time,
            creation_host: metadata_header().host,
            extents: origin.and_then(Lv::extents).unwrap_or(Extents::new(1)),
            pool: self.pool.name.clone(),
            transaction_id: at,
            device_id: id,
            origin: origin.map(|origin| origin.name.clone()),
            external_origin: None,
        })
    }
}
