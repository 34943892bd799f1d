//! Whether udevd is there and would complete cookies.

use std::fmt;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use serde::Serialize;

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// udevd's control socket.
    pub control: PathBuf,
    /// Folders of rules.
    pub rules: Vec<PathBuf>,
}

impl Default for Places {
    fn default() -> Self {
        let rules = ["/etc/udev/rules.d", "/run/udev/rules.d", "/usr/lib/udev/rules.d", "/lib/udev/rules.d"];
        Self { control: "/run/udev/control".into(), rules: rules.map(PathBuf::from).to_vec() }
    }
}

/// The rules that run `dmsetup udevcomplete`. Source: lvm2 `udev/95-dm-notify.rules.in`.
const NOTIFY_RULES: &str = "95-dm-notify.rules";

/// What keeps udev from completing cookies: a wait would only end by its limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "missing", rename_all = "snake_case")]
pub enum Missing {
    /// Nothing listens on udevd's control socket.
    Daemon {
        /// The socket.
        control: PathBuf,
    },
    /// udevd is there, but not the rules that answer device-mapper.
    Rules {
        /// The folders that were searched.
        folders: Vec<PathBuf>,
    },
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Daemon { control } => {
                write!(f, "udevd does not answer on {}: device nodes are made by thinvol", control.display())
            }
            Self::Rules { folders } => {
                let folders: Vec<String> =
                    folders.iter().map(|folder| folder.display().to_string()).collect();
                write!(
                    f,
                    "{NOTIFY_RULES} (package dmsetup) is in none of {}: device nodes are made by thinvol",
                    folders.join(", ")
                )
            }
        }
    }
}

/// What is missing for udev to complete cookies; `None` if nothing is.
pub fn missing(places: &Places) -> Option<Missing> {
    if !listens(&places.control) {
        return Some(Missing::Daemon { control: places.control.clone() });
    }
    // An empty file or a link to /dev/null in an earlier folder masks later ones: udev(7).
    let rules = places.rules.iter().map(|folder| folder.join(NOTIFY_RULES)).find(|file| file.exists());
    let answered =
        rules.is_some_and(|file| file.metadata().is_ok_and(|meta| meta.is_file() && meta.len() > 0));
    (!answered).then(|| Missing::Rules { folders: places.rules.clone() })
}

/// Whether a process accepts on the socket. A socket file alone is left behind by a dead udevd.
fn listens(control: &Path) -> bool {
    // Without blocking: a stopped udevd has a backlog that is soon full, and is there all the same.
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let Ok(socket) = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None) else { return false };
    let Ok(address) = UnixAddr::new(control) else { return false };
    matches!(connect(socket.as_raw_fd(), &address), Ok(()) | Err(nix::errno::Errno::EAGAIN))
}
