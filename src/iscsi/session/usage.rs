//! Whether a disk is in use, and keeping it from being used while it is removed.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use nix::errno::Errno;

use super::bounded::bounded;
use crate::host::limit::Limit;
use crate::host::sysfs::Disk;
use base::ids::DevNo;
use sys::io::holders::{Holder, Process, holders};
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

/// Programs that look at all disks there are, and are soon done.
const LOOKERS: &[&str] = &[
    "blkid",
    "lsblk",
    "lvdisplay",
    "lvs",
    "lvscan",
    "pvck",
    "pvdisplay",
    "pvs",
    "pvscan",
    "scsi_id",
    "vgck",
    "vgdisplay",
    "vgs",
    "vgscan",
];

/// How far up the parents of a process are looked at: what udev starts may start more.
const GENERATIONS: usize = 8;

/// Claims a disk for its removal.
///
/// The kernel decides: an exclusive open fails while the disk or a partition of it is mounted, swapped to, or under
/// another device. Programs that have it open without claiming it are found in `/proc`. A disk that cannot be opened,
/// for its connection is lost or its node is missing, is judged by what `/proc` and `/sys` show alone.
///
/// udev and what it starts open a disk for a moment whenever it comes, or something has written to it, and so do
/// programs that look at all disks: they are waited for. udev that does not get done is passed over in the end: it
/// looks at a disk and does not use it, and what it would start cannot have the disk while it is claimed.
pub fn claim(roots: &Roots, disk: &Disk) -> Claim {
    let limit = Limit::new(TRANSIENT_WAIT);
    loop {
        let (opened, users) = match look(roots, disk) {
            Ok(free) => return Claim::Ours(free),
            Err(busy) => busy,
        };
        if users.is_empty() || !users.iter().all(|user| is_looker(user) || is_udevs(roots, user)) {
            return Claim::InUse(users);
        }
        if limit.nap(LOOK).is_err() {
            let is_looked_at_only = users.iter().all(|user| is_udevs(roots, user));
            return match opened {
                Some(file) if is_looked_at_only => Claim::Ours(file),
                _ => Claim::InUse(users),
            };
        }
    }
}

fn is_looker(holder: &Holder) -> bool {
    matches!(holder, Holder::Process(process) if LOOKERS.contains(&process.comm.as_str()))
}

/// Whether it is udev, or was started by it.
fn is_udevs(roots: &Roots, holder: &Holder) -> bool {
    let Holder::Process(process) = holder else { return false };
    let mut process = process.clone();
    for _ in 0..GENERATIONS {
        if process.is_of_udev() {
            return true;
        }
        let Some(parent) = parent(roots, process.pid) else { return false };
        process = parent;
    }
    false
}

/// The parent of a process. Source: proc(5), `/proc/<pid>/stat`: the name is in parentheses and may hold some itself.
fn parent(roots: &Roots, pid: u32) -> Option<Process> {
    let stat = std::fs::read_to_string(roots.proc.join(pid.to_string()).join("stat")).ok()?;
    let pid = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()?;
    let comm = std::fs::read_to_string(roots.proc.join(u32::to_string(&pid)).join("comm")).ok()?;
    Some(Process { pid, comm: comm.trim_end().to_owned() })
}

/// What an attempt to open a disk gave: nothing where its node is missing or does not open in time.
type Opened = Option<Option<File>>;

/// One attempt: the disk, if nobody uses it; else what opening it gave, if it was not refused, and who does.
fn look(roots: &Roots, disk: &Disk) -> Result<Option<File>, (Opened, Vec<Holder>)> {
    let path = roots.dev.join(&disk.name);
    let open = move || {
        let flags = libc::O_EXCL | libc::O_NONBLOCK | libc::O_CLOEXEC;
        OpenOptions::new().read(true).custom_flags(flags).open(path)
    };
    let opened = bounded(&Limit::new(OPEN_WAIT), "opening a disk", open);
    let users = users(roots, disk);
    let opened = match opened {
        Ok(Err(error)) if error.raw_os_error() == Some(Errno::EBUSY as i32) => return Err((None, users)),
        Ok(opened) => opened.ok(),
        Err(_) => None,
    };
    if users.is_empty() { Ok(opened) } else { Err((Some(opened), users)) }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A `/proc` of processes: number, name, parent.
    fn proc(processes: &[(u32, &str, u32)]) -> (tempfile::TempDir, Roots) {
        let folder = tempfile::tempdir().unwrap();
        for (pid, comm, parent) in processes {
            let own = folder.path().join(pid.to_string());
            std::fs::create_dir(&own).unwrap();
            std::fs::write(own.join("comm"), format!("{comm}\n")).unwrap();
            std::fs::write(own.join("stat"), format!("{pid} ({comm}) S {parent} 1 1 0")).unwrap();
        }
        let roots = Roots { proc: folder.path().to_owned(), ..Roots::default() };
        (folder, roots)
    }

    #[test]
    fn what_udev_has_started_is_told_from_others() {
        let (_folder, roots) = proc(&[
            (1, "init", 0),
            (10, "systemd-udevd", 1),
            (11, "(udev-worker)", 10),
            (12, "sh (a) b", 11),
            (13, "multipath", 12),
            (20, "multipathd", 1),
            (21, "my-udev-tool", 1),
        ]);
        let is_udevs =
            |pid, comm: &str| is_udevs(&roots, &Holder::Process(Process { pid, comm: comm.into() }));
        assert!(is_udevs(10, "systemd-udevd") && is_udevs(11, "(udev-worker)") && is_udevs(13, "multipath"));
        assert!(!is_udevs(20, "multipathd") && !is_udevs(21, "my-udev-tool") && !is_udevs(99, "gone"));
        assert!(!super::is_udevs(&roots, &Holder::Swap));
        assert!(
            is_looker(&Holder::Process(Process { pid: 5, comm: "vgs".into() })) && !is_looker(&Holder::Swap)
        );
    }
}
