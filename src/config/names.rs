//! Names as Proxmox VE gives them: storage ids, volume ids `<storage>:<volname>`, volumes `vm-<VMID>-<name>` and, for
//! templates, `base-<VMID>-<name>`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Serialize, Serializer};
use thiserror::Error;

use base::ids::LvName;

/// The ids a guest may have. Source: pve-common `PVE/JSONSchema.pm` (`pve-vmid`).
pub const VMIDS: std::ops::RangeInclusive<u32> = 100..=999_999_999;

/// How many disk numbers are tried. Source: pve-storage `PVE/Storage/Plugin.pm` (`get_next_vm_diskname`).
const DISK_NUMBERS: u32 = 1024;

/// Why a text is not the name it should be. The words are Proxmox VE's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// A storage id of one character or none.
    #[error("storage ID '{0}' cannot be shorter than 2 characters")]
    ShortStorageId(String),
    /// A storage id with other characters than it may have.
    #[error("storage ID '{0}' contains illegal characters")]
    StorageId(String),
    /// No `<storage>:<volname>`.
    #[error("unable to parse volume ID '{0}'")]
    VolumeId(String),
    /// A name with characters that Proxmox VE does not allow in LVM names, although LVM may.
    #[error("lvm name '{0}' contains illegal characters")]
    LvmName(String),
    /// No `vm-<VMID>-…` or `base-<VMID>-…`.
    #[error("unable to parse lvm volume name '{0}'")]
    Volname(String),
    /// No `<channel>.<id>.<lun>.<name>`.
    #[error("unable to parse iscsi volume name '{0}'")]
    LunVolname(String),
    /// A name of another guest, or of none.
    #[error("illegal name '{name}' - should be 'vm-{vmid}-*'")]
    OtherGuest {
        /// The name.
        name: String,
        /// The guest it should belong to.
        vmid: u32,
    },
    /// A name that LVM does not take.
    #[error(transparent)]
    Lvm(#[from] base::ids::IdError),
}

impl NameError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::ShortStorageId(_) | Self::StorageId(_) => {
                "it starts with a letter, ends with a letter or digit, and has a-z A-Z 0-9 - _ . between"
            }
            Self::VolumeId(_) => "write it as <storage>:<volume>",
            Self::LvmName(_) => {
                "Proxmox VE allows a-z A-Z 0-9 - _ . and wants a letter or digit at both ends"
            }
            Self::Volname(_) => {
                "volumes of a storage are named vm-<VMID>-<name> or base-<VMID>-<name>; others are written as <vg>/<lv>"
            }
            Self::LunVolname(_) => "LUNs are named 0.0.<lun>.<name in /dev/disk/by-id>",
            Self::OtherGuest { .. } => {
                "'' picks the next free name; 'thinvol batch' creates volumes of any name"
            }
            Self::Lvm(_) => return None,
        })
    }
}

/// Whether a text is `[a-z][a-z0-9\-_.]*[a-z0-9]`, whatever the case.
fn is_id(text: &str, first: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    match (bytes.first(), bytes.last()) {
        (Some(start), Some(end)) => {
            bytes.len() >= 2 && first(*start) && end.is_ascii_alphanumeric() && bytes.iter().all(inner)
        }
        _ => false,
    }
}

/// Checks a name against what Proxmox VE allows for volume groups, pools and volumes. Source: pve-storage
/// `PVE/Storage/Plugin.pm` (`parse_lvm_name`).
///
/// # Errors
/// If it is shorter than two characters or has others than letters, digits, `-`, `_` and `.`.
pub fn check_lvm_name(text: &str) -> Result<(), NameError> {
    if is_id(text, |byte| byte.is_ascii_alphanumeric()) {
        Ok(())
    } else {
        Err(NameError::LvmName(text.to_owned()))
    }
}

/// The id of a storage. Source of the rule: pve-common `PVE/JSONSchema.pm` (`parse_storage_id`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorageId(String);

impl StorageId {
    /// Checks and wraps an id.
    ///
    /// # Errors
    /// If it is too short or has other characters.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.chars().count() < 2 {
            return Err(NameError::ShortStorageId(text.to_owned()));
        }
        if !is_id(text, |byte| byte.is_ascii_alphabetic()) {
            return Err(NameError::StorageId(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StorageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for StorageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A volume by its storage: `<storage>:<volname>`. What a volname may be depends on the storage's type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeId {
    /// The storage.
    pub storage: StorageId,
    /// The volume's name in it.
    pub volname: String,
}

impl VolumeId {
    /// Reads a volume id. Source: pve-storage `PVE/Storage/Plugin.pm` (`parse_volume_id`).
    ///
    /// # Errors
    /// If the text is not such a name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let parts = text.split_once(':').filter(|(_, volname)| {
            !volname.is_empty()
                && !volname.starts_with('\n')
                && !volname.trim_end_matches('\n').contains('\n')
        });
        let id = parts.and_then(|(id, volname)| Some((StorageId::new(id).ok()?, volname)));
        let (storage, volname) = id.ok_or_else(|| NameError::VolumeId(text.to_owned()))?;
        Ok(Self { storage, volname: volname.to_owned() })
    }
}

/// The name of a volume in a storage of type lvmthin. Source: pve-storage `PVE/Storage/LvmThinPlugin.pm`
/// (`parse_volname`).
///
/// # Errors
/// If it is not `vm-<VMID>-…` or `base-<VMID>-…` in the characters Proxmox VE allows.
pub fn lvm_volname(text: &str) -> Result<LvName, NameError> {
    check_lvm_name(text)?;
    if is_owned(text) { Ok(LvName::new(text)?) } else { Err(NameError::Volname(text.to_owned())) }
}

/// Whether an LV of that name has a volume id in a storage of type lvmthin.
pub fn is_lvm_volname(name: &str) -> bool {
    check_lvm_name(name).is_ok() && is_owned(name)
}

fn is_owned(text: &str) -> bool {
    let rest = text.strip_prefix("vm-").or_else(|| text.strip_prefix("base-"));
    rest.and_then(|rest| rest.split_once('-')).is_some_and(|(vmid, name)| {
        !vmid.is_empty() && vmid.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty()
    })
}

/// Checks the name of a new volume of a guest.
///
/// # Errors
/// If Proxmox VE or LVM would refuse it.
pub fn check(vmid: u32, name: &str) -> Result<LvName, NameError> {
    if name.strip_prefix(&format!("vm-{vmid}-")).is_none_or(str::is_empty) {
        return Err(NameError::OtherGuest { name: name.to_owned(), vmid });
    }
    check_lvm_name(name)?;
    Ok(LvName::for_new_volume(name)?)
}

/// The guest a volume belongs to, by its name; `None` if it is not named so.
pub fn owner(name: &LvName) -> Option<u64> {
    owner_in(name.as_str())
}

/// The same of a name as text.
pub fn owner_in(name: &str) -> Option<u64> {
    let rest = name.strip_prefix("vm-").or_else(|| name.strip_prefix("base-"))?;
    let (vmid, _) = rest.split_once('-')?;
    vmid.bytes().all(|byte| byte.is_ascii_digit()).then(|| vmid.parse().ok())?
}

/// The disk numbers that guests use.
///
/// Numbers are taken from all names that hold `vm-<vmid>-disk-<n>` or `base-<vmid>-disk-<n>` anywhere, so that a
/// snapshot keeps the number of its volume reserved.
#[derive(Debug, Default)]
pub struct DiskNumbers<'a>(BTreeMap<&'a str, BTreeSet<u32>>);

impl<'a> DiskNumbers<'a> {
    /// Those that names use: all of the volume group.
    pub fn of(names: impl Iterator<Item = &'a str>) -> Self {
        let mut numbers = Self::default();
        for name in names {
            for (at, mark) in ["vm-", "base-"].iter().flat_map(|mark| name.match_indices(mark)) {
                let (vmid, rest) = digits(&name[at + mark.len()..]);
                let number = rest.strip_prefix("-disk-").and_then(|rest| digits(rest).0.parse().ok());
                if let Some(number) = number {
                    numbers.0.entry(vmid).or_default().insert(number);
                }
            }
        }
        numbers
    }

    /// The first unused `vm-<vmid>-disk-<n>` that is not promised to somebody, holes first, as Proxmox VE picks it;
    /// `None` if all 1024 are used.
    pub fn next_free(&self, vmid: u32, is_promised: impl Fn(&LvName) -> bool) -> Option<LvName> {
        let used = self.0.get(vmid.to_string().as_str());
        let unused = (0..DISK_NUMBERS).filter(|number| used.is_none_or(|used| !used.contains(number)));
        let mut names = unused.filter_map(|number| LvName::new(&format!("vm-{vmid}-disk-{number}")).ok());
        names.find(|name| !is_promised(name))
    }
}

/// The digits at the start of a text, and what follows them.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_names_fill_holes_and_heed_snapshots_and_templates() {
        let next = |names: &[&str]| {
            DiskNumbers::of(names.iter().copied()).next_free(100, |_| false).map(|name| name.to_string())
        };
        assert_eq!(next(&[]).unwrap(), "vm-100-disk-0");
        assert_eq!(next(&["vm-100-disk-0", "vm-100-disk-2", "vm-1001-disk-1"]).unwrap(), "vm-100-disk-1");
        assert_eq!(next(&["base-100-disk-0", "snap_vm-100-disk-1_x"]).unwrap(), "vm-100-disk-2");
        assert_eq!(
            next(&["vm-100-disk-00", "vm-100-disk-", "vm-100-disk-99999999999999999999"]).unwrap(),
            "vm-100-disk-1"
        );
        let all: Vec<String> = (0..1024).map(|number| format!("vm-100-disk-{number}")).collect();
        assert_eq!(next(&all.iter().map(String::as_str).collect::<Vec<_>>()), None);
    }

    #[test]
    fn names_of_new_volumes_follow_proxmox() {
        assert_eq!(check(100, "vm-100-disk-0").unwrap().as_str(), "vm-100-disk-0");
        for (name, message) in [
            ("disk-0", "illegal name 'disk-0' - should be 'vm-100-*'"),
            ("vm-1000-disk-0", "illegal name 'vm-1000-disk-0' - should be 'vm-100-*'"),
            ("base-100-disk-0", "illegal name 'base-100-disk-0' - should be 'vm-100-*'"),
            ("vm-100-", "illegal name 'vm-100-' - should be 'vm-100-*'"),
            ("vm-100-a+b", "lvm name 'vm-100-a+b' contains illegal characters"),
            ("vm-100-a_", "lvm name 'vm-100-a_' contains illegal characters"),
            ("vm-100-état", "lvm name 'vm-100-état' contains illegal characters"),
            (
                "vm-100-x_tdata",
                "logical volume name 'vm-100-x_tdata' is not valid: LVM reserves names with '_tdata' in them",
            ),
        ] {
            assert_eq!(check(100, name).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn the_owner_is_read_from_the_name() {
        let owner = |name: &str| owner(&LvName::new(name).unwrap());
        assert_eq!(owner("vm-100-disk-0"), Some(100));
        assert_eq!(owner("base-5-x"), Some(5));
        for name in
            ["vm-100", "vm--x", "vm-1a-x", "snap_vm-100-disk-0_s", "data", "vm-99999999999999999999-x"]
        {
            assert_eq!(owner(name), None, "{name}");
        }
    }

    #[test]
    fn volume_ids_are_a_storage_and_a_name() {
        let id = VolumeId::parse("local-lvm:vm-100-disk-0").unwrap();
        assert_eq!((id.storage.as_str(), id.volname.as_str()), ("local-lvm", "vm-100-disk-0"));
        assert_eq!(VolumeId::parse("san:0.0.1.scsi-3:6").unwrap().volname, "0.0.1.scsi-3:6");
        for text in ["a:b", "local-lvm:", "local-lvm", "1ab:x", "ab-:x", ":x", "ab:\nx", "ab:x\ny"] {
            let message = VolumeId::parse(text).unwrap_err().to_string();
            assert_eq!(message, format!("unable to parse volume ID '{text}'"));
        }
    }

    #[test]
    fn storage_ids_have_two_characters_at_least() {
        assert!(["ab", "A9", "a.b", "a-_.9"].iter().all(|text| StorageId::new(text).is_ok()));
        let refused = |text: &str| StorageId::new(text).unwrap_err().to_string();
        assert_eq!(refused("a"), "storage ID 'a' cannot be shorter than 2 characters");
        assert_eq!(refused("ä"), "storage ID 'ä' cannot be shorter than 2 characters");
        for text in ["9a", "a-", "a b", "äb", "a/b"] {
            assert_eq!(refused(text), format!("storage ID '{text}' contains illegal characters"));
        }
    }

    #[test]
    fn volumes_of_a_storage_belong_to_a_guest() {
        assert!(["vm-5-x", "base-100-disk-0", "vm-1-a.b_c"].iter().all(|name| lvm_volname(name).is_ok()));
        let refused = |text: &str| lvm_volname(text).unwrap_err().to_string();
        for name in ["data", "vm-x-y", "vm-100", "vm--a", "snap_vm-100-disk-0_x", "Vm-100-a"] {
            assert_eq!(refused(name), format!("unable to parse lvm volume name '{name}'"));
        }
        for name in ["vm-100-x_", "vm-100-", "vm-100-é", "vm-100-a/b", "vm-100-a+b"] {
            assert_eq!(refused(name), format!("lvm name '{name}' contains illegal characters"));
        }
    }
}
