//! Watches all pools of this machine, and extends those that fill up.
//!
//! One thread, and nothing to do while nothing happens: device-mapper says through its control node when something
//! happens to any device (a pool comes to its low water mark, runs out of space, changes its state). Which one it was
//! is seen in the list of devices. Once in a while all pools are looked at whatever was heard: metadata that fills up
//! is announced too late by the kernel. What a pool's text says is read again when something happens to the pool, once
//! a minute, and before anything is done to it.

mod hook;
mod pool;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use thiserror::Error;

use self::hook::Hook;
use self::pool::{Surroundings, Watched};
use crate::engine::Settings;
use crate::error::EngineError;
use crate::host::STATE_DIR;
use base::ids::{LvName, VgName};
use dm::ioctl::LinuxDm;
use dm::kernel::{DmError, Kernel, ListedDevice};
use dm::name::DmUuid;
use sys::io::lock_holders;
use sys::memory::Protected;
use sys::notify::Notifier;

/// How often all pools are looked at, whatever is heard.
const LOOK: Duration = Duration::from_secs(10);

/// How long the lock of a volume group is waited for: other pools wait meanwhile, and it is tried again.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// The lock of the one monitor of this machine.
const LOCK_NAME: &str = "monitor.lock";

/// Who monitors the pools of this machine, if anybody does.
pub fn monitors() -> Vec<lock_holders::Holder> {
    lock_holders::find(Path::new("/proc"), &[&Path::new(STATE_DIR).join(LOCK_NAME)])
}

/// What the uuid of a pool's target ends with.
const TPOOL: &str = "-tpool";

/// What is asked of a monitor.
#[derive(Clone, Debug, Default)]
pub struct MonitorOptions {
    /// A program that is told what happens.
    pub hook: Option<PathBuf>,
    /// Whether pools that dmeventd watches are taken from it.
    pub take_over: bool,
}

/// Why monitoring ended, or did not begin.
#[derive(Debug, Error)]
pub enum MonitorError {
    /// There is one already.
    #[error("pools are monitored already{holders}")]
    Running {
        /// By whom.
        holders: String,
    },
    /// device-mapper cannot be listened to.
    #[error("device-mapper cannot be used")]
    Open(#[from] dm::ioctl::OpenError),
    /// device-mapper does not answer.
    #[error("device-mapper does not answer")]
    Dm(#[from] DmError),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The system.
    #[error("cannot {doing}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// The system's error.
        source: Errno,
    },
}

/// A monitor that has begun.
pub struct Monitor {
    settings: Settings,
    options: MonitorOptions,
    kernel: LinuxDm,
    signals: SignalFd,
    notifier: Notifier,
    hook: Hook,
    pools: BTreeMap<DmUuid, Watched>,
    stopped: bool,
    /// The pool it has to extend may be the one its own program lies on.
    _protected: Protected,
    lock: Flock<File>,
}

impl Monitor {
    /// Becomes the monitor. Signals that end it are held off from here on.
    ///
    /// # Errors
    /// If there is one already, or the kernel cannot be listened to.
    pub fn start(settings: Settings, options: MonitorOptions) -> Result<Self, MonitorError> {
        let lock = lock()?;
        let ends: SigSet =
            [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT].into_iter().collect();
        let system = |doing| move |source| MonitorError::System { doing, source };
        ends.thread_block().map_err(system("hold signals off"))?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&ends, flags).map_err(system("listen to signals"))?;
        Ok(Self {
            settings: Settings { lock_timeout: LOCK_WAIT, ..settings },
            hook: Hook::new(options.hook.clone()),
            options,
            kernel: LinuxDm::open()?,
            signals,
            notifier: Notifier::from_environment(),
            pools: BTreeMap::new(),
            stopped: false,
            _protected: Protected::new(Path::new("/proc")),
            lock,
        })
    }

    /// Looks at all pools once and does what they need.
    ///
    /// # Errors
    /// If device-mapper does not answer.
    pub fn once(mut self) -> Result<(), MonitorError> {
        self.look(true)?;
        self.hook.finish();
        Ok(())
    }

    /// Watches until a signal comes.
    ///
    /// # Errors
    /// If device-mapper does not answer.
    pub fn run(mut self) -> Result<(), MonitorError> {
        let mut next_look = Instant::now();
        let mut is_ready = false;
        loop {
            // Before the look: what happens after it is heard.
            self.kernel.arm()?;
            let is_time = Instant::now() >= next_look;
            self.look(is_time)?;
            if is_time {
                next_look = Instant::now() + self.interval();
                let count = self.pools.len();
                self.notifier.say(&format!("STATUS={count} pools are watched\nWATCHDOG=1"));
            }
            if !is_ready {
                // For people: who holds it is seen by the lock itself.
                let pid = format!("{}\n", std::process::id());
                let written = self.lock.set_len(0).and_then(|()| self.lock.write_all(pid.as_bytes()));
                tracing::debug!(?written, "all pools are watched");
                self.notifier.say("READY=1");
                is_ready = true;
            }
            if self.is_stopped() {
                self.notifier.say("STOPPING=1");
                return Ok(());
            }
            self.wait(next_look)?;
        }
    }

    fn interval(&self) -> Duration {
        self.notifier.watchdog_interval().map_or(LOOK, |interval| interval.min(LOOK))
    }

    fn is_stopped(&self) -> bool {
        self.stopped || self.signals.read_signal().ok().flatten().is_some()
    }

    /// Waits for something to happen, or for the time of the next look.
    fn wait(&self, until: Instant) -> Result<(), MonitorError> {
        let left = until.saturating_duration_since(Instant::now());
        // Not before it: rounded up.
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        let events = PollFlags::POLLIN;
        let mut heard = [PollFd::new(self.kernel.as_fd(), events), PollFd::new(self.signals.as_fd(), events)];
        match poll(&mut heard, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(source) => Err(MonitorError::System { doing: "wait for events", source }),
        }
    }

    /// Looks at the pools that something has happened to, or at all.
    fn look(&mut self, all: bool) -> Result<(), MonitorError> {
        let listed = self.kernel.list()?;
        let pools: Vec<(&ListedDevice, &DmUuid)> = listed.iter().filter_map(as_pool).collect();
        self.pools.retain(|uuid, _| pools.iter().any(|(_, listed)| *listed == uuid));
        for (device, uuid) in pools {
            let happened = self.pools.get(uuid).is_none_or(|pool| pool.event_nr != device.event_nr);
            if happened || all {
                self.look_at(device, uuid, happened);
            }
        }
        Ok(())
    }

    /// Looks at one pool. What goes wrong with it is told, and the others are looked at all the same.
    fn look_at(&mut self, device: &ListedDevice, uuid: &DmUuid, happened: bool) {
        let Some((vg, name)) = names(device) else { return };
        let mut pool = self.pools.remove(uuid).unwrap_or_else(|| Watched::new(vg, name));
        pool.event_nr = device.event_nr;
        let (kernel, settings) = (&self.kernel, &self.settings);
        let with = Surroundings { kernel, settings, options: &self.options, hook: &self.hook };
        self.stopped |= pool.look(device, uuid, happened, &with);
        self.pools.insert(uuid.clone(), pool);
    }
}

/// A device that is the target of a pool of LVM's.
fn as_pool(device: &ListedDevice) -> Option<(&ListedDevice, &DmUuid)> {
    let uuid = device.uuid.as_ref()?;
    let parts = uuid.lvm_parts().ok()?;
    (parts.suffix == TPOOL).then_some((device, uuid))
}

/// The group and the pool that a target is called by, with its layer or, before the first volume, without.
fn names(device: &ListedDevice) -> Option<(VgName, LvName)> {
    let parts = device.name.lvm_parts().ok()?;
    Some((parts.vg, parts.lv))
}

/// Only one monitor extends pools.
fn lock() -> Result<Flock<File>, MonitorError> {
    let system = |doing| {
        move |error: std::io::Error| MonitorError::System {
            doing,
            source: Errno::from_raw(error.raw_os_error().unwrap_or(0)),
        }
    };
    let dir = Path::new(STATE_DIR);
    std::fs::create_dir_all(dir).map_err(system("make /run/thinvol"))?;
    let path = dir.join(LOCK_NAME);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(system("open the lock of the monitor"))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => {
            let holders = lock_holders::find(Path::new("/proc"), &[&path]);
            MonitorError::Running { holders: lock_holders::shown(&holders) }
        }
        source => MonitorError::System { doing: "lock the monitor", source },
    })
}
