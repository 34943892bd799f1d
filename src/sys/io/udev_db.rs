//! udev's database, read as files: one record per device.
//!
//! The files below `/run/udev/data` are what libudev itself reads (systemd `src/libsystemd/sd-device/sd-device.c`,
//! `sd_device_read_db`); reading them needs no library, so a statically linked binary finds the same devices.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::io::roots::{Roots, read_small};
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

    /// udev's record of a device; `None` if there is none.
    pub fn udev_record(&self, no: DevNo) -> Option<UdevRecord> {
        read_small(&self.run.join("udev/data").join(format!("b{no}"))).map(|text| UdevRecord::parse(&text))
    }
}
