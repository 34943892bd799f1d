//! The disks of a target, each once, however many paths lead to it.

use crate::host::sysfs::{self, DISK, Disk, Lun, Session};
use crate::protocol::wwid::Wwid;
use base::units::{Bytes, Sectors};
use sys::io::roots::Roots;

/// How the dm uuids of multipath devices begin, and what udev puts before them in `/dev/disk/by-id`. Source:
/// multipath-tools `libmultipath/defaults.h`, lvm2 `udev/13-dm-disk.rules.in`.
const MPATH_PREFIX: &str = "mpath-";
const DM_LINK_PREFIX: &str = "dm-uuid-";

/// How links begin that are made of what the disk says of itself to SCSI. Source: systemd
/// `rules.d/60-persistent-storage.rules`.
const SCSI_LINK_PREFIX: &str = "scsi-";

/// A disk of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The number of the LUN.
    pub lun: u64,
    /// The actual one.
    pub wwid: Option<Wwid>,
    /// Its size: that of the multipath device, if one stands on it.
    pub size: Bytes,
    /// The name below `/dev/disk/by-id` that says which disk it is; `None` if udev has made none.
    pub by_id: Option<String>,
    /// All its names below `/dev/disk/by-id`.
    pub links: Vec<String>,
    /// The kernel's names of its block devices, one for each path.
    pub devices: Vec<String>,
    /// Whether I/O can reach it.
    pub is_running: bool,
}

/// The disks that these sessions to one target have, by number.
pub fn units(roots: &Roots, sessions: &[Session]) -> Vec<Unit> {
    let mut found: Vec<Unit> = Vec::new();
    for lun in sessions.iter().flat_map(|session| sysfs::luns(roots, session)).filter(|lun| lun.kind == DISK)
    {
        let Some(disk) = &lun.disk else { continue };
        let is_same = |unit: &&mut Unit| match (&unit.wwid, &lun.wwid) {
            (Some(a), Some(b)) => a == b,
            _ => unit.lun == lun.address.lun,
        };
        match found.iter_mut().find(is_same) {
            Some(unit) => {
                unit.devices.push(disk.name.clone());
                unit.is_running |= lun.state == RUNNING;
                unit.by_id = unit.by_id.take().or_else(|| by_id(disk));
            }
            None => found.push(unit(roots, &lun, disk)),
        }
    }
    found.sort_by_key(|unit| unit.lun);
    found
}

/// The kernel's word for a logical unit that takes I/O. Source: Linux `drivers/scsi/scsi_sysfs.c` (`sdev_states`).
const RUNNING: &str = "running";

fn unit(roots: &Roots, lun: &Lun, disk: &Disk) -> Unit {
    let multipath = multipath(roots, disk);
    Unit {
        lun: lun.address.lun,
        wwid: lun.wwid.clone(),
        size: multipath.as_ref().map_or(disk.size, |(_, size)| *size),
        by_id: multipath.map(|(name, _)| name).or_else(|| by_id(disk)),
        links: disk.by_id.clone(),
        devices: vec![disk.name.clone()],
        is_running: lun.state == RUNNING,
    }
}

/// Of the names a disk has, the one Proxmox VE takes; where it would take any of several, the first.
/// Source: pve-storage `PVE/Storage/ISCSIPlugin.pm` (`load_stable_scsi_paths`).
fn by_id(disk: &Disk) -> Option<String> {
    let scsi = disk.by_id.iter().find(|name| name.starts_with(SCSI_LINK_PREFIX));
    scsi.or_else(|| disk.by_id.first()).cloned()
}

/// The name and size of the multipath device that stands on a disk.
fn multipath(roots: &Roots, disk: &Disk) -> Option<(String, Bytes)> {
    roots.holders(&disk.name).into_iter().find_map(|holder| {
        let uuid = roots.attribute(&holder, "dm/uuid").filter(|uuid| uuid.starts_with(MPATH_PREFIX))?;
        let size = Sectors::new(roots.attribute(&holder, "size")?.trim().parse().ok()?).to_bytes()?;
        Some((format!("{DM_LINK_PREFIX}{uuid}"), size))
    })
}
