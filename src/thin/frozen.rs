//! The suspended window: as short as it can be, and always followed by a resume.

use std::time::Duration;

use thiserror::Error;

use crate::exec::udev_flags;
use crate::ports::Host;
use crate::stack::Role;
use dm::kernel::{DmError, Kernel, Suspend, Uevent};
use dm::name::DmName;

/// Why the window could not be opened or closed.
#[derive(Debug, Error)]
pub enum FreezeError {
    /// The process that resumes the origins if this one is killed could not be started.
    #[error("could not start the process that guards the suspended volumes")]
    Guard(#[source] std::io::Error),
    /// An origin could not be suspended.
    #[error(transparent)]
    Suspend(DmError),
    /// One origin took so long to suspend that the guard let the others go on.
    #[error("the volumes could not all be suspended within {} s, so that those that were went on", limit.as_secs())]
    TooSlow {
        /// How long the others may wait.
        limit: Duration,
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

/// Suspends all origins in this way, does `work`, and resumes them, whatever happens in between. Returns what `work`
/// answered and how long the window was open.
///
/// Inside the window there is nothing but `work`: no lock, no udev wait, no file or log I/O.
/// 1. The guard process exists before the first suspend, so that SIGKILL at any later instant still leads to a resume.
/// 2. `Window`'s drop resumes on every way out, panics included.
/// 3. A suspend flushes, and a flush can hang. From the first suspended origin on the guard counts the time: when it is
///    up before the last one is suspended, it resumes them, though this process hangs in the kernel. Before `work` it
///    is asked to hold still, and says whether it came to that.
/// 4. `work` is not timed: it is messages to the pool, and a pool that hangs in one hangs for all its volumes.
/// 5. The guard is told to stop only after all are resumed.
///
/// # Errors
/// If the window could not be opened (nothing is suspended then), or not closed.
pub fn freeze_and<T>(
    kernel: &dyn Kernel,
    host: &dyn Host,
    origins: &[DmName],
    how: Suspend,
    work: impl FnOnce() -> T,
) -> Result<(T, Option<Duration>), FreezeError> {
    if origins.is_empty() {
        return Ok((work(), None));
    }
    let mut guard = host.guard(origins).map_err(FreezeError::Guard)?;
    let start = host.now();
    let mut window = Window { kernel, suspended: Vec::with_capacity(origins.len()) };
    for origin in origins {
        if let Err(error) = kernel.suspend(origin, how) {
            // It is not suspended, and this does nothing; if it is all the same, it must not stay so.
            let unneeded = kernel.resume(origin, udev_flags(Role::Visible).event(0));
            window.close()?;
            tracing::debug!(?unneeded, "after a failed suspend");
            guard.disarm();
            return Err(FreezeError::Suspend(error));
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
        return Err(FreezeError::TooSlow { limit });
    }
    let outcome = work();
    window.close()?;
    let frozen = host.now().saturating_sub(start);
    guard.disarm();
    Ok((outcome, Some(frozen)))
}

struct Window<'a> {
    kernel: &'a dyn Kernel,
    suspended: Vec<&'a DmName>,
}

impl Window<'_> {
    /// Resumes all, the last suspended first; goes on after a failure and reports the first.
    fn close(&mut self) -> Result<(), FreezeError> {
        let mut first = Ok(());
        while let Some(device) = self.suspended.pop() {
            // Nobody waits for udev here: nothing about the device has changed.
            let event = udev_flags(Role::Visible).event(0);
            match self.kernel.resume(device, event) {
                Ok(Uevent::Sent | Uevent::NotSent) => {}
                Err(source) if first.is_ok() => {
                    first = Err(FreezeError::Resume { device: device.clone(), source })
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
