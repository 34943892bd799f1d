//! Storages of type iscsi: targets, whose LUNs are there or not.

mod multipath;
mod target_work;

use std::path::{Path, PathBuf};
use std::time::Duration;

use self::target_work::TargetWork;
use super::activation::Activation;
use super::listing::{Listing, VolumeQuery};
use super::status::StatusScan;
use super::storage_row::StorageRow;
use super::volume_row::VolumeRow;
use super::{Apart, StorageBackend};
use crate::context::{Context, demand_root};
use crate::errors::CliError;
use crate::resolve::Resolver;
use base::error_kind::ErrorKind;
use config::lun::LunVolname;
use config::names::StorageId;
use config::portal;
use config::storage;
use config::types::Content;
use iscsi::host::chap_file::{self, ChapFileError, Credentials};
use iscsi::host::connection::Connection;
use iscsi::host::limit::Limit;
use iscsi::host::registry::{REGISTRY, Registry};
use iscsi::host::sysfs::{self, Session};
use iscsi::protocol::name::IscsiName;
use iscsi::protocol::portal::Portal;
use iscsi::session::error::SessionError;
use iscsi::storage::paths::{TargetPath, paths};
use iscsi::storage::units::{Unit, units};
use sys::io::roots::Roots;

/// The name of the type.
const TYPE_NAME: &str = "iscsi";

/// How long a portal may take to answer before a storage is added. Source: pve-storage `PVE/Storage/ISCSIPlugin.pm`
/// (`iscsi_test_portal`).
const PORTAL_TIMEOUT: Duration = Duration::from_secs(2);

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
    /// The storage of a section.
    ///
    /// # Errors
    /// If its portal or target is none.
    fn of(resolver: &Resolver, storage: &storage::Storage) -> Result<Self, CliError> {
        let unusable = |what| {
            CliError::new(ErrorKind::Refused, format!("storage '{}' has no usable {what}", storage.id))
        };
        let own = |key| storage.own.get(key).map(String::as_str).unwrap_or_default();
        let portal = portal::parse(own("portal")).ok_or_else(|| unusable("portal"))?;
        let target =
            IscsiName::new(own("target")).map_err(|error| unusable("target").caused_by(Some(&error)))?;
        let folder = resolver.file().path().parent().unwrap_or(Path::new("."));
        let file = format!("{}{CHAP_SUFFIX}", storage.id);
        // The supervisor reads it again, from wherever it runs.
        let chap_file = std::path::absolute(folder.join(CHAP_FOLDER).join(file)).map_err(|error| {
            CliError::new(ErrorKind::Refused, "the configuration's folder means nothing")
                .caused_by(Some(&error))
        })?;
        let holds_images = storage.content.contains(&Content::Images);
        Ok(Self { id: storage.id.clone(), portal, target, holds_images, chap_file })
    }

    /// The storage that a text names by its id; `None` if it names something else.
    ///
    /// # Errors
    /// If the configuration cannot be read, or the storage may not be used here.
    pub fn named(resolver: &Resolver, text: &str) -> Result<Option<Self>, CliError> {
        let Ok(id) = StorageId::new(text) else { return Ok(None) };
        // Other errors of the storage are reported where the text is read as something else.
        if !resolver.config()?.storage(&id).is_ok_and(|storage| storage.type_name() == TYPE_NAME) {
            return Ok(None);
        }
        Self::of(resolver, resolver.enabled(&id)?).map(Some)
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

    /// The error where the target has no session.
    pub fn not_active(&self) -> CliError {
        CliError::new(
            ErrorKind::Refused,
            format!("storage '{}' is not active: no session to {}", self.id, self.target),
        )
        .hint(format!("'thinvol activate {}' logs in", self.id))
    }
}

/// A storage of the configuration, which may name no usable target.
struct Iscsi {
    id: StorageId,
    portal: Option<Portal>,
    storage: Result<IscsiStorage, CliError>,
}

/// The storage of a section.
pub fn open(resolver: &Resolver, storage: &storage::Storage) -> Box<dyn StorageBackend> {
    Box::new(Iscsi {
        id: storage.id.clone(),
        portal: storage.own.get("portal").and_then(|text| portal::parse(text)),
        storage: IscsiStorage::of(resolver, storage),
    })
}

impl Iscsi {
    fn storage(&self) -> Result<&IscsiStorage, CliError> {
        self.storage.as_ref().map_err(Clone::clone)
    }
}

impl StorageBackend for Iscsi {
    /// The portal answers. Its targets are not asked for, as by Proxmox VE.
    fn check_exists(&self, _: &Context) -> Result<(), CliError> {
        let Some(portal) = &self.portal else { return self.storage().map(drop) };
        Connection::open(portal, None, &Limit::new(PORTAL_TIMEOUT)).map(drop).map_err(|error| {
            CliError::new(ErrorKind::Refused, format!("storage '{}' is not online", self.id))
                .caused_by(Some(&error))
                .hint(format!("nothing answers at {portal}; --disable 1 adds the storage without asking"))
        })
    }

    /// Its paths, and the sizes of its disks.
    fn status(&self, scan: &mut StatusScan<'_>, row: StorageRow) -> Result<StorageRow, CliError> {
        let seen = match self.storage().and_then(IscsiStorage::look) {
            Ok(seen) => seen,
            Err(error) => {
                scan.warnings.push(format!("storage '{}': {}", self.id, error.one_line()));
                return Ok(StorageRow { active: Some(false), ..row });
            }
        };
        let is_active = seen.is_active();
        if !seen.sessions.is_empty() {
            scan.warnings.extend(seen.troubles(&self.id));
        }
        let total = seen.units.iter().map(|unit| unit.size.get()).fold(0, u64::saturating_add);
        Ok(StorageRow {
            active: Some(is_active),
            total: is_active.then_some(total),
            luns: Some(seen.units.len()),
            paths: Some(seen.paths),
            ..row
        })
    }

    /// The LUNs of the target. They belong to no guest.
    fn list(&self, context: &Context, query: &VolumeQuery) -> Result<Listing, CliError> {
        let storage = self.storage()?;
        let seen = storage.look()?;
        if !seen.is_active() {
            return Err(storage.not_active());
        }
        let mut listing = Listing {
            storage: self.id.to_string(),
            warnings: context.resolver.warnings(),
            ..Listing::default()
        };
        if !storage.holds_images && !seen.units.is_empty() {
            let (id, count) = (&self.id, seen.units.len());
            listing.notes.push(format!(
                "{count} LUNs are left out: the content of storage '{id}' is none; 'thinvol iscsi sessions' shows them"
            ));
        }
        let is_wanted = storage.holds_images && query.takes_content(Content::Images.word());
        let filter = query.filter.filter();
        for unit in seen.units.iter().filter(|_| is_wanted) {
            let Some(volname) = volname(unit) else {
                let (lun, devices) = (unit.lun, unit.devices.join(", "));
                listing
                    .warnings
                    .push(format!("LUN {lun} ({devices}) is left out: it has no name in /dev/disk/by-id"));
                continue;
            };
            if filter.takes_unowned(&volname) {
                listing.rows.push(VolumeRow::of_lun(format!("{}:{volname}", self.id), unit));
            }
        }
        Ok(listing)
    }

    fn apart(&self) -> Option<&dyn Apart> {
        Some(self)
    }
}

impl Apart for Iscsi {
    fn check_volname(&self, volname: &str) -> Result<(), CliError> {
        self.path(volname).map(drop)
    }

    fn path(&self, volname: &str) -> Result<String, CliError> {
        self.storage()?;
        Ok(LunVolname::parse(volname)?.path())
    }

    fn activate(&self, work: &mut Activation<'_>) -> Result<(), CliError> {
        TargetWork::new(self.storage()?, work)?.activate(&mut work.done)
    }

    /// Source of the words: pve-storage `PVE/Storage/ISCSIPlugin.pm` (`activate_volume`).
    fn check_volume(&self, volname: &str) -> Result<(), CliError> {
        let (storage, lun) = (self.storage()?, LunVolname::parse(volname)?);
        let is_it =
            |unit: &Unit| unit.by_id.as_deref() == Some(&lun.by_id) || unit.links.contains(&lun.by_id);
        if storage.look()?.units.iter().any(is_it) {
            return Ok(());
        }
        let message = format!("volume '{}:{lun}' not part of target '{}'", self.id, storage.target);
        Err(CliError::new(ErrorKind::NotFound, message)
            .hint(format!("'thinvol list {}' shows the LUNs of the storage", self.id)))
    }

    fn deactivate(&self, work: &mut Activation<'_>) -> Result<(), CliError> {
        TargetWork::new(self.storage()?, work)?.deactivate(&mut work.done)
    }

    fn deactivate_volume(&self, volname: &str, work: &mut Activation<'_>) {
        let id = &self.id;
        work.done.notes.push(format!("LUNs go with their storage: nothing is done for '{id}:{volname}'"));
    }
}

/// The name of a disk as a volume of its storage; `None` if udev has given it none.
fn volname(unit: &Unit) -> Option<String> {
    Some(LunVolname::of_lun(unit.lun, unit.by_id.as_ref()?).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::apart;

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

    fn told(text: &str) -> String {
        let resolver = Resolver::over(CONFIG);
        let meant = apart(&resolver, text, Resolver::enabled).and_then(|address| {
            let Some(address) = address else { return Ok("something else".to_owned()) };
            match (&address.volname, address.backend.apart()) {
                (Some(volname), Some(apart)) => Ok(format!("{} of {}", apart.path(volname)?, address.id)),
                _ => {
                    let storage = IscsiStorage::named(&resolver, text)?.expect("it is of type iscsi");
                    Ok(format!("{} at {}", storage.target, storage.portal))
                }
            }
        });
        meant.unwrap_or_else(|error| error.message)
    }

    #[test]
    fn addresses_are_storages_or_luns_or_something_else() {
        for (text, meaning) in [
            ("san", "iqn.2003-01.org.example:t1 at 10.0.0.1:3260"),
            ("san:0.0.1.scsi-36", "/dev/disk/by-id/scsi-36 of san"),
            ("san:vm-100-disk-0", "unable to parse iscsi volume name 'vm-100-disk-0'"),
            ("off", "storage 'off' is disabled"),
            ("odd", "storage 'odd' has no usable target"),
            ("odd:0.0.0.x", "storage 'odd' has no usable target"),
            ("local-lvm", "something else"),
            ("local-lvm:vm-100-disk-0", "something else"),
            ("pve/data", "something else"),
            ("nowhere", "something else"),
        ] {
            assert_eq!(told(text), meaning, "{text}");
        }
        let resolver = Resolver::over(CONFIG);
        let off = apart(&resolver, "off:0.0.0.x", Resolver::configured).unwrap().unwrap();
        assert_eq!(off.backend.apart().unwrap().path("0.0.0.x").unwrap(), "/dev/disk/by-id/x");
        assert!(IscsiStorage::named(&resolver, "local-lvm").unwrap().is_none());
    }

    #[test]
    fn secrets_are_beside_the_configuration_where_proxmox_ve_has_its_own() {
        let storage = IscsiStorage::named(&Resolver::over(CONFIG), "san").unwrap().unwrap();
        assert!(storage.chap_file.is_absolute() && storage.chap_file.ends_with("priv/storage/san.chap"));
        assert_eq!(storage.credentials().unwrap().map(|_| ()), None);
    }
}
