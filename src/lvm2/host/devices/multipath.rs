//! Which devices are paths of a multipath device.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sys::io::roots::{Roots, read_small};
use sys::io::sysfs::Device;

/// How the dm uuids of multipath devices begin. Source: multipath-tools `libmultipath/defaults.h`, lvm2
/// `lib/device/dev-mpath.c`.
const MPATH_PREFIX: &str = "mpath-";

/// WWIDs that multipath has claimed, without the `3` that it puts before them.
#[derive(Clone, Debug, Default)]
pub struct MultipathWwids(BTreeSet<String>);

impl MultipathWwids {
    /// Reads multipath's list of WWIDs, and takes out those that its configuration excludes.
    /// Source: lvm2 `lib/device/dev-mpath.c` (`_read_wwid_file`, `_read_blacklist_file`).
    pub fn read(roots: &Roots, wwids_file: &Path) -> Self {
        let Some(text) = read_small(wwids_file) else { return Self::default() };
        let mut wwids = parse_wwids(&text);
        if !wwids.is_empty() {
            for wwid in Blacklist::read(roots).ignored() {
                wwids.remove(&wwid);
            }
        }
        Self(wwids)
    }

    /// Whether the kernel gives this device a WWID that multipath has claimed. sysfs has it as `<type>.<value>`.
    pub fn claim(&self, roots: &Roots, device: &Device) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let wwid = roots.disk_attribute(device, "device/wwid");
        wwid.is_some_and(|wwid| {
            wwid.split_once('.').is_some_and(|(_, value)| self.0.contains(value.trim_end()))
        })
    }
}

/// Lines `/3<value>/`, and comments.
fn parse_wwids(text: &str) -> BTreeSet<String> {
    let line = |line: &str| {
        let line = line.strip_prefix('/').unwrap_or(line);
        let value = line.split('/').next()?.get(1..)?.trim_end();
        (!value.is_empty()).then(|| value.to_owned())
    };
    text.lines().filter(|text| !text.starts_with('#')).filter_map(line).collect()
}

#[derive(Default)]
struct Blacklist {
    listed: BTreeSet<String>,
    exceptions: BTreeSet<String>,
}

impl Blacklist {
    fn read(roots: &Roots) -> Self {
        let mut list = Self::default();
        list.parse(&read_small(&roots.etc.join("multipath.conf")).unwrap_or_default());
        if let Ok(entries) = fs::read_dir(roots.etc.join("multipath/conf.d")) {
            for entry in
                entries.flatten().filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."))
            {
                list.parse(&read_small(&entry.path()).unwrap_or_default());
            }
        }
        list
    }

    fn parse(&mut self, text: &str) {
        let mut section: Option<bool> = None;
        for line in text.lines().map(str::trim_start).filter(|line| !line.starts_with('#')) {
            if line.contains('{') {
                let exceptions = line.starts_with("blacklist_exceptions");
                section = (exceptions || line.starts_with("blacklist")).then_some(exceptions);
            } else if line.contains('}') {
                section = None;
            } else if let (Some(exceptions), Some(value)) = (section, line.strip_prefix("wwid")) {
                let value = value.trim_start().trim_start_matches('"');
                let value = value.split(|c: char| c == '"' || c.is_whitespace()).next().unwrap_or_default();
                let value = value.strip_prefix('3').unwrap_or(value).to_owned();
                if exceptions {
                    self.exceptions.insert(value)
                } else {
                    self.listed.insert(value)
                };
            }
        }
    }

    fn ignored(self) -> impl Iterator<Item = String> {
        let Self { listed, exceptions } = self;
        listed.into_iter().filter(move |wwid| !exceptions.contains(wwid))
    }
}

/// The kernel's name of the multipath device that stands on this device or its disk.
pub fn multipath_holder(roots: &Roots, device: &Device) -> Option<String> {
    let is_multipath =
        |name: &String| roots.attribute(name, "dm/uuid").is_some_and(|uuid| uuid.starts_with(MPATH_PREFIX));
    roots.holders(device.disk_name()).into_iter().find(is_multipath)
}
