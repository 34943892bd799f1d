//! The host of the small machine: marks that a killed process leaves and a crash of the machine does not, a check of
//! pool metadata that fails on demand, and the process that resumes devices when its parent dies.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use base::ids::{DevNo, LvmUuid, PoolId, ThinId};
use base::units::{Bytes, Sectors};
use dm::kernel::{Kernel as _, UdevEvent};
use dm::name::{DmName, DmUuid};
use dm::sim::SimKernel;
use lvm2::format::edit::MetadataHeader;
use lvm2::format::monitoring::Registration;
use lvm2::host::lock::VgLock;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use thin::internals::making::Making;
use thin::internals::ports::{
    CheckFailure, Guard, HeldDevice, Holders, Host, MarkFailure, MetadataTools as _,
};
use thin::internals::stack::ReadAhead;

use super::metadata_header;
use super::text::uuid;

mod tools;

/// What the host remembers and how it behaves.
#[derive(Clone, Debug, Default)]
pub struct HostState {
    /// Pools that are marked clean.
    pub clean: BTreeSet<PoolId>,
    /// What is being made in pools.
    pub making: BTreeMap<PoolId, Making>,
    /// Pools that are marked as being read.
    pub reading: BTreeSet<PoolId>,
    /// Devices that the guard process would resume; nothing if there is none.
    pub armed: Vec<DmName>,
    /// Whether the guard process counts the time.
    pub counts: bool,
    /// Whether the time to suspend all origins is over before all are.
    pub is_slow: bool,
    /// A device that the guard of a dead process resumes when all are suspended.
    pub thaws: Option<DmName>,
    /// What `thin_check` complains of, if it does.
    pub check_fails: Option<String>,
    /// What `thin_repair` complains of, if it does.
    pub repair_fails: Option<String>,
    /// A thin device that it does not find.
    pub repair_loses: Option<ThinId>,
    /// Whether marks cannot be taken away.
    pub marks_stick: bool,
    /// How often pool metadata was checked.
    pub checks: usize,
    /// The clock.
    pub clock: Duration,
    /// How many pieces of volumes may be discarded or zeroed before the disks fail.
    pub pieces_that_work: Option<usize>,
    /// How many before the user asks to stop.
    pub pieces_before_stop: Option<usize>,
    /// How often it is asked if the user wants to stop before the user does.
    pub asks_before_stop: Option<usize>,
    /// What dmeventd watches, and how, if it runs.
    pub watched: Option<BTreeMap<DmUuid, Registration>>,
    /// How often it was told to watch.
    pub registrations: usize,
    /// A device that a process has open, and when it lets go of it. Any other is held for good.
    pub lets_go: Option<(DmName, Duration)>,
}

/// The host.
#[derive(Clone, Debug)]
pub struct SimHost {
    kernel: Rc<SimKernel>,
    state: Rc<RefCell<HostState>>,
    uuids: Rc<Cell<u32>>,
}

impl SimHost {
    /// A host in that state, on that kernel, that has made so many UUIDs.
    pub fn new(kernel: Rc<SimKernel>, state: HostState, uuids: Rc<Cell<u32>>) -> Self {
        Self { kernel, state: Rc::new(RefCell::new(state)), uuids }
    }

    /// Its state now.
    pub fn state(&self) -> HostState {
        self.state.borrow().clone()
    }

    /// Changes its state.
    pub fn set(&self, change: impl FnOnce(&mut HostState)) {
        change(&mut self.state.borrow_mut());
    }
}

/// What the guard process does when its parent is gone.
pub fn resume_all(kernel: &SimKernel, devices: &[DmName]) {
    let suspended = kernel.suspended();
    for name in devices.iter().filter(|name| suspended.contains(name)) {
        // One that cannot be resumed shows as a violation afterwards. A table that waits is dropped.
        let _ = kernel.clear(name);
        let _ = kernel.resume(name, UdevEvent(0));
    }
}

struct SimGuard {
    kernel: Rc<SimKernel>,
    state: Rc<RefCell<HostState>>,
}

impl Guard for SimGuard {
    fn start_clock(&mut self) {
        self.state.borrow_mut().counts = true;
    }

    fn hold(&mut self) -> Result<(), Duration> {
        self.state.borrow_mut().counts = false;
        if let Some(thawed) = self.state.borrow_mut().thaws.take() {
            resume_all(&self.kernel, &[thawed]);
        }
        if !self.state.borrow().is_slow {
            return Ok(());
        }
        let armed = std::mem::take(&mut self.state.borrow_mut().armed);
        resume_all(&self.kernel, &armed);
        Err(Duration::from_secs(20))
    }

    fn disarm(self: Box<Self>) {
        let mut state = self.state.borrow_mut();
        state.armed.clear();
        state.counts = false;
    }
}

impl Drop for SimGuard {
    fn drop(&mut self) {
        let armed = std::mem::take(&mut self.state.borrow_mut().armed);
        self.state.borrow_mut().counts = false;
        resume_all(&self.kernel, &armed);
    }
}

/// A device that is open for this process.
struct SimHeld {
    kernel: Rc<SimKernel>,
    state: Rc<RefCell<HostState>>,
    name: DmName,
}

impl SimHeld {
    fn piece(&self) -> Result<(), Errno> {
        self.kernel.waits_for("a disk that discards or zeroes");
        if self.kernel.stopped() {
            return Err(Errno::ESHUTDOWN);
        }
        let mut state = self.state.borrow_mut();
        if let Some(left) = &mut state.pieces_before_stop {
            *left = left.saturating_sub(1);
        }
        match &mut state.pieces_that_work {
            Some(0) => Err(Errno::EIO),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn sectors(bytes: u64) -> Sectors {
    Bytes::new(bytes).to_sectors_ceil()
}

impl HeldDevice for SimHeld {
    fn discard(&self, start: u64, length: u64) -> Result<(), Errno> {
        self.piece()?;
        self.kernel.discard(&self.name, sectors(start), sectors(length))
    }

    fn zero(&self, start: u64, length: u64) -> Result<(), Errno> {
        self.piece()?;
        let (start, length) = (sectors(start).get(), sectors(length).get());
        (start..start + length).try_for_each(|sector| self.kernel.write(&self.name, Sectors::new(sector), 0))
    }

    fn sync(&self) -> Result<(), Errno> {
        self.kernel.flush(&self.name)
    }
}

impl Drop for SimHeld {
    fn drop(&mut self) {
        // It is gone with a machine that stopped.
        let _ = self.kernel.close(&self.name);
    }
}

impl Host for SimHost {
    fn mark_dirty(&self, pool: &PoolId, making: Option<&Making>) -> Result<(), MarkFailure> {
        if self.state.borrow().marks_stick {
            let source = io::Error::from(Errno::EROFS);
            return Err(MarkFailure { path: format!("/run/thinvol/clean-{}", pool.lv.compact()), source });
        }
        self.kernel.waits_for("the mark of a pool");
        let mut state = self.state.borrow_mut();
        state.clean.remove(pool);
        state.making.remove(pool);
        state.making.extend(making.map(|making| (*pool, making.clone())));
        Ok(())
    }

    fn mark_clean(&self, pool: &PoolId) -> Result<(), MarkFailure> {
        self.kernel.waits_for("the mark of a pool");
        let mut state = self.state.borrow_mut();
        state.clean.insert(*pool);
        state.making.remove(pool);
        Ok(())
    }

    fn being_made(&self, pool: &PoolId) -> Option<Making> {
        self.state.borrow().making.get(pool).cloned()
    }

    fn is_clean(&self, pool: &PoolId) -> bool {
        self.state.borrow().clean.contains(pool)
    }

    fn mark_reading(&self, pool: &PoolId) -> Result<(), MarkFailure> {
        self.state.borrow_mut().reading.insert(*pool);
        Ok(())
    }

    fn mark_read(&self, pool: &PoolId) -> Result<(), MarkFailure> {
        self.state.borrow_mut().reading.remove(pool);
        Ok(())
    }

    fn is_reading(&self, pool: &PoolId) -> bool {
        self.state.borrow().reading.contains(pool)
    }

    fn thin_check(&self, tmeta: &DmName, dev: DevNo) -> Result<Vec<String>, CheckFailure> {
        self.kernel.waits_for("thin_check");
        self.state.borrow_mut().checks += 1;
        self.check_all(tmeta, dev).map(|()| Vec::new())
    }

    fn guard(&self, devices: &[DmName], _: &VgLock) -> io::Result<Box<dyn Guard>> {
        self.kernel.waits_for("a new process");
        self.state.borrow_mut().armed = devices.to_vec();
        Ok(Box::new(SimGuard { kernel: Rc::clone(&self.kernel), state: Rc::clone(&self.state) }))
    }

    fn holders(&self, dev: DevNo) -> Holders {
        let names = vec![format!("a process that has {dev} open")];
        Holders { names, stay: self.state.borrow().lets_go.is_none() }
    }

    fn watch_of(&self, device: &DmUuid) -> Option<Registration> {
        self.state.borrow().watched.as_ref()?.get(device).cloned()
    }

    fn watch(&self, device: &DmUuid, how: &Registration) -> io::Result<()> {
        self.kernel.waits_for("dmeventd");
        let mut state = self.state.borrow_mut();
        if let Some(watched) = &mut state.watched {
            watched.insert(device.clone(), how.clone());
            state.registrations += 1;
        }
        Ok(())
    }

    fn size(&self, dev: DevNo) -> Option<Sectors> {
        self.kernel.size_of(dev)
    }

    fn read_ahead(&self, _: DevNo) -> Option<Sectors> {
        None
    }

    fn set_read_ahead(&self, _: DevNo, _: ReadAhead) -> io::Result<()> {
        self.kernel.waits_for("sysfs");
        Ok(())
    }

    fn zero_disk(&self, dev: DevNo, start: Bytes, length: Bytes) -> Result<(), Errno> {
        self.kernel.waits_for("a disk that is zeroed");
        if self.kernel.stopped() {
            return Err(Errno::ESHUTDOWN);
        }
        if self.state.borrow().pieces_that_work == Some(0) {
            return Err(Errno::EIO);
        }
        self.kernel.zero_disk(dev, sectors(start.get()), sectors(length.get()));
        Ok(())
    }

    fn hold_alone(&self, dev: DevNo) -> Result<Box<dyn HeldDevice>, Errno> {
        let name = self.kernel.name_of(dev).ok_or(Errno::ENXIO)?;
        self.kernel.open(&name)?;
        Ok(Box::new(SimHeld { kernel: Rc::clone(&self.kernel), state: Rc::clone(&self.state), name }))
    }

    fn name(&self) -> String {
        metadata_header().host
    }

    fn metadata_header(&self, _: &str) -> MetadataHeader {
        metadata_header()
    }

    fn new_uuid(&self) -> LvmUuid {
        self.uuids.set(self.uuids.get() + 1);
        uuid(b'n' - b'a' + 10, self.uuids.get())
    }

    fn stop_asked(&self) -> Option<Signal> {
        let mut state = self.state.borrow_mut();
        let is_asked = state.pieces_before_stop == Some(0) || state.asks_before_stop == Some(0);
        state.asks_before_stop = state.asks_before_stop.map(|left| left.saturating_sub(1));
        is_asked.then_some(Signal::SIGINT)
    }

    fn now(&self) -> Duration {
        let mut state = self.state.borrow_mut();
        state.clock += Duration::from_micros(50);
        state.clock
    }

    fn pause(&self, time: Duration) {
        self.kernel.waits_for("a busy device");
        let mut state = self.state.borrow_mut();
        state.clock += time;
        let now = state.clock;
        if let Some((name, _)) = state.lets_go.take_if(|(_, at)| *at <= now) {
            // It may be gone by now, which is a way to let go of it.
            let _ = self.kernel.close(&name);
        }
    }
}
