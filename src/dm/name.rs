//! Device-mapper names and uuids as LVM builds them.

use std::fmt;

use serde::Serialize;

use crate::ids::{IdError, LvName, LvmUuid, VgName};

/// Longest device-mapper name, without the final NUL. Source: Linux `include/uapi/linux/dm-ioctl.h` (`DM_NAME_LEN`).
pub const DM_NAME_MAX: usize = 127;
/// Longest device-mapper uuid, without the final NUL. Source: Linux `include/uapi/linux/dm-ioctl.h` (`DM_UUID_LEN`).
pub const DM_UUID_MAX: usize = 128;
/// What starts the uuid of every LVM device. Source: lvm2 `lib/misc/lvm-string.c` (`UUID_PREFIX`).
pub const LVM_UUID_PREFIX: &str = "LVM-";

/// The name of a device-mapper device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct DmName(String);

/// The uuid of a device-mapper device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct DmUuid(String);

/// What part of an LV's stack a device is: the suffix of its uuid and, for some, of its name.
/// Source: lvm2 `lib/activate/dev_manager.c` (`lv_layer`), `lib/misc/lvm-string.c` (`build_dm_uuid`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// A plain volume: no suffix.
    Plain,
    /// The device users see of a thin pool LV: uuid suffix only.
    Pool,
    /// The thin-pool target itself: suffix of name and uuid.
    Tpool,
    /// A pool's data LV: uuid suffix only, its name ends in `_tdata` anyway.
    Tdata,
    /// A pool's metadata LV: uuid suffix only.
    Tmeta,
    /// The real device under an external origin: suffix of name and uuid.
    Real,
}

impl Layer {
    /// The suffix of the uuid, with its hyphen.
    pub const fn uuid_suffix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Pool => "-pool",
            Self::Tpool => "-tpool",
            Self::Tdata => "-tdata",
            Self::Tmeta => "-tmeta",
            Self::Real => "-real",
        }
    }

    /// The suffix of the name, with its hyphen.
    pub const fn name_suffix(self) -> &'static str {
        match self {
            Self::Tpool => "-tpool",
            Self::Real => "-real",
            Self::Plain | Self::Pool | Self::Tdata | Self::Tmeta => "",
        }
    }
}

impl DmName {
    /// Wraps a name the kernel or a caller gives.
    ///
    /// # Errors
    /// If it is empty, too long, or holds a slash or NUL.
    pub fn new(text: &str) -> Result<Self, IdError> {
        let bad = |why: &str| {
            Err(IdError { what: "device-mapper name", text: text.to_owned(), why: why.to_owned() })
        };
        match text {
            "" => bad("it is empty"),
            _ if text.len() > DM_NAME_MAX => bad("it is longer than 127 bytes"),
            _ if text.contains(['/', '\0']) => bad("it holds a slash or a NUL"),
            _ => Ok(Self(text.to_owned())),
        }
    }

    /// The name LVM gives the device of an LV: hyphens doubled inside VG and LV name.
    ///
    /// # Errors
    /// If the result is longer than device-mapper allows.
    pub fn of_lv(vg: &VgName, lv: &LvName, layer: Layer) -> Result<Self, IdError> {
        let double = |text: &str| text.replace('-', "--");
        Self::new(&format!("{}-{}{}", double(vg.as_str()), double(lv.as_str()), layer.name_suffix()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl DmUuid {
    /// Wraps a uuid the kernel or a caller gives.
    ///
    /// # Errors
    /// If it is empty, too long, or holds a NUL.
    pub fn new(text: &str) -> Result<Self, IdError> {
        let bad = |why: &str| {
            Err(IdError { what: "device-mapper uuid", text: text.to_owned(), why: why.to_owned() })
        };
        match text {
            "" => bad("it is empty"),
            _ if text.len() > DM_UUID_MAX => bad("it is longer than 128 bytes"),
            _ if text.contains('\0') => bad("it holds a NUL"),
            _ => Ok(Self(text.to_owned())),
        }
    }

    /// The uuid LVM gives the device of an LV.
    pub fn of_lv(vg: &LvmUuid, lv: &LvmUuid, layer: Layer) -> Self {
        Self(format!("{LVM_UUID_PREFIX}{}{}{}", vg.compact(), lv.compact(), layer.uuid_suffix()))
    }

    /// The uuid as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for DmUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
