//! Which kinds of device LVM takes PVs on, by major number.

use std::collections::BTreeMap;

use dm::name::LVM_UUID_PREFIX;
use sys::io::roots::{Roots, read_small};
use sys::io::sysfs::Device;

/// Whether it is an LV or an internal layer of one.
pub fn is_lv(device: &Device) -> bool {
    device.dm.as_ref().is_some_and(|dm| dm.uuid.starts_with(LVM_UUID_PREFIX))
}

/// Names in `/proc/devices` that LVM knows, with the number of minors a disk takes; 1 if it has no partitions of its
/// own. A name counts if it starts with one of these. Source: lvm2 `lib/device/device-types.h`.
const KNOWN: [(&str, u64); 37] = [
    ("sd", 16),
    ("ide", 64),
    ("md", 1),
    ("loop", 1),
    ("ramdisk", 1),
    ("device-mapper", 1),
    ("mdp", 1),
    ("dasd", 4),
    ("dac960", 8),
    ("nbd", 16),
    ("ida", 16),
    ("cciss", 16),
    ("ubd", 16),
    ("ataraid", 16),
    ("drbd", 16),
    ("rbd", 16),
    ("emcpower", 16),
    ("power2", 16),
    ("i2o_block", 16),
    ("iseries/vd", 8),
    ("gnbd", 1),
    ("aoe", 16),
    ("xvd", 16),
    ("vdisk", 8),
    ("ps3disk", 16),
    ("virtblk", 8),
    ("mmc", 16),
    ("blkext", 1),
    ("fio", 16),
    ("mtip32xx", 16),
    ("vtms", 16),
    ("skd", 16),
    ("scm", 8),
    ("bcache", 1),
    ("nvme", 64),
    ("zvol", 16),
    ("VxDMP", 16),
];

#[derive(Clone, Debug)]
struct Driver {
    name: String,
    /// Minors per disk, if LVM takes PVs on these devices.
    minors: Option<u64>,
}

/// The drivers of block devices.
#[derive(Clone, Debug, Default)]
pub struct DeviceTypes(BTreeMap<u32, Driver>);

impl DeviceTypes {
    /// Reads `/proc/devices`. `more` are the names and numbers of `devices/types`.
    pub fn read(roots: &Roots, more: &[(String, u64)]) -> Self {
        Self::parse(&read_small(&roots.proc.join("devices")).unwrap_or_default(), more)
    }

    fn parse(text: &str, more: &[(String, u64)]) -> Self {
        let block = text.split_once("Block devices:").map_or("", |(_, block)| block);
        let driver = |line: &str| {
            let (major, name) = line.trim().split_once(' ')?;
            let name = name.trim();
            let more = more.iter().map(|(name, minors)| (name.as_str(), *minors));
            // What is configured goes before what is known, as in lvm2.
            let found = more.chain(KNOWN).find(|(prefix, _)| name.starts_with(prefix));
            let driver = Driver { name: name.to_owned(), minors: found.map(|(_, minors)| minors) };
            Some((major.parse().ok()?, driver))
        };
        Self(block.lines().filter_map(driver).collect())
    }

    /// Whether LVM takes PVs on devices with this major number. Without `/proc/devices`, on all.
    pub fn is_known(&self, major: u32) -> bool {
        self.0.is_empty() || self.0.get(&major).is_some_and(|driver| driver.minors.is_some())
    }

    fn is(&self, major: u32, name: &str) -> bool {
        self.0.get(&major).is_some_and(|driver| driver.name == name)
    }

    /// Whether it is a SCSI disk or a partition of one.
    pub fn is_scsi(&self, device: &Device) -> bool {
        self.is(device.no.major, "sd") || device.disk_name().starts_with("sd")
    }

    /// Whether it is an md array.
    pub fn is_md(&self, device: &Device) -> bool {
        self.is(device.no.major, "md")
    }

    /// Whether it is a loop device.
    pub fn is_loop(&self, device: &Device) -> bool {
        self.is(device.no.major, "loop")
    }

    /// Whether a partition table on it is to be expected. Source: lvm2 `lib/device/dev-type.c` (`_is_partitionable`).
    pub fn is_partitionable(&self, roots: &Roots, device: &Device) -> bool {
        if device.partition.is_some() {
            return false;
        }
        if device.dm.is_some() || self.is_md(device) || device.is_nvme() {
            return true;
        }
        if self.is_loop(device) {
            return roots.attribute(&device.kernel_name, "loop/partscan").as_deref() == Some("1");
        }
        let minors = self.0.get(&device.no.major).and_then(|driver| driver.minors).unwrap_or(1);
        minors > 1 && u64::from(device.no.minor).is_multiple_of(minors)
    }
}
