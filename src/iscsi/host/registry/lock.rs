//! Locks of the registry: `flock` on files that stay.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::{Registry, RegistryError, failed};
use crate::host::limit::Limit;
use crate::protocol::net_interface::NetInterface;
use base::bytes::crc;
use sys::io::lock_holders;

/// How often a lock that is held is tried again.
const RETRY: Duration = Duration::from_millis(5);

/// The identity of one of thinvol's sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionKey {
    /// The target's name.
    pub target: String,
    /// The requested portal.
    pub portal: String,
    /// The network interface it is bound to.
    pub interface: Option<NetInterface>,
}

impl SessionKey {
    fn sum(&self) -> u32 {
        let mut text = format!("{}\n{}", self.target, self.portal);
        text.extend(self.interface.iter().flat_map(|interface| ["\n", interface.as_str()]));
        crc::lvm(text.as_bytes())
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.target, self.portal)?;
        self.interface.iter().try_for_each(|interface| write!(f, " by interface {interface}"))
    }
}

/// What a lock guards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockName {
    /// The making of sessions: one at a time, until its record is written.
    Create,
    /// The work on the LUNs of a session. It may wait for a connection that is lost, so whoever replaces
    /// that does not need this lock. Who needs both takes this one first.
    Luns(SessionKey),
    /// A session and its connection.
    Session(SessionKey),
    /// The supervisor: there is one.
    Supervisor,
}

impl LockName {
    /// Names are too long for file names, so a checksum stands for them. Two that share one wait for each other.
    fn file(&self) -> String {
        match self {
            Self::Create => "create.lock".into(),
            Self::Supervisor => "supervisor.lock".into(),
            Self::Luns(key) => format!("luns-{:08x}.lock", key.sum()),
            Self::Session(key) => format!("session-{:08x}.lock", key.sum()),
        }
    }
}

impl fmt::Display for LockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create => f.write_str("the making of iSCSI sessions"),
            Self::Supervisor => f.write_str("the supervision of iSCSI sessions"),
            Self::Luns(key) => write!(f, "the list of LUNs of {key}"),
            Self::Session(key) => write!(f, "the session to {key}"),
        }
    }
}

/// A lock that is held until this is dropped, or the process ends.
#[derive(Debug)]
pub struct Lock {
    // Closing the file unlocks it.
    _file: Flock<File>,
}

impl Registry {
    /// Takes a lock, waiting within the limit.
    ///
    /// # Errors
    /// If another process holds it, which is named, or its file cannot be used.
    pub fn lock(&self, name: &LockName, limit: &Limit) -> Result<Lock, RegistryError> {
        loop {
            if let Some(lock) = self.try_lock(name)? {
                return Ok(lock);
            }
            limit.nap(RETRY).map_err(|source| RegistryError::Locked {
                what: name.to_string(),
                holders: self.holders(name),
                source,
            })?;
        }
    }

    /// Takes a lock if it is free.
    ///
    /// # Errors
    /// If its file cannot be used.
    pub fn try_lock(&self, name: &LockName) -> Result<Option<Lock>, RegistryError> {
        let path = self.folder.join(name.file());
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path);
        match Flock::lock(file.map_err(failed("open", &path))?, FlockArg::LockExclusiveNonblock) {
            Ok(file) => Ok(Some(Lock { _file: file })),
            Err((_, Errno::EWOULDBLOCK | Errno::EINTR)) => Ok(None),
            Err((_, errno)) => Err(failed("lock", &path)(errno.into())),
        }
    }

    /// Who holds a lock, as the tail of a sentence.
    pub fn holders(&self, name: &LockName) -> String {
        lock_holders::shown(&lock_holders::find(Path::new("/proc"), &[&self.folder.join(name.file())]))
    }
}
