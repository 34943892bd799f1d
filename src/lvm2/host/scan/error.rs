//! Why a search for volume groups failed.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::{FoundVg, Skipped};
use crate::host::filter::pattern::PatternError;
use base::ids::{DevNo, LvmUuid, VgName};

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum ScanError {
    /// The kernel does not show its devices.
    #[error("cannot list the block devices in '{}'", path.display())]
    Sysfs {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A filter pattern in `lvm.conf` is not valid.
    #[error("devices/filter or devices/global_filter of lvm.conf cannot be used")]
    Pattern(#[from] PatternError),
    /// The devices file cannot be read.
    #[error("cannot read the devices file '{}', which alone says which devices may be used", path.display())]
    DevicesFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is a devices file, and it is not known whether lvm2 uses it.
    #[error(
        "'{}' may say which devices may be used: devices/use_devicesfile is not set, and no lvm2 tells its default; \
         set it in lvm.conf",
        path.display()
    )]
    DevicesFileInDoubt {
        /// The file.
        path: PathBuf,
    },
    /// A device given explicitly is not a block device.
    #[error("'{}' is not a block device", path.display())]
    NoDevice {
        /// What was given.
        path: PathBuf,
    },
    /// A device cannot be opened.
    #[error("cannot open '{}'", path.display())]
    Open {
        /// The device.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A device node means another device by now.
    #[error("'{}' is no longer device {no}: try again", path.display())]
    Changed {
        /// The node.
        path: PathBuf,
        /// The device it was.
        no: DevNo,
    },
    /// No device has the group.
    #[error("volume group '{name}' was not found on {devices} devices{}", tail(clues))]
    NotFound {
        /// The group.
        name: VgName,
        /// How many devices were read.
        devices: usize,
        /// What may have to do with it.
        clues: Vec<String>,
    },
    /// Several groups have the name, and all are of other hosts.
    #[error("there are several volume groups named '{name}', all of other hosts: {}", groups(candidates))]
    Foreign {
        /// The name.
        name: VgName,
        /// The groups and their devices.
        candidates: Vec<(LvmUuid, Vec<PathBuf>)>,
    },
    /// Several groups have the name.
    #[error(
        "there are several volume groups named '{name}': {}; rename one with 'vgrename <id> <new name>'",
        groups(candidates)
    )]
    Ambiguous {
        /// The name.
        name: VgName,
        /// The groups and their devices.
        candidates: Vec<(LvmUuid, Vec<PathBuf>)>,
    },
}

impl ScanError {
    pub(super) fn foreign(name: &VgName, vgs: &[FoundVg]) -> Self {
        Self::Foreign { name: name.clone(), candidates: candidates(vgs) }
    }

    pub(super) fn ambiguous(name: &VgName, vgs: &[FoundVg]) -> Self {
        Self::Ambiguous { name: name.clone(), candidates: candidates(vgs) }
    }

    pub(super) fn not_found(
        name: &VgName,
        devices: usize,
        skipped: &[Skipped],
        warnings: Vec<String>,
    ) -> Self {
        let noteworthy = skipped.iter().filter(|skipped| skipped.reason.is_noteworthy());
        let mut clues: Vec<String> =
            noteworthy.map(|skipped| format!("{}: {}", skipped.device, skipped.reason)).collect();
        clues.extend(warnings);
        Self::NotFound { name: name.clone(), devices, clues }
    }
}

fn candidates(vgs: &[FoundVg]) -> Vec<(LvmUuid, Vec<PathBuf>)> {
    vgs.iter().map(|vg| (vg.id, vg.devices().map(|pv| pv.path.clone()).collect())).collect()
}

fn tail(clues: &[String]) -> String {
    if clues.is_empty() { String::new() } else { format!(" ({})", clues.join("; ")) }
}

fn groups(candidates: &[(LvmUuid, Vec<PathBuf>)]) -> String {
    let show = |(id, devices): &(LvmUuid, Vec<PathBuf>)| {
        let devices: Vec<String> = devices.iter().map(|path| path.display().to_string()).collect();
        format!("{id} on {}", devices.join(", "))
    };
    candidates.iter().map(show).collect::<Vec<_>>().join("; ")
}
