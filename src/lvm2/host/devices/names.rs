//! The names of a device in `/dev`, and the one LVM prefers.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use base::ids::DevNo;
use sys::io::roots::Roots;
use sys::io::sysfs::Device;
use sys::io::udev_db::UdevRecord;

/// How deep directories below `/dev` are looked into, and how many entries in all.
const MAX_DEPTH: u32 = 12;
const MAX_ENTRIES: usize = 1 << 18;

/// Where names come from.
#[derive(Clone, Debug)]
pub enum NameSource {
    /// The kernel's names and the links that udev made: nothing is walked. Nodes and links made by hand are unknown.
    Udev,
    /// A walk over the directories of `devices/scan`, as lvm2 does.
    Walked(HashMap<DevNo, Vec<PathBuf>>),
}

impl NameSource {
    /// Chooses: udev's names if it has a database and nothing but `/dev` is to be looked in.
    pub fn choose(roots: &Roots, scan: &[PathBuf]) -> Self {
        if roots.has_udev_db() && scan.iter().all(|dir| dir.as_path() == roots.dev) {
            Self::Udev
        } else {
            Self::walk(roots, scan)
        }
    }

    /// Looks at every file below these directories, without leaving their file systems.
    pub fn walk(roots: &Roots, scan: &[PathBuf]) -> Self {
        let mut names: HashMap<DevNo, Vec<PathBuf>> = HashMap::new();
        let mut left = MAX_ENTRIES;
        for dir in scan {
            let Ok(top) = fs::metadata(dir) else { continue };
            let mut pending = vec![(dir.clone(), 0)];
            while let Some((dir, depth)) = pending.pop() {
                for path in entries(&dir) {
                    if left == 0 {
                        return Self::Walked(names);
                    }
                    left -= 1;
                    let Ok(file) = fs::symlink_metadata(&path) else { continue };
                    if file.is_dir() {
                        if depth < MAX_DEPTH && file.dev() == top.dev() {
                            pending.push((path, depth + 1));
                        }
                    } else if let Some(no) = roots.node_number(&path) {
                        names.entry(no).or_default().push(path);
                    }
                }
            }
        }
        Self::Walked(names)
    }

    /// All names of a device that lead to it, the preferred one first; none if it has no node. `record` is what udev
    /// knows of it.
    pub fn of(&self, roots: &Roots, device: &Device, record: Option<&UdevRecord>) -> Vec<PathBuf> {
        let mut names = self.claimed(roots, device, record);
        names.sort();
        names.dedup();
        names.retain(|name| self.lead_to(roots, device, name));
        names.sort_by(|a, b| compare(&roots.dev, a, b));
        names
    }

    /// The preferred name of a device; `None` if it has no node. This looks at few of the others.
    pub fn preferred(&self, roots: &Roots, device: &Device, record: Option<&UdevRecord>) -> Option<PathBuf> {
        let mut names = self.claimed(roots, device, record);
        loop {
            let first = (0..names.len()).min_by(|a, b| compare(&roots.dev, &names[*a], &names[*b]))?;
            let name = names.swap_remove(first);
            if self.lead_to(roots, device, &name) {
                return Some(name);
            }
        }
    }

    /// The names that a device should have. Its own come first: that most others are less preferred is then told by
    /// where they stand, without a look at them.
    fn claimed(&self, roots: &Roots, device: &Device, record: Option<&UdevRecord>) -> Vec<PathBuf> {
        match self {
            Self::Walked(names) => names.get(&device.no).cloned().unwrap_or_default(),
            Self::Udev => {
                let links = record.map(|record| record.links.as_slice()).unwrap_or_default();
                let mapped = device.dm.as_ref().map(|dm| Path::new("mapper").join(&dm.name));
                let own = [Some(PathBuf::from(&device.kernel_name)), mapped];
                own.into_iter()
                    .flatten()
                    .chain(links.iter().cloned())
                    .filter(|name| name.components().all(|part| matches!(part, Component::Normal(_))))
                    .map(|name| roots.dev.join(name))
                    .collect()
            }
        }
    }

    /// A link that several devices claim leads to one of them only. What was walked was looked at then.
    fn lead_to(&self, roots: &Roots, device: &Device, name: &Path) -> bool {
        matches!(self, Self::Walked(_)) || roots.node_number(name) == Some(device.no)
    }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Which of two names of one device LVM prefers: `Less` for the first.
///
/// Source: lvm2 `lib/device/dev-cache.c` (`_compare_paths`): names outside `/dev/block`, `/dev/dm-*`, `/dev/disk` and
/// `/dev/mapper`, in this order; then fewer slashes; then the one whose path turns into a link first; then the order
/// of bytes.
fn compare(dev: &Path, a: &Path, b: &Path) -> Ordering {
    let rank = |path: &Path| {
        let text = path.strip_prefix(dev).ok().and_then(Path::to_str).unwrap_or_default();
        let prefixes = ["block/", "dm-", "disk/", "mapper/"];
        prefixes.iter().position(|prefix| text.starts_with(prefix)).map_or(0, |at| prefixes.len() - at)
    };
    let slashes = |path: &Path| path.components().count();
    rank(a)
        .cmp(&rank(b))
        .then_with(|| slashes(a).cmp(&slashes(b)))
        .then_with(|| compare_links(a, b))
        .then_with(|| a.as_os_str().cmp(b.as_os_str()))
}

fn compare_links(a: &Path, b: &Path) -> Ordering {
    let is_link = |path: &Path| path.is_symlink();
    let (mut at_a, mut at_b) = (PathBuf::new(), PathBuf::new());
    for (part_a, part_b) in a.components().zip(b.components()) {
        at_a.push(part_a);
        at_b.push(part_b);
        if at_a != at_b {
            let order = is_link(&at_b).cmp(&is_link(&at_a));
            if order != Ordering::Equal {
                return order;
            }
        }
    }
    Ordering::Equal
}
