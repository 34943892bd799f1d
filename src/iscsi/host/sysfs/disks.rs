//! The logical units of a session and their disks.

use std::fs;

use serde::Serialize;

use super::scsi::ScsiAddress;
use super::{Attributes, Session};
use crate::protocol::wwid::Wwid;
use base::ids::DevNo;
use base::units::{Bytes, Sectors};
use sys::io::roots::Roots;

/// The peripheral device type of disks. Source: SPC-4, table 138.
pub const DISK: u8 = 0;

/// Where the peripheral qualifier is in the first byte of what an INQUIRY gives; 0 is connected. Source: SPC-4 section
/// 6.6.2.
const QUALIFIER_SHIFT: u32 = 5;

/// A logical unit the kernel knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lun {
    /// Where it is.
    pub address: ScsiAddress,
    /// The peripheral device type: [`DISK`] or another.
    pub kind: u8,
    /// `running`, `blocked`, `transport-offline` and others of the kernel's words.
    pub state: String,
    /// Whether the target says that a device of that type is connected to it: no driver takes it otherwise.
    pub is_connected: bool,
    /// Whether a driver has taken it.
    pub has_driver: bool,
    /// Its world-wide name.
    pub wwid: Option<Wwid>,
    /// Its block device, once there is one.
    pub disk: Option<Disk>,
}

/// The block device of a logical unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// The kernel's name, `sda`.
    pub name: String,
    /// Its number.
    pub no: DevNo,
    /// Its size.
    pub size: Bytes,
    /// Its links below `/dev/disk/by-id`, without the folder, in the order of the alphabet.
    pub by_id: Vec<String>,
    /// Its links below `/dev/disk/by-path`, without the folder.
    pub by_path: Vec<String>,
    /// Whether udev is done with it.
    pub settled: bool,
}

impl Disk {
    /// The device node.
    pub fn path(&self) -> String {
        format!("/dev/{}", self.name)
    }
}

/// The logical units of a session, by number.
pub fn luns(roots: &Roots, session: &Session) -> Vec<Lun> {
    let folder = roots.sys.join(format!("class/iscsi_session/session{}/device", session.sid));
    let mut found = Vec::new();
    for target in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !target.file_name().to_string_lossy().starts_with("target") {
            continue;
        }
        for unit in fs::read_dir(target.path()).into_iter().flatten().flatten() {
            let address = unit.file_name().to_str().and_then(|name| name.parse().ok());
            found.extend(address.and_then(|address| lun(roots, address)));
        }
    }
    found.sort_by_key(|lun: &Lun| lun.address);
    found
}

/// One logical unit; `None` if it is gone.
pub fn lun(roots: &Roots, address: ScsiAddress) -> Option<Lun> {
    let own = Attributes(roots.sys.join(format!("bus/scsi/devices/{address}")));
    Some(Lun {
        address,
        kind: own.number("type")?,
        state: own.text("state")?,
        is_connected: own.first_byte("inquiry").is_none_or(|byte| byte >> QUALIFIER_SHIFT == 0),
        has_driver: own.0.join("driver").exists(),
        wwid: own.text("wwid").and_then(|text| text.parse().ok()),
        disk: disk(roots, address),
    })
}

fn disk(roots: &Roots, address: ScsiAddress) -> Option<Disk> {
    let folder = roots.sys.join(format!("bus/scsi/devices/{address}/block"));
    let name = fs::read_dir(folder).ok()?.flatten().next()?.file_name().into_string().ok()?;
    let own = Attributes(roots.sys.join("class/block").join(&name));
    let no: DevNo = own.text("dev")?.parse().ok()?;
    let record = roots.udev_record(no);
    let links = |folder: &str| {
        let links = record.iter().flat_map(|record| &record.links);
        let mut names: Vec<String> =
            links.filter_map(|link| link.strip_prefix(folder).ok()?.to_str().map(str::to_owned)).collect();
        names.sort_unstable();
        names
    };
    Some(Disk {
        size: Sectors::new(own.number("size")?).to_bytes()?,
        by_id: links("disk/by-id"),
        by_path: links("disk/by-path"),
        // udev writes the record when it is done with the event.
        settled: record.is_some(),
        name,
        no,
    })
}
