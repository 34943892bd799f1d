//! Which sessions are thinvol's: a record of each below `/run/thinvol/iscsi`.
//!
//! The kernel keeps a session when the process that made it ends, however it ends. The record says whose it is, what
//! it was made for, and how far that got. `/run` is empty after a boot, as is the kernel's list of sessions.
//!
//! A record is written before the action it describes, so that the next process knows what a dead one may have left:
//! 1. Under the lock `create`, the intent to make a session, with the sessions that were there before.
//! 2. The session is made; its record is written with the phase `starting`; the intent is removed; the lock is left.
//! 3. The record is rewritten with the phase `up` when the session works, and with `leaving` before it is taken down.
//! 4. It is removed when the session is gone.
//!
//! Who makes, recovers or removes a session holds the lock of its target, portal and interface meanwhile, and who works
//! on its LUNs another one: that work waits while the connection is lost, and must not keep it from being replaced. Who
//! makes or removes a session holds both. A record in phase `starting` or `leaving` whose locks are free belongs to a
//! process that died. Records are written by who holds the lock of the LUNs.

mod lock;
mod portals;
mod record;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

pub use lock::{Lock, LockName, SessionKey};
pub use record::{Intent, Phase, Record};

use crate::host::limit::GivenUp;
use crate::protocol::interface::message::SessionId;

/// Where the records are.
pub const REGISTRY: &str = "/run/thinvol/iscsi";

/// The longest record that is read.
const MAX_RECORD: u64 = 1 << 20;

/// The file of the intent.
const INTENT: &str = "creating.json";

/// How the names of files end that are still being written; before that is who writes them.
const UNFINISHED: &str = ".new";

/// Why the registry cannot be used.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// A file cannot be used.
    #[error("cannot {action} '{}'", path.display())]
    Io {
        /// The operation.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("'{}' is not a record of an iSCSI session", path.display())]
    NotARecord {
        /// The file.
        path: PathBuf,
        /// The problem.
        source: serde_json::Error,
    },
    /// Another process works on the same session.
    #[error("{what} is being worked on{holders}")]
    Locked {
        /// The session, in words.
        what: String,
        /// By whom: ` by …`, or empty.
        holders: String,
        /// Why it was not waited for any longer.
        source: GivenUp,
    },
}

/// The records and locks in one folder.
#[derive(Clone, Debug)]
pub struct Registry {
    folder: PathBuf,
    boot_id: String,
}

impl Registry {
    /// The registry in `folder`, which is made if need be.
    ///
    /// # Errors
    /// If it cannot be made, or this boot has no identity.
    pub fn open(folder: &Path) -> Result<Self, RegistryError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(failed("make", folder))?;
        let boot = Path::new("/proc/sys/kernel/random/boot_id");
        let boot_id = fs::read_to_string(boot).map_err(failed("read", boot))?.trim().to_owned();
        Ok(Self { folder: folder.to_owned(), boot_id })
    }

    /// The identity of this boot, for records.
    pub fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// The records of this boot, by session. Files with other content are logged and left alone.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn records(&self) -> Result<Vec<Record>, RegistryError> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed("read", &self.folder))? {
            let entry = entry.map_err(failed("read", &self.folder))?;
            let name = entry.file_name();
            let sid = name.to_str().and_then(|name| name.strip_prefix("session-")?.strip_suffix(".json"));
            if let Some(sid) = sid.and_then(|sid| sid.parse().ok()) {
                found.extend(self.record(SessionId(sid)));
            }
        }
        found.sort_by_key(|record| record.sid);
        Ok(found)
    }

    /// The record of one session, if there is one of this boot.
    pub fn record(&self, sid: SessionId) -> Option<Record> {
        let read = self.read::<Record>(&record_name(sid)).unwrap_or_else(|error| {
            tracing::warn!(%error, "a record is left out");
            None
        });
        read.filter(|record| record.boot_id == self.boot_id && record.sid == sid)
    }

    /// Writes the record of a session, in place of the one there was.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn put(&self, record: &Record) -> Result<(), RegistryError> {
        self.write(&record_name(record.sid), record)
    }

    /// Removes the record of a session, if there is one.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(&self, sid: SessionId) -> Result<(), RegistryError> {
        self.unlink(&record_name(sid))
    }

    /// The intent of a process that makes a session, or died doing so. Only for holders of the lock `create`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn intent(&self) -> Result<Option<Intent>, RegistryError> {
        Ok(self.read::<Intent>(INTENT)?.filter(|intent| intent.boot_id == self.boot_id))
    }

    /// Writes the intent to make a session.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn put_intent(&self, intent: &Intent) -> Result<(), RegistryError> {
        self.write(INTENT, intent)
    }

    /// Removes the intent.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove_intent(&self) -> Result<(), RegistryError> {
        self.unlink(INTENT)
    }

    /// Removes files that processes were killed over while they wrote them.
    ///
    /// # Errors
    /// If the folder cannot be read, or a file not be removed.
    pub fn remove_unfinished(&self) -> Result<(), RegistryError> {
        for entry in fs::read_dir(&self.folder).map_err(failed("read", &self.folder))? {
            let name = entry.map_err(failed("read", &self.folder))?.file_name();
            let writer = name.to_str().and_then(|name| name.strip_suffix(UNFINISHED)?.rsplit('.').next());
            let pid = writer.and_then(|mark| mark.split('-').next()?.parse::<u32>().ok());
            if let (Some(pid), Some(name)) = (pid, name.to_str())
                && !Path::new("/proc").join(pid.to_string()).exists()
            {
                self.unlink(name)?;
            }
        }
        Ok(())
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, RegistryError> {
        let path = self.folder.join(name);
        let read = fs::File::open(&path).and_then(|file| {
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut io::Read::take(file, MAX_RECORD), &mut bytes)?;
            Ok(bytes)
        });
        match read {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|source| RegistryError::NotARecord { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    /// The file is there as a whole or not at all, also for readers that come in between. Nothing is flushed: what
    /// must survive is the death of a process, and a power cut ends the sessions, too.
    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), RegistryError> {
        let path = self.folder.join(name);
        let new = self.folder.join(format!("{name}.{}{UNFINISHED}", thread_mark()));
        let text = serde_json::to_vec_pretty(value)
            .map_err(|source| RegistryError::NotARecord { path: path.clone(), source })?;
        // Of a process that died and had the same number; nobody else writes here.
        let _ = fs::remove_file(&new);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
        file.and_then(|mut file| file.write_all(&text)).map_err(failed("write", &new))?;
        fs::rename(&new, &path).map_err(failed("replace", &path))
    }

    fn unlink(&self, name: &str) -> Result<(), RegistryError> {
        let path = self.folder.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path)(error)),
            _ => Ok(()),
        }
    }
}

/// Tells this thread's files from those of others.
fn thread_mark() -> String {
    format!("{}-{:?}", std::process::id(), std::thread::current().id())
}

fn record_name(sid: SessionId) -> String {
    format!("session-{sid}.json")
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RegistryError + use<> {
    let path = path.to_owned();
    move |source| RegistryError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_dead_left_unfinished_goes_and_what_the_living_write_stays() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::open(folder.path()).unwrap();
        // No process has the highest number there could be.
        let dead = format!("session-7.json.{}-ThreadId(2).new", u32::MAX);
        let alive = format!("session-8.json.{}.new", thread_mark());
        for name in [&dead, &alive] {
            fs::write(folder.path().join(name), "{").unwrap();
        }
        registry.remove_unfinished().unwrap();
        assert!(!folder.path().join(dead).exists() && folder.path().join(alive).exists());
        assert!(registry.records().unwrap().is_empty());
    }
}
