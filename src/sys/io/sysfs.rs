//! Block devices as sysfs shows them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::io::roots::{Roots, read_attribute, read_bytes};
use base::ids::DevNo;
use base::units::Sectors;

/// What a device-mapper device says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DmAttributes {
    /// Its name below `/dev/mapper`.
    pub name: String,
    /// Its uuid; empty if it has none.
    pub uuid: String,
    /// Whether I/O to it is held back.
    pub suspended: bool,
}

/// A block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The kernel's name, such as `sda1`; a `/` in it is a `!` in sysfs.
    pub kernel_name: String,
    /// Its number.
    pub no: DevNo,
    /// Its size; zero if nothing is behind it.
    pub size: Sectors,
    /// The number of the partition, if it is one.
    pub partition: Option<u32>,
    /// The kernel's name of the disk it is a partition of.
    pub disk: Option<String>,
    /// Set if it is a device-mapper device.
    pub dm: Option<DmAttributes>,
}

impl Device {
    /// The kernel's name of the disk: its own, if it is no partition.
    pub fn disk_name(&self) -> &str {
        self.disk.as_deref().unwrap_or(&self.kernel_name)
    }

    /// Whether it is an NVMe disk, one of its partitions or the like. Source: lvm2 `lib/device/dev-cache.c`
    /// (by name, as the major number is shared with other drivers).
    pub fn is_nvme(&self) -> bool {
        self.kernel_name.starts_with("nvme")
    }
}

impl Roots {
    /// The kernel's names of all block devices, in the order of the alphabet.
    ///
    /// # Errors
    /// If sysfs cannot be read.
    pub fn block_names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.sys.join("class/block"))? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name.replace('!', "/"));
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Looks at one block device; `None` if it is gone or says nothing usable.
    pub fn device(&self, kernel_name: &str) -> Option<Device> {
        self.device_of_size(kernel_name, self.size(kernel_name)?)
    }

    /// The size of a device; zero if nothing is behind it, `None` if it is gone.
    pub fn size(&self, kernel_name: &str) -> Option<Sectors> {
        Some(Sectors::new(self.attribute(kernel_name, "size")?.parse().ok()?))
    }

    /// Looks at the rest of a block device whose size is known; `None` if it is gone or says nothing usable.
    pub fn device_of_size(&self, kernel_name: &str, size: Sectors) -> Option<Device> {
        let uevent = self.attribute(kernel_name, "uevent")?;
        let value = |key: &str| {
            uevent.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned)
        };
        let number = |key: &str| value(key)?.parse().ok();
        let no = DevNo { major: number("MAJOR")?, minor: number("MINOR")? };
        let is_partition = value("DEVTYPE").as_deref() == Some("partition");
        let dm = kernel_name.starts_with("dm-").then(|| DmAttributes {
            name: self.attribute(kernel_name, "dm/name").unwrap_or_default(),
            uuid: self.attribute(kernel_name, "dm/uuid").unwrap_or_default(),
            suspended: self.attribute(kernel_name, "dm/suspended").as_deref() == Some("1"),
        });
        Some(Device {
            no,
            size,
            partition: if is_partition { number("PARTN") } else { None },
            disk: if is_partition { self.parent_disk(kernel_name) } else { None },
            dm,
            kernel_name: kernel_name.to_owned(),
        })
    }

    /// The device with that number; `None` if there is none.
    pub fn device_by_number(&self, no: DevNo) -> Option<Device> {
        let link = fs::canonicalize(self.sys.join("dev/block").join(no.to_string())).ok()?;
        let device = self.device(&link.file_name()?.to_str()?.replace('!', "/"))?;
        (device.no == no).then_some(device)
    }

    /// An attribute of a device; `None` if it has none of that name, or an empty one.
    pub fn attribute(&self, kernel_name: &str, attribute: &str) -> Option<String> {
        read_attribute(&self.block_dir(kernel_name).join(attribute)).filter(|text| !text.is_empty())
    }

    /// The attribute of a device, or else of the disk that it is a partition of.
    pub fn disk_attribute(&self, device: &Device, attribute: &str) -> Option<String> {
        self.attribute(&device.kernel_name, attribute)
            .or_else(|| self.attribute(device.disk.as_deref()?, attribute))
    }

    /// The same of an attribute that is no text.
    pub fn disk_bytes(&self, device: &Device, attribute: &str) -> Option<Vec<u8>> {
        let read = |name: &str| read_bytes(&self.block_dir(name).join(attribute));
        read(&device.kernel_name).or_else(|| read(device.disk.as_deref()?))
    }

    /// The kernel's names of the devices that stand on this one.
    pub fn holders(&self, kernel_name: &str) -> Vec<String> {
        self.links(kernel_name, "holders")
    }

    /// The kernel's names of the devices that this one stands on.
    pub fn slaves(&self, kernel_name: &str) -> Vec<String> {
        self.links(kernel_name, "slaves")
    }

    fn links(&self, kernel_name: &str, directory: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.block_dir(kernel_name).join(directory)) else {
            return Vec::new();
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        names.map(|name| name.replace('!', "/")).collect()
    }

    /// A partition's directory lies in that of its disk.
    fn parent_disk(&self, kernel_name: &str) -> Option<String> {
        let real = fs::canonicalize(self.block_dir(kernel_name)).ok()?;
        Some(real.parent()?.file_name()?.to_str()?.replace('!', "/"))
    }

    fn block_dir(&self, kernel_name: &str) -> PathBuf {
        self.sys.join("class/block").join(kernel_name.replace('/', "!"))
    }

    /// Whether the file behind a path is on this machine's list of device nodes, and which device it is.
    pub fn node_number(&self, path: &Path) -> Option<DevNo> {
        (self.node)(path).ok().flatten()
    }
}
