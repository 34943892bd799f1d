//! What goes wrong on purpose, what was called, and what no caller may do.

use std::fmt;

use nix::errno::Errno;

use crate::kernel::Verb;
use crate::name::DmName;
use base::ids::ThinId;

/// When a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The ioctl has no effect.
    Before,
    /// The ioctl took effect, but its caller does not learn so.
    After,
}

/// What a fault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The ioctl returns this.
    Errno(Errno),
    /// The process dies: this ioctl and all later ones return ESHUTDOWN, and the later ones do nothing.
    Stop,
}

/// A planned fault. It strikes once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The only verb that counts, or any.
    pub verb: Option<Verb>,
    /// How many such ioctls from now; 1 is the next one. 0 never strikes.
    pub nth: usize,
    /// Before or after the ioctl's effect.
    pub when: When,
    /// What happens.
    pub kind: FaultKind,
}

/// One ioctl that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which.
    pub verb: Verb,
    /// On which device: a name or a uuid; empty for a list.
    pub device: String,
    /// With what: a message, a table, a new name; else empty.
    pub detail: String,
    /// What came back.
    pub result: Result<(), Errno>,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = format!("{:?}", self.verb).to_lowercase();
        write!(f, "{verb}")?;
        for word in [&self.device, &self.detail] {
            if !word.is_empty() {
                write!(f, " {word}")?;
            }
        }
        match self.result {
            Ok(()) => Ok(()),
            Err(errno) => write!(f, " -> {errno:?}"),
        }
    }
}

/// What no kernel forbids, but no caller may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A snapshot of a thin device that was in use and not suspended: it may miss writes that were under way.
    SnapshotOfLiveOrigin {
        /// The device of the origin.
        device: DmName,
        /// Its id.
        origin: ThinId,
    },
    /// A suspend or resume of a thin device whose pool is suspended: the kernel waits until the pool is
    /// resumed.
    WaitsForPool {
        /// The thin device.
        device: DmName,
    },
    /// A suspend with flush of a device that stands on a suspended one: it waits for I/O that cannot end.
    FlushOverSuspended {
        /// The device.
        device: DmName,
        /// What it stands on.
        below: DmName,
    },
    /// I/O to a device that is suspended, or that stands on one.
    IoToSuspended {
        /// The suspended device.
        device: DmName,
    },
    /// Something else was waited for while devices were suspended.
    WaitWhileSuspended {
        /// For what.
        what: String,
        /// The suspended devices.
        suspended: Vec<DmName>,
    },
    /// A device is suspended now.
    LeftSuspended {
        /// The device.
        device: DmName,
    },
    /// What only the doubles of other ports can tell.
    Other {
        /// The device.
        device: DmName,
        /// What was done to it.
        what: &'static str,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SnapshotOfLiveOrigin { device, origin } => {
                write!(f, "snapshot of thin device {origin} while {device} is live and not suspended")
            }
            Self::WaitsForPool { device } => write!(f, "{device} waits for its suspended pool"),
            Self::FlushOverSuspended { device, below } => {
                write!(f, "suspend with flush of {device}, which stands on the suspended {below}")
            }
            Self::IoToSuspended { device } => write!(f, "I/O to the suspended {device}"),
            Self::WaitWhileSuspended { what, suspended } => {
                let names: Vec<&str> = suspended.iter().map(DmName::as_str).collect();
                write!(f, "waits for {what} while suspended: {}", names.join(", "))
            }
            Self::LeftSuspended { device } => write!(f, "{device} is suspended"),
            Self::Other { device, what } => write!(f, "{device} {what}"),
        }
    }
}

/// The faults to come and the calls so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace {
    pub(super) faults: Vec<Fault>,
    pub(super) log: Vec<Call>,
    pub(super) violations: Vec<Violation>,
    pub(super) stopped: bool,
}

impl Trace {
    /// Counts a call of `verb` and gives the fault that strikes at it, if any.
    pub(super) fn next_fault(&mut self, verb: Verb) -> Option<(When, FaultKind)> {
        let mut due = None;
        self.faults.retain_mut(|fault| {
            if fault.nth == 0 || fault.verb.is_some_and(|only| only != verb) {
                return true;
            }
            fault.nth -= 1;
            if fault.nth == 0 && due.is_none() {
                due = Some((fault.when, fault.kind));
                return false;
            }
            true
        });
        due
    }

    /// A new process: it can make calls again, and nothing is planned against it.
    pub(super) fn revive(&mut self) {
        self.stopped = false;
        self.faults.clear();
    }
}
