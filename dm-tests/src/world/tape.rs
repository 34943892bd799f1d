//! Records what a crash would find: the machine after every ioctl that changes something and after every write and
//! flush.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use base::ids::DevNo;
use base::units::Bytes;
use dm::kernel::{DeviceInfo, DmError, Kernel, ListedDevice, StatusFlush, Suspend, UdevEvent, Uevent};
use dm::name::{DmName, DmUuid};
use dm::sim::SimKernel;
use dm::table::{Table, TargetLine};
use nix::sys::signal::{SigSet, Signal};
use sys::io::block::BlockDev;
use sys::io::mem::disk::MemDisk;
use sys::io::mem::image::Image;

use super::host::HostState;
use super::machine::Machine;

/// The machine at one instant.
#[derive(Debug)]
pub struct Point {
    /// After what.
    pub after: String,
    /// The kernel.
    pub kernel: SimKernel,
    /// What reads of the disks give.
    pub images: Vec<Image>,
    /// How many writes and flushes were begun.
    pub at: usize,
    /// The host.
    pub host: HostState,
    /// How many UUIDs were made.
    pub uuids: u32,
}

/// The recorder of one machine; it can be off.
#[derive(Debug)]
pub struct Tape {
    machine: Rc<Machine>,
    points: Option<RefCell<Vec<Point>>>,
    /// The message, counted from 1, whose commit fails without a word; 0 for none.
    pub swallow: Cell<usize>,
    /// A device that somebody else resumes with each message.
    pub thaw: RefCell<Option<DmName>>,
    /// What this process has suspended.
    asleep: RefCell<BTreeSet<DmName>>,
}

impl Tape {
    /// A recorder that records, or only passes on.
    pub fn new(machine: &Rc<Machine>, on: bool) -> Rc<Self> {
        let tape = Self {
            machine: Rc::clone(machine),
            points: on.then(RefCell::default),
            swallow: Cell::new(0),
            thaw: RefCell::default(),
            asleep: RefCell::default(),
        };
        tape.mark(|| "the beginning".into());
        Rc::new(tape)
    }

    /// What was recorded.
    pub fn take(&self) -> Vec<Point> {
        self.points.as_ref().map(|points| std::mem::take(&mut *points.borrow_mut())).unwrap_or_default()
    }

    fn mark(&self, after: impl FnOnce() -> String) {
        let Some(points) = &self.points else { return };
        let machine = &self.machine;
        points.borrow_mut().push(Point {
            after: after(),
            kernel: machine.kernel.as_ref().clone(),
            images: machine.images(),
            at: machine.timeline.now(),
            host: machine.host.state(),
            uuids: machine.uuids.get(),
        });
    }

    fn did<T>(&self, result: Result<T, DmError>) -> Result<T, DmError> {
        self.mark(|| self.machine.kernel.log().last().map(ToString::to_string).unwrap_or_default());
        result
    }

    /// The model of the kernel, of which nothing is recorded.
    pub fn kernel(&self) -> &SimKernel {
        &self.machine.kernel
    }

    /// The rules of a suspended window, which begins here or grows: no signal may end it, a guard process stands by,
    /// and counts the time from the first device of several on.
    fn look_at_suspend(&self, name: &DmName) {
        let held_off = SigSet::thread_get_mask().is_ok_and(|mask| mask.contains(Signal::SIGTERM));
        let host = self.machine.host.state();
        let broken = [
            (!held_off, "is suspended, and a signal can end the process"),
            (!host.armed.contains(name), "is suspended, and no guard stands by"),
            (
                !self.kernel().suspended().is_empty() && !host.counts,
                "is suspended, and nobody counts the time",
            ),
        ];
        for (_, what) in broken.iter().filter(|(broken, _)| *broken) {
            self.kernel().violated(name, what);
        }
    }

    /// Within the window nothing happens but messages, looks at its devices and resumes: no read, no other ioctl.
    pub fn look_at_window(&self, what: &'static str) {
        for device in self.asleep.borrow().iter() {
            self.kernel().violated(device, what);
        }
    }

    /// What udev's rules are told of a device: of a layer of a pool, to make nothing of it; of a thin volume, that it
    /// is one. Source: lvm2 `libdm/libdevmapper.h` (`DM_UDEV_*`); the numbers seen on the wire.
    fn look_at_flags(&self, name: &DmName, udev: UdevEvent) {
        const LAYER: u32 = 0x6e;
        const VOLUME: u32 = 0x60;
        /// A pool without volumes yet: its target is in the device that users see.
        const NEW_POOL: u32 = 0x6c;
        let Some((uuid, targets)) = self.kernel().known_of(name) else { return };
        let of_lv = uuid.as_str().strip_prefix("LVM-").unwrap_or_default();
        // The ids of the group and of the volume are 32 characters each.
        let is_layer = of_lv.len() > 64;
        let is_thin = targets.iter().any(|target| target == "thin");
        let wrong = match udev.0 >> 16 {
            // Without a table nobody hears of it.
            _ if targets.is_empty() => false,
            LAYER => !is_layer && is_thin,
            VOLUME => is_layer,
            NEW_POOL => !of_lv.ends_with("-tpool") || name.as_str().ends_with("-tpool"),
            _ => is_layer || is_thin,
        };
        if wrong {
            self.kernel().violated(name, "is shown to udev as another kind of device than it is");
        }
    }

    /// A disk, recorded.
    pub fn disk(self: &Rc<Self>, place: usize) -> Option<Box<dyn BlockDev>> {
        let disk = self.machine.disks.get(place)?;
        Some(Box::new(TapedDisk { disk: Arc::clone(disk), tape: Rc::clone(self) }))
    }

    /// The disks, recorded.
    pub fn disks(self: &Rc<Self>) -> Vec<Box<dyn BlockDev>> {
        (0..self.machine.disks.len()).filter_map(|place| self.disk(place)).collect()
    }
}

/// Verbs that only look are not recorded: the point before them is the same.
impl Kernel for Tape {
    fn info(&self, name: &DmName) -> Result<Option<DeviceInfo>, DmError> {
        self.kernel().info(name)
    }

    fn info_by_uuid(&self, uuid: &DmUuid) -> Result<Option<DeviceInfo>, DmError> {
        self.look_at_window("is suspended, and its process does something else");
        self.kernel().info_by_uuid(uuid)
    }

    fn list(&self) -> Result<Vec<ListedDevice>, DmError> {
        self.look_at_window("is suspended, and its process does something else");
        self.kernel().list()
    }

    fn create(&self, name: &DmName, uuid: &DmUuid, minor: Option<u32>) -> Result<DevNo, DmError> {
        self.look_at_window("is suspended, and its process does something else");
        self.did(self.kernel().create(name, uuid, minor))
    }

    fn load(&self, name: &DmName, table: &Table, read_only: bool) -> Result<(), DmError> {
        self.look_at_window("is suspended, and its process does something else");
        self.did(self.kernel().load(name, table, read_only))
    }

    fn clear(&self, name: &DmName) -> Result<(), DmError> {
        self.did(self.kernel().clear(name))
    }

    fn suspend(&self, name: &DmName, how: Suspend) -> Result<(), DmError> {
        self.look_at_suspend(name);
        let done = self.kernel().suspend(name, how);
        if done.is_ok() {
            self.asleep.borrow_mut().insert(name.clone());
        }
        self.did(done)
    }

    fn resume(&self, name: &DmName, udev: UdevEvent) -> Result<Uevent, DmError> {
        self.look_at_flags(name, udev);
        let done = self.kernel().resume(name, udev);
        self.asleep.borrow_mut().remove(name);
        self.did(done)
    }

    fn remove(&self, name: &DmName, udev: UdevEvent) -> Result<Uevent, DmError> {
        self.look_at_window("is suspended, and its process does something else");
        self.look_at_flags(name, udev);
        self.did(self.kernel().remove(name, udev))
    }

    fn rename(&self, name: &DmName, new: &DmName, udev: UdevEvent) -> Result<Uevent, DmError> {
        self.look_at_window("is suspended, and its process does something else");
        self.look_at_flags(name, udev);
        self.did(self.kernel().rename(name, new, udev))
    }

    fn message(&self, name: &DmName, message: &str) -> Result<(), DmError> {
        if self.machine.host.state().counts {
            self.kernel().violated(name, "is told something while the guard may resume its volumes");
        }
        if let Some(thawed) = &*self.thaw.borrow() {
            // One that cannot be resumed has not gone on.
            let _ = self.kernel().resume(thawed, UdevEvent(0));
        }
        if self.swallow.get() == 1 {
            // A message to what is no pool has no commit to fail.
            let _ = self.kernel().fail_commits(name, 1);
        }
        self.swallow.set(self.swallow.get().saturating_sub(1));
        self.did(self.kernel().message(name, message))
    }

    fn table(&self, name: &DmName) -> Result<Vec<TargetLine>, DmError> {
        self.look_at_window("is suspended, and its process does something else");
        self.kernel().table(name)
    }

    fn status(&self, name: &DmName, flush: StatusFlush) -> Result<(DeviceInfo, Vec<TargetLine>), DmError> {
        self.look_at_window("is suspended, and its process does something else");
        self.kernel().status(name, flush)
    }

    fn deps(&self, name: &DmName) -> Result<Vec<DevNo>, DmError> {
        self.look_at_window("is suspended, and its process does something else");
        self.kernel().deps(name)
    }
}

/// A disk whose writes and flushes are recorded, and are a violation while anything is suspended.
struct TapedDisk {
    disk: Arc<MemDisk>,
    tape: Rc<Tape>,
}

impl BlockDev for TapedDisk {
    fn name(&self) -> String {
        self.disk.name()
    }

    fn size(&self) -> Bytes {
        self.disk.size()
    }

    fn block_size(&self) -> u32 {
        self.disk.block_size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.tape.look_at_window("is suspended, and its process reads metadata");
        self.disk.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        self.tape.kernel().waits_for("a write of metadata");
        let result = self.disk.write_at(offset, buf);
        self.tape.mark(|| format!("write {}: {} bytes at {offset}", self.disk.name(), buf.len()));
        result
    }

    fn flush(&self) -> io::Result<()> {
        self.tape.kernel().waits_for("a flush of metadata");
        let result = self.disk.flush();
        self.tape.mark(|| format!("flush {}", self.disk.name()));
        result
    }
}
