//! Counts the verbs that go to a kernel, for the bench and for diagnostics.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::{DeviceInfo, DmError, Kernel, ListedDevice, StatusFlush, Suspend, UdevEvent, Uevent, Verb};
use crate::name::{DmName, DmUuid};
use crate::table::{Table, TargetLine};
use base::ids::DevNo;

/// A kernel that counts. Each call is one, failed or not; a list that has to grow its buffer is still one.
#[derive(Debug)]
pub struct Counting<K: ?Sized> {
    counts: RefCell<BTreeMap<Verb, u64>>,
    kernel: Rc<K>,
}

impl<K> Counting<K> {
    /// Starts at zero.
    pub fn new(kernel: K) -> Self {
        Self::over(Rc::new(kernel))
    }
}

impl<K: ?Sized> Counting<K> {
    /// Starts at zero, over a kernel that others may use, too.
    pub fn over(kernel: Rc<K>) -> Self {
        Self { counts: RefCell::default(), kernel }
    }

    /// How often each verb was used; verbs that were not are absent.
    pub fn counts(&self) -> BTreeMap<Verb, u64> {
        self.counts.borrow().clone()
    }

    /// How many verbs were used in all.
    pub fn total(&self) -> u64 {
        self.counts.borrow().values().sum()
    }

    /// Starts again at zero.
    pub fn reset(&self) {
        self.counts.borrow_mut().clear();
    }

    /// The kernel behind.
    pub fn inner(&self) -> &K {
        &self.kernel
    }

    fn count(&self, verb: Verb) -> &K {
        *self.counts.borrow_mut().entry(verb).or_default() += 1;
        &self.kernel
    }
}

impl<K: Kernel + ?Sized> Kernel for Counting<K> {
    fn info(&self, name: &DmName) -> Result<Option<DeviceInfo>, DmError> {
        self.count(Verb::Info).info(name)
    }

    fn info_by_uuid(&self, uuid: &DmUuid) -> Result<Option<DeviceInfo>, DmError> {
        self.count(Verb::Info).info_by_uuid(uuid)
    }

    fn list(&self) -> Result<Vec<ListedDevice>, DmError> {
        self.count(Verb::List).list()
    }

    fn create(&self, name: &DmName, uuid: &DmUuid, minor: Option<u32>) -> Result<DevNo, DmError> {
        self.count(Verb::Create).create(name, uuid, minor)
    }

    fn load(&self, name: &DmName, table: &Table, read_only: bool) -> Result<(), DmError> {
        self.count(Verb::Load).load(name, table, read_only)
    }

    fn clear(&self, name: &DmName) -> Result<(), DmError> {
        self.count(Verb::Clear).clear(name)
    }

    fn suspend(&self, name: &DmName, how: Suspend) -> Result<(), DmError> {
        self.count(Verb::Suspend).suspend(name, how)
    }

    fn resume(&self, name: &DmName, udev: UdevEvent) -> Result<Uevent, DmError> {
        self.count(Verb::Resume).resume(name, udev)
    }

    fn remove(&self, name: &DmName, udev: UdevEvent) -> Result<Uevent, DmError> {
        self.count(Verb::Remove).remove(name, udev)
    }

    fn rename(&self, name: &DmName, new: &DmName, udev: UdevEvent) -> Result<Uevent, DmError> {
        self.count(Verb::Rename).rename(name, new, udev)
    }

    fn message(&self, name: &DmName, message: &str) -> Result<(), DmError> {
        self.count(Verb::Message).message(name, message)
    }

    fn table(&self, name: &DmName) -> Result<Vec<TargetLine>, DmError> {
        self.count(Verb::Table).table(name)
    }

    fn status(&self, name: &DmName, flush: StatusFlush) -> Result<(DeviceInfo, Vec<TargetLine>), DmError> {
        self.count(Verb::Status).status(name, flush)
    }

    fn deps(&self, name: &DmName) -> Result<Vec<DevNo>, DmError> {
        self.count(Verb::Deps).deps(name)
    }
}
