//! This machine's name as an initiator.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::protocol::name::{IscsiName, NameError};

/// Where open-iscsi keeps it.
pub const INITIATOR_FILE: &str = "/etc/iscsi/initiatorname.iscsi";

/// Why it is not known.
#[derive(Debug, Error)]
pub enum InitiatorError {
    /// The file cannot be read.
    #[error("cannot read this machine's initiator name from '{}'", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file has none.
    #[error("'{}' has no line 'InitiatorName=…'", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file has something else.
    #[error("'{}' holds no initiator name", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The problem.
        source: NameError,
    },
}

/// Reads it; the first `InitiatorName=` counts, lines that start with `#` are comments.
///
/// # Errors
/// If the file has no valid name.
pub fn initiator(path: &Path) -> Result<IscsiName, InitiatorError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| InitiatorError::Unreadable { path: path.to_owned(), source })?;
    let mut names = text.lines().filter_map(|line| line.trim().strip_prefix("InitiatorName="));
    let name = names.next().ok_or_else(|| InitiatorError::Missing { path: path.to_owned() })?;
    name.trim().parse().map_err(|source| InitiatorError::Invalid { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("initiatorname.iscsi");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            initiator(&path)
        };
        let name =
            read("## comment\n#InitiatorName=iqn.2000-01.x:no\nInitiatorName=iqn.2025-01.test:a \n").unwrap();
        assert_eq!(name.as_str(), "iqn.2025-01.test:a");
        assert!(matches!(read("GenerateName=yes\n"), Err(InitiatorError::Missing { .. })));
        assert!(matches!(read("InitiatorName=nobody\n"), Err(InitiatorError::Invalid { .. })));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(initiator(&path), Err(InitiatorError::Unreadable { .. })));
    }
}
