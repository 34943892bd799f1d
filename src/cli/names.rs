//! Volume names as Proxmox VE gives them: `vm-<VMID>-<name>` and, for templates, `base-<VMID>-<name>`.

use std::collections::BTreeSet;

use super::errors::CliError;
use crate::ids::LvName;
use crate::lvm::model::Vg;

/// The ids a guest may have. Source: pve-common `PVE/JSONSchema.pm` (`pve-vmid`).
pub const VMIDS: std::ops::RangeInclusive<u32> = 100..=999_999_999;

/// How many disk numbers are tried. Source: pve-storage `PVE/Storage/Plugin.pm` (`get_next_vm_diskname`).
const DISK_NUMBERS: u32 = 1024;

/// Checks the name of a new volume of a guest.
///
/// # Errors
/// If Proxmox VE or LVM would refuse it.
pub fn check(vmid: u32, name: &str) -> Result<LvName, CliError> {
    if name.strip_prefix(&format!("vm-{vmid}-")).is_none_or(str::is_empty) {
        return Err(CliError::usage(format!("illegal name '{name}' - should be 'vm-{vmid}-*'"))
            .hint("'' picks the next free name; 'thinvol batch' creates volumes of any name"));
    }
    // Source: pve-storage `PVE/Storage/LVMPlugin.pm` (`parse_lvm_name`).
    let ends_well = name.ends_with(|c: char| c.is_ascii_alphanumeric());
    if name.contains('+') || !ends_well {
        return Err(CliError::usage(format!("lvm name '{name}' contains illegal characters"))
            .hint("Proxmox VE allows a-z A-Z 0-9 - _ . and wants a letter or digit at the end"));
    }
    LvName::for_new_volume(name).map_err(|error| CliError::usage(error.to_string()))
}

/// The guest a volume belongs to, by its name; `None` if it is not named so.
pub fn owner(name: &LvName) -> Option<u64> {
    let rest = name.as_str().strip_prefix("vm-").or_else(|| name.as_str().strip_prefix("base-"))?;
    let (vmid, _) = rest.split_once('-')?;
    vmid.bytes().all(|byte| byte.is_ascii_digit()).then(|| vmid.parse().ok())?
}

/// The first unused `vm-<vmid>-disk-<n>`, holes first, as Proxmox VE picks it; `None` if all 1024 are used.
///
/// Numbers are taken from all names of the VG that hold `vm-<vmid>-disk-<n>` or `base-<vmid>-disk-<n>`
/// anywhere, so that a snapshot keeps the number of its volume reserved.
pub fn next_free(vg: &Vg, vmid: u32) -> Option<LvName> {
    let live = vg.lvs.iter().map(|lv| lv.name.as_str());
    next_free_among(live.chain(vg.historical_lvs.iter().map(String::as_str)), vmid)
}

fn next_free_among<'a>(names: impl Iterator<Item = &'a str>, vmid: u32) -> Option<LvName> {
    let marks = [format!("vm-{vmid}-disk-"), format!("base-{vmid}-disk-")];
    let mut used = BTreeSet::new();
    for name in names {
        for (at, mark) in marks.iter().flat_map(|mark| name.match_indices(mark.as_str())) {
            let rest = &name[at + mark.len()..];
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            used.extend(rest[..end].parse::<u32>());
        }
    }
    let number = (0..DISK_NUMBERS).find(|number| !used.contains(number))?;
    LvName::new(&format!("vm-{vmid}-disk-{number}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_names_fill_holes_and_heed_snapshots_and_templates() {
        let next = |names: &[&str]| next_free_among(names.iter().copied(), 100).map(|name| name.to_string());
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
        assert_eq!(check(100, "vm-100-état").unwrap_err().code, super::super::errors::Code::Usage);
        for (name, message) in [
            ("disk-0", "illegal name 'disk-0' - should be 'vm-100-*'"),
            ("vm-1000-disk-0", "illegal name 'vm-1000-disk-0' - should be 'vm-100-*'"),
            ("base-100-disk-0", "illegal name 'base-100-disk-0' - should be 'vm-100-*'"),
            ("vm-100-", "illegal name 'vm-100-' - should be 'vm-100-*'"),
            ("vm-100-a+b", "lvm name 'vm-100-a+b' contains illegal characters"),
            ("vm-100-a_", "lvm name 'vm-100-a_' contains illegal characters"),
            (
                "vm-100-x_tdata",
                "logical volume name 'vm-100-x_tdata' is not valid: LVM reserves names with '_tdata' in them",
            ),
        ] {
            assert_eq!(check(100, name).unwrap_err().message, message);
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
}
