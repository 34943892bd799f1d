//! Looks at everything a plan depends on: devices, pools in the kernel, and, where a crash may have left something, the
//! devices inside a pool. A look at an idle pool costs two ioctls.

use std::collections::{BTreeMap, BTreeSet};

use nix::errno::Errno;
use thiserror::Error;

use crate::observed::{Inventory, Observed, PoolSeen, PoolState};
use crate::ports::{Host, PoolReader};
use crate::request::{GrowPool, RemovePool, RepairPool, Request, SetPool};
use crate::stack::DevRef;
use base::ids::{DevNo, LvName, LvmUuid, TransactionId};
use dm::kernel::{DeviceInfo, DmError, Kernel, ListedDevice, StatusFlush};
use dm::name::{DmName, DmUuid, Layer};
use dm::status::{LineError, PoolStatus};
use lvm2::format::model::{Glance, Lv, PoolMessage, ThinPool, Vg};

mod beneath;
pub(crate) mod inside;
mod tables;

/// Why the world could not be looked at.
#[derive(Debug, Error)]
pub enum ObserveError {
    /// device-mapper refused.
    #[error(transparent)]
    Dm(#[from] DmError),
    /// The kernel's status cannot be understood.
    #[error("the status of {device} cannot be read")]
    Status {
        /// The device.
        device: DmName,
        /// Where.
        #[source]
        source: LineError,
    },
}

/// What looks.
pub struct Observer<'a> {
    /// device-mapper.
    pub kernel: &'a dyn Kernel,
    /// The host, for its marks.
    pub host: &'a dyn Host,
    /// The volume group.
    pub vg: &'a Vg,
    /// Its physical volumes that are here.
    pub pvs: &'a BTreeMap<LvmUuid, DevNo>,
    /// How pool metadata is read.
    pub reader: &'a dyn PoolReader,
}

/// How much is looked at.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    lvs: BTreeSet<LvName>,
    pools: BTreeSet<LvName>,
    /// Volumes whose tables are read.
    tables: BTreeSet<LvName>,
    /// Whether all volumes' are.
    all_tables: bool,
    /// Everything, for recovery and for reading verbs.
    all: bool,
    /// When the devices inside the pools are looked through.
    inventory: LookInside,
    /// Whether a device may be made or get another table.
    devices: bool,
    /// Whether something is planned for what is seen.
    planned: bool,
}

/// When the devices inside a pool are looked through: of a running pool that takes two messages, each of them a commit
/// of its metadata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum LookInside {
    /// Only to look: never.
    Never,
    /// Where the pool is not marked clean.
    #[default]
    IfUnclean,
    /// In any case.
    Always,
}

impl Scope {
    /// Everything of the VG.
    pub fn all(inventory: bool) -> Self {
        let all_tables = inventory;
        let inventory = if inventory { LookInside::Always } else { LookInside::IfUnclean };
        Self { all: true, all_tables, inventory, devices: all_tables, ..Self::default() }
    }

    /// Everything, for plans of changes that are not known yet.
    pub fn all_to_plan() -> Self {
        Self { all: true, all_tables: true, devices: true, planned: true, ..Self::default() }
    }

    /// The same for somebody who only reads: nothing is sent to any pool.
    #[must_use]
    pub fn without_inventory(self) -> Self {
        Self { inventory: LookInside::Never, ..self }
    }

    /// What the requests concern, and pools with a transaction that a crash left unfinished: no lock is released with
    /// messages in the text.
    pub fn of(vg: &Vg, requests: &[Request]) -> Self {
        let mut scope = Self::default();
        for (lv, pool) in vg.pools().filter(|(_, pool)| !pool.messages.is_empty()) {
            scope.pools.insert(lv.name.clone());
            scope.devices = true;
            for message in &pool.messages {
                let PoolMessage::Create(name) = message else { continue };
                // An active origin is suspended when its snapshot is made after all.
                let origin = vg.lv(name).and_then(Lv::thin).and_then(|thin| thin.origin.clone());
                scope.lvs.extend(origin);
            }
        }
        scope.devices |= requests.iter().any(makes_device);
        for request in requests {
            match request {
                Request::Create { pool, .. } => {
                    scope.pools.insert(pool.clone());
                }
                Request::Snapshot { origin: name, .. }
                | Request::Remove { name }
                | Request::Discard { name }
                | Request::Deactivate { name } => scope.add(vg, name),
                Request::Activate { name, .. }
                | Request::Resize { name, .. }
                | Request::Rename { name, .. }
                | Request::Modify { name, .. } => scope.add_with_table(vg, name),
                Request::Rollback { name, to } => {
                    scope.add(vg, to);
                    scope.add_with_table(vg, name);
                }
                Request::GrowPool(GrowPool { pool, .. }) | Request::SetPool(SetPool { pool, .. }) => {
                    scope.add_with_table(vg, pool);
                }
                Request::RemovePool(RemovePool { pool, .. }) => {
                    scope.add(vg, pool);
                    vg.thins_of(pool).for_each(|(volume, _)| scope.add(vg, &volume.name));
                }
                Request::CheckPool { pool, .. } => scope.add(vg, pool),
                Request::RepairPool(RepairPool { pool, .. }) => {
                    scope.add(vg, pool);
                    scope.lvs.extend(vg.metadata_spare().map(|spare| spare.name.clone()));
                }
                Request::ActivateAll { .. } | Request::DeactivateAll => scope.all = true,
                // What it creates is not there to be looked at.
                Request::Zero { .. } | Request::CreatePool(_) => {}
            }
        }
        scope
    }

    /// Whether that pool is looked at.
    pub fn covers(&self, pool: &LvName) -> bool {
        self.all || self.pools.contains(pool)
    }

    fn add_with_table(&mut self, vg: &Vg, name: &LvName) {
        self.add(vg, name);
        self.tables.insert(name.clone());
    }

    fn add(&mut self, vg: &Vg, name: &LvName) {
        let Some(lv) = vg.lv(name) else { return };
        if lv.thin_pool().is_some() {
            self.pools.insert(name.clone());
        }
        self.pools.extend(lv.thin().map(|thin| thin.pool.clone()));
        self.lvs.extend(lv.thin().and_then(|thin| thin.external_origin.clone()));
        self.lvs.insert(name.clone());
    }
}

impl Observer<'_> {
    /// Looks at what is in scope, given all devices there are. Policy, fresh values and the metadata areas' state are
    /// the caller's to fill in.
    ///
    /// # Errors
    /// If device-mapper does not answer.
    pub fn look(&self, scope: &Scope, listed: Vec<ListedDevice>) -> Result<Observed, ObserveError> {
        let mut observed = Observed::default();
        for pv in &self.vg.pvs {
            if let Some(dev) = self.pvs.get(&pv.id) {
                observed.numbers.insert(DevRef::Pv(pv.key.clone()), *dev);
                let read_ahead = scope.devices.then(|| self.host.read_ahead(*dev)).flatten();
                observed.read_ahead.extend(read_ahead.map(|sectors| (pv.key.clone(), sectors)));
            }
        }
        let by_uuid: BTreeMap<&DmUuid, &ListedDevice> =
            listed.iter().filter_map(|device| Some((device.uuid.as_ref()?, device))).collect();
        let externals = external_origins(self.vg);
        let active: BTreeSet<LvmUuid> =
            by_uuid.keys().filter_map(|uuid| uuid.lvm_parts().ok()).map(|parts| parts.lv).collect();
        // Of one that has no device there is nothing to be seen.
        let in_scope = |lv: &Glance<'_>| {
            active.contains(&lv.id())
                && (scope.all || LvName::new(lv.name()).is_ok_and(|name| scope.lvs.contains(&name)))
        };
        for lv in self.vg.lvs.glances().filter(in_scope).map(Glance::lv) {
            // It may have been an external origin and not be one any more.
            let real = (lv.is_visible() && lv.thin().is_none()).then_some(&Layer::Real);
            let mut has_layer = false;
            for layer in real.into_iter().chain(layers(lv)) {
                let uuid = DmUuid::of_lv(&self.vg.id, &lv.id, *layer);
                self.look_at(&by_uuid, &uuid, &mut observed)?;
                let Some(device) = observed.device(&uuid) else { continue };
                let matters = scope.all_tables || scope.tables.contains(&lv.name) || has_layer;
                if device.inactive_table || matters {
                    self.table(uuid, &mut observed)?;
                }
                has_layer |= *layer == Layer::Real && !externals.contains(&lv.name);
            }
        }
        for (lv, pool) in self.vg.pools().filter(|(lv, _)| scope.covers(&lv.name)) {
            let seen = self.pool(lv, pool, &by_uuid, scope, &mut observed)?;
            observed.pools.insert(lv.name.clone(), seen);
        }
        if scope.all || self.is_astray(scope, &by_uuid, &observed) {
            self.look_at_all(&by_uuid, &mut observed)?;
        }
        if observed.devices.values().any(|device| device.suspended) {
            observed.beneath = self.beneath(&listed)?;
        }
        for device in listed {
            observed.numbers.insert(DevRef::Device(device.name.clone()), device.dev);
            observed.listed.insert(device.name, device.uuid);
        }
        Ok(observed)
    }

    fn look_at(
        &self,
        by_uuid: &BTreeMap<&DmUuid, &ListedDevice>,
        uuid: &DmUuid,
        observed: &mut Observed,
    ) -> Result<(), ObserveError> {
        if let Some(listed) = by_uuid.get(uuid).filter(|_| !observed.devices.contains_key(uuid)) {
            // Gone since it was listed is as good as never there.
            if let Some(info) = self.kernel.info(&listed.name)? {
                observed.devices.insert(uuid.clone(), info);
            }
        }
        Ok(())
    }

    fn pool(
        &self,
        lv: &Lv,
        pool: &ThinPool,
        by_uuid: &BTreeMap<&DmUuid, &ListedDevice>,
        scope: &Scope,
        observed: &mut Observed,
    ) -> Result<PoolSeen, ObserveError> {
        let uuid = DmUuid::of_lv(&self.vg.id, &lv.id, Layer::Tpool);
        let running = match by_uuid.get(&uuid) {
            Some(listed) => self.target(&listed.name)?,
            None => None,
        };
        let mut superblock = None;
        let state = match running {
            Some((info, status)) => {
                // It may have a name of before a rename.
                let name = info.name.lvm_parts();
                let layered = name.is_ok_and(|name| name.layer.as_deref() == Some("tpool"));
                observed.devices.insert(uuid.clone(), info);
                if layered {
                    PoolState::Active(status)
                } else {
                    self.parts(pool, by_uuid, observed)?;
                    PoolState::ActiveNew(status)
                }
            }
            None => {
                self.parts(pool, by_uuid, observed)?;
                self.look_at(by_uuid, &uuid, observed)?;
                match self.reader.superblock(self.vg, pool) {
                    Ok(found) => {
                        superblock = found;
                        PoolState::Inactive(found.map_or(TransactionId(0), |found| found.transaction_id))
                    }
                    Err(error) => PoolState::Unreadable(error),
                }
            }
        };
        let matters = scope.all_tables || scope.tables.contains(&lv.name);
        if matters || self.may_differ(pool, &state, &uuid, (by_uuid, observed)) {
            self.tables_of_pool(pool, &uuid, by_uuid, observed)?;
        }
        let tpool = uuid;
        let inventory = if observed.device(&tpool).is_some_and(|device| device.suspended) {
            // A message would wait for the metadata device, in the kernel, for ever.
            Inventory::Unknown("it is suspended".into())
        } else {
            self.inventory(lv, pool, &state, by_uuid, scope)
        };
        let strangers = self.strangers(lv, by_uuid, &inventory)?;
        let making = self.host.being_made(&self.vg.pool_id(lv)).filter(|making| making.vg == self.vg.id);
        // Who only looks at a group has no plan that must have it watched on.
        let is_planned = scope.planned || !scope.all || scope.inventory != LookInside::Never;
        let is_new = matches!(state, PoolState::ActiveNew(_));
        let watch = (is_new && is_planned).then(|| self.host.watch_of(&tpool)).flatten();
        Ok(PoolSeen { state, superblock, inventory, making, watch, strangers })
    }

    /// The devices of a pool's data and metadata: of interest only where the pool's target is to be started.
    fn parts(
        &self,
        pool: &ThinPool,
        by_uuid: &BTreeMap<&DmUuid, &ListedDevice>,
        observed: &mut Observed,
    ) -> Result<(), ObserveError> {
        let parts = [&pool.metadata, &pool.data].into_iter().filter_map(|name| self.vg.lv(name));
        let parts: Vec<&Lv> = parts.collect();
        let legs = parts.iter().flat_map(|part| part.legs());
        let below = legs.flat_map(|leg| [&leg.metadata, &leg.data]).filter_map(|name| self.vg.lv(name));
        for part in below.chain(parts.iter().copied()) {
            for layer in layers(part) {
                self.look_at(by_uuid, &DmUuid::of_lv(&self.vg.id, &part.id, *layer), observed)?;
            }
        }
        Ok(())
    }

    /// The pool target's status, or nothing if it has no table yet.
    fn target(&self, name: &DmName) -> Result<Option<(DeviceInfo, PoolStatus)>, ObserveError> {
        let (info, lines) = match self.kernel.status(name, StatusFlush::NoFlush) {
            Ok(said) => said,
            // Gone since it was listed is as good as never there.
            Err(error) if error.errno == Errno::ENXIO => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Some(line) = lines.first() else { return Ok(None) };
        let status = PoolStatus::parse(&line.params)
            .map_err(|source| ObserveError::Status { device: name.clone(), source })?;
        Ok(Some((info, status)))
    }
}

/// Whether a request may make a device, or give one another table.
fn makes_device(request: &Request) -> bool {
    match request {
        Request::Create { activate, .. } | Request::Snapshot { activate, .. } => *activate,
        Request::Resize { .. }
        | Request::Modify { .. }
        | Request::Rollback { .. }
        | Request::Activate { .. }
        | Request::ActivateAll { .. }
        | Request::CreatePool(_)
        | Request::CheckPool { .. }
        | Request::RepairPool(_)
        | Request::GrowPool(_)
        | Request::SetPool(_) => true,
        Request::Remove { .. }
        | Request::RemovePool(_)
        | Request::Discard { .. }
        | Request::Zero { .. }
        | Request::Rename { .. }
        | Request::Deactivate { .. }
        | Request::DeactivateAll => false,
    }
}

fn external_origins(vg: &Vg) -> BTreeSet<&LvName> {
    vg.lvs.others().filter_map(|lv| lv.thin()?.external_origin.as_ref()).collect()
}

/// The layers in which an LV can have a device, apart from a pool's target.
fn layers(lv: &Lv) -> &'static [Layer] {
    if lv.thin_pool().is_some() {
        &[Layer::Pool]
    } else if lv.is_visible() {
        &[Layer::Plain]
    } else {
        &[Layer::Tmeta, Layer::Tdata, Layer::Plain]
    }
}
