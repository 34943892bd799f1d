//! Who keeps a block device open: what to tell a user whose volume is busy.
//!
//! A search of `/proc` and `/sys` by best effort: bounded in time, silent about what it may not read. It
//! explains a refusal, it never decides one; the kernel's open count does that.

mod mounts;
mod processes;
mod stacked;

use std::fmt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

use base::ids::DevNo;

/// How long the search may take.
const TIME_LIMIT: Duration = Duration::from_secs(2);

/// Something that keeps a block device open.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "holder", rename_all = "snake_case")]
pub enum Holder {
    /// A block device stacked on it.
    Device {
        /// Its device-mapper name, or the kernel's name if it is of another kind.
        name: String,
        /// Its number.
        dev: Option<DevNo>,
    },
    /// A mounted file system.
    Mount {
        /// Where.
        #[serde(serialize_with = "lossy")]
        target: PathBuf,
        /// A process of the mount namespace it is in, if that is not this process's own.
        namespace_of: Option<Process>,
    },
    /// The kernel swaps to it.
    Swap,
    /// A loop device backed by it.
    Loop {
        /// The kernel's name of the loop device.
        name: String,
    },
    /// A process that has it open.
    Process(Process),
}

/// A running process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Process {
    /// Its id, as this process sees it.
    pub pid: u32,
    /// The name of its program, at most 15 bytes; empty if it could not be read.
    pub comm: String,
}

/// A path as a text: what is not UTF-8 is replaced, for a name that somebody gave a mount must not keep anything from
/// being told.
fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

impl Process {
    /// Whether it is udev's: then it is done in a moment. Source: systemd `src/udev/udevd.c` and `udev-manager.c`,
    /// which name the daemon and its workers.
    pub fn is_of_udev(&self) -> bool {
        ["systemd-udevd", "(udev-worker)", "udevd", "systemd-udevd-w"].contains(&self.comm.as_str())
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.comm.as_str() {
            "" => write!(f, "process {}", self.pid),
            comm => write!(f, "process {} ({comm})", self.pid),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device { name, dev: Some(dev) } => write!(f, "device {name} ({dev})"),
            Self::Device { name, dev: None } => write!(f, "device {name}"),
            Self::Mount { target, namespace_of: None } => {
                write!(f, "the file system mounted on {}", target.display())
            }
            Self::Mount { target, namespace_of: Some(process) } => {
                write!(
                    f,
                    "the file system mounted on {} in the mount namespace of {process}",
                    target.display()
                )
            }
            Self::Swap => f.write_str("the kernel, as swap"),
            Self::Loop { name } => write!(f, "loop device {name}"),
            Self::Process(process) => process.fmt(f),
        }
    }
}

/// Who keeps a block device open, as far as can be seen within two seconds; devices first, then mounts, swap,
/// loop devices and processes.
///
/// An empty answer for an open device means that the holder is out of sight: a user inside the kernel (an
/// iSCSI or NVMe target, for one), or a file system that was unmounted lazily.
pub fn holders(dev: DevNo) -> Vec<Holder> {
    let search = Search {
        proc: Path::new("/proc"),
        sys: Path::new("/sys"),
        device_at: &device_number_at,
        deadline: Instant::now() + TIME_LIMIT,
    };
    search.run(dev)
}

/// Where and how long to look; tests put their own trees here.
struct Search<'a> {
    proc: &'a Path,
    sys: &'a Path,
    /// The number of the block device at the end of a path, if it is one.
    device_at: &'a dyn Fn(&Path) -> Option<DevNo>,
    deadline: Instant,
}

impl Search<'_> {
    fn run(&self, dev: DevNo) -> Vec<Holder> {
        let mut found = stacked::devices(self, dev);
        found.extend(stacked::loops(self, dev));
        found.extend(mounts::own(self, dev));
        found.extend(mounts::swap(self, dev));
        let already: Vec<PathBuf> = found
            .iter()
            .filter_map(|holder| match holder {
                Holder::Mount { target, .. } => Some(target.clone()),
                _ => None,
            })
            .collect();
        // A namespace that was copied from ours shows our mounts again.
        found.extend(
            mounts::of_other_namespaces(self, dev)
                .into_iter()
                .filter(|holder| !matches!(holder, Holder::Mount { target, .. } if already.contains(target))),
        );
        found.extend(processes::with_open_file(self, dev));
        found.sort();
        found.dedup();
        found
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// The processes of the system, until the time is up.
    fn processes(&self) -> impl Iterator<Item = (u32, PathBuf)> {
        entries(self.proc)
            .take_while(|_| !self.is_over())
            .filter_map(|path| Some((path.file_name()?.to_str()?.parse().ok()?, path)))
    }
}

/// The paths in a directory; none if it cannot be read.
fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn process(pid: u32, directory: &Path) -> Process {
    let comm = std::fs::read(directory.join("comm")).unwrap_or_default();
    let comm: String = String::from_utf8_lossy(&comm).chars().filter(|c| !c.is_control()).collect();
    Process { pid, comm }
}

fn device_number_at(path: &Path) -> Option<DevNo> {
    let metadata = std::fs::metadata(path).ok().filter(|metadata| metadata.file_type().is_block_device())?;
    let rdev = metadata.rdev();
    Some(DevNo {
        major: u32::try_from(nix::sys::stat::major(rdev)).ok()?,
        minor: u32::try_from(nix::sys::stat::minor(rdev)).ok()?,
    })
}

#[cfg(test)]
mod tests;
