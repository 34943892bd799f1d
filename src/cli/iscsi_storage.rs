//! Storages of type iscsi: what addresses mean, and what there is of them.

pub mod activation;

use std::path::{Path, PathBuf};

use super::context::demand_root;
use super::errors::CliError;
use super::resolve::Resolver;
use base::error_kind::ErrorKind;
use config::lun::LunVolname;
use config::names::{StorageId, VolumeId};
use config::portal;
use config::storage;
use config::types::Content;
use iscsi::host::chap_file::{self, ChapFileError, Credentials};
use iscsi::host::registry::{REGISTRY, Registry};
use iscsi::host::sysfs::{self, Session};
use iscsi::protocol::name::IscsiName;
use iscsi::protocol::portal::Portal;
use iscsi::session::error::SessionError;
use iscsi::storage::paths::{TargetPath, paths};
use iscsi::storage::units::{Unit, units};
use sys::io::roots::Roots;

/// Where the CHAP file of a storage is, from the folder of `storage.cfg`: where Proxmox VE keeps what only root may
/// read of a storage. The file is named after the storage.
const CHAP_FOLDER: &str = "priv/storage";
const CHAP_SUFFIX: &str = ".chap";

/// A storage of type iscsi.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IscsiStorage {
    /// Its id.
    pub id: StorageId,
    /// Where its target is asked for.
    pub portal: Portal,
    /// Its target.
    pub target: IscsiName,
    /// Whether its LUNs are disks of guests. Otherwise they are for others, as for a volume group.
    pub holds_images: bool,
    /// Where its CHAP users and secrets are, if it has any.
    chap_file: PathBuf,
}

/// What an address means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A storage.
    Storage(IscsiStorage),
    /// A LUN of one.
    Lun(IscsiStorage, LunVolname),
}

/// What there is of a storage.
#[derive(Debug)]
pub struct Seen {
    /// The sessions to its target.
    pub sessions: Vec<Session>,
    /// The paths to its target.
    pub paths: Vec<TargetPath>,
    /// Its disks.
    pub units: Vec<Unit>,
}

impl Seen {
    /// Whether any path is up.
    pub fn is_active(&self) -> bool {
        self.paths.iter().any(TargetPath::is_up)
    }

    /// How many paths are up.
    pub fn up(&self) -> usize {
        self.paths.iter().filter(|path| path.is_up()).count()
    }

    /// What is wrong with the paths of a storage that is to be active.
    pub fn troubles<'a>(&'a self, id: &'a StorageId) -> impl Iterator<Item = String> + 'a {
        self.paths
            .iter()
            .filter_map(TargetPath::trouble)
            .map(move |trouble| format!("storage '{id}': path {trouble}"))
    }
}

impl IscsiStorage {
    /// The storage of a section; `None` if it is of another type.
    ///
    /// # Errors
    /// If its target is no name of one.
    pub fn of(resolver: &Resolver, storage: &storage::Storage) -> Result<Option<Self>, CliError> {
        let own = |key| storage.own.get(key).map(String::as_str).unwrap_or_default();
        let Some(portal) = portal::parse(own("portal")).filter(|_| is_iscsi(storage)) else {
            return Ok(None);
        };
        let target = IscsiName::new(own("target")).map_err(|error| {
            CliError::new(ErrorKind::Refused, format!("storage '{}' has no usable target", storage.id))
                .caused_by(Some(&error))
        })?;
        let folder = resolver.file().path().parent().unwrap_or(Path::new("."));
        let file = format!("{}{CHAP_SUFFIX}", storage.id);
        // The supervisor reads it again, from wherever it runs.
        let chap_file = std::path::absolute(folder.join(CHAP_FOLDER).join(file)).map_err(|error| {
            CliError::new(ErrorKind::Refused, "the configuration's folder means nothing")
                .caused_by(Some(&error))
        })?;
        Ok(Some(Self {
            id: storage.id.clone(),
            portal,
            target,
            holds_images: storage.content.contains(&Content::Images),
            chap_file,
        }))
    }

    /// Its CHAP file, read; `None` if it has none.
    ///
    /// # Errors
    /// If it has one that cannot be used.
    pub fn credentials(&self) -> Result<Option<(PathBuf, Credentials)>, CliError> {
        match chap_file::read(&self.chap_file) {
            Ok(credentials) => Ok(Some((self.chap_file.clone(), credentials))),
            Err(ChapFileError::Unreadable { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                Ok(None)
            }
            Err(error) => Err(SessionError::from(error).into()),
        }
    }

    /// Looks at its sessions and disks, without talking to the target.
    ///
    /// # Errors
    /// If this process is not root's, or the kernel shows nothing.
    pub fn look(&self) -> Result<Seen, CliError> {
        demand_root(nix::unistd::Uid::effective().is_root())?;
        let roots = Roots::default();
        let mut sessions = sysfs::sessions(&roots).map_err(|error| {
            CliError::new(ErrorKind::Refused, "cannot list the iSCSI sessions").caused_by(Some(&error))
        })?;
        sessions.retain(|session| session.target == self.target.as_str());
        let mut known = Registry::open(Path::new(REGISTRY))?.portals(&self.target);
        if known.is_empty() {
            known.push(self.portal.clone());
        }
        Ok(Seen { paths: paths(&sessions, &known), units: units(&roots, &sessions), sessions })
    }

    /// The volume id of a disk; `None` if udev has given it no name.
    pub fn volume_id(&self, unit: &Unit) -> Option<String> {
        let by_id = unit.by_id.as_ref()?;
        Some(format!("{}:{}", self.id, LunVolname::of_lun(unit.lun, by_id)))
    }

    /// The error where the target has no session.
    pub fn not_active(&self) -> CliError {
        CliError::new(
            ErrorKind::Refused,
            format!("storage '{}' is not active: no session to {}", self.id, self.target),
        )
        .hint(format!("'thinvol activate {}' logs in", self.id))
    }
}

fn is_iscsi(storage: &storage::Storage) -> bool {
    storage.type_name() == "iscsi"
}

impl Resolver {
    /// What a text means as an address of a storage of type iscsi that may be used here; `None` if it addresses
    /// something else.
    ///
    /// # Errors
    /// If the configuration cannot be read, the storage may not be used here, or it is no name of a LUN.
    pub fn iscsi(&self, text: &str) -> Result<Option<Address>, CliError> {
        self.iscsi_in(text, Self::enabled)
    }

    /// The same, be the storage for this node or not: for looking alone.
    ///
    /// # Errors
    /// If the configuration cannot be read, or it is no name of a LUN.
    pub fn iscsi_anywhere(&self, text: &str) -> Result<Option<Address>, CliError> {
        self.iscsi_in(text, Self::configured)
    }

    fn iscsi_in<'a>(
        &'a self,
        text: &str,
        find: fn(&'a Self, &StorageId) -> Result<&'a storage::Storage, CliError>,
    ) -> Result<Option<Address>, CliError> {
        let Ok(id) = StorageId::new(text.split_once(':').map_or(text, |(id, _)| id)) else { return Ok(None) };
        // Other errors of the storage are reported where the text is read as something else.
        if !self.config()?.storage(&id).is_ok_and(is_iscsi) {
            return Ok(None);
        }
        let Some(storage) = IscsiStorage::of(self, find(self, &id)?)? else { return Ok(None) };
        Ok(Some(if text.contains(':') {
            Address::Lun(storage, LunVolname::parse(&VolumeId::parse(text)?.volname)?)
        } else {
            Address::Storage(storage)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "\
iscsi: san
	portal 10.0.0.1
	target iqn.2003-01.org.example:t1

iscsi: off
	portal 10.0.0.1
	target iqn.2003-01.org.example:t2
	disable

iscsi: odd
	portal 10.0.0.1
	target t3

lvmthin: local-lvm
	thinpool data
	vgname pve
";

    fn told(result: Result<Option<Address>, CliError>) -> String {
        match result {
            Ok(None) => "something else".to_owned(),
            Ok(Some(Address::Storage(storage))) => format!("{} at {}", storage.target, storage.portal),
            Ok(Some(Address::Lun(storage, lun))) => format!("{} of {}", lun.path(), storage.id),
            Err(error) => error.message,
        }
    }

    #[test]
    fn addresses_are_storages_or_luns_or_something_else() {
        let resolver = Resolver::over(CONFIG);
        for (text, meaning) in [
            ("san", "iqn.2003-01.org.example:t1 at 10.0.0.1:3260"),
            ("san:0.0.1.scsi-36", "/dev/disk/by-id/scsi-36 of san"),
            ("san:vm-100-disk-0", "unable to parse iscsi volume name 'vm-100-disk-0'"),
            ("off", "storage 'off' is disabled"),
            ("odd", "storage 'odd' has no usable target"),
            ("local-lvm", "something else"),
            ("local-lvm:vm-100-disk-0", "something else"),
            ("pve/data", "something else"),
            ("nowhere", "something else"),
        ] {
            assert_eq!(told(resolver.iscsi(text)), meaning, "{text}");
        }
        assert_eq!(told(resolver.iscsi_anywhere("off:0.0.0.x")), "/dev/disk/by-id/x of off");
    }

    #[test]
    fn secrets_are_beside_the_configuration_where_proxmox_ve_has_its_own() {
        let Ok(Some(Address::Storage(storage))) = Resolver::over(CONFIG).iscsi("san") else { panic!() };
        assert!(storage.chap_file.is_absolute() && storage.chap_file.ends_with("priv/storage/san.chap"));
        assert_eq!(storage.credentials().unwrap().map(|_| ()), None);
    }
}
