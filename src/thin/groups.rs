//! Summaries of the volume groups of a machine.

use std::path::PathBuf;

use serde::Serialize;

use base::ids::{DevNo, LvmUuid, VgName};
use lvm2::format::model::last_seen;
use lvm2::host::lock::GlobalLock;
use lvm2::host::scan::{FoundVg, MissingPv};

/// A volume group in a list.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct VgSummary {
    /// Its name.
    pub name: VgName,
    /// Its identity.
    pub uuid: LvmUuid,
    /// What stands against changing it, if anything.
    pub trouble: Vec<String>,
    /// The devices of its physical volumes that are here, by the name and the number that they were opened by.
    #[serde(skip)]
    pub devices: Vec<(PathBuf, DevNo)>,
}

/// The volume groups of this machine, none of which comes, goes or is renamed as long as this lives.
#[derive(Debug)]
#[non_exhaustive]
pub struct EveryVg {
    /// The groups.
    pub vgs: Vec<VgSummary>,
    /// Damage that may hide others.
    pub warnings: Vec<String>,
    _lock: GlobalLock,
}

impl EveryVg {
    /// What was found while the lock was held.
    pub(super) fn new(found: &[FoundVg], warnings: Vec<String>, lock: GlobalLock) -> Self {
        Self { vgs: found.iter().map(VgSummary::from).collect(), warnings, _lock: lock }
    }
}

impl From<&FoundVg> for VgSummary {
    fn from(vg: &FoundVg) -> Self {
        let missing =
            |pv: &MissingPv| format!("physical volume {} is missing{}", pv.id, last_seen(&pv.device_hint));
        let duplicates =
            vg.duplicates.iter().map(|pv| format!("physical volume {} is on several devices", pv.id));
        let namesakes = vg.namesakes.iter().map(|id| format!("volume group {id} has the same name"));
        let claims = vg.claims.iter().map(ToString::to_string);
        let trouble = vg.missing.iter().map(missing).chain(duplicates).chain(claims).chain(namesakes);
        let devices = vg.pvs.iter().map(|pv| (pv.path.clone(), pv.no)).collect();
        Self { name: vg.name.clone(), uuid: vg.id, trouble: trouble.collect(), devices }
    }
}
