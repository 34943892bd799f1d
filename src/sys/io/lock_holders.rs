//! Who holds a lock file, as `/proc` tells it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::Serialize;

/// A process that holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// The kernel's short name of it, if it still runs.
    pub comm: Option<String>,
    /// Its command line, arguments separated by spaces, if it can be read.
    pub cmdline: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cmdline.as_ref().or(self.comm.as_ref()) {
            Some(name) => write!(f, "{name} (pid {})", self.pid)?,
            None => write!(f, "pid {}, which is gone or hidden", self.pid)?,
        }
        if self.pid == std::process::id() { f.write_str(", this very process") } else { Ok(()) }
    }
}

/// The holders as the tail of a sentence; empty if there are none to name.
pub fn shown(holders: &[Holder]) -> String {
    if holders.is_empty() {
        return String::new();
    }
    let names: Vec<String> = holders.iter().map(ToString::to_string).collect();
    format!(" by {}", names.join("; "))
}

/// Finds who holds any of these lock files. Best effort: what cannot be read is left out.
///
/// `/proc/locks` names the process that took a lock. If that one has ended, children that inherited the open file hold
/// the lock on, and are looked for among all open files.
pub fn find(proc_root: &Path, paths: &[&Path]) -> Vec<Holder> {
    let files: BTreeSet<(u64, u64)> = paths.iter().filter_map(|path| file_id(path)).collect();
    let takers = takers(&read_capped(&proc_root.join("locks")), &files);
    let (mut alive, gone): (Vec<Holder>, Vec<Holder>) =
        takers.into_iter().map(|pid| describe(proc_root, pid)).partition(|holder| holder.comm.is_some());
    if alive.is_empty() {
        alive = heirs(proc_root, &files).into_iter().map(|pid| describe(proc_root, pid)).collect();
    }
    if alive.is_empty() { gone } else { alive }
}

fn file_id(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// The processes that `/proc/locks` names for these files.
///
/// A line: `1: FLOCK  ADVISORY  WRITE 708 00:1a:8 0 EOF` with device numbers in hexadecimal; those who only wait have
/// `->` after the number. Source: Linux `fs/locks.c` (`lock_get_status`).
fn takers(locks: &str, files: &BTreeSet<(u64, u64)>) -> BTreeSet<u32> {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, "FLOCK", _, _, pid, file, ..] = fields.as_slice() else { return None };
        let mut parts = file.split(':');
        let major = u64::from_str_radix(parts.next()?, 16).ok()?;
        let minor = u64::from_str_radix(parts.next()?, 16).ok()?;
        let inode: u64 = parts.next()?.parse().ok()?;
        files.contains(&(nix::sys::stat::makedev(major, minor), inode)).then(|| pid.parse().ok())?
    };
    locks.lines().filter_map(line).collect()
}

/// The processes that have one of these files open.
fn heirs(proc_root: &Path, files: &BTreeSet<(u64, u64)>) -> BTreeSet<u32> {
    let me = std::process::id();
    let has_open = |pid: u32| {
        let Ok(fds) = fs::read_dir(proc_root.join(pid.to_string()).join("fd")) else { return false };
        fds.flatten().any(|fd| file_id(&fd.path()).is_some_and(|id| files.contains(&id)))
    };
    let Ok(entries) = fs::read_dir(proc_root) else { return BTreeSet::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != me && has_open(*pid))
        .collect()
}

fn describe(proc_root: &Path, pid: u32) -> Holder {
    /// Enough of a command line to know it by.
    const LONGEST: usize = 300;
    let read = |name: &str| {
        let text = read_capped(&proc_root.join(pid.to_string()).join(name));
        let text = text.trim_end_matches(['\0', '\n']).replace('\0', " ");
        // Another process chose these characters: none of them may steer a terminal.
        let text: String = text.chars().take(LONGEST).map(|c| if c.is_control() { '?' } else { c }).collect();
        (!text.is_empty()).then_some(text)
    };
    Holder { pid, comm: read("comm"), cmdline: read("cmdline") }
}

/// Reads the start of a file; empty if that fails.
fn read_capped(path: &Path) -> String {
    const CAP: u64 = 1 << 20;
    let mut bytes = Vec::new();
    match fs::File::open(path).and_then(|file| file.take(CAP).read_to_end(&mut bytes)) {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_flock_holders_of_the_very_file_are_named() {
        let locks = "1: FLOCK  ADVISORY  WRITE 708 00:1a:8 0 EOF\n\
                     1: -> FLOCK  ADVISORY  WRITE 709 00:1a:8 0 EOF\n\
                     2: POSIX  ADVISORY  WRITE 710 00:1a:8 0 EOF\n\
                     3: FLOCK  ADVISORY  READ 711 00:1a:9 0 EOF\n\
                     4: FLOCK  ADVISORY  READ 712 fd:1a:8 0 EOF\n\
                     5: FLOCK garbage\n\n6: FLOCK ADVISORY READ x 00:1a:8\n";
        let files = BTreeSet::from([(nix::sys::stat::makedev(0, 0x1a), 8)]);
        assert_eq!(takers(locks, &files), BTreeSet::from([708]));
    }

    #[test]
    fn what_a_process_calls_itself_cannot_steer_a_terminal() {
        let proc_root = tempfile::tempdir().unwrap();
        let dir = proc_root.path().join("42");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("comm"), "evil\n").unwrap();
        fs::write(dir.join("cmdline"), "evil\0\x1b[31m\0").unwrap();
        let holder = describe(proc_root.path(), 42);
        assert_eq!(holder.comm.as_deref(), Some("evil"));
        assert_eq!(holder.cmdline.as_deref(), Some("evil ?[31m"));
        assert_eq!(shown(&[holder]), " by evil ?[31m (pid 42)");
    }
}
