//! Why a device is left alone.

use std::path::PathBuf;

use serde::Serialize;
use thiserror::Error;

/// A reason not to take a device for a PV.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Skip {
    /// `devices/filter` rejects it.
    #[error("devices/filter rejects '{}' by {pattern}", name.display())]
    Filter {
        /// By this name of it.
        name: PathBuf,
        /// With this pattern.
        pattern: String,
    },
    /// `devices/global_filter` rejects it.
    #[error("devices/global_filter rejects '{}' by {pattern}", name.display())]
    GlobalFilter {
        /// By this name of it.
        name: PathBuf,
        /// With this pattern.
        pattern: String,
    },
    /// The devices file does not list it.
    #[error("it is not in the devices file")]
    NotInDevicesFile,
    /// The devices file lists it with another PV.
    #[error("the devices file expects PV {expected} there, and PV {found} is on it")]
    OtherPv {
        /// The PV in the file.
        expected: String,
        /// The PV on the device.
        found: String,
    },
    /// LVM takes no PVs on such devices.
    #[error("LVM does not use devices with major number {major}")]
    Type {
        /// Its major number.
        major: u32,
    },
    /// There is no medium behind it.
    #[error("it is empty: nothing is attached to it")]
    NoMedium,
    /// Smaller than `devices/pv_min_size`.
    #[error("its {sectors} sectors are too few for a PV")]
    TooSmall {
        /// Its size.
        sectors: u64,
    },
    /// No node in `/dev` leads to it.
    #[error("it has no node in /dev")]
    NoNode,
    /// It is an LV, and `devices/scan_lvs` is off.
    #[error("it is an LV: its content belongs to the user of the LV")]
    Lv,
    /// It is a part of an LV, which is not to be used separately.
    #[error("it is an internal part of an LV")]
    InternalLv,
    /// A partition or a loop device on an LV: most likely inside a guest's disk.
    #[error("it stands on the LV '{lv}': its content belongs to the user of the LV")]
    OnLv {
        /// The LV's device-mapper name.
        lv: String,
    },
    /// A device that another tool keeps to itself.
    #[error("its device-mapper uuid {uuid} is reserved for internal use")]
    Reserved {
        /// Its uuid.
        uuid: String,
    },
    /// Reading it would block.
    #[error("it is suspended: reading it would block")]
    Suspended,
    /// It is one of several paths to a multipath device.
    #[error("it is a path of the multipath device {device}")]
    MultipathPath {
        /// The multipath device, or how it is known to be one.
        device: String,
    },
    /// It is part of an md array.
    #[error("it is a member of an md array ({evidence})")]
    MdMember {
        /// How that is known.
        evidence: String,
    },
    /// It is part of a firmware RAID.
    #[error("it is a member of a firmware RAID ({kind})")]
    FirmwareRaid {
        /// What udev calls it.
        kind: String,
    },
    /// It has a partition table.
    #[error("it has a partition table")]
    Partitioned,
    /// udev has found something else on it.
    #[error("udev says that it holds {kind}")]
    HoldsOther {
        /// What udev calls it.
        kind: String,
    },
    /// It cannot be opened or read.
    #[error("it cannot be read: {error}")]
    Unreadable {
        /// The system's error.
        error: String,
    },
    /// Its label is damaged.
    #[error("its LVM label is damaged: {error}")]
    DamagedLabel {
        /// What is wrong.
        error: String,
    },
    /// LVM's hints list the PVs, and it is not among them, or in another VG.
    #[error("LVM's hints do not list it")]
    NotHinted,
    /// It was read and has no label.
    #[error("it has no LVM label")]
    NoLabel,
}

impl Skip {
    /// Whether it is reported by default: the device may be one that the user expects.
    pub fn is_noteworthy(&self) -> bool {
        matches!(
            self,
            Self::OtherPv { .. } | Self::Suspended | Self::Unreadable { .. } | Self::DamagedLabel { .. }
        )
    }
}
