//! Where the machine shows its devices.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{major, minor};

use base::ids::DevNo;

/// Returns which block device a node is; `None` if it is not one.
pub type NodeReader = fn(&Path) -> io::Result<Option<DevNo>>;

/// The directories that describe devices.
#[derive(Clone, Debug)]
pub struct Roots {
    /// `/sys`.
    pub sys: PathBuf,
    /// `/proc`.
    pub proc: PathBuf,
    /// `/dev`, or what `devices/dir` says.
    pub dev: PathBuf,
    /// `/run`: udev's database and LVM's hints.
    pub run: PathBuf,
    /// `/etc`: multipath's configuration.
    pub etc: PathBuf,
    /// How to find out whether a path is a device node.
    pub node: NodeReader,
}

impl Default for Roots {
    fn default() -> Self {
        let path = |name: &str| PathBuf::from(name);
        Self {
            sys: path("/sys"),
            proc: path("/proc"),
            dev: path("/dev"),
            run: path("/run"),
            etc: path("/etc"),
            node: block_node,
        }
    }
}

/// The number of the block device behind a path, links followed; `None` if it leads to something else.
fn block_node(path: &Path) -> io::Result<Option<DevNo>> {
    let file = fs::metadata(path)?;
    if !file.file_type().is_block_device() {
        return Ok(None);
    }
    let narrow = |part: u64| u32::try_from(part).map_err(io::Error::other);
    Ok(Some(DevNo { major: narrow(major(file.rdev()))?, minor: narrow(minor(file.rdev()))? }))
}

/// Reads an attribute in sysfs, without the line end; `None` if it cannot be read. The kernel makes an attribute as a
/// whole, of at most a page, when it is read from its start: one call gets it all. Source: Linux
/// `Documentation/filesystems/sysfs.rst`.
pub fn read_attribute(path: &Path) -> Option<String> {
    Some(String::from_utf8_lossy(&read_bytes(path)?).trim_end_matches('\n').to_owned())
}

/// The same of an attribute that is no text, as it is.
pub fn read_bytes(path: &Path) -> Option<Vec<u8>> {
    const PAGE: usize = 4096;
    let mut page = [0; PAGE];
    let length = fs::File::open(path).ok()?.read(&mut page).ok()?;
    Some(page[..length].to_vec())
}

/// Reads a small file of the kernel or of udev, without the line end; `None` if it cannot be read.
pub fn read_small(path: &Path) -> Option<String> {
    /// More than any attribute or record that is looked at.
    const CAP: u64 = 1 << 18;
    /// What most of them fit in: they are then read in two calls.
    const USUAL: usize = 4096;
    let mut bytes = Vec::with_capacity(USUAL);
    fs::File::open(path).ok()?.take(CAP).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned())
}
