//! A volume group found on its devices and read.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{EngineError, Kind};
use base::error_chain::in_words;
use base::ids::{DevNo, LvmUuid, VgName};
use dm::kernel::ListedDevice;
use lvm2::format::check::{check, may_write};
use lvm2::format::metadata::Metadata;
use lvm2::host::scan::{ScanError, Scanner};
use lvm2::host::store::assess::VgRef;
use lvm2::host::store::issue::StoreIssue;
use lvm2::host::store::vg::VgStore;
use sys::io::block::BlockDev;
use sys::io::direct::{Access, DirectFile};

/// A volume group, read from its devices.
pub struct Opened {
    /// Its metadata areas.
    pub store: VgStore,
    /// Its metadata.
    pub metadata: Arc<Metadata>,
    /// Its physical volumes that are here.
    pub pvs: BTreeMap<LvmUuid, DevNo>,
    /// The devices it was read from.
    pub devices: Vec<(PathBuf, DevNo)>,
    /// All devices of device-mapper just before it was read, until somebody takes them.
    pub listed: Option<Vec<ListedDevice>>,
}

impl Opened {
    /// Finds a volume group and reads it. `listed` are the devices of device-mapper.
    ///
    /// # Errors
    /// If it is not there, is there twice, or its metadata breaks a rule: then nothing of it is trusted.
    pub fn read(
        scanner: &Scanner,
        listed: Vec<ListedDevice>,
        vg: &VgName,
        access: Access,
    ) -> Result<Self, EngineError> {
        let found = scanner.find_vg(vg).map_err(|error| match error {
            ScanError::NotFound { .. } => {
                EngineError::caused(Kind::NotFound, format!("volume group {vg} was not found"), error)
                    .with_hint("'thinvol scan lvm' lists the volume groups there are")
            }
            ScanError::Ambiguous { .. } => EngineError::caused(
                Kind::Refused,
                format!("which volume group {vg} is meant is not clear"),
                error,
            )
            .with_hint("rename one by its uuid: 'vgrename <uuid> <new name>'"),
            _ => EngineError::caused(Kind::Refused, format!("volume group {vg} cannot be looked for"), error),
        })?;
        let devices = scanner.open(&found, access).map_err(|error| {
            EngineError::caused(
                Kind::Refused,
                format!("a device of volume group {vg} cannot be opened"),
                error,
            )
        })?;
        // By identity: a name can move to another group at any time.
        let store = VgStore::open(devices, &VgRef::Id(found.id)).map_err(|error| {
            EngineError::caused(Kind::Corrupt, format!("volume group {vg} cannot be read"), error)
                .with_hint(format!("see what 'vgck {vg}' says of it"))
        })?;
        let metadata = Metadata::parse(store.text()).map_err(|error| {
            EngineError::caused(
                Kind::Corrupt,
                format!("the metadata of volume group {vg} is not valid"),
                error,
            )
            .with_hint("nothing was changed; 'vgcfgrestore --list' shows the backups there are")
        })?;
        if let Some(violation) = check(&metadata.vg).into_iter().next() {
            let message = format!("the metadata of volume group {vg} breaks a rule: {violation}");
            return Err(EngineError::new(Kind::Corrupt, message)
                .with_hint(format!("nothing was changed; see what 'vgck {vg}' says of it")));
        }
        if metadata.vg.name != *vg {
            let message = format!("volume group {vg} has just become {}", metadata.vg.name);
            return Err(EngineError::new(Kind::Busy, message).with_hint("use its new name"));
        }
        let pvs = found.pvs.iter().map(|pv| (pv.id, pv.no)).collect();
        let devices = found.pvs.iter().map(|pv| (pv.path.clone(), pv.no)).collect();
        Ok(Self { store, metadata: Arc::new(metadata), pvs, devices, listed: Some(listed) })
    }

    /// What is not as it should be and stays so.
    pub fn warnings(&self) -> Vec<String> {
        let quiet =
            |issue: &&StoreIssue| !matches!(issue, StoreIssue::Ignored { .. } | StoreIssue::Lagging { .. });
        self.store.issues().iter().filter(quiet).map(in_words).collect()
    }

    /// Why nothing of it may be touched by the host with these system ids, not even its devices: another host may be
    /// using it, or which of its disks are the right ones is not clear.
    pub fn foreign(&self, system_ids: &[String]) -> Option<EngineError> {
        if let Err(no) = may_write(&self.metadata.vg, system_ids) {
            return Some(EngineError::new(Kind::Unsupported, no.message).with_hint(no.hint));
        }
        let in_doubt = self.store.issues().iter().find(|issue| issue.forbids_commit())?;
        Some(
            EngineError::new(Kind::Unsupported, format!("the volume group cannot be changed: {in_doubt}"))
                .with_hint("make its physical volumes complete and unambiguous first"),
        )
    }

    /// Metadata areas that the next commit mends.
    pub fn lagging(&self) -> Vec<String> {
        let lagging = |issue: &&StoreIssue| matches!(issue, StoreIssue::Lagging { .. });
        self.store.issues().iter().filter(lagging).map(in_words).collect()
    }
}

/// Opens a device by number for reading: a physical volume by its path, a device-mapper device by its kernel name.
///
/// # Errors
/// If it cannot be opened.
pub fn open_device(devices: &[(PathBuf, DevNo)], dev: DevNo) -> io::Result<Box<dyn BlockDev>> {
    let pv = devices.iter().find(|(_, known)| *known == dev).map(|(path, _)| path.clone());
    let path = pv.unwrap_or_else(|| PathBuf::from(format!("/dev/dm-{}", dev.minor)));
    Ok(Box::new(DirectFile::open(&path, Access::ReadOnly)?))
}
