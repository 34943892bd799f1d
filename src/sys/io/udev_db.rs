//! udev's database, read as files: one record per device.
//!
//! The files below `/run/udev/data` are what libudev itself reads (systemd `src/libsystemd/sd-device/sd-device.c`,
//! `sd_device_read_db`); reading them needs no library, so a statically linked binary finds the same devices.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::io::roots::{Roots, read_attribute, read_small};
use base::ids::DevNo;

/// What udev knows of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UdevRecord {
    /// Links below `/dev` that udev gave it, or would have, had no other device a better claim.
    pub links: Vec<PathBuf>,
    /// Its properties.
    properties: BTreeMap<String, String>,
}

impl UdevRecord {
    /// A property, such as `ID_FS_TYPE`.
    pub fn property(&self, key: &str) -> Option<&str> {
        self.properties.get(key).map(String::as_str)
    }

    /// The sequence number of the disk it is of; `None` where udev does not note it (systemd before 252), and for what
    /// is no whole disk. Source: systemd `rules.d/60-persistent-storage.rules` (`by-diskseq`).
    fn disk_sequence(&self) -> Option<u64> {
        let number = |link: &PathBuf| link.strip_prefix("disk/by-diskseq").ok()?.to_str()?.parse().ok();
        self.links.iter().find_map(number)
    }

    /// Reads a record. Lines: `S:<link>`, `E:<key>=<value>`, and others that do not matter here.
    pub fn parse(text: &str) -> Self {
        let mut record = Self::default();
        for line in text.lines() {
            if let Some(link) = line.strip_prefix("S:") {
                record.links.push(PathBuf::from(link));
            } else if let Some((key, value)) = line.strip_prefix("E:").and_then(|pair| pair.split_once('=')) {
                record.properties.insert(key.to_owned(), value.to_owned());
            }
        }
        record
    }

    /// What a device holds instead of a PV, if udev found that out. A record without a type proves nothing: some
    /// kinds of device are never probed.
    pub fn holds_other(&self) -> Option<&str> {
        self.property("ID_FS_TYPE").filter(|kind| *kind != "LVM2_member" && !kind.is_empty())
    }
}

impl Roots {
    /// Whether there is a database of udev at all.
    pub fn has_udev_db(&self) -> bool {
        self.run.join("udev/data").is_dir()
    }

    /// udev's record of a device; `None` if there is none yet. A record of an earlier disk with the same number does
    /// not count: udev removes it some time after the disk has gone. The kernel never gives a sequence number twice.
    /// Source: Linux `block/genhd.c` (`disk->diskseq`), 5.15 and later.
    pub fn udev_record(&self, no: DevNo) -> Option<UdevRecord> {
        let text = read_small(&self.run.join("udev/data").join(format!("b{no}")))?;
        let record = UdevRecord::parse(&text);
        let now = || read_attribute(&self.sys.join(format!("dev/block/{no}/diskseq")))?.trim().parse().ok();
        let is_others =
            record.disk_sequence().is_some_and(|noted| now().is_some_and(|now: u64| now != noted));
        (!is_others).then_some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_record_of_the_disk_that_had_the_number_before_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let root = |name: &str| folder.path().join(name);
        let roots = Roots { sys: root("sys"), run: root("run"), dev: root("dev"), ..Roots::default() };
        let no: DevNo = "8:16".parse().unwrap();
        fs::create_dir_all(root("run/udev/data")).unwrap();
        fs::create_dir_all(root("sys/dev/block/8:16")).unwrap();
        let write = |text: &str| fs::write(root("run/udev/data/b8:16"), text).unwrap();
        let now = |text: &str| fs::write(root("sys/dev/block/8:16/diskseq"), text).unwrap();
        assert_eq!(roots.udev_record(no), None);
        write("S:disk/by-id/scsi-3a\nS:disk/by-diskseq/7\n");
        assert!(roots.udev_record(no).is_some(), "a kernel that numbers no disks");
        now("7\n");
        assert_eq!(roots.udev_record(no).unwrap().links.len(), 2);
        now("17\n");
        assert_eq!(roots.udev_record(no), None);
        write("S:disk/by-id/scsi-3a\nS:disk/by-diskseq/7-part1\n");
        assert!(roots.udev_record(no).is_some(), "of no whole disk");
        write("S:disk/by-id/scsi-3a\n");
        assert!(roots.udev_record(no).is_some(), "a udev that notes no number");
    }
}
