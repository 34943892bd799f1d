//! One lock file: one attempt to take it, and its release.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::LockError;

/// What a lock lets its holder do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Read, beside other readers.
    Read,
    /// Read and change, alone.
    Write,
}

/// How one attempt went.
pub(super) enum Attempt {
    /// The lock is ours.
    Locked(FileLock),
    /// Someone else has it.
    Busy,
    /// We locked a file that its last holder had removed from the directory: worth nothing.
    Replaced,
}

/// A lock file that we hold. Its name in the directory and its open file are the same inode.
#[derive(Debug)]
pub(super) struct FileLock {
    path: PathBuf,
    /// Always there until the drop.
    file: Option<Flock<File>>,
}

impl FileLock {
    /// Tries once, without waiting.
    ///
    /// A releaser unlinks the file, so the lock that was just taken may be on an inode nobody else will ever open. Only
    /// when the name still leads to the same inode is it the lock.
    pub(super) fn attempt(path: &Path, mode: LockMode) -> Result<Attempt, LockError> {
        let io = |action| move |source| LockError::Io { action, path: path.to_owned(), source };
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            // 0777 and lvm2's umask of 077.
            .mode(0o700)
            .open(path)
            .map_err(io("open the lock file"))?;
        let how = match mode {
            LockMode::Read => FlockArg::LockSharedNonblock,
            LockMode::Write => FlockArg::LockExclusiveNonblock,
        };
        match Flock::lock(file, how) {
            Ok(file) => {
                let same = is_same_file(path, &file).map_err(io("check the lock file"))?;
                let lock = Self { path: path.to_owned(), file: Some(file) };
                if same { Ok(Attempt::Locked(lock)) } else { Ok(Attempt::Replaced) }
            }
            Err((_, Errno::EWOULDBLOCK | Errno::EINTR)) => Ok(Attempt::Busy),
            Err((_, errno)) => Err(io("lock the file")(errno.into())),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn copy(&self) -> io::Result<Option<OwnedFd>> {
        self.file.as_ref().map(|file| file.as_fd().try_clone_to_owned()).transpose()
    }

    /// Whether the name still leads to the inode we hold.
    pub(super) fn is_current(&self) -> bool {
        self.file.as_ref().is_some_and(|file| is_same_file(&self.path, file).unwrap_or(false))
    }
}

/// Whether `path` leads to the open file; no if it leads nowhere.
pub(super) fn is_same_file(path: &Path, file: &File) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok(named.dev() == open.dev() && named.ino() == open.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

impl Drop for FileLock {
    /// 1. Unlock: waiters go on from here.
    /// 2. Lock again, exclusively and without waiting: this works only if nobody else has it by now.
    /// 3. If so, and the name is still this inode, remove the name. A locker that opened it before will notice.
    /// 4. Close, which unlocks.
    ///
    /// Errors have no one to go to, and cost nothing: closing unlocks in any case, and a lock file left behind is used
    /// by the next locker.
    fn drop(&mut self) {
        let Some(Ok(file)) = self.file.take().map(Flock::unlock) else { return };
        if let Ok(file) = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            && is_same_file(&self.path, &file).unwrap_or(false)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(path = %self.path.display(), %error, "lock file left behind");
        }
    }
}
