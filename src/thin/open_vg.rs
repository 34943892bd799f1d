//! An open volume group: found on its devices and read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::EngineError;
use base::error_chain::in_words;
use base::error_kind::ErrorKind;
use base::ids::{DevNo, LvmUuid, VgName};
use dm::kernel::ListedDevice;
use lvm2::format::check::{Use, may_use};
use lvm2::format::metadata::Metadata;
use lvm2::host::backup::{Backups, State};
use lvm2::host::scan::{Claim, ScanError, Scanner};
use lvm2::host::store::issue::StoreIssue;
use lvm2::host::store::vg::VgStore;
use lvm2::host::store::vg_ref::VgRef;
use sys::io::block::Access;

/// What to do about a physical volume that two groups name.
const CLAIMED: &str = "a vgsplit or vgmerge may have been cut short: 'vgreduce --removemissing' with --devices, of \
                       lvm2 2.03.32 or later, drops what is no longer this group's";

/// A volume group, read from its devices.
pub struct OpenVg {
    /// Its metadata areas.
    pub store: VgStore,
    /// Its metadata.
    pub metadata: Arc<Metadata>,
    /// Its physical volumes that are here.
    pub pvs: BTreeMap<LvmUuid, DevNo>,
    /// The devices it was read from.
    pub devices: Vec<(PathBuf, DevNo)>,
    /// Its physical volumes that another group names, too.
    pub claims: Vec<Claim>,
    /// All devices of device-mapper just before it was read, until somebody takes them.
    pub listed: Option<Vec<ListedDevice>>,
}

impl OpenVg {
    /// Finds a volume group and reads it. `listed` are the devices of device-mapper; `backups` know of the last change.
    ///
    /// # Errors
    /// If it is not there, is there twice, or its metadata breaks a rule: then nothing of it is trusted.
    pub fn read(
        scanner: &Scanner,
        listed: Vec<ListedDevice>,
        vg: &VgName,
        access: Access,
        backups: &Backups,
    ) -> Result<Self, EngineError> {
        let found = scanner.find_vg(vg).map_err(|error| match error {
            ScanError::NotFound { .. } => {
                EngineError::caused(ErrorKind::NotFound, format!("volume group {vg} was not found"), error)
                    .with_hint("'thinvol scan lvm' lists the volume groups there are")
            }
            ScanError::Ambiguous { .. } | ScanError::Foreign { .. } => {
                let foreign = matches!(error, ScanError::Foreign { .. });
                let message = format!("which volume group {vg} is meant is not clear");
                EngineError::caused(ErrorKind::Refused, message, error).with_hint(if foreign {
                    "none of them is this host's; hide their disks from LVM, or see lvmsystemid(7)"
                } else {
                    "rename one by its uuid: 'vgrename <uuid> <new name>'"
                })
            }
            _ => EngineError::caused(
                ErrorKind::Refused,
                format!("volume group {vg} cannot be looked for"),
                error,
            ),
        })?;
        let devices = scanner.open(&found, access).map_err(|error| {
            EngineError::caused(
                ErrorKind::Refused,
                format!("a device of volume group {vg} cannot be opened"),
                error,
            )
        })?;
        // By identity: a name can move to another group at any time.
        let store =
            VgStore::open_knowing(devices, &VgRef::Id(found.id), found.text.clone()).map_err(|error| {
                EngineError::caused(ErrorKind::Corrupt, format!("volume group {vg} cannot be read"), error)
                    .with_hint(format!("see what 'vgck {vg}' says of it"))
            })?;
        let metadata = store.metadata().map_err(|error| {
            EngineError::caused(
                ErrorKind::Corrupt,
                format!("the metadata of volume group {vg} is not valid"),
                error,
            )
            .with_hint("nothing was changed; 'vgcfgrestore --list' shows the backups there are")
        })?;
        // What was committed and checked by this program is not gone through again.
        let state = State { vg: metadata.vg.id, seqno: metadata.vg.seqno, text: store.text() };
        let metadata = if backups.vouch_for(&state) { metadata.known_sound() } else { metadata };
        if let Some(violation) = metadata.violations().first() {
            let message = format!("the metadata of volume group {vg} breaks a rule: {violation}");
            return Err(EngineError::new(ErrorKind::Corrupt, message)
                .with_hint(format!("nothing was changed; see what 'vgck {vg}' says of it")));
        }
        if metadata.vg.name != *vg {
            let message = format!("volume group {vg} has just become {}", metadata.vg.name);
            return Err(EngineError::new(ErrorKind::Busy, message).with_hint("use its new name"));
        }
        let pvs = found.pvs.iter().map(|pv| (pv.id, pv.no)).collect();
        let claims = found.claims.clone();
        let devices = found.pvs.iter().map(|pv| (pv.path.clone(), pv.no)).collect();
        Ok(Self { store, metadata: Arc::new(metadata), pvs, devices, claims, listed: Some(listed) })
    }

    /// What is not as it should be and stays so.
    pub fn warnings(&self) -> Vec<String> {
        let quiet =
            |issue: &&StoreIssue| !matches!(issue, StoreIssue::Ignored { .. } | StoreIssue::Lagging { .. });
        let flaws = self.metadata.flaws().iter();
        let flaws =
            flaws.map(|flaw| format!("volume {} (it cannot be used)", flaw.in_group(&self.metadata.vg)));
        self.store.issues().iter().filter(quiet).map(in_words).chain(flaws).collect()
    }

    /// Why that may not be done with it by the host with these system ids: another host may be using it, or which of
    /// its disks are the right ones is not clear.
    pub fn refusal(&self, usage: Use, system_ids: &[String]) -> Option<EngineError> {
        if let Err(no) = may_use(&self.metadata.vg, usage, system_ids) {
            return Some(EngineError::new(ErrorKind::Unsupported, no.message).with_hint(no.hint));
        }
        let what = if usage == Use::Activate { "activated" } else { "changed" };
        let no = |why: &str, hint: &str| {
            let message = format!("volume group {} cannot be {what}: {why}", self.metadata.vg.name);
            Some(EngineError::new(ErrorKind::Unsupported, message).with_hint(hint))
        };
        if let Some(issue) = self.store.issues().iter().find(|issue| issue.forbids(usage)) {
            return no(&issue.to_string(), hint(issue));
        }
        match self.claims.first().filter(|_| usage >= Use::Activate) {
            Some(claim) => no(&claim.to_string(), CLAIMED),
            None => None,
        }
    }

    /// Metadata areas that the next commit mends.
    pub fn lagging(&self) -> Vec<String> {
        let lagging = |issue: &&StoreIssue| matches!(issue, StoreIssue::Lagging { .. });
        self.store.issues().iter().filter(lagging).map(in_words).collect()
    }
}

fn hint(issue: &StoreIssue) -> &'static str {
    match issue {
        StoreIssue::Foreign { .. } => CLAIMED,
        StoreIssue::Mismatch { .. } => {
            "decide which copy is right; hide the device of the other one from LVM"
        }
        _ => "make its physical volumes complete and unambiguous first",
    }
}
