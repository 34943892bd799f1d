//! The checks that need no look inside a device, in the order of their cost.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::pattern::{PatternError, Patterns, Verdict};
use super::reason::Skip;
use crate::host::conf::{DevicesConf, MdChecks};
use crate::host::devices::identity::Identity;
use crate::host::devices::multipath::{MultipathWwids, multipath_holder};
use crate::host::devices::names::NameSource;
use crate::host::devices::types::{DeviceTypes, is_lv};
use crate::host::devices::used_file::UsedDevices;
use base::units::Sectors;
use dm::name::LVM_UUID_PREFIX;
use sys::io::roots::Roots;
use sys::io::sysfs::Device;
use sys::io::udev_db::UdevRecord;

/// Length of `LVM-` and the uuids of VG and LV: an internal layer has more. Source: lvm2
/// `lib/activate/dev_manager.c` (`_is_usable_uuid`).
const LV_UUID_LEN: usize = 68;

/// dm uuids of devices that other tools keep to themselves. Source: lvm2 `lib/activate/dev_manager.c`.
const RESERVED: [&str; 3] = ["CRYPT-TEMP-", "CRYPT-SUBDEV-", "stratis-1-private"];

/// What decides about devices.
pub struct Chain<'a> {
    roots: &'a Roots,
    conf: &'a DevicesConf,
    types: DeviceTypes,
    names: NameSource,
    wwids: MultipathWwids,
    filter: Patterns,
    global_filter: Patterns,
    /// The devices file, if it is in use; the patterns are not, then.
    used: Option<UsedDevices>,
    /// The kernel's names of devices that are known to be LVs.
    lvs: &'a HashSet<String>,
}

/// The verdict of the checks on a device.
#[derive(Clone, Debug)]
pub enum Checked {
    /// It may not be used, for a reason that also excludes it from lvm2's hints; nothing else was checked.
    PassedOver(Skip),
    /// It may not be used, for this reason.
    Skipped(Device, Skip),
    /// It may be used.
    Candidate(Candidate),
}

/// A device that passed the checks.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The device.
    pub device: Device,
    /// The name to open it by.
    pub path: PathBuf,
    /// What udev knows of it.
    pub record: Option<UdevRecord>,
}

impl Candidate {
    /// Its content instead of a PV, if udev knows it.
    pub fn holds_other(&self) -> Option<&str> {
        self.record.as_ref().and_then(UdevRecord::holds_other)
    }
}

impl<'a> Chain<'a> {
    /// Prepares the checks.
    ///
    /// # Errors
    /// If a pattern is not valid.
    pub fn new(
        roots: &'a Roots,
        conf: &'a DevicesConf,
        used: Option<UsedDevices>,
        lvs: &'a HashSet<String>,
    ) -> Result<Self, PatternError> {
        let patterns = |list: &Option<Vec<String>>| Patterns::parse(list.as_deref().unwrap_or_default());
        let wwids = conf.multipath_wwids_file.as_ref().filter(|_| conf.multipath_component_detection);
        Ok(Self {
            roots,
            conf,
            types: DeviceTypes::read(roots, &conf.types),
            names: NameSource::choose(roots, &conf.scan),
            wwids: wwids.map(|file| MultipathWwids::read(roots, file)).unwrap_or_default(),
            filter: patterns(&conf.filter)?,
            global_filter: patterns(&conf.global_filter)?,
            used,
            lvs,
        })
    }

    /// Where to check for md superblocks; `None` for nowhere.
    pub fn md_checks(&self) -> Option<MdChecks> {
        self.conf.md_component_detection.then_some(self.conf.md_component_checks)
    }

    /// The kinds of device.
    pub fn types(&self) -> &DeviceTypes {
        &self.types
    }

    /// The names of devices.
    pub fn names(&self) -> &NameSource {
        &self.names
    }

    /// The devices file, if it is in use.
    pub fn used(&self) -> Option<&UsedDevices> {
        self.used.as_ref()
    }

    /// Whether the device of that kernel name is an LV or an internal layer of one.
    pub fn is_lv(&self, kernel_name: &str) -> bool {
        let uuid = || self.roots.attribute(kernel_name, "dm/uuid");
        kernel_name.starts_with("dm-")
            && (self.lvs.contains(kernel_name)
                || uuid().is_some_and(|uuid| uuid.starts_with(LVM_UUID_PREFIX)))
    }

    /// Decides about the device of that kernel name; `None` if it is gone.
    pub fn check(&self, kernel_name: &str) -> Option<Checked> {
        // A host may have thousands of active LVs, and loop devices with nothing behind them: one look is enough.
        if !self.conf.scan_lvs && self.is_lv(kernel_name) {
            return Some(Checked::PassedOver(Skip::Lv));
        }
        let size = self.roots.size(kernel_name)?;
        if size == Sectors::ZERO {
            return Some(Checked::PassedOver(Skip::NoMedium));
        }
        let device = self.roots.device_of_size(kernel_name, size)?;
        Some(match self.passes(&device) {
            Ok((path, record)) => Checked::Candidate(Candidate { device, path, record }),
            Err(skip) => Checked::Skipped(device, skip),
        })
    }

    /// The name to open a device by that may be used, and udev's record of it.
    fn passes(&self, device: &Device) -> Result<(PathBuf, Option<UdevRecord>), Skip> {
        self.device_mapper(device)?;
        if !self.types.is_known(device.no.major) {
            return Err(Skip::Type { major: device.no.major });
        }
        let sectors = device.size.get();
        if sectors < self.conf.pv_min_size_kib.saturating_mul(2) {
            return Err(Skip::TooSmall { sectors });
        }
        let record = self.roots.udev_record(device.no);
        let path = self.allowed(device, record.as_ref())?;
        self.unused(device, record.as_ref())?;
        Ok((path, record))
    }

    /// Whether no other subsystem uses it.
    fn unused(&self, device: &Device, record: Option<&UdevRecord>) -> Result<(), Skip> {
        self.not_on_lv(device)?;
        self.not_a_component(device, record)
    }

    /// Whether a device that was looked at and may not be used belongs to the set that lvm2's hints file stands for,
    /// and by which name. Source: lvm2 `lib/label/hints.c` (`_dev_in_hint_hash`).
    pub fn counts_for_hints(&self, device: &Device) -> Option<PathBuf> {
        let lv = is_lv(device) && !self.conf.scan_lvs;
        if lv || !self.types.is_known(device.no.major) {
            return None;
        }
        self.accepted(device, self.roots.udev_record(device.no).as_ref()).ok()
    }

    fn device_mapper(&self, device: &Device) -> Result<(), Skip> {
        let Some(dm) = &device.dm else { return Ok(()) };
        if is_lv(device) {
            if !self.conf.scan_lvs {
                return Err(Skip::Lv);
            }
            if dm.uuid.len() > LV_UUID_LEN {
                return Err(Skip::InternalLv);
            }
        }
        if RESERVED.iter().any(|prefix| dm.uuid.starts_with(prefix)) {
            return Err(Skip::Reserved { uuid: dm.uuid.clone() });
        }
        // lvm2 reads suspended devices unless devices/ignore_suspended_devices says otherwise, and hangs until they
        // are resumed. No wait here is unbounded.
        if dm.suspended { Err(Skip::Suspended) } else { Ok(()) }
    }

    /// The name to use, if the devices file or else the patterns allow the device.
    fn allowed(&self, device: &Device, record: Option<&UdevRecord>) -> Result<PathBuf, Skip> {
        let Some(used) = &self.used else { return self.accepted(device, record) };
        let path = self.names.preferred(self.roots, device, record).ok_or(Skip::NoNode)?;
        let identity = self.identity(device, record);
        let listed = used.entries.iter().any(|entry| entry.matches(&identity));
        if listed { Ok(path) } else { Err(Skip::NotInDevicesFile) }
    }

    /// What identifies a device of which udev knows this.
    pub fn identity<'b>(&'b self, device: &'b Device, record: Option<&'b UdevRecord>) -> Identity<'b> {
        Identity::new(self.roots, &self.types, &self.names, device, record)
    }

    /// A device that may be used but for the devices file, which does not list it.
    pub fn unlisted(&self, device: &Device) -> Option<Candidate> {
        let record = self.roots.udev_record(device.no);
        let path = self.names.preferred(self.roots, device, record.as_ref())?;
        self.unused(device, record.as_ref()).ok()?;
        Some(Candidate { device: device.clone(), path, record })
    }

    /// Asks both lists of patterns. An accepted name comes before the preferred one, as in lvm2.
    fn accepted(&self, device: &Device, record: Option<&UdevRecord>) -> Result<PathBuf, Skip> {
        if self.global_filter.is_empty() && self.filter.is_empty() {
            return self.names.preferred(self.roots, device, record).ok_or(Skip::NoNode);
        }
        let mut names = self.names.of(self.roots, device, record);
        for (patterns, is_global) in [(&self.global_filter, true), (&self.filter, false)] {
            match patterns.verdict(&names) {
                Verdict::Accepted(Some(name)) => {
                    if let Some(at) = names.iter().position(|other| *other == name) {
                        names[..=at].rotate_right(1);
                    }
                }
                Verdict::Accepted(None) => {}
                Verdict::Rejected { name, pattern } if is_global => {
                    return Err(Skip::GlobalFilter { name, pattern });
                }
                Verdict::Rejected { name, pattern } => return Err(Skip::Filter { name, pattern }),
            }
        }
        names.into_iter().next().ok_or(Skip::NoNode)
    }

    /// lvm2 skips LVs, but not the partitions that kpartx makes on them, nor loop devices on them. What is on those
    /// is a guest's as well.
    fn not_on_lv(&self, device: &Device) -> Result<(), Skip> {
        if self.conf.scan_lvs {
            return Ok(());
        }
        let on_lv = |lv: &str| Err(Skip::OnLv { lv: lv.to_owned() });
        if let Some(dm) = &device.dm {
            let kpartx = dm.uuid.strip_prefix("part").and_then(|rest| rest.split_once('-'));
            return match kpartx {
                Some((number, rest))
                    if number.bytes().all(|b| b.is_ascii_digit()) && rest.starts_with(LVM_UUID_PREFIX) =>
                {
                    on_lv(&dm.name)
                }
                _ => Ok(()),
            };
        }
        let Some(backing) = self.roots.attribute(device.disk_name(), "loop/backing_file") else {
            return Ok(());
        };
        let backing = Path::new(&backing);
        if !backing.starts_with(&self.roots.dev) {
            return Ok(());
        }
        let below = self.roots.node_number(backing).and_then(|no| self.roots.device_by_number(no));
        match below.filter(is_lv).and_then(|lv| lv.dm) {
            Some(dm) => on_lv(&dm.name),
            None => Ok(()),
        }
    }

    fn not_a_component(&self, device: &Device, record: Option<&UdevRecord>) -> Result<(), Skip> {
        if self.conf.multipath_component_detection && (self.types.is_scsi(device) || device.is_nvme()) {
            let of = |device: String| Err(Skip::MultipathPath { device });
            if let Some(holder) = multipath_holder(self.roots, device) {
                return of(holder);
            }
            if self.wwids.claim(self.roots, device) {
                return of("with its WWID in multipath's list".to_owned());
            }
        }
        if self.conf.md_component_detection
            && let Some(array) = self.md_holder(device)
        {
            return Err(Skip::MdMember { evidence: format!("{array} stands on it") });
        }
        self.ask_udev(device, record)
    }

    fn md_holder(&self, device: &Device) -> Option<String> {
        let is_md = |holder: &String| self.roots.device(holder).is_some_and(|above| self.types.is_md(&above));
        // What stands on a PV are LVs as a rule, which need no look at each.
        let mut others = self.roots.holders(&device.kernel_name).into_iter();
        others.find(|holder| !holder.starts_with("dm-") && is_md(holder))
    }

    /// What lvm2 asks udev if `devices/external_device_info_source` says so.
    fn ask_udev(&self, device: &Device, record: Option<&UdevRecord>) -> Result<(), Skip> {
        let Some(record) = record.filter(|_| self.conf.info_from_udev) else { return Ok(()) };
        let kind = record.property("ID_FS_TYPE").unwrap_or_default();
        if self.conf.multipath_component_detection
            && (kind == "mpath_member" || record.property("DM_MULTIPATH_DEVICE_PATH") == Some("1"))
        {
            return Err(Skip::MultipathPath { device: "that udev knows".to_owned() });
        }
        if self.conf.md_component_detection && kind == "linux_raid_member" {
            return Err(Skip::MdMember { evidence: "udev says so".to_owned() });
        }
        if self.conf.fw_raid_component_detection
            && kind != "linux_raid_member"
            && kind.contains("_raid_member")
        {
            return Err(Skip::FirmwareRaid { kind: kind.to_owned() });
        }
        let is_whole = device.dm.is_some() || device.partition.is_none();
        if is_whole
            && self.types.is_partitionable(self.roots, device)
            && record.property("ID_PART_TABLE_TYPE").is_some()
        {
            return Err(Skip::Partitioned);
        }
        Ok(())
    }
}
