//! A small machine for tests of the engine: doubles at the bottom (`dm::sim`, `sys::io::mem`, a host in memory), the
//! shipped code above them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use ::lvm2::format::check::check;
use ::lvm2::format::edit::MetadataHeader;
use ::lvm2::format::metadata::Metadata;
use ::lvm2::format::volume_list::VolumeLists;
use ::lvm2::host::conf::LvmConf;
use ::lvm2::host::lock::VgLock;
use ::lvm2::host::store::vg::VgStore;
use ::lvm2::host::store::vg_ref::VgRef;
use base::ids::{LvName, VgName};
use base::units::Sectors;
use dm::kernel::{Kernel, UdevEvent};
use dm::name::{DmName, Layer};
use dm::sim::SimKernel;
use dm::udev::{Missing, NoSync, Udev, UdevError, UdevFlags, UdevSync};
use thin::EngineError;
use thin::Plan;
use thin::internals::ports::Host as _;
use thin::internals::request::Request;
use thin::internals::session::Session;
use thin::{Engine, EnginePorts, Report, Settings};

pub mod asks;
pub mod changes;
pub mod crashes;
pub mod disks;
pub mod drawn;
pub mod host;
pub mod lines;
pub mod lvm2;
pub mod machine;
pub mod place;
mod pool_blocks;
pub mod recovered;
pub mod rest;
pub mod script;
pub mod state;
pub mod tape;
pub mod text;

use disks::SimDisks;
use machine::Machine;
use tape::{Point, Tape};

/// A machine with processes that work on it, one at a time.
#[derive(Debug)]
pub struct World {
    /// The machine.
    pub machine: Rc<Machine>,
    /// The configuration of LVM.
    pub conf: LvmConf,
    /// Whether processes are recorded.
    pub record: bool,
    /// The message of each process, counted from 1, whose commit fails without an error; 0 for none.
    pub swallow: usize,
    /// A device that another process resumes at each message.
    pub thaw: Option<DmName>,
    points: RefCell<Vec<Point>>,
}

/// udev; to wait for it while a device is suspended is a violation.
#[derive(Debug)]
struct SimUdev(Rc<SimKernel>);

impl Udev for SimUdev {
    fn sync<'k>(&self, _: &'k dyn Kernel) -> Box<dyn UdevSync + 'k> {
        Box::new(SimSync(Rc::clone(&self.0)))
    }

    fn missing(&self) -> Option<Missing> {
        None
    }
}

struct SimSync(Rc<SimKernel>);

impl UdevSync for SimSync {
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
    ///
    /// # Panics
    /// If the defaults of the configuration cannot be read.
    pub fn on(machine: Rc<Machine>) -> Self {
        let top = machine.tree.path();
        let mut conf = LvmConf::defaults(&top.join("etc/lvm")).expect("nothing is configured");
        conf.devices.dir = top.join("dev");
        conf.devices.scan = vec![top.join("dev")];
        conf.global.locking_dir = top.join("run/lock");
        (conf.backup.backup, conf.backup.archive) = (false, false);
        Self { machine, conf, record: false, swallow: 0, thaw: None, points: RefCell::default() }
    }

    /// A machine with a fresh pool on `pvs` physical volumes; nothing is active.
    pub fn new(pvs: usize) -> Self {
        Self::on(Machine::new(pvs))
    }

    /// The same world on a machine of its own.
    pub fn fork(&self) -> Self {
        Self { conf: self.conf.clone(), ..Self::on(self.machine.fork()) }
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

    /// The lists of volumes in lvm.conf that decide about activation.
    pub fn lists(&self) -> VolumeLists {
        let activation = &self.conf.activation;
        VolumeLists {
            allowed: activation.volume_list.clone(),
            automatic: activation.auto_activation_volume_list.clone(),
            read_only: activation.read_only_volume_list.clone(),
            host_tags: self.conf.tags.of_host(&self.machine.host.name()),
        }
    }

    /// The threshold at which pools are extended, in percent.
    pub fn threshold(&self) -> u32 {
        u32::try_from(self.conf.activation.thin_pool_autoextend_threshold).unwrap_or(100)
    }

    /// Runs one process: an engine of its own over this machine's ports.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn process<T>(&self, work: impl FnOnce(&Engine) -> Result<T, EngineError>) -> Result<T, EngineError> {
        let tape = Tape::new(&self.machine, self.record);
        tape.swallow.set(self.swallow);
        tape.thaw.replace(self.thaw.clone());
        let kernel: Rc<dyn Kernel> = Rc::<Tape>::clone(&tape);
        let ports = EnginePorts {
            conf: self.conf.clone(),
            kernel,
            udev: Rc::new(SimUdev(Rc::clone(&self.machine.kernel))),
            host: Rc::new(self.machine.host.clone()),
            roots: self.machine.tree.roots(),
            disks: Rc::new(SimDisks(Rc::clone(&tape))),
            notes: None,
        };
        let mut settings = Settings::new("thinvol");
        settings.lock_timeout = Duration::from_secs(10);
        settings.system_dir = self.machine.tree.path().join("etc/lvm");
        let result = Engine::over(ports, settings).and_then(|engine| work(&engine));
        self.points.borrow_mut().extend(tape.take());
        result
    }

    /// Works step by step in one session.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn session<T>(
        &self,
        work: impl FnOnce(&mut Session<'_>, &VgLock) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        self.process(|engine| engine.in_session(&vg_name(), work))
    }

    /// A change, as the command makes it: mends what a crash left, plans, executes.
    ///
    /// # Errors
    /// As the command would report them.
    pub fn run(&self, requests: &[Request]) -> Result<Report, EngineError> {
        self.process(|engine| engine.apply_requests(&vg_name(), requests))
    }

    /// Plans a change without making it.
    ///
    /// # Errors
    /// As the command would report them.
    pub fn plan(&self, requests: &[Request]) -> Result<Plan, EngineError> {
        Ok(self.process(|engine| engine.plan_requests(&vg_name(), requests))?.plan)
    }

    /// `thinvol recover`.
    ///
    /// # Errors
    /// As the command would report them.
    pub fn recover(&self) -> Result<Report, EngineError> {
        self.process(|engine| engine.recover(&vg_name()))
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
