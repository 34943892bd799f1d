//! The suspended window: as short as possible, and always followed by a resume.

use std::time::Duration;

use nix::errno::Errno;
use thiserror::Error;

use crate::ports::Host;
use crate::stack::Role;
use crate::udev_role::udev_flags;
use dm::kernel::{DmError, Kernel, Suspend, Uevent};
use dm::name::DmName;
use lvm2::host::lock::VgLock;

/// Why the window could not be opened or closed.
#[derive(Debug, Error)]
pub enum SuspendError {
    /// The process that resumes the origins if this one is killed could not be started.
    #[error("could not start the process that guards the suspended volumes")]
    Guard(#[source] std::io::Error),
    /// An origin could not be suspended, or not be looked at.
    #[error(transparent)]
    Suspend(DmError),
    /// One origin took so long to suspend that the guard let the others go on.
    #[error("the volumes could not all be suspended within {} s, so that those that were went on", limit.as_secs())]
    TooSlow {
        /// How long the others may wait.
        limit: Duration,
    },
    /// Somebody else let an origin go on.
    #[error("volume {device} went on meanwhile: somebody else resumed it")]
    Thawed {
        /// The device.
        device: DmName,
    },
    /// A table waits in an origin, which a resume would put in place; it is dropped.
    #[error(
        "somebody else loaded another table into {device} meanwhile; it was dropped, the volume goes on as before"
    )]
    Waiting {
        /// The device.
        device: DmName,
    },
    /// An origin could not be resumed: I/O to it waits.
    #[error("volume {device} is left suspended: I/O to it waits")]
    Resume {
        /// The device.
        device: DmName,
        /// What the kernel said.
        #[source]
        source: DmError,
    },
}

/// A window that was opened and closed.
#[derive(Debug)]
pub struct Closed<T> {
    /// What the work in it answered.
    pub outcome: T,
    /// How long it was open, if anything was suspended.
    pub open: Option<Duration>,
    /// Origins whose file systems somebody else kept frozen, or was freezing.
    pub frozen_already: Vec<DmName>,
}

/// Suspends all origins, does `work`, and resumes them, whatever happens in between.
///
/// In the window only `work` is done and the origins are checked: no lock, no udev wait, no file or log I/O.
/// 1. The guard process exists before the first suspend, so that SIGKILL at any later instant still leads to a resume.
///    It keeps the lock until then, so that the next process never finds devices that a guard is about to resume.
/// 2. `Window`'s drop resumes on every way out, panics included.
/// 3. A suspend flushes, and a flush can hang. From the first suspended origin on the guard counts the time: if the
///    last one is not suspended in time, it resumes them all, even while this process hangs in the kernel. Before
///    `work` it is asked to stop counting, and answers whether it has resumed.
/// 4. Before and after `work` the origins are looked at: each is suspended, and no table waits in it. If an
///    origin ran in between, its snapshot does not show one instant: an error.
/// 5. `work` is not timed: it is messages to the pool, and a pool that hangs in one hangs for all its volumes.
/// 6. The guard is told to stop only after all are resumed.
///
/// # Errors
/// If the window could not be opened (nothing is suspended then), did not stay open, or could not be closed.
pub fn with_suspended<T>(
    kernel: &dyn Kernel,
    host: &dyn Host,
    lock: &VgLock,
    (origins, how): (&[DmName], Suspend),
    work: impl FnOnce() -> T,
) -> Result<Closed<T>, SuspendError> {
    if origins.is_empty() {
        return Ok(Closed { outcome: work(), open: None, frozen_already: Vec::new() });
    }
    let mut guard = host.guard(origins, lock).map_err(SuspendError::Guard)?;
    let start = host.now();
    let mut window = Window { kernel, suspended: Vec::with_capacity(origins.len()), waiting: Vec::new() };
    let mut frozen_already = Vec::new();
    for origin in origins {
        match suspend(kernel, origin, how) {
            Ok(Freezing::AsAsked) => {}
            Ok(Freezing::BySomebodyElse) => frozen_already.push(origin.clone()),
            Err(error) => {
                let unneeded = let_go_on(kernel, origin);
                window.close()?;
                tracing::debug!(?unneeded, "after a failed suspend");
                guard.disarm();
                return Err(SuspendError::Suspend(error));
            }
        }
        window.suspended.push(origin);
        if window.suspended.len() == 1 && origins.len() > 1 {
            guard.start_clock();
        }
    }
    if origins.len() > 1
        && let Err(limit) = guard.hold()
    {
        window.close()?;
        return Err(SuspendError::TooSlow { limit });
    }
    let done = window.look().map(|()| work()).and_then(|outcome| window.look().map(|()| outcome));
    window.close()?;
    let frozen = host.now().saturating_sub(start);
    guard.disarm();
    Ok(Closed { outcome: done?, open: Some(frozen), frozen_already })
}

/// Who froze the file system on an origin.
enum Freezing {
    /// The suspend, if it was to.
    AsAsked,
    /// Somebody else, as a backup's hook does.
    BySomebodyElse,
}

/// Suspends one origin. A file system that is frozen already cannot be frozen again, and need not: the suspend leaves
/// it alone then. Source: Linux `fs/super.c` (`freeze_super`: EBUSY), `drivers/md/dm.c` (`lock_fs`).
fn suspend(kernel: &dyn Kernel, origin: &DmName, how: Suspend) -> Result<Freezing, DmError> {
    match kernel.suspend(origin, how) {
        Ok(()) => Ok(Freezing::AsAsked),
        Err(error) if error.errno == Errno::EBUSY && how == Suspend::FlushAndFreeze => {
            kernel.suspend(origin, Suspend::Flush).map(|()| Freezing::BySomebodyElse)
        }
        Err(error) => Err(error),
    }
}

/// After a suspend that failed the device is not suspended; if it is all the same, it must not stay so. Only then: a
/// resume would put a waiting table in place.
fn let_go_on(kernel: &dyn Kernel, origin: &DmName) -> Result<(), DmError> {
    let Some(device) = kernel.info(origin)?.filter(|device| device.suspended) else { return Ok(()) };
    if device.inactive_table {
        kernel.clear(origin)?;
    }
    kernel.resume(origin, udev_flags(Role::Visible).unwatched()).map(|_| ())
}

struct Window<'a> {
    kernel: &'a dyn Kernel,
    suspended: Vec<&'a DmName>,
    /// Those in which a table was seen waiting.
    waiting: Vec<&'a DmName>,
}

impl Window<'_> {
    /// Whether all are suspended, and would go on as they were.
    fn look(&mut self) -> Result<(), SuspendError> {
        let mut first = Ok(());
        for origin in &self.suspended {
            let device = self.kernel.info(origin).map_err(SuspendError::Suspend)?;
            let waits = device.as_ref().is_some_and(|device| device.inactive_table);
            let found = match device {
                Some(device) if device.suspended && !waits => Ok(()),
                Some(device) if device.suspended => Err(SuspendError::Waiting { device: device.name }),
                _ => Err(SuspendError::Thawed { device: (*origin).clone() }),
            };
            if waits {
                self.waiting.push(origin);
            }
            first = first.and(found);
        }
        first
    }

    /// Resumes all, the last suspended first; goes on after a failure and reports the first.
    fn close(&mut self) -> Result<(), SuspendError> {
        let mut first = Ok(());
        while let Some(device) = self.suspended.pop() {
            // Nobody waits for udev here: nothing about the device has changed.
            let event = udev_flags(Role::Visible).unwatched();
            let cleared = if self.waiting.contains(&device) { self.kernel.clear(device) } else { Ok(()) };
            match cleared.and_then(|()| self.kernel.resume(device, event)) {
                Ok(Uevent::Sent | Uevent::NotSent) => {}
                Err(source) if first.is_ok() => {
                    first = Err(SuspendError::Resume { device: device.clone(), source })
                }
                Err(_) => {}
            }
        }
        first
    }
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "after a panic");
        }
    }
}
