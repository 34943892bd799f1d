//! The secrets of the supervised sessions, kept in memory.
//!
//! Their files may lie on the disk whose connection is lost, or on a cluster's file system that waits for other nodes.
//! So they are read while all is well, by a thread that may hang there for as long as it likes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::host::chap_file::{self, ChapFileError, Credentials};
use crate::host::limit::Limit;
use crate::session::bounded::bounded;
use crate::session::error::SessionError;

/// How often a file is read again, so that new secrets are known before they are needed.
const AGE: Duration = Duration::from_secs(60);

/// How long a file may take that has never been read: a supervisor that starts while a connection is lost has to.
const FIRST_READ: Duration = Duration::from_secs(5);

/// Reads a CHAP file.
type Read = fn(&Path) -> Result<Credentials, ChapFileError>;

#[derive(Default)]
struct SecretsState {
    kept: BTreeMap<PathBuf, (Credentials, Instant)>,
    /// What the reader has been asked for and has not come back with.
    asked: BTreeSet<PathBuf>,
}

/// The secrets.
pub struct Secrets {
    state: Arc<Mutex<SecretsState>>,
    to_reader: Sender<PathBuf>,
    read: Read,
}

fn locked(state: &Mutex<SecretsState>) -> MutexGuard<'_, SecretsState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Secrets {
    /// No secrets yet, and a thread to read them.
    ///
    /// # Errors
    /// If there is no thread.
    pub fn new() -> std::io::Result<Self> {
        Self::with(chap_file::read)
    }

    fn with(read: Read) -> std::io::Result<Self> {
        let state = Arc::new(Mutex::new(SecretsState::default()));
        let (to_reader, paths) = channel::<PathBuf>();
        let shared = Arc::clone(&state);
        std::thread::Builder::new().name("secrets".into()).spawn(move || {
            for path in paths {
                let read = read(&path);
                let mut state = locked(&shared);
                state.asked.remove(&path);
                match read {
                    Ok(credentials) => drop(state.kept.insert(path, (credentials, Instant::now()))),
                    // What is known is used on: a file that is being replaced is gone for an instant.
                    Err(error) => tracing::warn!(%error, "the secrets of a session cannot be read"),
                }
            }
        })?;
        Ok(Self { state, to_reader, read })
    }

    /// Has a file read, unless that was done a short while ago; does not wait for it.
    pub fn refresh(&self, path: &Path) {
        let is_fresh = |state: &SecretsState| state.kept.get(path).is_some_and(|(_, at)| at.elapsed() < AGE);
        if !is_fresh(&locked(&self.state)) {
            self.read_again(path);
        }
    }

    /// Has a file read however fresh it is: its secrets were refused.
    pub fn read_again(&self, path: &Path) {
        if locked(&self.state).asked.insert(path.to_owned()) {
            // The reader lives as long as this.
            let _ = self.to_reader.send(path.to_owned());
        }
    }

    /// The secrets of a file: those that are known, or else those in it, if it can be read in time.
    ///
    /// # Errors
    /// If they are not known and cannot be read.
    pub fn get(&self, path: &Path) -> Result<Credentials, SessionError> {
        if let Some((credentials, _)) = locked(&self.state).kept.get(path) {
            return Ok(credentials.clone());
        }
        let (read, owned) = (self.read, path.to_owned());
        let what = format!("reading the CHAP file '{}'", path.display());
        let credentials = bounded(&Limit::new(FIRST_READ), &what, move || read(&owned))??;
        locked(&self.state).kept.insert(path.to_owned(), (credentials.clone(), Instant::now()));
        Ok(credentials)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::chap_file::parse;

    /// A file that can be read while it is there, and hangs when it has the name for that.
    fn read(path: &Path) -> Result<Credentials, ChapFileError> {
        while path.ends_with("hangs") {
            std::thread::sleep(Duration::from_secs(1));
        }
        let text = std::fs::read(path)
            .map_err(|source| ChapFileError::Unreadable { path: path.to_owned(), source })?;
        parse(&text).map_err(|source| ChapFileError::Parse { path: path.to_owned(), source })
    }

    /// A folder, the file in it that is read, and nothing known of it yet.
    fn prepared() -> (tempfile::TempDir, PathBuf, Secrets) {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let path = folder.path().join("chap");
        (folder, path, Secrets::with(read).expect("there is a thread"))
    }

    fn write(path: &Path, user: &str) {
        let text = format!("user = {user}\nsecret = secretsecret1\n");
        std::fs::write(path, text).expect("the folder is there");
    }

    fn user(credentials: &Credentials) -> String {
        format!("{:?}", credentials.login)
    }

    #[test]
    fn what_was_read_once_needs_no_file_any_more() {
        let (folder, path, secrets) = prepared();
        write(&path, "alice");
        secrets.refresh(&path);
        while locked(&secrets.state).kept.is_empty() {
            std::thread::yield_now();
        }
        // The reader hangs, the file is gone: a recovery is not held up.
        secrets.refresh(&folder.path().join("hangs"));
        std::fs::remove_file(&path).unwrap();
        secrets.read_again(&path);
        assert!(user(&secrets.get(&path).unwrap()).contains("alice"));
        // A file that was never read is looked for.
        let other = folder.path().join("other");
        assert!(matches!(secrets.get(&other), Err(SessionError::ChapFile(_))));
    }

    #[test]
    fn new_secrets_are_taken_when_the_old_ones_were_refused() {
        let (_folder, path, secrets) = prepared();
        write(&path, "alice");
        assert!(user(&secrets.get(&path).unwrap()).contains("alice"));
        write(&path, "bob");
        secrets.refresh(&path);
        assert!(user(&secrets.get(&path).unwrap()).contains("alice"), "it was read a short while ago");
        secrets.read_again(&path);
        while !user(&secrets.get(&path).unwrap()).contains("bob") {
            std::thread::yield_now();
        }
    }
}
