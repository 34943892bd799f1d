//! Storages of the configuration, and what can be done with them: one file for each type.

pub mod activation;
pub mod iscsi;
pub mod listing;
pub mod lvmthin;
pub mod status;
pub mod storage_row;
pub mod volume_row;

use std::fmt;

use self::activation::Activation;
use self::listing::{Listing, VolumeQuery};
use self::status::StatusScan;
use self::storage_row::StorageRow;
use crate::context::Context;
use crate::errors::CliError;
use crate::resolve::{Find, Resolver};
use config::names::{StorageId, VolumeId};
use config::storage::{Storage, StorageKind};

/// Makes the storage of a section.
type Open = fn(&Resolver, &Storage) -> Box<dyn StorageBackend>;

/// By the name of its type.
const BACKENDS: &[(&str, Open)] = &[("lvmthin", lvmthin::open), ("iscsi", iscsi::open)];

/// A storage of one type. What there is to know of the type itself is in its row in `src/config/types.rs`.
pub trait StorageBackend {
    /// Makes sure that what it is made of is there, before it is added to the configuration.
    ///
    /// # Errors
    /// If it is not.
    fn check_exists(&self, context: &Context) -> Result<(), CliError>;

    /// Looks whether it is active and how full it is; adds that to the row that its section gives.
    ///
    /// # Errors
    /// If nothing can be looked at. What is wrong with this storage alone is a warning.
    fn status(&self, scan: &mut StatusScan<'_>, row: StorageRow) -> Result<StorageRow, CliError>;

    /// Its volumes.
    ///
    /// # Errors
    /// If it is not there or cannot be used.
    fn list(&self, context: &Context, query: &VolumeQuery) -> Result<Listing, CliError>;

    /// What is done for it in place of the engine; `None` if it is a thin pool, whose volumes are the engine's.
    fn apart(&self) -> Option<&dyn Apart>;
}

/// A storage whose volumes are not the engine's: they are there or not, and are neither made nor changed.
pub trait Apart {
    /// Whether a volume of it can have that name.
    ///
    /// # Errors
    /// If not.
    fn check_volname(&self, volname: &str) -> Result<(), CliError>;

    /// The device path of a volume.
    ///
    /// # Errors
    /// If there can be no such volume.
    fn path(&self, volname: &str) -> Result<String, CliError>;

    /// Makes its volumes usable.
    ///
    /// # Errors
    /// If not all of it is.
    fn activate(&self, work: &mut Activation<'_>) -> Result<(), CliError>;

    /// Makes sure that a volume is there, after the storage was activated.
    ///
    /// # Errors
    /// If it is not.
    fn check_volume(&self, volname: &str) -> Result<(), CliError>;

    /// Takes its volumes away, unless one is in use.
    ///
    /// # Errors
    /// If one is, or they stay.
    fn deactivate(&self, work: &mut Activation<'_>) -> Result<(), CliError>;

    /// Takes a volume away, as far as that can be done for one alone.
    fn deactivate_volume(&self, volname: &str, work: &mut Activation<'_>);
}

/// The storage of a section; `None` if thinvol does not handle its type.
pub fn open(resolver: &Resolver, storage: &Storage) -> Option<Box<dyn StorageBackend>> {
    let backend = BACKENDS.iter().find(|(name, _)| *name == storage.type_name());
    backend.map(|(_, open)| open(resolver, storage))
}

/// A storage that is named by its id or as `<vg>/<pool>`, and may be used here.
///
/// # Errors
/// If the text is anything else, or the storage may not be used here.
pub fn named(resolver: &Resolver, text: &str) -> Result<Box<dyn StorageBackend>, CliError> {
    match apart(resolver, text, Resolver::enabled)? {
        Some(Address { backend, volname: None, .. }) => Ok(backend),
        _ => Ok(lvmthin::of_pool(resolver.storage(text)?)),
    }
}

/// A storage whose volumes are not the engine's, or a volume of one.
pub struct Address {
    /// The storage's id.
    pub id: StorageId,
    /// The name of its type.
    pub type_name: String,
    /// The storage.
    pub backend: Box<dyn StorageBackend>,
    /// The volume.
    pub volname: Option<String>,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address")
            .field("id", &self.id)
            .field("volname", &self.volname)
            .finish_non_exhaustive()
    }
}

/// What a text means as an address of a storage whose volumes are not the engine's, found by `find`; `None` if it
/// addresses something else.
///
/// # Errors
/// If the configuration cannot be read, the storage may not be used here, or it has no volumes of such a name.
pub fn apart<'a>(resolver: &'a Resolver, text: &str, find: Find<'a>) -> Result<Option<Address>, CliError> {
    let Ok(id) = StorageId::new(text.split_once(':').map_or(text, |(id, _)| id)) else { return Ok(None) };
    // Other errors of the storage are reported where the text is read as something else.
    let is_apart =
        |storage: &Storage| matches!(storage.kind, StorageKind::Handled(_)) && storage.pool.is_none();
    if !resolver.config()?.storage(&id).is_ok_and(is_apart) {
        return Ok(None);
    }
    let storage = find(resolver, &id)?;
    let Some(backend) = open(resolver, storage) else { return Ok(None) };
    let volname = if text.contains(':') { Some(VolumeId::parse(text)?.volname) } else { None };
    if let (Some(volname), Some(apart)) = (&volname, backend.apart()) {
        apart.check_volname(volname)?;
    }
    Ok(Some(Address { id, type_name: storage.type_name().to_owned(), backend, volname }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::types::Type;

    #[test]
    fn each_type_has_a_backend_that_does_what_its_row_says() {
        let config = "lvmthin: a1\n\tvgname pve\n\tthinpool data\n\n\
                      iscsi: a2\n\tportal 10.0.0.1\n\ttarget iqn.2003-01.org.example:t1\n\nlater: a3\n\tpath /a\n";
        let resolver = Resolver::over(config);
        for storage in resolver.config().unwrap().storages() {
            let backend = open(&resolver, storage);
            assert_eq!(backend.is_some(), matches!(storage.kind, StorageKind::Handled(_)));
            let Some(backend) = backend else { continue };
            assert_eq!(backend.apart().is_none(), storage.pool.is_some());
        }
        let names = BACKENDS.iter().map(|(name, _)| *name);
        assert_eq!(names.collect::<Vec<_>>(), Type::all().map(|kind| kind.name).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_the_engines_is_not_apart() {
        let resolver = Resolver::over("lvmthin: a1\n\tvgname pve\n\tthinpool data\n");
        for text in ["a1", "a1:vm-100-disk-0", "pve/data", "nowhere", "a"] {
            assert!(apart(&resolver, text, Resolver::enabled).unwrap().is_none(), "{text}");
        }
        assert!(named(&resolver, "a1").unwrap().apart().is_none());
        assert!(named(&resolver, "pve/data").unwrap().apart().is_none());
    }
}
