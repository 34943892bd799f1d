//! LVM's file locks, taken the way lvm2 takes them, with a bounded wait that names the holder.
//!
//! lvm2 guards each VG by `flock` on `<locking_dir>/V_<vg>` and the set of PVs and VGs by `P_global`. Facts from
//! lvm2 `lib/misc/lvm-flock.c` and `lib/locking/file_locking.c`. Order, so that nobody deadlocks: the global lock
//! before any VG lock, several VG locks in the order of their names.
//!
//! Two deliberate deviations from lvm2, neither visible to it:
//! - The wait is bounded, so the lock is polled for instead of slept on. A writer that holds `:aux` while it polls
//!   keeps its place just as a sleeping one does.
//! - Lock files are opened close-on-exec. lvm2 leaks them into what it runs, whose death it then awaits; a lock that a
//!   stray daemon inherits would never be released. A child made by `fork` alone still shares the lock, on purpose:
//!   what takes over from a dead parent takes over its lock.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use thiserror::Error;

use base::ids::VgName;
use sys::io::lock_holders;

pub use sys::io::lock_holders::Holder;

mod file;

use file::FileLock;
pub use file::LockMode;

/// Where lvm2 keeps its locks on Debian. Source: lvm2 `configure` (`--with-default-locking-dir`).
pub const DEFAULT_LOCKING_DIR: &str = "/run/lock/lvm";

/// The longest possible wait.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a lock could not be had.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process held it for the whole wait.
    #[error(
        "'{}' is locked{}; gave up after {:.1} s",
        path.display(),
        lock_holders::shown(holders),
        waited.as_secs_f64()
    )]
    Timeout {
        /// The lock file.
        path: PathBuf,
        /// How long we waited.
        waited: Duration,
        /// Its holders, as far as `/proc` shows them.
        holders: Vec<Holder>,
    },
    /// The lock file or its directory cannot be used at all.
    #[error("cannot {action} '{}': LVM metadata must not be touched without its lock", path.display())]
    Io {
        /// The operation.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// The directory of lock files and how to wait for them.
#[derive(Clone, Debug)]
pub struct Locks {
    dir: PathBuf,
    writers_first: bool,
    wait: Duration,
    proc_root: PathBuf,
}

impl Locks {
    /// Locks in `dir` (`global/locking_dir`), waiting up to `wait` for each call; a zero wait tries once, as
    /// lvm2 does with `global/wait_for_locks=0`.
    pub fn new(dir: &Path, wait: Duration) -> Self {
        Self {
            dir: dir.to_owned(),
            writers_first: true,
            wait: wait.min(LONGEST_WAIT),
            proc_root: PathBuf::from("/proc"),
        }
    }

    /// Whether waiting writers hold off new readers (`global/prioritise_write_locks`, on by default).
    #[must_use]
    pub fn prioritise_writers(mut self, yes: bool) -> Self {
        self.writers_first = yes;
        self
    }

    /// Looks for holders below another root than `/proc`.
    #[must_use]
    pub fn proc_root(mut self, root: &Path) -> Self {
        root.clone_into(&mut self.proc_root);
        self
    }

    /// Locks one VG for change. The token is what a commit asks for.
    ///
    /// # Errors
    /// [`LockError`]: nothing is locked then.
    pub fn vg_for_write(&self, name: &VgName) -> Result<VgLock, LockError> {
        let file = self.acquire(&self.vg_path(name), LockMode::Write, self.deadline())?;
        Ok(VgLock { name: name.clone(), path: self.vg_path(name), file: RefCell::new(Some(file)) })
    }

    /// Locks one VG against change by others.
    ///
    /// # Errors
    /// [`LockError`]: nothing is locked then.
    pub fn vg_for_read(&self, name: &VgName) -> Result<VgReadLock, LockError> {
        let file = self.acquire(&self.vg_path(name), LockMode::Read, self.deadline())?;
        Ok(VgReadLock { name: name.clone(), file })
    }

    /// Locks the set of PVs and VGs: for write where PVs or VGs come, go or change their names; for read in a command
    /// that visits every VG.
    ///
    /// # Errors
    /// [`LockError`]: nothing is locked then.
    pub fn global(&self, mode: LockMode) -> Result<GlobalLock, LockError> {
        let file = self.acquire(&self.dir.join("P_global"), mode, self.deadline())?;
        Ok(GlobalLock { file })
    }

    fn vg_path(&self, name: &VgName) -> PathBuf {
        self.dir.join(format!("V_{name}"))
    }

    fn deadline(&self) -> Deadline {
        let start = Instant::now();
        Deadline { start, end: start + self.wait }
    }

    /// 1. A writer holds `:aux` until it has the lock itself: other writers and all new readers queue behind it, so
    ///    that a stream of overlapping readers cannot starve it.
    /// 2. A reader only passes through `:aux`, and lets go of it before it asks for the lock: readers do not exclude
    ///    each other.
    fn acquire(&self, path: &Path, mode: LockMode, deadline: Deadline) -> Result<FileLock, LockError> {
        self.create_dir()?;
        if !self.writers_first {
            return self.wait_for(path, mode, path, deadline);
        }
        let mut aux_path = path.as_os_str().to_owned();
        aux_path.push(":aux");
        let aux = self.wait_for(Path::new(&aux_path), LockMode::Write, path, deadline)?;
        if mode == LockMode::Write {
            let lock = self.wait_for(path, mode, path, deadline)?;
            drop(aux);
            return Ok(lock);
        }
        drop(aux);
        self.wait_for(path, mode, path, deadline)
    }

    /// Polls for one file. `guarded` is the lock that is really wanted: its holders keep `path` busy too.
    fn wait_for(
        &self,
        path: &Path,
        mode: LockMode,
        guarded: &Path,
        deadline: Deadline,
    ) -> Result<FileLock, LockError> {
        const LONGEST_NAP: Duration = Duration::from_millis(20);
        let mut nap = Duration::from_millis(1);
        let mut replaced = 0_u32;
        loop {
            match FileLock::attempt(path, mode)? {
                file::Attempt::Locked(lock) => return Ok(lock),
                // Its last holder removed the file between our open and our flock: the next attempt makes a new one.
                // lvm2 spins here; so do we, but not past the deadline.
                file::Attempt::Replaced if replaced < 16 => replaced += 1,
                file::Attempt::Replaced | file::Attempt::Busy => {
                    let left = deadline.end.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(LockError::Timeout {
                            path: guarded.to_owned(),
                            waited: deadline.start.elapsed(),
                            holders: lock_holders::find(&self.proc_root, &[guarded, path]),
                        });
                    }
                    std::thread::sleep(nap.min(left));
                    nap = (nap * 2).min(LONGEST_NAP);
                    replaced = 0;
                }
            }
        }
    }

    /// lvm2 creates the directory with its umask of 077.
    fn create_dir(&self) -> Result<(), LockError> {
        let io =
            |source| LockError::Io { action: "create the lock directory", path: self.dir.clone(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).map_err(io)
    }
}

/// When a wait began and when it ends.
#[derive(Clone, Copy)]
struct Deadline {
    start: Instant,
    end: Instant,
}

/// The exclusive lock of one VG, released on drop. Who has it may change the VG, after reading it anew.
#[derive(Debug)]
pub struct VgLock {
    name: VgName,
    path: PathBuf,
    /// Nothing once it is given back.
    file: RefCell<Option<FileLock>>,
}

impl VgLock {
    /// The VG it locks.
    pub fn vg(&self) -> &VgName {
        &self.name
    }

    /// The lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Releases it early: for work on volumes that nobody else may change.
    pub fn release(&self) {
        drop(self.file.borrow_mut().take());
    }

    /// The open lock file once more, for a process that is to keep the lock if this one dies; nothing if the lock is
    /// given back. As long as it is open only an unlock, not the end of this process, gives the lock to others.
    ///
    /// # Errors
    /// If there is no descriptor left.
    pub fn copy(&self) -> io::Result<Option<OwnedFd>> {
        self.file.borrow().as_ref().map(FileLock::copy).transpose().map(Option::flatten)
    }

    /// Whether the lock file still is the one we hold. It is, unless someone deleted it behind every locker's back:
    /// another could then hold a lock of the same name, and a commit must not go on.
    pub fn is_intact(&self) -> bool {
        self.file.borrow().as_ref().is_some_and(FileLock::is_current)
    }
}

/// The shared lock of one VG, released on drop: the VG does not change meanwhile.
#[derive(Debug)]
pub struct VgReadLock {
    name: VgName,
    file: FileLock,
}

impl VgReadLock {
    /// The VG it locks.
    pub fn vg(&self) -> &VgName {
        &self.name
    }

    /// The lock file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }
}

/// The lock on the set of PVs and VGs, released on drop.
#[derive(Debug)]
pub struct GlobalLock {
    file: FileLock,
}

impl GlobalLock {
    /// The lock file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }
}

#[cfg(test)]
mod tests;
