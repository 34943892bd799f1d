//! Waiting for udev on semaphores, one for a whole batch as libdevmapper does.

use std::cell::RefCell;
use std::io;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::statvfs::statvfs;

use super::{UdevError, UdevEvent, UdevFlags, UdevSync};
use crate::name::DmName;
use sys::sem::{Semaphore, Zero};

/// The upper half of the key of every cookie's semaphore. Source: lvm2 `libdm/libdevmapper.h`
/// (`DM_COOKIE_MAGIC`).
const MAGIC: u32 = 0x0D4D;
/// Keys that are tried before giving up; each is taken with a chance of one in hundreds at most.
const TRIES: usize = 16;
/// Events of one semaphore; its value goes up to 32767. Source: Linux `include/uapi/linux/sem.h` (`SEMVMX`).
const EVENTS_MAX: u32 = 30_000;

/// The file system that udev keeps its records on.
const RECORDS: &str = "/run";
/// How long a udev is waited for that has no room for its records.
const PATIENCE_WITHOUT_ROOM: Duration = Duration::from_secs(2);
/// Less free space than this is treated as none: a record takes a page.
const ROOM_MIN: u64 = 16 << 10;

/// Whether there is no room for another small file. What cannot be told counts as room.
fn is_full(path: &str) -> bool {
    statvfs(path).is_ok_and(|system| {
        let room = system.blocks_available().saturating_mul(system.fragment_size());
        room < ROOM_MIN || system.files() > 0 && system.files_available() == 0
    })
}

/// Semaphores that udev counts down. Each starts at 1, is counted up before each verb, and down by the rule
/// of `95-dm-notify.rules` when an event is processed; the wait takes the first 1 away and waits for zero.
/// All are removed when the wait ends, however it ends, and on drop.
#[derive(Debug, Default)]
pub struct Cookies {
    batch: RefCell<Batch>,
}

#[derive(Debug, Default)]
struct Batch {
    cookies: Vec<Cookie>,
    /// Events without a semaphore, and why.
    unwatched: u32,
    why: Option<Errno>,
    /// Whether the last event was one of them.
    last_unwatched: bool,
}

#[derive(Debug)]
struct Cookie {
    semaphore: Semaphore,
    base: u16,
    events: u32,
}

impl Cookie {
    fn create() -> Result<Self, Errno> {
        for _ in 0..TRIES {
            let random = getrandom::u32().map_err(|_| Errno::EIO)?;
            // 0 means that nobody waits.
            let base = u16::try_from(random % 0xFFFF).map_err(|_| Errno::ERANGE)? + 1;
            match Semaphore::create((MAGIC << 16 | u32::from(base)).cast_signed()) {
                Ok(semaphore) => return Ok(Self { semaphore, base, events: 0 }),
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::EEXIST)
    }

    /// Waits until all events are processed or none is within `patience`; how many are left then.
    fn wait(&self, patience: Duration) -> Result<u32, Errno> {
        // The 1 it started with keeps it above zero until all events are counted up; now they are.
        if let Err(errno) = self.semaphore.subtract() {
            tracing::debug!(%errno, base = self.base, "udev cookie removed by someone else");
            return Ok(0);
        }
        let mut left = self.events;
        while self.semaphore.wait_zero(patience)? == Zero::TimedOut {
            let now = match self.semaphore.value() {
                Err(Errno::EIDRM | Errno::EINVAL) => 0,
                value => value?,
            };
            if now == 0 || now >= left {
                return Ok(now);
            }
            left = now;
        }
        Ok(0)
    }
}

impl Batch {
    /// Counts one event up and gives its base.
    fn count(&mut self) -> Result<u16, Errno> {
        if self.cookies.last().is_none_or(|cookie| cookie.events >= EVENTS_MAX) {
            self.cookies.push(Cookie::create()?);
        }
        let cookie = self.cookies.last_mut().ok_or(Errno::EIO)?;
        cookie.semaphore.add()?;
        cookie.events += 1;
        Ok(cookie.base)
    }
}

impl UdevSync for Cookies {
    fn event(&self, _: &[&DmName], flags: UdevFlags) -> UdevEvent {
        let mut batch = self.batch.borrow_mut();
        let base = batch.count();
        batch.last_unwatched = base.is_err();
        match base {
            Ok(base) => flags.event(base),
            Err(errno) => {
                batch.unwatched = batch.unwatched.saturating_add(1);
                batch.why = Some(errno);
                flags.unwatched()
            }
        }
    }

    fn not_sent(&self) {
        let mut batch = self.batch.borrow_mut();
        if batch.last_unwatched {
            batch.unwatched = batch.unwatched.saturating_sub(1);
        } else if let Some(cookie) = batch.cookies.last_mut() {
            cookie.events = cookie.events.saturating_sub(1);
            // Gone or zero: someone ran `dmsetup udevcomplete_all`. The wait will find out.
            if let Err(errno) = cookie.semaphore.subtract() {
                tracing::debug!(%errno, base = cookie.base, "udev cookie not counted down");
            }
        }
    }

    /// A udev that has no room for its records gets through nothing: it is not waited for as long.
    fn wait(&self, patience: Duration) -> Result<(), UdevError> {
        let batch = self.batch.take();
        let is_full = !batch.cookies.is_empty() && is_full(RECORDS);
        let patience = if is_full { patience.min(PATIENCE_WITHOUT_ROOM) } else { patience };
        let mut pending = 0;
        for cookie in batch.cookies {
            pending += cookie.wait(patience).map_err(|errno| UdevError::NoSemaphore {
                events: cookie.events,
                source: io::Error::from(errno),
            })?;
        }
        match batch.why {
            _ if pending > 0 && is_full => Err(UdevError::NoRoom { patience, pending }),
            _ if pending > 0 => Err(UdevError::Timeout { patience, pending }),
            Some(errno) if batch.unwatched > 0 => {
                Err(UdevError::NoSemaphore { events: batch.unwatched, source: io::Error::from(errno) })
            }
            _ => Ok(()),
        }
    }
}
