//! System V semaphores, as libdevmapper and `dmsetup udevcomplete` use them to wait for udev.

use std::io;
use std::time::{Duration, Instant};

use devicemapper_sys::{GETVAL, SETVAL, semun};
use nix::errno::Errno;

/// How a wait for zero ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zero {
    /// The value is zero.
    Reached,
    /// Someone removed the semaphore, as `dmsetup udevcomplete_all` does: nobody will count it down any more.
    Removed,
    /// The time is over.
    TimedOut,
}

/// A set of one semaphore, made here and removed from the system on drop.
#[derive(Debug)]
pub struct Semaphore {
    id: libc::c_int,
}

unsafe extern "C" {
    // Absent from the libc crate; glibc and musl both have it.
    fn semtimedop(
        id: libc::c_int,
        ops: *mut libc::sembuf,
        count: libc::size_t,
        limit: *const libc::timespec,
    ) -> libc::c_int;
}

impl Semaphore {
    /// Makes the semaphore `key`, which must not exist, with the value 1, for this user alone.
    ///
    /// # Errors
    /// EEXIST if the key is taken, ENOSPC or ENOMEM at the system's limits.
    pub fn create(key: i32) -> Result<Self, Errno> {
        // SAFETY: semget takes no pointer.
        let id = unsafe { libc::semget(key, 1, libc::IPC_CREAT | libc::IPC_EXCL | 0o600) };
        let made = Self { id: Errno::result(id)? };
        // SAFETY: SETVAL reads the `val` of the union and no pointer.
        Errno::result(unsafe { libc::semctl(made.id, 0, SETVAL, semun { val: 1 }) })?;
        Ok(made)
    }

    /// Adds one.
    ///
    /// # Errors
    /// ERANGE at the largest value, EIDRM or EINVAL if the semaphore is gone.
    pub fn add(&self) -> Result<(), Errno> {
        self.operate(1, None)
    }

    /// Takes one away, without waiting.
    ///
    /// # Errors
    /// EAGAIN if the value is zero, EIDRM or EINVAL if the semaphore is gone.
    pub fn subtract(&self) -> Result<(), Errno> {
        self.operate(-1, Some(Duration::ZERO))
    }

    /// The value.
    ///
    /// # Errors
    /// EIDRM or EINVAL if the semaphore is gone.
    pub fn value(&self) -> Result<u32, Errno> {
        // SAFETY: GETVAL takes no argument and no pointer.
        let value = Errno::result(unsafe { libc::semctl(self.id, 0, GETVAL) })?;
        u32::try_from(value).map_err(|_| Errno::ERANGE)
    }

    /// Waits until the value is zero, at most for `limit`. Signals do not end the wait.
    ///
    /// # Errors
    /// What semtimedop says beyond the ends of [`Zero`].
    pub fn wait_zero(&self, limit: Duration) -> Result<Zero, Errno> {
        let start = Instant::now();
        loop {
            let left = limit.saturating_sub(start.elapsed());
            match self.operate(0, Some(left)) {
                Ok(()) => return Ok(Zero::Reached),
                // semtimedop is never restarted after a signal, nor after stop and continue: signal(7).
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(Zero::TimedOut),
                Err(Errno::EIDRM | Errno::EINVAL) => return Ok(Zero::Removed),
                Err(errno) => return Err(errno),
            }
        }
    }

    /// One operation; `limit` bounds the wait, `None` is for operations that never wait.
    fn operate(&self, operation: i16, limit: Option<Duration>) -> Result<(), Errno> {
        let no_wait = if limit.is_none_or(|limit| limit.is_zero()) { libc::IPC_NOWAIT } else { 0 };
        let flags = i16::try_from(no_wait).map_err(|_| Errno::EINVAL)?;
        let mut operation = libc::sembuf { sem_num: 0, sem_op: operation, sem_flg: flags };
        let limit = timespec(limit.unwrap_or_default());
        // SAFETY: both pointers are to live locals, one operation is given as the count says.
        Errno::result(unsafe { semtimedop(self.id, &raw mut operation, 1, &raw const limit) }).map(drop)
    }
}

fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(duration.subsec_nanos().cast_signed()),
    }
}

impl Drop for Semaphore {
    fn drop(&mut self) {
        // SAFETY: IPC_RMID takes no argument and no pointer.
        if unsafe { libc::semctl(self.id, 0, libc::IPC_RMID) } == -1 {
            let error = io::Error::last_os_error();
            tracing::debug!(id = self.id, %error, "semaphore was removed already");
        }
    }
}

#[cfg(test)]
mod tests;
