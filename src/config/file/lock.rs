//! Locks of a configuration file, with a bounded wait.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use thiserror::Error;

use sys::io::lock_holders;

/// Why a configuration cannot be locked.
#[derive(Debug, Error)]
pub enum LockError {
    /// Somebody else kept it for the whole wait.
    #[error("'{}' is locked{holders}; gave up after {:.1} s", path.display(), waited.as_secs_f64())]
    Timeout {
        /// What was waited for.
        path: PathBuf,
        /// How long.
        waited: Duration,
        /// Who has it, as the tail of a sentence.
        holders: String,
    },
    /// The cluster file system is not there.
    #[error("pve cluster filesystem not online: there is no '{}'", path.display())]
    NoCluster {
        /// Its directory of locks.
        path: PathBuf,
    },
    /// The cluster file system is read-only, because this node is not in the majority.
    #[error("no quorum: this node cannot change '{}' until most nodes of the cluster are there", root.display())]
    NoQuorum {
        /// The root of the cluster file system.
        root: PathBuf,
    },
    /// The system says no.
    #[error("cannot {action} '{}'", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// The lock of a file such as `storage.cfg` that all nodes of a Proxmox VE cluster share: a directory in its file
/// system, which only one of them can make. Source: pve-cluster `PVE/Cluster.pm` (`cfs_lock_file`).
#[derive(Debug)]
pub struct ClusterLock {
    path: PathBuf,
}

/// The directory of locks.
const LOCK_DIR: &str = "priv/lock";

/// The name of a file's lock there. Source: pve-cluster `PVE/Cluster.pm` (`cfs_lock_file`).
fn lock_name(file: &Path) -> String {
    format!("file-{}", file.to_string_lossy().replace(['.', '/'], "_"))
}

impl ClusterLock {
    /// Takes the lock of a file, named by its path below `root`, trying once a second as Proxmox VE does.
    ///
    /// A holder that died is found by the file system: a request to set the lock's times to zero asks it to drop a lock
    /// older than 120 seconds.
    pub fn take(root: &Path, file: &Path, wait: Duration) -> Result<Self, LockError> {
        const NAP: Duration = Duration::from_secs(1);
        let dir = root.join(LOCK_DIR);
        let path = dir.join(lock_name(file));
        let start = Instant::now();
        // It is there, or the next line tells.
        let _ = fs::create_dir(&dir);
        if !dir.is_dir() {
            return Err(LockError::NoCluster { path: dir });
        }
        loop {
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                // It says EACCES to everything then.
                Err(error) if is_held(&error) && !has_quorum(root) => {
                    return Err(LockError::NoQuorum { root: root.to_owned() });
                }
                // The cluster file system says EACCES or EBUSY for a lock that another node holds.
                Err(error) if is_held(&error) => {}
                Err(source) => return Err(LockError::Io { action: "make the lock", path, source }),
            }
            let left = wait.saturating_sub(start.elapsed());
            if left.is_zero() {
                let holders = " by another process of this cluster".to_owned();
                return Err(LockError::Timeout { path, waited: start.elapsed(), holders });
            }
            // A request, answered by the next attempt.
            let _ = File::open(&path).and_then(|lock| lock.set_modified(SystemTime::UNIX_EPOCH));
            std::thread::sleep(NAP.min(left));
        }
    }
}

/// Whether the cluster file system can be changed: its link to this node's directory has the owner's right to write
/// only then. Source: pve-cluster `PVE/Cluster.pm` (`check_cfs_quorum`).
fn has_quorum(root: &Path) -> bool {
    const OWNER_WRITES: u32 = 0o200;
    fs::symlink_metadata(root.join("local")).map_or(true, |local| local.mode() & OWNER_WRITES != 0)
}

fn is_held(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EEXIST | Errno::EACCES | Errno::EBUSY))
}

impl Drop for ClusterLock {
    /// Gives the lock back. If that fails it expires.
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the lock stays until it expires");
        }
    }
}

/// The lock of a configuration elsewhere: `flock` on the directory it is in, because the file itself is replaced.
#[derive(Debug)]
pub struct DirectoryLock {
    _dir: Flock<File>,
}

impl DirectoryLock {
    /// Takes the lock.
    pub fn take(dir: &Path, wait: Duration) -> Result<Self, LockError> {
        const LONGEST_NAP: Duration = Duration::from_millis(50);
        let io = |action| move |source| LockError::Io { action, path: dir.to_owned(), source };
        let mut file = File::open(dir).map_err(io("open the directory"))?;
        let start = Instant::now();
        let mut nap = Duration::from_millis(1);
        loop {
            file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(dir) => return Ok(Self { _dir: dir }),
                Err((file, Errno::EWOULDBLOCK | Errno::EINTR)) => file,
                Err((_, errno)) => return Err(io("lock the directory")(errno.into())),
            };
            let left = wait.saturating_sub(start.elapsed());
            if left.is_zero() {
                let (path, waited) = (dir.to_owned(), start.elapsed());
                let holders = lock_holders::shown(&lock_holders::find(Path::new("/proc"), &[&path]));
                return Err(LockError::Timeout { path, waited, holders });
            }
            std::thread::sleep(nap.min(left));
            nap = (nap * 2).min(LONGEST_NAP);
        }
    }
}
