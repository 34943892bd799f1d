//! Multipath devices on the LUNs of a storage. They go before the sessions do, where nobody uses them: one whose paths
//! are gone fails every read, or has who opens it wait for paths that never come.

use std::collections::BTreeSet;
use std::fs::File;
use std::time::Duration;

use crate::errors::CliError;
use base::error_kind::ErrorKind;
use base::ids::DevNo;
use dm::ioctl::LinuxDm;
use dm::kernel::Kernel;
use dm::name::DmName;
use dm::udev::{DeviceRole, SystemUdev, Udev, flags_for, remove};
use iscsi::host::limit::Limit;
use iscsi::session::bounded::bounded;
use sys::io::holders::holders;
use sys::io::roots::Roots;

/// How the uuids of multipath devices begin, and what is in those of their partitions. Source: multipath-tools
/// `libmultipath/defaults.h` (`UUID_PREFIX`), `kpartx/devmapper.c` (`dm_prereq`: `part<number>-<uuid>`).
const MULTIPATH: &str = "mpath-";
const PARTITION: &str = "part";

/// Has I/O fail, not wait, once no path is left. Source: Linux `drivers/md/dm-mpath.c` (`multipath_message`).
const FAIL_WITHOUT_PATHS: &str = "fail_if_no_path";

/// How long udev is waited for.
const UDEV_PATIENCE: Duration = Duration::from_secs(30);

/// How long users that are soon done are waited for (udev looks at each device that comes), and how often.
const TRANSIENT_WAIT: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(50);

/// A multipath device.
#[derive(Debug, PartialEq, Eq)]
pub struct MultipathDevice {
    /// Its name.
    pub name: DmName,
    /// The kernel's name.
    kernel_name: String,
    /// The devices of its partitions.
    partitions: Vec<DmName>,
}

/// The multipath devices that stand on these disks, given by the kernel's names.
///
/// # Errors
/// If one stands on other disks, too.
pub fn on(roots: &Roots, disks: &[&str]) -> Result<Vec<MultipathDevice>, CliError> {
    let standing: BTreeSet<String> = disks.iter().flat_map(|disk| roots.holders(disk)).collect();
    let mut found = Vec::new();
    for kernel_name in standing {
        let Some(name) = name_of(roots, &kernel_name, |uuid| uuid.starts_with(MULTIPATH)) else { continue };
        if let Some(other) = roots.slaves(&kernel_name).iter().find(|path| !disks.contains(&path.as_str())) {
            let message =
                format!("multipath device {name} also stands on {other}, which is no disk of this storage");
            return Err(CliError::new(ErrorKind::Busy, message)
                .hint("log out of the other target first, or take the path out by 'multipathd del path'"));
        }
        let is_partition = |uuid: &str| uuid.starts_with(PARTITION) && uuid.contains(MULTIPATH);
        let upper = roots.holders(&kernel_name);
        let partitions = upper.iter().filter_map(|upper| name_of(roots, upper, is_partition)).collect();
        found.push(MultipathDevice { name, kernel_name, partitions });
    }
    Ok(found)
}

fn name_of(roots: &Roots, kernel_name: &str, is_meant: impl Fn(&str) -> bool) -> Option<DmName> {
    roots.attribute(kernel_name, "dm/uuid").filter(|uuid| is_meant(uuid))?;
    DmName::new(roots.attribute(kernel_name, "dm/name")?.trim()).ok()
}

/// Takes them down: all are seen to be unused before the first goes. What the page cache holds is written back, and
/// what would wait for a path fails from then on.
///
/// # Errors
/// If one is in use: then nothing was changed. If the kernel keeps one.
pub fn take_down(roots: &Roots, devices: &[MultipathDevice], limit: &Limit) -> Result<(), CliError> {
    if devices.is_empty() {
        return Ok(());
    }
    let failed = |error: &dyn std::error::Error| CliError::from_error(ErrorKind::Refused, error);
    let kernel = LinuxDm::open().map_err(|error| failed(&error))?;
    for device in devices {
        see_unused(&kernel, device)?;
    }
    let udev = SystemUdev.sync(&kernel);
    for device in devices {
        if let Err(error) = kernel.message(&device.name, FAIL_WITHOUT_PATHS) {
            tracing::warn!(device = %device.name, %error, "it may go on to wait for paths");
        }
        let node = roots.dev.join(&device.kernel_name);
        let written = bounded(limit, "writing back", move || File::open(node)?.sync_all())?;
        if let Err(error) = written {
            tracing::warn!(device = %device.name, %error, "what was written may not have reached the target");
        }
        for name in device.partitions.iter().chain([&device.name]) {
            remove(&kernel, &*udev, name, flags_for(DeviceRole::Volume)).map_err(|error| {
                failed(&error).within(ErrorKind::Busy, format!("multipath device {name} stays"))
            })?;
        }
    }
    udev.wait(UDEV_PATIENCE).map_err(|error| failed(&error))
}

/// Nobody has it open but its partitions, and nobody those.
fn see_unused(kernel: &dyn Kernel, device: &MultipathDevice) -> Result<(), CliError> {
    let limit = Limit::new(TRANSIENT_WAIT);
    while let Some((name, dev)) = user(kernel, device)? {
        if limit.nap(LOOK).is_err() {
            let users: Vec<String> = holders(dev).iter().map(ToString::to_string).collect();
            let by = if users.is_empty() { String::new() } else { format!(" by {}", users.join(", ")) };
            return Err(CliError::new(ErrorKind::Busy, format!("multipath device {name} is in use{by}"))
                .hint("stop what uses it, then try again; nothing was changed"));
        }
    }
    Ok(())
}

/// Which of its devices is open.
fn user<'a>(
    kernel: &dyn Kernel,
    device: &'a MultipathDevice,
) -> Result<Option<(&'a DmName, DevNo)>, CliError> {
    let by_partitions = u32::try_from(device.partitions.len()).unwrap_or(u32::MAX);
    let own = device.partitions.iter().map(|name| (name, 0)).chain([(&device.name, by_partitions)]);
    for (name, expected) in own {
        let info = kernel.info(name).map_err(|error| CliError::from_error(ErrorKind::Refused, &error))?;
        if let Some(info) = info.filter(|info| info.open_count > expected) {
            return Ok(Some((name, info.dev)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A device: the kernel's name, dm uuid and name, what it stands on.
    type Made<'a> = (&'a str, Option<(&'a str, &'a str)>, &'a [&'a str]);

    /// A `/sys` of devices.
    fn sys(devices: &[Made<'_>]) -> (tempfile::TempDir, Roots) {
        let folder = tempfile::tempdir().unwrap();
        let block = folder.path().join("class/block");
        for (name, dm, below) in devices {
            fs::create_dir_all(block.join(name).join("holders")).unwrap();
            fs::create_dir_all(block.join(name).join("slaves")).unwrap();
            if let Some((uuid, dm_name)) = dm {
                fs::create_dir_all(block.join(name).join("dm")).unwrap();
                fs::write(block.join(name).join("dm/uuid"), format!("{uuid}\n")).unwrap();
                fs::write(block.join(name).join("dm/name"), format!("{dm_name}\n")).unwrap();
            }
            for lower in *below {
                fs::write(block.join(name).join("slaves").join(lower), "").unwrap();
                fs::write(block.join(lower).join("holders").join(name), "").unwrap();
            }
        }
        let roots = Roots { sys: folder.path().to_owned(), ..Roots::default() };
        (folder, roots)
    }

    #[test]
    fn each_device_is_found_once_with_its_partitions_and_not_what_else_stands_there() {
        let (_folder, roots) = sys(&[
            ("sda", None, &[]),
            ("sdb", None, &[]),
            ("sdc", None, &[]),
            ("dm-0", Some(("mpath-360014051", "mpatha")), &["sda", "sdb"]),
            ("dm-1", Some(("part1-mpath-360014051", "mpatha-part1")), &["dm-0"]),
            ("dm-2", Some(("LVM-aaaa", "vg-lv")), &["dm-0"]),
            ("dm-3", Some(("LVM-bbbb", "vg-other")), &["sdc"]),
        ]);
        let name = |text: &str| DmName::new(text).unwrap();
        let found = on(&roots, &["sda", "sdb", "sdc"]).unwrap();
        let kernel_name = "dm-0".to_owned();
        let partitions = vec![name("mpatha-part1")];
        assert_eq!(found, [MultipathDevice { name: name("mpatha"), kernel_name, partitions }]);
        assert!(on(&roots, &["sdc"]).unwrap().is_empty());
    }

    #[test]
    fn one_that_stands_on_disks_of_others_too_is_left_alone() {
        let (_folder, roots) = sys(&[
            ("sda", None, &[]),
            ("sdz", None, &[]),
            ("dm-0", Some(("mpath-360014051", "mpatha")), &["sda", "sdz"]),
        ]);
        let error = on(&roots, &["sda"]).unwrap_err();
        assert!(error.code == ErrorKind::Busy && error.message.contains("sdz"), "{error:?}");
    }
}
