//! What the requests come to, collected before the order of steps is decided.

use std::collections::{BTreeMap, BTreeSet};

use crate::dm::name::DmName;
use crate::ids::{LvName, LvmUuid, ThinId};
use crate::lvm::edit::NewThin;
use crate::lvm::metadata::Metadata;
use crate::lvm::model::{Lv, Thin, ThinPool, Vg};
use crate::thin::observed::{Observed, PoolSeen};
use crate::thin::plan::Outcome;
use crate::thin::refusal::{Refusal, RefusalKind};
use crate::thin::stack::{DeviceSpec, Stacks};

/// A new volume, and for a snapshot what it is made from.
#[derive(Clone, Debug)]
pub(super) struct NewVolume {
    /// Its record.
    pub thin: NewThin,
    /// What a snapshot starts from.
    pub source: Option<Source>,
    /// Whether its device is to exist.
    pub activate: bool,
}

/// What a snapshot starts from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// The thin id of the origin.
    pub id: ThinId,
    /// The origin's device, if it is active and so has to be suspended.
    pub active: Option<DmName>,
}

/// A volume to be removed.
#[derive(Clone, Debug)]
pub(super) struct Removal {
    /// Its name.
    pub name: LvName,
    /// Its id.
    pub id: ThinId,
    /// Its device, if it is active.
    pub device: Option<DeviceSpec>,
}

/// The changes to one pool.
#[derive(Clone, Debug, Default)]
pub(super) struct PoolChange {
    /// New volumes and snapshots, in order of the requests.
    pub new: Vec<NewVolume>,
    /// Volumes to be removed.
    pub removals: Vec<Removal>,
    /// All ids in use or promised.
    pub taken: BTreeSet<ThinId>,
    /// The largest id in the text before the change.
    pub maximum: Option<ThinId>,
}

impl PoolChange {
    /// Whether the kernel is to make snapshots before the text names them.
    pub(super) fn has_snapshots(&self) -> bool {
        self.new.iter().any(|new| new.source.is_some())
    }
}

/// Everything the requests come to.
pub(super) struct Draft<'a> {
    /// The metadata they start from.
    pub metadata: &'a Metadata,
    /// What was seen.
    pub observed: &'a Observed,
    /// New UUIDs not used yet.
    pub uuids: std::slice::Iter<'a, LvmUuid>,
    /// Changes by pool.
    pub pools: BTreeMap<LvName, PoolChange>,
    /// Existing names that are free again because a request removes them.
    pub removed: BTreeSet<LvName>,
    /// Names that requests add, with the pool they go to.
    pub added: BTreeMap<LvName, LvName>,
    /// Existing volumes and pools to activate.
    pub activate: Vec<LvName>,
    /// Volumes and pools to deactivate.
    pub deactivate: Vec<LvName>,
    /// What each request comes to.
    pub outcomes: Vec<Outcome>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(metadata: &'a Metadata, observed: &'a Observed) -> Self {
        Self {
            metadata,
            observed,
            uuids: observed.fresh.uuids.iter(),
            pools: BTreeMap::new(),
            removed: BTreeSet::new(),
            added: BTreeMap::new(),
            activate: Vec::new(),
            deactivate: Vec::new(),
            outcomes: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn vg(&self) -> &'a Vg {
        &self.metadata.vg
    }

    pub(super) fn stacks(&self) -> Stacks<'a> {
        Stacks { vg: self.vg(), autoextend_threshold: self.observed.policy.autoextend_threshold }
    }

    /// An existing LV that no request has removed.
    pub(super) fn existing(&self, name: &LvName) -> Result<&'a Lv, Refusal> {
        let lv = self.vg().lv(name).filter(|_| !self.removed.contains(name));
        lv.ok_or_else(|| {
            Refusal::new(RefusalKind::NotFound, format!("volume {}/{name} does not exist", self.vg().name))
                .hint(format!("see 'thinvol list' or 'lvs {}' for the volumes there are", self.vg().name))
        })
    }

    /// An existing pool.
    pub(super) fn pool(&self, name: &LvName) -> Result<(&'a Lv, &'a ThinPool), Refusal> {
        let lv = self.existing(name)?;
        let pool = lv.thin_pool().ok_or_else(|| {
            Refusal::rule(format!("{}/{name} is not a thin pool", self.vg().name))
                .hint(format!("'thinvol scan lvmthin {}' lists the thin pools", self.vg().name))
        })?;
        Ok((lv, pool))
    }

    /// An existing thin volume.
    pub(super) fn thin(&self, name: &LvName) -> Result<(&'a Lv, &'a Thin), Refusal> {
        let lv = self.existing(name)?;
        let thin = lv
            .thin()
            .ok_or_else(|| Refusal::rule(format!("{}/{name} is not a thin volume", self.vg().name)))?;
        Ok((lv, thin))
    }

    /// What was seen of a pool.
    pub(super) fn seen(&self, pool: &LvName) -> Result<&'a PoolSeen, Refusal> {
        self.observed.pools.get(pool).ok_or_else(|| {
            Refusal::new(RefusalKind::Corrupt, format!("pool {}/{pool} was not looked at", self.vg().name))
        })
    }

    /// The change of a pool, started if it is the first.
    pub(super) fn change(&mut self, pool: &LvName) -> Result<&mut PoolChange, Refusal> {
        if !self.pools.contains_key(pool) {
            let mut taken: BTreeSet<ThinId> =
                self.vg().thins_of(pool).map(|(_, thin)| thin.device_id).collect();
            let maximum = taken.last().copied();
            if let Some(devices) = self.seen(pool)?.inventory.devices() {
                taken.extend(devices.keys().copied());
            }
            self.pools.insert(pool.clone(), PoolChange { taken, maximum, ..PoolChange::default() });
        }
        Ok(self.pools.entry(pool.clone()).or_default())
    }

    /// The next new UUID.
    pub(super) fn uuid(&mut self) -> Result<LvmUuid, Refusal> {
        let fresh = self.uuids.next().copied();
        fresh.ok_or_else(|| Refusal::rule("there are fewer new UUIDs than requests"))
    }
}
