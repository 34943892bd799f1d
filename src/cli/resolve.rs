//! What a text on the command line addresses: by storage id, as Proxmox VE does, or by volume group.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use super::errors::CliError;
use base::error_kind::ErrorKind;
use base::ids::{DevNo, IdError, LvName, VgName};
use config::document::{LookupError, StorageCfg};
use config::file::{ConfigFile, FileError, LockError};
use config::names::{NameError, StorageId, VolumeId, lvm_volname};
use config::storage::{self, PoolName, StorageKind};
use config::types::{PoolVerb, Type};
use thin::changes::Resolve;
use thin::changes::SnapName;

pub use thin::changes::{NamedObject, Snapshot, Storage, Volume, VolumeOrSnapshot};

/// Turns texts into what they address. The configuration is read when the first storage id is met.
#[derive(Debug)]
pub struct Resolver {
    file: ConfigFile,
    node: String,
    /// What a thin pool is wanted for, if Proxmox VE has words for where there is none.
    verb: Option<PoolVerb>,
    config: OnceCell<StorageCfg>,
    warnings: RefCell<BTreeSet<(usize, String)>>,
}

impl Resolver {
    /// A resolver over that configuration, on the node of that name, for a verb of thin pools if it is one.
    pub fn new(file: ConfigFile, node: String, verb: Option<PoolVerb>) -> Self {
        Self { file, node, verb, config: OnceCell::new(), warnings: RefCell::default() }
    }

    /// A resolver over a configuration with that content, on node `here`.
    #[cfg(any(test, feature = "testing"))]
    pub fn over(text: &str) -> Self {
        let file = ConfigFile::choose(Some(std::path::Path::new("storage.cfg")));
        let config = OnceCell::from(StorageCfg::parse("storage.cfg", text.as_bytes()));
        Self { config, ..Self::new(file, "here".to_owned(), None) }
    }

    /// The configuration's file.
    pub fn file(&self) -> &ConfigFile {
        &self.file
    }

    /// The name of this node.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The configuration.
    ///
    /// # Errors
    /// If its file cannot be read.
    pub fn config(&self) -> Result<&StorageCfg, CliError> {
        if let Some(config) = self.config.get() {
            return Ok(config);
        }
        let config = self.file.read()?;
        Ok(self.config.get_or_init(|| config))
    }

    /// What is wrong with the sections that were used, by line of the configuration.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.borrow().iter().map(|(_, warning)| warning.clone()).collect()
    }

    /// Remembers all that is wrong with the configuration.
    ///
    /// # Errors
    /// If its file cannot be read.
    pub fn warn_of_all(&self) -> Result<(), CliError> {
        let issues = self.config()?.issues().iter().map(|issue| (issue.line, issue.to_string()));
        self.warnings.borrow_mut().extend(issues);
        Ok(())
    }

    /// The storage of an id.
    ///
    /// # Errors
    /// If there is no such storage.
    pub fn configured(&self, id: &StorageId) -> Result<&storage::Storage, CliError> {
        let config = self.config()?;
        let issues = config.issues_of(id.as_str()).map(|issue| (issue.line, issue.to_string()));
        self.warnings.borrow_mut().extend(issues);
        Ok(config.storage(id)?)
    }

    /// The storage of an id, which may be used here.
    ///
    /// # Errors
    /// If there is none, it is switched off, or it is for other nodes.
    pub fn enabled(&self, id: &StorageId) -> Result<&storage::Storage, CliError> {
        let storage = self.configured(id)?;
        storage.enabled_on(&self.node).map_err(|why| {
            let (what, key) = if storage.disabled {
                ("switches it on", "--disable 0".to_owned())
            } else {
                ("takes the restriction away", "--delete nodes".to_owned())
            };
            CliError::new(ErrorKind::Refused, why).hint(format!("'thinvol set {id} {key}' {what}"))
        })?;
        Ok(storage)
    }

    /// A pool: a storage id or `<vg>/<pool>`.
    ///
    /// # Errors
    /// If the text is anything else, or the storage is no pool or not for this node.
    pub fn storage(&self, text: &str) -> Result<Storage, CliError> {
        if text.contains('/') {
            let (vg, pool) = vg_and_lv("storage", text, POOL_FORM)?;
            return Ok(Storage { vg, pool, id: None });
        }
        if let Some((id, _)) = text.split_once(':') {
            return Err(CliError::usage(format!("'{text}' is a volume, not a storage"))
                .hint(format!("the storage is '{id}'")));
        }
        self.pool_of(self.enabled(&StorageId::new(text)?)?)
    }

    /// The thin pool that a storage is.
    ///
    /// # Errors
    /// If it is none.
    pub fn pool_of(&self, storage: &storage::Storage) -> Result<Storage, CliError> {
        if let Some(PoolName { vg, pool }) = storage.pool.clone() {
            return Ok(Storage { vg, pool, id: Some(storage.id.clone()) });
        }
        let (id, unsupported) =
            (&storage.id, |message: String| CliError::new(ErrorKind::Unsupported, message));
        Err(match &storage.kind {
            StorageKind::Handled(kind) => match self.verb.and_then(|verb| kind.refusal(verb)) {
                Some(words) => {
                    unsupported(words.to_owned()).hint(format!("storage '{id}' is of type {}", kind.name))
                }
                None => unsupported(format!("storage '{id}' is of type {}, not a thin pool", kind.name)),
            },
            StorageKind::Other(name) => {
                unsupported(format!("storage '{id}' is of type '{name}', which thinvol does not handle"))
                    .hint(format!("thinvol handles the types {}; use pvesm for others", Type::names("and")))
            }
        })
    }

    /// A volume: `<storage>:<volume>`, `<vg>/<lv>` or its device path.
    ///
    /// # Errors
    /// If the text is anything else, or the storage is no pool or not for this node.
    pub fn volume(&self, text: &str) -> Result<Volume, CliError> {
        if let Some((volume, snap)) = text.split_once('@') {
            return Err(CliError::usage(format!("'{text}' is a snapshot, not a volume")).hint(format!(
                "the volume is '{volume}'; snapshots are removed by 'thinvol delete-snapshot {volume}@{snap}'"
            )));
        }
        self.volume_in(text, Self::enabled)
    }

    /// Reads a volume, its storage found by `find`.
    fn volume_in<'a>(&'a self, text: &str, find: Find<'a>) -> Result<Volume, CliError> {
        if !text.contains(':') {
            let (vg, lv) = vg_and_lv("volume", text, "<storage>:<volume> or <vg>/<lv>")?;
            return Ok(Volume::new(vg, lv));
        }
        let id = VolumeId::parse(text)?;
        let storage = self.pool_of(find(self, &id.storage)?)?;
        Ok(storage.volume(lvm_volname(&id.volname)?))
    }

    /// A snapshot: `<volume>@<snap>`.
    ///
    /// # Errors
    /// If the text is anything else.
    pub fn snapshot(&self, text: &str) -> Result<Snapshot, CliError> {
        self.snapshot_in(text, Self::enabled)
    }

    fn snapshot_in<'a>(&'a self, text: &str, find: Find<'a>) -> Result<Snapshot, CliError> {
        let Some((volume, snap)) = text.split_once('@') else {
            return Err(CliError::usage(format!("'{text}' names no snapshot"))
                .hint(format!("write '{text}@<snapshot>'")));
        };
        let volume = self.volume_in(volume, find)?;
        let snap = SnapName::new(snap).map_err(|error| bad_id(&error))?;
        Ok(Snapshot { volume, snap })
    }

    /// A volume or a snapshot of one.
    ///
    /// # Errors
    /// If the text is neither.
    pub fn source(&self, text: &str) -> Result<VolumeOrSnapshot, CliError> {
        self.source_in(text, Self::enabled)
    }

    /// A volume or a snapshot of one, be its storage for this node or not: for looking alone.
    ///
    /// # Errors
    /// If the text is neither.
    pub fn source_anywhere(&self, text: &str) -> Result<VolumeOrSnapshot, CliError> {
        self.source_in(text, Self::configured)
    }

    fn source_in<'a>(&'a self, text: &str, find: Find<'a>) -> Result<VolumeOrSnapshot, CliError> {
        if text.contains('@') {
            self.snapshot_in(text, find).map(VolumeOrSnapshot::Snapshot)
        } else {
            self.volume_in(text, find).map(VolumeOrSnapshot::Volume)
        }
    }

    /// A volume, pool, snapshot, storage or volume group. A word that is a storage id is one, even if a volume group
    /// has the same name.
    ///
    /// # Errors
    /// If the text is neither.
    pub fn target(&self, text: &str) -> Result<NamedObject, CliError> {
        if text.contains('@') {
            return self.snapshot(text).map(NamedObject::Snapshot);
        }
        if text.contains(['/', ':']) {
            return self.volume(text).map(NamedObject::Volume);
        }
        if StorageId::new(text).is_ok()
            && !matches!(self.config()?.section(text), Err(LookupError::Missing { .. }))
        {
            return self.storage(text).map(NamedObject::Storage);
        }
        self.vg(text).map(NamedObject::Vg)
    }

    /// A volume group: its name.
    ///
    /// # Errors
    /// If the text is not the name of one.
    pub fn vg(&self, text: &str) -> Result<VgName, CliError> {
        VgName::new(text).map_err(|error| bad_id(&error))
    }
}

impl Resolver {
    /// The numbers of block devices.
    ///
    /// # Errors
    /// If one of them is no block device.
    pub fn devices(&self, paths: &[String]) -> Result<Vec<DevNo>, CliError> {
        paths.iter().map(|path| self.device(path)).collect()
    }
}

impl Resolve for Resolver {
    type Error = CliError;

    fn storage(&self, text: &str) -> Result<Storage, CliError> {
        Self::storage(self, text)
    }

    fn volume(&self, text: &str) -> Result<Volume, CliError> {
        Self::volume(self, text)
    }

    fn snapshot(&self, text: &str) -> Result<Snapshot, CliError> {
        Self::snapshot(self, text)
    }

    fn volume_or_snapshot(&self, text: &str) -> Result<VolumeOrSnapshot, CliError> {
        self.source(text)
    }

    fn device(&self, path: &str) -> Result<DevNo, CliError> {
        let metadata = std::fs::metadata(path).map_err(|error| {
            CliError::new(ErrorKind::NotFound, format!("device '{path}' cannot be found"))
                .caused_by(Some(&error))
        })?;
        let number = metadata.file_type().is_block_device().then(|| metadata.rdev());
        let number = number.and_then(|rdev| {
            let part = |part: u64| u32::try_from(part).ok();
            Some(DevNo {
                major: part(nix::sys::stat::major(rdev))?,
                minor: part(nix::sys::stat::minor(rdev))?,
            })
        });
        number.ok_or_else(|| CliError::usage(format!("'{path}' is no block device")))
    }
}

const POOL_FORM: &str = "a storage id or <vg>/<pool>";

/// How the storage of an id is found, and under which conditions.
pub type Find<'a> = fn(&'a Resolver, &StorageId) -> Result<&'a storage::Storage, CliError>;

fn vg_and_lv(what: &str, text: &str, form: &str) -> Result<(VgName, LvName), CliError> {
    let inner = text.strip_prefix("/dev/").unwrap_or(text);
    match inner.split_once('/') {
        Some((vg, lv)) if !lv.contains('/') && vg != "mapper" => Ok((
            VgName::new(vg).map_err(|error| bad_id(&error))?,
            LvName::new(lv).map_err(|error| bad_id(&error))?,
        )),
        _ => Err(CliError::usage(format!("'{text}' is not a {what}")).hint(format!("write it as {form}"))),
    }
}

fn bad_id(error: &IdError) -> CliError {
    CliError::usage(error.to_string())
}

impl From<NameError> for CliError {
    fn from(error: NameError) -> Self {
        let shown = Self::usage(error.to_string());
        match error.hint() {
            Some(hint) => shown.hint(hint),
            None => shown,
        }
    }
}

impl From<LookupError> for CliError {
    fn from(error: LookupError) -> Self {
        let (code, hint) = match &error {
            LookupError::Missing { hidden: Some(_), .. } => (
                ErrorKind::NotFound,
                "put an empty line before it, with line ends of a single line feed".to_owned(),
            ),
            LookupError::Missing { file, .. } => (
                ErrorKind::NotFound,
                format!(
                    "'thinvol status' lists the storages of {file}; a pool may also be written as <vg>/<pool>"
                ),
            ),
            LookupError::Twice { .. } => {
                (ErrorKind::Refused, "give one of the sections another id".to_owned())
            }
            LookupError::Unusable { .. } => (ErrorKind::Refused, "correct the section".to_owned()),
        };
        let shown = Self::from_error(code, &error).hint(hint);
        match error {
            LookupError::Unusable { issues, .. } => Self { causes: issues, ..shown },
            LookupError::Missing { hidden: Some(hidden), file, .. } => {
                Self { causes: vec![format!("{file} {hidden}")], ..shown }
            }
            LookupError::Missing { .. } | LookupError::Twice { .. } => shown,
        }
    }
}

impl From<FileError> for CliError {
    fn from(error: FileError) -> Self {
        let missing = |source: &std::io::Error| source.kind() == std::io::ErrorKind::NotFound;
        let code = match &error {
            FileError::Lock(LockError::Timeout { .. }) => ErrorKind::Busy,
            FileError::Io { source, .. } if missing(source) => ErrorKind::NotFound,
            FileError::Lock(_)
            | FileError::Io { .. }
            | FileError::TooLarge { .. }
            | FileError::NoFile { .. }
            | FileError::NoConfiguration { .. }
            | FileError::Elsewhere { .. } => ErrorKind::Refused,
        };
        let shown = Self::from_error(code, &error);
        match &error {
            FileError::NoFile { .. } | FileError::NoConfiguration { .. } => {
                shown.hint("--config takes the path of a storage.cfg")
            }
            FileError::Elsewhere { cluster, .. } => {
                shown.hint(format!("name it by its path below '{}', where its lock is", cluster.display()))
            }
            _ => shown,
        }
    }
}

#[cfg(test)]
mod tests;
