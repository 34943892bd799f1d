//! Whether a disk is in use, and keeping it from being used while it is removed.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use nix::errno::Errno;

use super::bounded::bounded;
use crate::host::limit::Limit;
use crate::host::sysfs::Disk;
use base::ids::DevNo;
use sys::io::holders::{Holder, holders};
use sys::io::roots::Roots;

/// How long opening a disk may take. Where its connection is lost the kernel may hold on to it.
const OPEN_WAIT: Duration = Duration::from_secs(2);

/// What came of the attempt to have a disk alone.
#[derive(Debug)]
pub enum Claim {
    /// While this is kept nobody can mount it, stack a device on it or open it exclusively.
    Ours(Option<File>),
    /// Somebody uses it.
    InUse(Vec<Holder>),
}

/// How long users that are soon done are waited for, and how often they are looked at.
const TRANSIENT_WAIT: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(50);

/// Claims a disk for its removal.
///
/// The kernel decides: an exclusive open fails while the disk or a partition of it is mounted, swapped to, or under
/// another device. Programs that have it open without claiming it are found in `/proc`. A disk that cannot be opened,
/// for its connection is lost or its node is missing, is judged by what `/proc` and `/sys` show alone. udev opens a
/// disk for a moment whenever something has written to it: that is waited for.
pub fn claim(roots: &Roots, disk: &Disk) -> Claim {
    let limit = Limit::new(TRANSIENT_WAIT);
    loop {
        match claim_once(roots, disk) {
            Claim::InUse(holders) if holders.iter().all(is_transient) && limit.nap(LOOK).is_ok() => {}
            claim => return claim,
        }
    }
}

fn is_transient(holder: &Holder) -> bool {
    matches!(holder, Holder::Process(process) if process.comm.contains("udev"))
}

fn claim_once(roots: &Roots, disk: &Disk) -> Claim {
    let path = roots.dev.join(&disk.name);
    let open = move || {
        let flags = libc::O_EXCL | libc::O_NONBLOCK | libc::O_CLOEXEC;
        OpenOptions::new().read(true).custom_flags(flags).open(path)
    };
    let opened = bounded(&Limit::new(OPEN_WAIT), "opening a disk", open);
    let users = users(roots, disk);
    match opened {
        Ok(Err(error)) if error.raw_os_error() == Some(Errno::EBUSY as i32) => Claim::InUse(users),
        _ if !users.is_empty() => Claim::InUse(users),
        Ok(opened) => Claim::Ours(opened.ok()),
        Err(_) => Claim::Ours(None),
    }
}

/// Who uses a disk or its partitions, as far as can be seen.
pub fn users(roots: &Roots, disk: &Disk) -> Vec<Holder> {
    let mut found = holders(disk.no);
    for partition in partitions(roots, disk) {
        found.extend(holders(partition));
    }
    found.sort();
    found.dedup();
    found
}

fn partitions(roots: &Roots, disk: &Disk) -> Vec<DevNo> {
    let folder = roots.sys.join("class/block").join(&disk.name);
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.path().join("partition").exists())
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("dev")).ok()?.trim().parse().ok())
        .collect()
}
