//! The devices: names, tables in their two slots, suspend and resume.
//!
//! Source: Linux `drivers/md/dm-ioctl.c` (`dev_create`, `dev_remove`, `do_suspend`, `do_resume`,
//! `table_load`),
//! `drivers/md/dm.c` (`dm_suspend`, `dm_resume`, `dm_swap_table`).

use std::collections::{BTreeMap, BTreeSet};

use nix::errno::Errno;

use super::faults::{Trace, Violation};
use super::metadata::{SimThinDevice, Store, StoreKey};
use super::pool::Pool;
use super::targets::Loaded;
use super::{Crash, DM_MAJOR};
use crate::kernel::{Suspend, Uevent};
use crate::name::{DmName, DmUuid};
use base::ids::{DevNo, ThinId};

/// One device.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) name: DmName,
    pub(super) uuid: Option<DmUuid>,
    pub(super) openers: u32,
    pub(super) suspended: bool,
    pub(super) read_only: bool,
    pub(super) event_nr: u32,
    /// Whether a table was ever loaded: only then does the block device exist, and send uevents.
    pub(super) announced: bool,
    pub(super) live: Option<Loaded>,
    pub(super) inactive: Option<Loaded>,
}

impl Device {
    /// The tables in both slots.
    pub(super) fn tables(&self) -> impl Iterator<Item = &Loaded> {
        self.live.iter().chain(&self.inactive)
    }

    fn uevent(&self) -> Uevent {
        if self.announced { Uevent::Sent } else { Uevent::NotSent }
    }
}

/// The whole machine.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) disks: BTreeMap<DevNo, u64>,
    pub(super) discard_disks: BTreeSet<DevNo>,
    pub(super) content: BTreeMap<(DevNo, u64), u64>,
    pub(super) stores: BTreeMap<StoreKey, Store>,
    pub(super) devices: BTreeMap<u32, Device>,
    by_name: BTreeMap<DmName, u32>,
    by_uuid: BTreeMap<DmUuid, u32>,
    pub(super) pools: BTreeMap<u32, Pool>,
    /// Devices that fail what is written to them.
    pub(super) refusing: BTreeSet<u32>,
    pub(super) trace: Trace,
}

/// The number of the device with this minor.
pub(super) fn dm_dev(minor: u32) -> DevNo {
    DevNo { major: DM_MAJOR, minor }
}

impl World {
    pub(super) fn find(&self, name: &DmName) -> Result<u32, Errno> {
        self.by_name.get(name).copied().ok_or(Errno::ENXIO)
    }

    pub(super) fn find_uuid(&self, uuid: &DmUuid) -> Option<u32> {
        self.by_uuid.get(uuid).copied()
    }

    /// A device as its users open it: the kernel makes the block device when a table is loaded.
    pub(super) fn node(&self, name: &DmName) -> Result<u32, Errno> {
        let minor = self.find(name)?;
        if self.device(minor)?.announced { Ok(minor) } else { Err(Errno::ENOENT) }
    }

    pub(super) fn device(&self, minor: u32) -> Result<&Device, Errno> {
        self.devices.get(&minor).ok_or(Errno::ENXIO)
    }

    pub(super) fn device_mut(&mut self, minor: u32) -> Result<&mut Device, Errno> {
        self.devices.get_mut(&minor).ok_or(Errno::ENXIO)
    }

    /// The minor of a device of ours, or `None` for a disk.
    pub(super) fn minor_of(dev: DevNo) -> Option<u32> {
        (dev.major == DM_MAJOR).then_some(dev.minor)
    }

    /// Whether there is such a block device. Source: Linux `drivers/md/dm.c` (`dm_setup_md_queue`), since
    /// 5.15.
    pub(super) fn exists(&self, dev: DevNo) -> bool {
        match Self::minor_of(dev) {
            Some(minor) => self.devices.get(&minor).is_some_and(|device| device.announced),
            None => self.disks.contains_key(&dev),
        }
    }

    /// The size of a block device in sectors; 0 without a live table.
    pub(super) fn size_of(&self, dev: DevNo) -> u64 {
        match Self::minor_of(dev) {
            Some(minor) => self.devices.get(&minor).and_then(|d| d.live.as_ref()).map_or(0, Loaded::length),
            None => self.disks.get(&dev).copied().unwrap_or(0),
        }
    }

    /// Openers of a device: processes, and each device whose tables refer to it, once for each mode of
    /// opening.
    pub(super) fn open_count(&self, minor: u32) -> Result<u32, Errno> {
        let dev = dm_dev(minor);
        let mut count = self.device(minor)?.openers;
        for holder in self.devices.values() {
            let modes: BTreeSet<bool> = holder.tables().filter_map(|table| table.opens(dev)).collect();
            count = count.saturating_add(u32::try_from(modes.len()).unwrap_or(u32::MAX));
        }
        Ok(count)
    }

    pub(super) fn create(
        &mut self,
        name: &DmName,
        uuid: &DmUuid,
        minor: Option<u32>,
    ) -> Result<DevNo, Errno> {
        /// One more than the largest minor number.
        const MINORS: u32 = 1 << 20;
        if minor.is_some_and(|minor| minor >= MINORS) {
            return Err(Errno::EINVAL);
        }
        if self.by_name.contains_key(name) || self.by_uuid.contains_key(uuid) {
            return Err(Errno::EBUSY);
        }
        let mut wanted = minor.map_or(0..MINORS, |minor| minor..minor + 1);
        let minor = wanted.find(|minor| !self.devices.contains_key(minor)).ok_or(Errno::EBUSY)?;
        self.devices.insert(
            minor,
            Device {
                name: name.clone(),
                uuid: Some(uuid.clone()),
                openers: 0,
                suspended: false,
                read_only: false,
                event_nr: 0,
                announced: false,
                live: None,
                inactive: None,
            },
        );
        self.by_name.insert(name.clone(), minor);
        self.by_uuid.insert(uuid.clone(), minor);
        Ok(dm_dev(minor))
    }

    pub(super) fn rename(&mut self, name: &DmName, new: &DmName) -> Result<Uevent, Errno> {
        if self.by_name.contains_key(new) {
            return Err(Errno::EBUSY);
        }
        let minor = self.find(name)?;
        self.by_name.remove(name);
        self.by_name.insert(new.clone(), minor);
        let device = self.device_mut(minor)?;
        device.name = new.clone();
        if device.live.is_some() {
            device.event_nr += 1;
        }
        Ok(device.uevent())
    }

    pub(super) fn remove(&mut self, minor: u32) -> Result<Uevent, Errno> {
        if self.open_count(minor)? > 0 {
            return Err(Errno::EBUSY);
        }
        let device = self.devices.remove(&minor).ok_or(Errno::ENXIO)?;
        self.refusing.remove(&minor);
        self.by_name.remove(&device.name);
        if let Some(uuid) = &device.uuid {
            self.by_uuid.remove(uuid);
        }
        self.drop_unused_pools();
        Ok(device.uevent())
    }

    pub(super) fn clear(&mut self, minor: u32) -> Result<(), Errno> {
        self.device_mut(minor)?.inactive = None;
        self.drop_unused_pools();
        Ok(())
    }

    pub(super) fn suspend(&mut self, minor: u32, how: Suspend) -> Result<(), Errno> {
        if self.device(minor)?.suspended {
            return Ok(());
        }
        self.wait_for_pool(minor)?;
        if how != Suspend::HoldBack
            && let Some(below) = self.suspended_below(minor)
        {
            let device = self.device(minor)?.name.clone();
            self.trace.violations.push(Violation::FlushOverSuspended { device, below });
        }
        self.device_mut(minor)?.suspended = true;
        if let Some(pool) = self.live_pool(minor) {
            pool.suspended = true;
            self.commit(minor);
        }
        Ok(())
    }

    pub(super) fn resume(&mut self, minor: u32) -> Result<Uevent, Errno> {
        if self.device(minor)?.inactive.is_some() || self.device(minor)?.suspended {
            self.wait_for_pool(minor)?;
        }
        if let Some(table) = self.device_mut(minor)?.inactive.take() {
            // The kernel suspends with flush here unless told otherwise; with no live table there is nothing
            // to flush.
            self.suspend(minor, Suspend::HoldBack)?;
            if !self.fits(&table) {
                self.drop_unused_pools();
                return Err(Errno::EINVAL);
            }
            let device = self.device_mut(minor)?;
            device.read_only = table.read_only;
            device.live = Some(table);
            self.drop_unused_pools();
        }
        let device = self.device(minor)?;
        if !device.suspended {
            return Ok(Uevent::NotSent);
        }
        if device.live.is_none() {
            return Err(Errno::EINVAL);
        }
        self.pool_preresume(minor)?;
        self.device_mut(minor)?.suspended = false;
        if let Some(pool) = self.live_pool(minor) {
            pool.suspended = false;
        }
        Ok(Uevent::Sent)
    }

    /// A suspend or resume of a thin device waits while its pool is suspended; the model does not wait.
    fn wait_for_pool(&mut self, minor: u32) -> Result<(), Errno> {
        if !self.held_by_pool(minor)? {
            return Ok(());
        }
        let device = self.device(minor)?.name.clone();
        self.trace.violations.push(Violation::WaitsForPool { device });
        Err(Errno::EINTR)
    }

    /// Whether a pool that is suspended holds this thin device back.
    pub(super) fn held_by_pool(&self, minor: u32) -> Result<bool, Errno> {
        let mut thins = self.device(minor)?.tables().flat_map(Loaded::thins);
        Ok(thins.any(|thin| {
            Self::minor_of(thin.pool)
                .and_then(|pool| self.pools.get(&pool))
                .is_some_and(|pool| pool.suspended)
        }))
    }

    /// The first suspended device that `minor` stands on, not itself.
    pub(super) fn suspended_below(&self, minor: u32) -> Option<DmName> {
        let mut open: Vec<u32> = vec![minor];
        let mut seen = BTreeSet::from([minor]);
        while let Some(next) = open.pop() {
            let device = self.devices.get(&next)?;
            if next != minor && device.suspended {
                return Some(device.name.clone());
            }
            let below = device.live.iter().flat_map(Loaded::devices).filter_map(Self::minor_of);
            open.extend(below.filter(|minor| seen.insert(*minor)));
        }
        None
    }

    /// Whether a device, or one that it stands on, fails what is written to it.
    pub(super) fn refuses_writes(&self, dev: DevNo) -> bool {
        let Some(minor) = Self::minor_of(dev) else { return false };
        let below = self.devices.get(&minor).and_then(|device| device.live.as_ref());
        self.refusing.contains(&minor)
            || below.is_some_and(|live| live.devices().any(|lower| self.refuses_writes(lower)))
    }

    pub(super) fn suspended(&self) -> Vec<DmName> {
        self.devices.values().filter(|d| d.suspended).map(|d| d.name.clone()).collect()
    }

    pub(super) fn waits_for(&mut self, what: &str) {
        let suspended = self.suspended();
        if !suspended.is_empty() {
            self.trace.violations.push(Violation::WaitWhileSuspended { what: what.to_owned(), suspended });
        }
    }

    pub(super) fn violations(&self) -> Vec<Violation> {
        let left = self.suspended().into_iter().map(|device| Violation::LeftSuspended { device });
        self.trace.violations.iter().cloned().chain(left).collect()
    }

    pub(super) fn committed_devices(&self, key: StoreKey) -> BTreeMap<ThinId, SimThinDevice> {
        let devices = self.stores.get(&key).map(|store| &store.committed.devices);
        let known = devices.into_iter().flatten();
        known.filter_map(|(id, device)| Some((ThinId::new(u64::from(*id)).ok()?, device.into()))).collect()
    }

    pub(super) fn crash(&mut self, how: Crash) {
        let running: Vec<u32> = self.pools.keys().copied().collect();
        for minor in running {
            if how == Crash::KeepUncommitted {
                self.commit(minor);
            }
        }
        for store in self.stores.values_mut() {
            store.forget();
        }
        self.pools.clear();
        self.devices.clear();
        self.refusing.clear();
        self.by_name.clear();
        self.by_uuid.clear();
        self.trace.revive();
    }
}
