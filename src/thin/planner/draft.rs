//! The effects of the requests, collected before the order of steps is decided.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::index::{Index, OrderedNames};
use crate::observed::{Observed, PoolSeen};
use crate::plan::{Left, Outcome};
use crate::refusal::Refusal;
use crate::stack::{DeviceSpec, Stacks};
use base::error_kind::ErrorKind;
use base::ids::{LvName, LvmUuid, ThinId};
use base::units::Extents;
use dm::name::DmName;
use lvm2::format::edit::{Edit, NewThin};
use lvm2::format::metadata::Metadata;
use lvm2::format::model::{Lv, Thin, ThinPool, Vg};

/// A new volume.
#[derive(Clone, Debug)]
pub(super) struct NewVolume {
    /// Its record.
    pub thin: NewThin,
    /// Whether it starts empty, not as a snapshot.
    pub empty: bool,
    /// Whether its device is to exist.
    pub activate: bool,
}

/// A thin device that the kernel makes before the text names it.
#[derive(Clone, Debug)]
pub(super) struct Snap {
    /// Its id.
    pub id: ThinId,
    /// The id of the thin device whose content it starts with.
    pub origin: ThinId,
    /// The origin's device, if it is active and so has to be suspended.
    pub active: Option<DmName>,
    /// Whether a file system on it is to be in a clean state.
    pub freeze: bool,
}

/// A volume to be removed.
#[derive(Clone, Debug)]
pub(super) struct Removal {
    /// Its name.
    pub name: LvName,
    /// Its device, if it is active.
    pub device: Option<DeviceSpec>,
}

/// What the requests make of a volume that exists.
#[derive(Clone, Debug, Default)]
pub(super) struct Alteration {
    /// The name it gets, if it gets one.
    pub name: Option<LvName>,
    /// The size it gets, if it gets one.
    pub extents: Option<Extents>,
    /// The thin device it is rolled back to, if it is.
    pub rolled_back: Option<ThinId>,
    /// Whether its device goes before the change and comes back after it: nobody has it open.
    pub replace: bool,
}

/// The changes to one pool.
#[derive(Clone, Debug, Default)]
pub(super) struct PoolChange {
    /// New volumes and snapshots, in order of the requests.
    pub new: Vec<NewVolume>,
    /// What the kernel makes before the text names it, in order of the requests.
    pub snaps: Vec<Snap>,
    /// Volumes to be removed.
    pub removals: Vec<Removal>,
    /// Thin devices that go: those of removals, and those that a rollback replaces.
    pub deletes: Vec<ThinId>,
    /// All ids in use or promised.
    pub taken: BTreeSet<ThinId>,
    /// The largest id in the text, as far as the change has come.
    pub maximum: Option<ThinId>,
}

/// Everything the requests come to.
pub(super) struct Draft<'a> {
    /// The metadata they start from.
    pub metadata: &'a Metadata,
    /// What was seen.
    pub observed: &'a Observed,
    /// Look-ups in the metadata.
    pub index: Index<'a>,
    stacks: Rc<Stacks<'a>>,
    /// New UUIDs not used yet.
    pub uuids: std::slice::Iter<'a, LvmUuid>,
    /// Changes by pool, of those that take a transaction of the pool.
    pub pools: BTreeMap<LvName, PoolChange>,
    /// What changes in the text, in order of the requests.
    pub edits: Vec<Edit>,
    /// The same in words, of what is neither added nor removed.
    pub words: Vec<String>,
    /// Existing volumes that a request removes, by the name they have.
    pub removed: BTreeSet<LvName>,
    /// Those among them that are discarded first.
    pub discards: BTreeSet<LvName>,
    /// New volumes that are overwritten with zeros.
    pub zeroes: Vec<LvName>,
    /// Existing volumes that stay and change, by the name they have before.
    pub altered: BTreeMap<LvName, Alteration>,
    /// The names that requests give to existing volumes, with the names they have before.
    pub renamed: BTreeMap<LvName, LvName>,
    /// The renamed volumes by the name they have before, in order of the requests.
    pub renames: Vec<LvName>,
    /// Names that requests add, with the pool they go to.
    pub added: BTreeMap<LvName, LvName>,
    /// Pools that more is promised of than before.
    pub promised: BTreeSet<LvName>,
    /// Existing volumes and pools to activate, by the name they have before.
    pub activate: OrderedNames,
    /// Volumes and pools to deactivate, by the name they have before.
    pub deactivate: OrderedNames,
    /// Those of the former that only come with all of the volume group: what hinders one does not hinder the others.
    pub with_all: BTreeSet<LvName>,
    /// The place of the request to activate all, if there is one.
    pub all_up: usize,
    /// The place of the request to deactivate all, if there is one.
    pub all_down: Option<usize>,
    /// What is asked for and not even tried.
    pub left: Vec<Left>,
    /// The outcome of each request.
    pub outcomes: Vec<Outcome>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(metadata: &'a Metadata, observed: &'a Observed) -> Self {
        Self {
            metadata,
            observed,
            index: Index::of(metadata),
            stacks: Rc::new(observed.stacks(&metadata.vg)),
            uuids: observed.inputs.uuids.iter(),
            pools: BTreeMap::new(),
            edits: Vec::new(),
            words: Vec::new(),
            removed: BTreeSet::new(),
            discards: BTreeSet::new(),
            zeroes: Vec::new(),
            altered: BTreeMap::new(),
            renamed: BTreeMap::new(),
            renames: Vec::new(),
            added: BTreeMap::new(),
            promised: BTreeSet::new(),
            activate: OrderedNames::default(),
            deactivate: OrderedNames::default(),
            with_all: BTreeSet::new(),
            all_up: 0,
            all_down: None,
            left: Vec::new(),
            outcomes: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn vg(&self) -> &'a Vg {
        &self.metadata.vg
    }

    pub(super) fn stacks(&self) -> Rc<Stacks<'a>> {
        Rc::clone(&self.stacks)
    }

    /// The LV that has that name at this point of the batch, if it existed before it.
    pub(super) fn found(&self, name: &LvName) -> Option<&'a Lv> {
        if let Some(before) = self.renamed.get(name) {
            return self.index.lv(before);
        }
        let is_away = |name: &LvName| {
            self.removed.contains(name)
                || self.altered.get(name).is_some_and(|altered| altered.name.is_some())
        };
        self.index.lv(name).filter(|_| !is_away(name))
    }

    /// The same, which must exist.
    pub(super) fn existing(&self, name: &LvName) -> Result<&'a Lv, Refusal> {
        self.found(name).ok_or_else(|| {
            Refusal::new(ErrorKind::NotFound, format!("volume {}/{name} does not exist", self.vg().name))
                .hint(format!("see 'thinvol list' or 'lvs {}' for the volumes there are", self.vg().name))
        })
    }

    /// An existing LV, by the name it has before the batch.
    pub(super) fn before(&self, name: &LvName) -> Result<&'a Lv, Refusal> {
        self.index.lv(name).ok_or_else(|| {
            Refusal::new(ErrorKind::NotFound, format!("volume {}/{name} does not exist", self.vg().name))
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

    /// An existing thin volume, by the name it has before the batch.
    pub(super) fn thin_before(&self, name: &LvName) -> Result<(&'a Lv, &'a Thin), Refusal> {
        let lv = self.before(name)?;
        let thin = lv.thin();
        let thin =
            thin.ok_or_else(|| Refusal::rule(format!("{}/{name} is not a thin volume", self.vg().name)))?;
        Ok((lv, thin))
    }

    /// The size of a volume at this point of the batch.
    pub(super) fn extents(&self, lv: &Lv) -> Extents {
        let altered = self.altered.get(&lv.name).and_then(|altered| altered.extents);
        altered.or(lv.extents()).unwrap_or(Extents::ZERO)
    }

    /// The change of a volume that stays, started if it is the first.
    pub(super) fn alteration(&mut self, lv: &Lv) -> &mut Alteration {
        self.altered.entry(lv.name.clone()).or_default()
    }

    /// What was seen of a pool.
    pub(super) fn seen(&self, pool: &LvName) -> Result<&'a PoolSeen, Refusal> {
        self.observed.pools.get(pool).ok_or_else(|| {
            Refusal::new(ErrorKind::Corrupt, format!("pool {}/{pool} was not looked at", self.vg().name))
        })
    }

    /// The change of a pool, started if it is the first.
    pub(super) fn change(&mut self, pool: &LvName) -> Result<&mut PoolChange, Refusal> {
        if !self.pools.contains_key(pool) {
            let mut taken: BTreeSet<ThinId> =
                self.vg().glances_of(pool).map(|(_, thin)| thin.device_id).collect();
            let maximum = taken.last().copied();
            if let Some(devices) = self.seen(pool)?.inventory.devices() {
                taken.extend(devices.keys().copied());
            }
            self.pools.insert(pool.clone(), PoolChange { taken, maximum, ..PoolChange::default() });
        }
        Ok(self.pools.entry(pool.clone()).or_default())
    }

    /// The place of the request that speaks of that LV last.
    pub(super) fn place_of(&self, name: &LvName) -> usize {
        let mut outcomes = self.outcomes.iter().rev();
        outcomes.find(|outcome| outcome.name == *name).map_or(0, |outcome| outcome.request)
    }

    /// The next new UUID.
    pub(super) fn uuid(&mut self) -> Result<LvmUuid, Refusal> {
        let fresh = self.uuids.next().copied();
        fresh.ok_or_else(|| Refusal::rule("there are fewer new UUIDs than requests"))
    }
}
