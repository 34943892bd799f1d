//! What a path leads to, before it is read or replaced: only a regular file, or nothing yet, is a configuration.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::{FileError, io_error};

/// How many links a path may lead through. Source: Linux `include/linux/namei.h` (`MAXSYMLINKS`).
const LONGEST_CHAIN: usize = 40;

/// The device number of `/dev/null`: an empty configuration. Source: Linux `Documentation/admin-guide/devices.txt`.
const NULL: (u64, u64) = (1, 3);

/// A file that is to be replaced or made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedFile {
    /// The file itself, no link.
    pub path: PathBuf,
    /// The directory it is in.
    pub dir: PathBuf,
    /// Where it is in the cluster file system, if it is there.
    pub in_cluster: Option<PathBuf>,
}

impl ResolvedFile {
    /// What `path` leads to, links followed, the last one also if it leads to nothing yet. `cluster` is where the
    /// cluster file system is.
    ///
    /// # Errors
    /// If it is no regular file, or its directory is not there.
    pub fn of(path: &Path, cluster: &Path) -> Result<Self, FileError> {
        let mut path = path.to_owned();
        for _ in 0..LONGEST_CHAIN {
            let above = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let dir = fs::canonicalize(above).map_err(io_error("find the directory of", &path))?;
            let name = path.file_name().ok_or_else(|| no_file(&path, "a directory"))?.to_owned();
            path = dir.join(&name);
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_symlink() => {
                    path = dir.join(fs::read_link(&path).map_err(io_error("read the link", &path))?);
                    continue;
                }
                Ok(found) if !found.is_file() => return Err(no_file(&path, kind(&found))),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io_error("look at", &path)(error)),
            }
            let in_cluster = place_in(&dir, cluster)?.map(|below| below.join(name));
            return Ok(Self { path, dir, in_cluster });
        }
        Err(io_error("follow the links of", &path)(io::Error::from_raw_os_error(libc::ELOOP)))
    }
}

/// Refuses what cannot be read as a configuration: reading a FIFO could block, and a directory or a device holds no
/// configuration.
///
/// # Errors
/// If it is such a thing.
pub fn check_readable(path: &Path, found: &fs::Metadata) -> Result<(), FileError> {
    let number = (nix::sys::stat::major(found.rdev()), nix::sys::stat::minor(found.rdev()));
    let is_null = found.file_type().is_char_device() && number == NULL;
    if found.is_file() || is_null { Ok(()) } else { Err(no_file(path, kind(found))) }
}

fn no_file(path: &Path, is: &'static str) -> FileError {
    FileError::NoFile { path: path.to_owned(), is }
}

fn kind(found: &fs::Metadata) -> &'static str {
    let kind = found.file_type();
    match () {
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a FIFO",
        () if kind.is_socket() => "a socket",
        () if kind.is_block_device() || kind.is_char_device() => "a device",
        () => "no regular file",
    }
}

/// Where a directory is in the cluster file system: by what it is, not by how it is spelt, for links, relative paths
/// and bind mounts lead there, too.
fn place_in(dir: &Path, cluster: &Path) -> Result<Option<PathBuf>, FileError> {
    let identity = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
    let Ok(root) = identity(cluster) else { return Ok(None) };
    for above in dir.ancestors() {
        if identity(above).map_err(io_error("look at", above))? == root {
            return Ok(Some(dir.strip_prefix(above).unwrap_or(Path::new("")).to_owned()));
        }
    }
    let is_mounted =
        cluster.parent().is_some_and(|above| identity(above).is_ok_and(|above| above.0 != root.0));
    let (device, _) = identity(dir).map_err(io_error("look at", dir))?;
    if is_mounted && device == root.0 {
        return Err(FileError::Elsewhere { path: dir.to_owned(), cluster: cluster.to_owned() });
    }
    Ok(None)
}
