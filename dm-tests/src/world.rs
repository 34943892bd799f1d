//! A small machine for tests of the engine: doubles at the bottom (`dm::sim`, `sys::io::mem`, a host in memory), the
//! shipped code above them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ::lvm2::format::check::check;
use ::lvm2::format::edit::MetadataHeader;
use ::lvm2::format::metadata::Metadata;
use ::lvm2::host::lock::{Locks, VgLock};
use ::lvm2::host::store::assess::VgRef;
use ::lvm2::host::store::issue::StoreIssue;
use ::lvm2::host::store::vg::VgStore;
use base::error_kind::ErrorKind;
use base::ids::{LvName, LvmUuid, VgName};
use base::units::{Bytes, Sectors};
use dm::kernel::{Kernel, UdevEvent};
use dm::name::{DmName, Layer};
use dm::sim::SimKernel;
use dm::udev::{NoSync, UdevError, UdevFlags, UdevSync};
use thin::error::EngineError;
use thin::exec::{BUSY_WAIT, Executed};
use thin::observe::Scope;
use thin::observed::Policy;
use thin::plan::Plan;
use thin::planner::Repair;
use thin::request::Request;
use thin::session::Session;

pub mod asks;
pub mod changes;
pub mod crashes;
pub mod drawn;
pub mod host;
pub mod lvm2;
pub mod machine;
pub mod reader;
pub mod recovered;
pub mod rest;
pub mod script;
pub mod state;
pub mod tape;
pub mod text;

use machine::Machine;
use reader::SimReader;
use tape::{Point, Tape};

/// What a change came to.
#[derive(Debug)]
pub struct Ran {
    /// What was mended first.
    pub repair: Repair,
    /// The plan.
    pub plan: Plan,
    /// What its execution leaves to tell.
    pub executed: Executed,
}

/// A machine with processes that work on it, one at a time.
#[derive(Debug)]
pub struct World {
    /// The machine.
    pub machine: Rc<Machine>,
    /// Settings.
    pub policy: Policy,
    /// Whether processes are recorded.
    pub record: bool,
    /// The message of each process, counted from 1, whose commit fails without a word; 0 for none.
    pub swallow: usize,
    /// A device that somebody else resumes with each message.
    pub thaw: Option<DmName>,
    points: RefCell<Vec<Point>>,
}

/// `udev`, which nobody may wait for while a device is suspended.
struct SimUdev<'a>(&'a SimKernel);

impl UdevSync for SimUdev<'_> {
    fn event(&self, touched: &[&DmName], flags: UdevFlags) -> UdevEvent {
        NoSync.event(touched, flags)
    }

    fn not_sent(&self) {}

    fn wait(&self, _: Duration) -> Result<(), UdevError> {
        self.0.waits_for("udev");
        Ok(())
    }
}

/// A fixed time and host.
pub fn metadata_header() -> MetadataHeader {
    MetadataHeader {
        description: "Write from thinvol.".into(),
        host: "node1".into(),
        uname: "Linux node1 6.1.0-56-amd64 #1 SMP PREEMPT_DYNAMIC x86_64".into(),
        time: 1_795_414_000,
        time_text: "Mon Nov 23 06:06:40 2026".into(),
    }
}

/// A folder for locks that nobody else uses, gone when dropped.
struct LockDir(PathBuf);

impl LockDir {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("thinvol-world-{}-{number}", std::process::id())))
    }
}

impl Drop for LockDir {
    fn drop(&mut self) {
        // What is left in the temporary folder harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The volume group's name.
pub fn vg_name() -> VgName {
    VgName::new(text::VG).expect("a constant name")
}

/// The name of a volume.
pub fn lv(name: &str) -> LvName {
    LvName::new(name).expect("a test gives a valid name")
}

/// The name of a volume's device.
pub fn device(name: &str) -> DmName {
    DmName::of_lv(&vg_name(), &lv(name), Layer::Plain).expect("a test gives a short name")
}

/// The name of the pool's target.
pub fn tpool() -> DmName {
    DmName::of_lv(&vg_name(), &lv(text::POOL), Layer::Tpool).expect("a constant name")
}

impl World {
    /// Processes on that machine.
    pub fn on(machine: Rc<Machine>) -> Self {
        Self {
            machine,
            policy: Policy::default(),
            record: false,
            swallow: 0,
            thaw: None,
            points: RefCell::default(),
        }
    }

    /// A machine with a fresh pool on `pvs` physical volumes; nothing is active.
    pub fn new(pvs: usize) -> Self {
        Self::on(Machine::new(pvs))
    }

    /// The same world on a machine of its own.
    pub fn fork(&self) -> Self {
        Self { policy: self.policy.clone(), ..Self::on(self.machine.fork()) }
    }

    /// The points that were recorded since the last call.
    pub fn take_points(&self) -> Vec<Point> {
        std::mem::take(&mut *self.points.borrow_mut())
    }

    /// The store of the volume group as a process opens it.
    ///
    /// # Panics
    /// If there is no volume group: no crash may go that far.
    pub fn open(&self, tape: &Rc<Tape>) -> VgStore {
        VgStore::open(tape.disks(), &VgRef::Name(vg_name())).expect("the volume group is there")
    }

    /// The metadata as it is now.
    ///
    /// # Panics
    /// If it is not valid.
    pub fn metadata(&self) -> Metadata {
        let store = self.open(&Tape::new(&self.machine, false));
        let metadata = Metadata::parse(store.text()).expect("the text is valid");
        assert_eq!(check(&metadata.vg), [], "the metadata keeps all rules");
        metadata
    }

    /// Runs one process: locks, opens, works, unlocks.
    ///
    /// # Errors
    /// Those of `work`.
    ///
    /// # Panics
    /// If the lock cannot be had.
    pub fn process<T>(
        &self,
        work: impl FnOnce(&mut Session<'_>, &VgLock) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let dir = LockDir::new();
        let locks = Locks::new(&dir.0, Duration::from_secs(10));
        let lock = locks.vg_for_write(&vg_name()).expect("nobody else has the lock");
        let tape = Tape::new(&self.machine, self.record);
        tape.swallow.set(self.swallow);
        tape.thaw.replace(self.thaw.clone());
        let mut store = self.open(&tape);
        let metadata = Metadata::parse(store.text())
            .map_err(|error| EngineError::caused(ErrorKind::Corrupt, "the text is not valid", error))?;
        let lagging = |issue: &&StoreIssue| matches!(issue, StoreIssue::Lagging { .. });
        let lagging = store.issues().iter().filter(lagging).map(ToString::to_string).collect();
        let text_limit = store.room_for(0).ok().map(|room| Bytes::new(room.limit));
        let pvs = machine::pvs(self.machine.disks.len());
        let machine = &self.machine;
        let result = work(
            &mut Session {
                kernel: tape.as_ref(),
                udev: &SimUdev(&machine.kernel),
                host: &machine.host,
                reader: &SimReader { kernel: &machine.kernel, pvs: &pvs },
                store: &mut store,
                metadata: Arc::new(metadata),
                pvs: pvs.clone(),
                text_limit,
                lagging,
                writable: true,
                policy: self.policy.clone(),
                header: metadata_header(),
                new_uuid: &|| -> LvmUuid { machine.new_uuid() },
                listed: Cell::default(),
                looked: None,
                busy_wait: BUSY_WAIT,
            },
            &lock,
        );
        self.points.borrow_mut().extend(tape.take());
        result
    }

    /// A change, as the command makes it: mends what a crash left, plans, executes.
    ///
    /// # Errors
    /// As the command would report them.
    pub fn run(&self, requests: &[Request]) -> Result<Ran, EngineError> {
        self.process(|session, lock| {
            let scope = Scope::of(&session.metadata.vg, requests);
            let repair = session.recover(&scope, lock)?;
            let plan = session.plan(requests)?;
            let executed = session.execute(&plan, lock)?;
            Ok(Ran { repair, plan, executed })
        })
    }

    /// Plans a change without making it.
    ///
    /// # Errors
    /// As the command would report them.
    pub fn plan(&self, requests: &[Request]) -> Result<Plan, EngineError> {
        self.process(|session, _| session.plan(requests))
    }

    /// `thinvol recover`.
    ///
    /// # Errors
    /// As the command would report them.
    pub fn recover(&self) -> Result<Repair, EngineError> {
        self.process(|session, lock| session.recover(&Scope::all(true), lock))
    }

    /// Writes one sector of an active volume and makes it durable.
    ///
    /// # Panics
    /// If the volume is not active or cannot be written.
    pub fn write(&self, volume: &str, sector: u64, value: u64) {
        let (kernel, device) = (&self.machine.kernel, device(volume));
        kernel.write(&device, Sectors::new(sector), value).expect("the volume can be written");
        kernel.flush(&device).expect("the volume can be flushed");
    }

    /// What the sectors of the volumes that have a device hold, of those in `sectors`.
    pub fn read_active(&self, volumes: &[LvName], sectors: &[u64]) -> BTreeMap<LvName, Vec<u64>> {
        let read = |name: &LvName| {
            let device = device(name.as_str());
            let values =
                sectors.iter().map(|sector| self.machine.kernel.read(&device, Sectors::new(*sector)));
            Some((name.clone(), values.collect::<Result<Vec<u64>, _>>().ok()?))
        };
        volumes.iter().filter_map(read).collect()
    }

    /// Whether a device of that name exists.
    pub fn exists(&self, name: &DmName) -> bool {
        self.machine.kernel.info(name).is_ok_and(|info| info.is_some())
    }
}
