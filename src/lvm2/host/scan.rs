//! Finds volume groups: which devices are PVs, and which PVs make up which group.
//!
//! Where to look, the first that answers:
//!
//! 1. the devices given explicitly, or else those in the devices file, if it is in use: nothing else;
//! 2. lvm2's hints, if they still hold;
//! 3. all devices, without those on which udev found something that is no PV;
//! 4. all devices.
//!
//! 2 and 3 only spare reads: when they leave a group incomplete, in doubt or unfound, the next one is asked. No lock is
//! taken: a change reads the group again under its lock.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::Serialize;
use thiserror::Error;

use crate::host::conf::DevicesConf;
use crate::host::filter::reason::Skip;
use crate::host::store::summary::TextCopy;
use base::ids::{DevNo, LvmUuid, Seqno, VgName};
use base::units::Sectors;
use sys::io::block::{Access, BlockDev, Disks};
use sys::io::direct::DirectDisks;
use sys::io::roots::Roots;

mod error;
mod group;
mod moved;
mod probe;
mod run;
mod search;
mod suspect;

pub use error::ScanError;

/// A device with a PV label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FoundPv {
    /// The PV.
    pub id: LvmUuid,
    /// The name to open it by.
    pub path: PathBuf,
    /// Its number, which tells whether the name still means the same device.
    pub no: DevNo,
    /// The size of the device.
    pub size: Sectors,
    /// Whether the kernel refuses writes to it.
    pub read_only: bool,
}

/// A PV that several devices claim to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DuplicatePv {
    /// The PV.
    pub id: LvmUuid,
    /// The devices, the one to read from first.
    pub devices: Vec<FoundPv>,
}

/// A PV that no device has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissingPv {
    /// The PV.
    pub id: LvmUuid,
    /// The device it was on when the group was last written.
    pub device_hint: Option<String>,
}

/// A PV that another group names as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Error)]
#[error("its physical volume {pv} is a physical volume of volume group {vg}, too")]
pub struct Claim {
    /// The PV.
    pub pv: LvmUuid,
    /// The other group.
    pub vg: VgName,
}

/// A volume group on the devices that are there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FoundVg {
    /// Its name in its newest text.
    pub name: VgName,
    /// Its identity.
    pub id: LvmUuid,
    /// The host that owns it, if one does.
    pub system_id: Option<String>,
    /// The number of its newest commit.
    pub seqno: Seqno,
    /// Its PVs, in the order of the text; of duplicates, the device to read from.
    pub pvs: Vec<FoundPv>,
    /// PVs that no device has.
    pub missing: Vec<MissingPv>,
    /// PVs that several devices have: the group must not be changed.
    pub duplicates: Vec<DuplicatePv>,
    /// PVs that another group names as well, and that have no text which tells their group.
    pub claims: Vec<Claim>,
    /// Other groups of the same name.
    pub namesakes: Vec<LvmUuid>,
    /// Its newest text.
    #[serde(skip)]
    pub text: TextCopy,
}

impl FoundVg {
    /// Whether every PV is there exactly once, and no other group has its name.
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty()
            && self.duplicates.is_empty()
            && self.claims.is_empty()
            && self.namesakes.is_empty()
    }

    /// All devices of the group, every one of duplicates included: what the store of the group is to be opened on.
    pub fn devices(&self) -> impl Iterator<Item = &FoundPv> {
        let others = self.duplicates.iter().flat_map(|duplicate| duplicate.devices.iter().skip(1));
        self.pvs.iter().chain(others)
    }
}

/// A device that was left alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The kernel's name of it.
    pub device: String,
    /// Why.
    #[serde(flatten)]
    pub reason: Skip,
}

/// What decided which devices were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScanSource {
    /// A list given by the caller.
    Explicit,
    /// The devices file.
    DevicesFile,
    /// lvm2's hints.
    Hints,
    /// All devices but those on which udev found something else.
    Udev,
    /// All devices.
    All,
}

/// Everything a scan found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Survey {
    /// The volume groups, by name.
    pub vgs: Vec<FoundVg>,
    /// PVs that no group names.
    pub orphans: Vec<FoundPv>,
    /// Devices that were left alone.
    pub skipped: Vec<Skipped>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Damage that hides the group of a device.
    pub lost: Vec<String>,
    /// What decided which devices were read.
    pub source: ScanSource,
    /// How many devices were read.
    pub devices_read: usize,
}

/// Looks for volume groups.
#[derive(Clone, Debug)]
pub struct Scanner {
    roots: Roots,
    disks: Rc<dyn Disks>,
    conf: DevicesConf,
    explicit: Option<Vec<PathBuf>>,
    /// The kernel's names of devices that are known to be LVs.
    lvs: HashSet<String>,
    /// The system ids of this host.
    system_ids: Vec<String>,
}

impl Scanner {
    /// A scanner of the devices below `roots`, by the rules of `lvm.conf`.
    pub fn new(roots: Roots, conf: DevicesConf) -> Self {
        Self {
            roots,
            disks: Rc::new(DirectDisks),
            conf,
            explicit: None,
            lvs: HashSet::new(),
            system_ids: Vec::new(),
        }
    }

    /// A scanner of this machine's devices.
    pub fn of_this_machine(conf: DevicesConf) -> Self {
        Self::new(Roots { dev: conf.dir.clone(), ..Roots::default() }, conf)
    }

    /// Opens devices by that port.
    #[must_use]
    pub fn over(self, disks: Rc<dyn Disks>) -> Self {
        Self { disks, ..self }
    }

    /// Scans only these devices, instead of using patterns, devices file and hints.
    #[must_use]
    pub fn only(mut self, devices: Vec<PathBuf>) -> Self {
        self.explicit = Some(devices);
        self
    }

    /// Takes groups with these owners for this host's own.
    #[must_use]
    pub fn on_host(self, system_ids: Vec<String>) -> Self {
        Self { system_ids, ..self }
    }

    /// Treats these devices as LVs without checking them: a host may have thousands.
    #[must_use]
    pub fn knowing_lvs(self, lvs: impl IntoIterator<Item = DevNo>) -> Self {
        Self { lvs: lvs.into_iter().map(|no| format!("dm-{}", no.minor)).collect(), ..self }
    }

    /// Finds one volume group by name. Missing and duplicate PVs are part of the answer. Of several the only one is
    /// meant that is not another host's, as for lvm2.
    ///
    /// # Errors
    /// If no device has it, several groups have its name, or devices cannot be looked for at all.
    pub fn find_vg(&self, name: &VgName) -> Result<FoundVg, ScanError> {
        let survey = self.survey(Some(name))?;
        let named = survey.vgs.into_iter().filter(|vg| vg.name == *name);
        let is_ours =
            |vg: &FoundVg| vg.system_id.as_ref().is_none_or(|owner| self.system_ids.contains(owner));
        let (mut ours, mut others): (Vec<FoundVg>, Vec<FoundVg>) = named.partition(is_ours);
        match (ours.len(), others.len()) {
            (1, _) => ours.pop(),
            (0, 1) => others.pop(),
            (0, 0) => None,
            (0, _) => return Err(ScanError::foreign(name, &others)),
            _ => return Err(ScanError::ambiguous(name, &ours)),
        }
        .ok_or_else(|| ScanError::not_found(name, survey.devices_read, &survey.skipped, survey.warnings))
    }

    /// Finds all volume groups, and reports damage that may hide others.
    ///
    /// # Errors
    /// If devices cannot be looked for at all.
    pub fn find_all(&self) -> Result<(Vec<FoundVg>, Vec<String>), ScanError> {
        let Survey { vgs, lost, .. } = self.survey(None)?;
        Ok((vgs, lost))
    }

    /// Searches one volume group, or all, and returns everything that was found.
    ///
    /// # Errors
    /// If devices cannot be looked for at all.
    pub fn survey(&self, wanted: Option<&VgName>) -> Result<Survey, ScanError> {
        run::Run::new(self)?.survey(wanted)
    }

    /// Opens the devices of a group, to open its store on.
    ///
    /// # Errors
    /// If one cannot be opened, or its name leads to another device by now.
    pub fn open(&self, vg: &FoundVg, access: Access) -> Result<Vec<Box<dyn BlockDev>>, ScanError> {
        vg.devices().map(|pv| self.open_device(&pv.path, pv.no, access)).collect()
    }

    fn open_device(&self, path: &Path, no: DevNo, access: Access) -> Result<Box<dyn BlockDev>, ScanError> {
        let open = |source| ScanError::Open { path: path.to_owned(), source };
        let device = self.disks.open(path, access).map_err(open)?;
        // Looked at after the open: what was opened before a change of the name would have been the right device.
        if self.roots.node_number(path) != Some(no) {
            return Err(ScanError::Changed { path: path.to_owned(), no });
        }
        Ok(device)
    }
}

#[cfg(test)]
mod tests;
