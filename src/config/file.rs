//! The file: which one, reading it, replacing it under its lock.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::document::StorageCfg;

mod lock;
mod replace;
mod resolved;

pub use lock::LockError;
use lock::{ClusterLock, DirectoryLock};
use replace::replace;
use resolved::{ResolvedFile, check_readable};

/// Where Proxmox VE keeps it: in its cluster file system.
pub const PVE_PATH: &str = "/etc/pve/storage.cfg";
/// Where that cluster file system is.
const PVE_ROOT: &str = "/etc/pve";
/// Where it is without Proxmox VE.
pub const OWN_PATH: &str = "/etc/thinvol/storage.cfg";

/// The largest file that is read. The cluster file system of Proxmox VE holds files of up to 1 MiB.
const LARGEST_BYTES: u64 = 4 << 20;

/// Why a configuration cannot be read or written.
#[derive(Debug, Error)]
pub enum FileError {
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
    /// It is larger than any configuration.
    #[error("'{}' is larger than {LARGEST_BYTES} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is nothing that could be read or replaced.
    #[error("'{}' is {is}, not a configuration file", path.display())]
    NoFile {
        /// The file.
        path: PathBuf,
        /// What it is.
        is: &'static str,
    },
    /// Something stands in it, and none of it is a section.
    #[error("'{}' is not a configuration of storages: {why}", path.display())]
    NoConfiguration {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: &'static str,
    },
    /// Its lock is not known by its path.
    #[error("'{}' is in the cluster file system, under another path than '{}'", path.display(), cluster.display())]
    Elsewhere {
        /// The directory.
        path: PathBuf,
        /// Where the cluster file system belongs.
        cluster: PathBuf,
    },
    /// Its lock cannot be had.
    #[error(transparent)]
    Lock(#[from] LockError),
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Io { action, path, source }
}

/// A configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    path: PathBuf,
    /// Where the cluster file system is, if there is one.
    cluster: PathBuf,
    /// Whether the user named it: then it has to be there to be read.
    named: bool,
}

impl ConfigFile {
    /// The file to use: the one that is named, else Proxmox VE's if there is one, else our own.
    pub fn choose(named: Option<&Path>) -> Self {
        let path = match named {
            Some(path) => path.to_owned(),
            None if Path::new(PVE_PATH).exists() => PathBuf::from(PVE_PATH),
            None => PathBuf::from(OWN_PATH),
        };
        Self { path, cluster: PathBuf::from(PVE_ROOT), named: named.is_some() }
    }

    /// A file in a directory that is locked as the cluster file system is.
    #[cfg(test)]
    fn in_cluster(root: &Path) -> Self {
        Self { path: root.join("storage.cfg"), cluster: root.to_owned(), named: false }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it. A file that nobody named may be missing; it is empty then.
    ///
    /// # Errors
    /// If it cannot be read, or is no configuration by its size.
    pub fn read(&self) -> Result<StorageCfg, FileError> {
        self.read_as(self.named)
    }

    fn read_as(&self, must_exist: bool) -> Result<StorageCfg, FileError> {
        let mut content = Vec::new();
        // A FIFO is not waited for.
        match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&self.path) {
            Ok(file) => {
                check_readable(&self.path, &file.metadata().map_err(io_error("look at", &self.path))?)?;
                file.take(LARGEST_BYTES + 1)
                    .read_to_end(&mut content)
                    .map_err(io_error("read", &self.path))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !must_exist => {}
            Err(error) => return Err(io_error("read", &self.path)(error)),
        }
        if content.len() as u64 > LARGEST_BYTES {
            return Err(FileError::TooLarge { path: self.path.clone() });
        }
        let config = StorageCfg::parse(&self.path.display().to_string(), &content);
        match config.is_no_configuration() {
            Some(why) => Err(FileError::NoConfiguration { path: self.path.clone(), why }),
            None => Ok(config),
        }
    }

    /// Replaces it by what `edit` makes of it, under its lock: that of the cluster if it is in the cluster file system,
    /// whatever path leads there. A link is followed; anything but a regular file is refused. Waits for the lock up to
    /// `wait`. A file that is missing is made, in a directory that is there. Where nothing is changed nothing is
    /// written.
    ///
    /// # Errors
    /// If it cannot be locked, read or written, and those of `edit`. The file is then as it was.
    pub fn update<E: From<FileError>>(
        &self,
        wait: Duration,
        edit: impl FnOnce(&StorageCfg) -> Result<Vec<u8>, E>,
    ) -> Result<(), E> {
        if self.path == Path::new(OWN_PATH)
            && let Some(dir) = self.path.parent()
        {
            fs::create_dir_all(dir).map_err(io_error("create the directory of", &self.path))?;
        }
        let ResolvedFile { path, dir, in_cluster } = ResolvedFile::of(&self.path, &self.cluster)?;
        let (_cluster, _local);
        match &in_cluster {
            Some(place) => {
                _cluster = ClusterLock::take(&self.cluster, place, wait).map_err(FileError::from)?;
            }
            None => _local = DirectoryLock::take(&dir, wait).map_err(FileError::from)?,
        }
        let config = self.read_as(false)?;
        let text = edit(&config)?;
        if text == config.lines().text() {
            return Ok(());
        }
        Ok(replace(&path, &dir, &text)?)
    }
}

#[cfg(test)]
mod tests;
