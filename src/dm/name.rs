//! Device-mapper names and uuids as LVM builds them.

use std::fmt;

use serde::Serialize;

use base::ids::{IdError, LVM_UUID_LEN, LvName, LvmUuid, VgName};

/// Longest device-mapper name, without the final NUL. Source: Linux `include/uapi/linux/dm-ioctl.h`
/// (`DM_NAME_LEN`).
pub const DM_NAME_MAX: usize = 127;
/// Longest device-mapper uuid, without the final NUL. Source: Linux `include/uapi/linux/dm-ioctl.h`
/// (`DM_UUID_LEN`).
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

/// The parts of the name of an LVM device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LvmNameParts {
    /// The volume group.
    pub vg: VgName,
    /// The logical volume.
    pub lv: LvName,
    /// The layer without its hyphen (`tpool`, `real`, `cow`), if the name has one.
    pub layer: Option<String>,
}

/// The parts of the uuid of an LVM device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LvmUuidParts {
    /// The volume group's UUID.
    pub vg: LvmUuid,
    /// The logical volume's UUID.
    pub lv: LvmUuid,
    /// The suffix with its hyphen; empty for a plain volume.
    pub suffix: String,
}

impl LvmUuidParts {
    /// The layer, or `None` if the suffix is not one of a thin pool's stack.
    pub fn layer(&self) -> Option<Layer> {
        Layer::ALL.into_iter().find(|layer| layer.uuid_suffix() == self.suffix)
    }
}

impl Layer {
    /// All layers.
    pub const ALL: [Self; 6] = [Self::Plain, Self::Pool, Self::Tpool, Self::Tdata, Self::Tmeta, Self::Real];

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

    /// The same for a layer as [`LvmNameParts`] gives it.
    ///
    /// # Errors
    /// If the result is longer than device-mapper allows.
    pub fn of_layer(vg: &VgName, lv: &LvName, layer: Option<&str>) -> Result<Self, IdError> {
        let plain = Self::of_lv(vg, lv, Layer::Plain)?;
        layer.map_or(Ok(plain.clone()), |layer| Self::new(&format!("{plain}-{layer}")))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes a name apart as LVM builds it, or says why it is not one of LVM's.
    ///
    /// No part can start with a hyphen, so a run of hyphens reads in one way only: every two are one hyphen
    /// of the part before, and one left over ends that part. Source: lvm2 `libdm/libdm-string.c`
    /// (`dm_split_lvm_name`).
    ///
    /// # Errors
    /// If it has no single hyphen, or a part is not a valid LVM name.
    pub fn lvm_parts(&self) -> Result<LvmNameParts, IdError> {
        let (vg, rest) = split_single_hyphen(&self.0);
        let rest = rest.ok_or_else(|| IdError {
            what: "LVM device name",
            text: self.0.clone(),
            why: "no single hyphen separates a VG from an LV".to_owned(),
        })?;
        let (lv, layer) = split_single_hyphen(rest);
        Ok(LvmNameParts { vg: VgName::new(&vg)?, lv: LvName::new(&lv)?, layer: layer.map(str::to_owned) })
    }
}

/// Reads up to the first hyphen that is not doubled; gives what is before it with doubled hyphens made
/// single, and what is after it, if there was one.
fn split_single_hyphen(text: &str) -> (String, Option<&str>) {
    let mut part = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('-') {
        part.push_str(before);
        match after.strip_prefix('-') {
            Some(more) => {
                part.push('-');
                rest = more;
            }
            None => return (part, Some(after)),
        }
    }
    part.push_str(rest);
    (part, None)
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

    /// Whether it is that of a device of this volume group.
    pub fn is_of_vg(&self, vg: &LvmUuid) -> bool {
        let ids = self.0.strip_prefix(LVM_UUID_PREFIX);
        ids.is_some_and(|ids| ids.starts_with(vg.compact()))
    }

    /// Whether it is one of LVM's, so that the device is an LV or a layer of one.
    pub fn is_lvms(&self) -> bool {
        self.0.starts_with(LVM_UUID_PREFIX)
    }

    /// The uuid as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes a uuid apart as LVM builds it, or says why it is not one of LVM's.
    ///
    /// # Errors
    /// If it is not `LVM-`, two UUIDs and nothing more or a hyphen with a suffix.
    pub fn lvm_parts(&self) -> Result<LvmUuidParts, IdError> {
        let bad = |why: &str| IdError { what: "LVM device uuid", text: self.0.clone(), why: why.to_owned() };
        let ids = self.0.strip_prefix(LVM_UUID_PREFIX).ok_or_else(|| bad("it does not start with LVM-"))?;
        let (vg, rest) = ids.split_at_checked(LVM_UUID_LEN).ok_or_else(|| bad("it has no VG UUID"))?;
        let (lv, suffix) = rest.split_at_checked(LVM_UUID_LEN).ok_or_else(|| bad("it has no LV UUID"))?;
        if !(suffix.is_empty() || (suffix.starts_with('-') && suffix.len() > 1)) {
            return Err(bad("what follows the UUIDs does not start with a hyphen"));
        }
        Ok(LvmUuidParts {
            vg: LvmUuid::from_compact(vg.as_bytes())?,
            lv: LvmUuid::from_compact(lv.as_bytes())?,
            suffix: suffix.to_owned(),
        })
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

#[cfg(test)]
mod tests;
