//! The file that holds CHAP users and secrets.
//!
//! Secrets are in no argument and no environment, for others can read those. The file belongs to root, or to who
//! runs the command, and nobody else may read it. docs/iscsi.md describes its form.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

mod parse;
#[cfg(test)]
mod tests;

pub use parse::{Credentials, ParseError, parse};

/// The largest file we read, in bytes.
const MAX_SIZE: usize = 16_384;

/// Why a CHAP file cannot be used.
#[derive(Debug, Error)]
pub enum ChapFileError {
    /// It cannot be opened or read.
    #[error("CHAP file '{}' cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It is a link, a folder or something else.
    #[error("CHAP file '{}' is no regular file", path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// Others could read or change it.
    #[error("CHAP file '{}' is open to others: {why}", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Whom to.
        why: String,
    },
    /// It is larger than any file of this kind.
    #[error("CHAP file '{}' has more than {MAX_SIZE} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A line cannot be understood.
    #[error("CHAP file '{}' cannot be understood", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The problem.
        source: ParseError,
    },
}

impl ChapFileError {
    /// A hint for the user.
    pub fn hint(&self) -> Option<String> {
        let path = match self {
            Self::Exposed { path, .. } => path,
            Self::NotAFile { .. } => return Some("give the file itself, not a link to it".to_owned()),
            Self::Unreadable { .. } | Self::TooLarge { .. } | Self::Parse { .. } => return None,
        };
        let path = path.display();
        Some(format!(
            "chown root:root '{path}' && chmod 600 '{path}'; a secret that others could read is one to change"
        ))
    }
}

/// Reads a CHAP file.
///
/// # Errors
/// If it is not a file of root's (or of this process's user) that nobody else can read, or does not say what it
/// should.
pub fn read(path: &Path) -> Result<Credentials, ChapFileError> {
    let text = read_text(path)?;
    parse(&text).map_err(|source| ChapFileError::Parse { path: path.to_owned(), source })
}

fn read_text(path: &Path) -> Result<Zeroizing<Vec<u8>>, ChapFileError> {
    let unreadable = |source| ChapFileError::Unreadable { path: path.to_owned(), source };
    // A link could lead to a file of somebody else's choice; a FIFO could keep us waiting.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            return Err(ChapFileError::NotAFile { path: path.to_owned() });
        }
        Err(error) => return Err(unreadable(error)),
    };
    check(&file, path)?;
    // As large as it can get from the start: a buffer that grows leaves copies of secrets behind.
    let mut text = Zeroizing::new(vec![0; MAX_SIZE + 1]);
    let mut length = 0;
    loop {
        match file.read(&mut text[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
    if length > MAX_SIZE {
        return Err(ChapFileError::TooLarge { path: path.to_owned() });
    }
    text.truncate(length);
    Ok(text)
}

/// Checks the open file, so that what is checked is what is read.
fn check(file: &File, path: &Path) -> Result<(), ChapFileError> {
    let metadata =
        file.metadata().map_err(|source| ChapFileError::Unreadable { path: path.to_owned(), source })?;
    if !metadata.is_file() {
        return Err(ChapFileError::NotAFile { path: path.to_owned() });
    }
    let exposed = |why| Err(ChapFileError::Exposed { path: path.to_owned(), why });
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    if owner != 0 && owner != nix::unistd::Uid::effective().as_raw() {
        return exposed(format!("it belongs to user {owner}"));
    }
    if mode & 0o077 != 0 {
        return exposed(format!("its mode is {mode:04o}"));
    }
    Ok(())
}
