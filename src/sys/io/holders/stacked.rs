//! Block devices on top of a block device, from sysfs.

use std::fs;
use std::path::Path;

use super::{Holder, Search, entries};
use base::ids::DevNo;

/// Devices the kernel lists as holders: device-mapper, md, bcache, drbd.
/// Source: Linux `Documentation/ABI/testing/sysfs-block` (`/sys/block/<disk>/holders`).
pub(super) fn devices(search: &Search<'_>, dev: DevNo) -> Vec<Holder> {
    let directory = search.sys.join("dev/block").join(dev.to_string()).join("holders");
    entries(&directory)
        .filter_map(|holder| {
            let kernel_name = holder.file_name()?.to_string_lossy().into_owned();
            let name = first_line(&holder.join("dm/name")).unwrap_or(kernel_name);
            Some(Holder::Device {
                name,
                dev: first_line(&holder.join("dev")).and_then(|dev| dev.parse().ok()),
            })
        })
        .collect()
}

/// Loop devices whose backing file is the device. The kernel does not count them among its holders.
pub(super) fn loops(search: &Search<'_>, dev: DevNo) -> Vec<Holder> {
    entries(&search.sys.join("block"))
        .filter_map(|device| {
            let backing = first_line(&device.join("loop/backing_file"))?;
            let name = device.file_name()?.to_string_lossy().into_owned();
            ((search.device_at)(Path::new(&backing)) == Some(dev)).then_some(Holder::Loop { name })
        })
        .collect()
}

fn first_line(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()?.lines().next().map(str::to_owned)
}
