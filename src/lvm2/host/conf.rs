//! LVM's configuration: `lvm.conf`, `lvmlocal.conf` and an override text, read once into typed settings.
//!
//! Keys, types and defaults: lvm2 `lib/config/config_settings.h` and `defaults.h`, with Debian's build options unless
//! the lvm2 of the host tells others (`built_in`). A setting of the wrong type is an error that names file, line and
//! key; lvm2 would silently take its default. Of profiles only what limits a thin pool is read; a host tag that has a
//! file of its own (`lvm_<tag>.conf`) is an error, for that file could change any setting.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::format::pool_size::PoolDefaults;
use crate::format::text::TextError;
use crate::host::lock::{DEFAULT_LOCKING_DIR, Locks};

mod built_in;
mod host_tags;
mod layers;
mod pools;
mod system_id;

pub use built_in::built_in;
pub use host_tags::{TagsConf, tag_file};
use layers::Layers;
pub use system_id::HostIds;

/// Where lvm2 looks for its configuration unless `LVM_SYSTEM_DIR` says otherwise. Source: lvm2 `man/lvm.8_main`.
pub const DEFAULT_SYSTEM_DIR: &str = "/etc/lvm";

/// The setting that a pool's limits are made from.
const PERCENT: &str = "activation/thin_pool_autoextend_percent";
const THRESHOLD: &str = "activation/thin_pool_autoextend_threshold";

/// Why the configuration cannot be used.
#[derive(Debug, Error)]
pub enum ConfError {
    /// A file cannot be read.
    #[error("cannot read the LVM configuration '{}'", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is not in LVM's text format.
    #[error("'{file}' is not a valid LVM configuration")]
    Syntax {
        /// The file, or a name for the override text.
        file: String,
        /// Where and why.
        source: TextError,
    },
    /// A setting has a value it cannot have.
    #[error("{file}, line {line}: {key} {problem}")]
    Value {
        /// The file, or a name for the override text.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The setting, such as `devices/filter`.
        key: String,
        /// What is wrong with its value.
        problem: String,
    },
}

/// The settings that matter here.
#[derive(Clone, Debug, PartialEq)]
pub struct LvmConf {
    /// Which devices may be PVs.
    pub devices: DevicesConf,
    /// Locks, the host's identity, helper programs.
    pub global: GlobalConf,
    /// Backup files.
    pub backup: BackupConf,
    /// What may be activated, and how.
    pub activation: ActivationConf,
    /// How pools are made.
    pub pools: PoolDefaults,
    /// Settings of the metadata.
    pub metadata: MetadataConf,
    /// Settings of `lvmlocal.conf` about this host.
    pub local: LocalConf,
    /// The tags hosts have (section `tags`).
    pub tags: TagsConf,
    /// Where the profiles are that volumes and groups name (`config/profile_dir`).
    pub profile_dir: PathBuf,
}

/// Value of `devices/search_for_devnames`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchForNames {
    /// Nowhere.
    None,
    /// On devices that have nothing but names.
    Auto,
    /// On all devices.
    All,
}

/// Section `devices`.
#[derive(Clone, Debug, PartialEq)]
pub struct DevicesConf {
    /// Directory of device nodes, LVM's links among them.
    pub dir: PathBuf,
    /// Directories to look for names of devices in.
    pub scan: Vec<PathBuf>,
    /// Accept and reject patterns, in order; `None` if not set.
    pub filter: Option<Vec<String>>,
    /// The same for every tool that uses LVM devices; `None` if not set.
    pub global_filter: Option<Vec<String>>,
    /// Whether only devices in the devices file may be PVs, if the file exists; `None` if nothing says so.
    pub use_devicesfile: Option<bool>,
    /// The devices file.
    pub devicesfile: PathBuf,
    /// Its name as configured, which the hints file repeats.
    pub devicesfile_name: String,
    /// Where to search a missing PV that the devices file knows only by the name of its device.
    pub search_for_devnames: SearchForNames,
    /// Whether LVs may be PVs.
    pub scan_lvs: bool,
    /// Whether to skip paths of multipath devices.
    pub multipath_component_detection: bool,
    /// Multipath's list of known WWIDs; `None` if switched off.
    pub multipath_wwids_file: Option<PathBuf>,
    /// Whether to skip members of md arrays.
    pub md_component_detection: bool,
    /// Where to check for md superblocks.
    pub md_component_checks: MdChecks,
    /// Whether to skip members of firmware RAID.
    pub fw_raid_component_detection: bool,
    /// Whether udev's knowledge of a device's content is used, too.
    pub info_from_udev: bool,
    /// Whether the hints file is used.
    pub hints: bool,
    /// Smallest PV, in KiB.
    pub pv_min_size_kib: u64,
    /// More device types: name in `/proc/devices` and number of minors per disk.
    pub types: Vec<(String, u64)>,
}

/// Where lvm2 checks for the superblock of an md array (`devices/md_component_checks`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MdChecks {
    /// At the start; at the end too if size or name of the PV do not fit the device.
    Auto,
    /// At the start only, unless the PV was last seen on an md device.
    Start,
    /// At the start and the end of every device.
    Full,
    /// As `Auto` without its second step.
    None,
}

/// Section `global`.
#[derive(Clone, Debug, PartialEq)]
pub struct GlobalConf {
    /// Directory of lock files.
    pub locking_dir: PathBuf,
    /// Whether to wait for locks at all.
    pub wait_for_locks: bool,
    /// Whether waiting writers hold off new readers.
    pub prioritise_write_locks: bool,
    /// Where the host's system id comes from.
    pub system_id_source: String,
    /// The file it comes from, for source `file`.
    pub system_id_file: Option<PathBuf>,
    /// Directory of `machine-id`.
    pub etc: PathBuf,
    /// What checks a pool's metadata before activation; `None` if switched off.
    pub thin_check_executable: Option<PathBuf>,
    /// Its options.
    pub thin_check_options: Vec<String>,
    /// What repairs a pool's metadata; `None` if switched off.
    pub thin_repair_executable: Option<PathBuf>,
    /// Its options.
    pub thin_repair_options: Vec<String>,
    /// Whether metadata must not be changed at all.
    pub metadata_read_only: bool,
    /// Whether LVM may talk to device-mapper.
    pub activation: bool,
}

/// Section `backup`.
#[derive(Clone, Debug, PartialEq)]
pub struct BackupConf {
    /// Whether to write a copy after a change.
    pub backup: bool,
    /// Where to.
    pub backup_dir: PathBuf,
    /// Whether to write a copy before a change.
    pub archive: bool,
    /// Where to.
    pub archive_dir: PathBuf,
    /// How many archived copies of a VG are kept in any case.
    pub retain_min: u64,
    /// How many days archived copies are kept in any case.
    pub retain_days: u64,
}

/// Section `activation`.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivationConf {
    /// Percentage of use from which a pool is extended; 100 for never.
    pub thin_pool_autoextend_threshold: u64,
    /// By how many per cent of its size a pool is extended.
    pub thin_pool_autoextend_percent: u64,
    /// Whether dmeventd is to watch pools that are started.
    pub monitoring: bool,
    /// What may be activated; `None` for anything.
    pub volume_list: Option<Vec<String>>,
    /// What may be activated automatically; `None` for anything.
    pub auto_activation_volume_list: Option<Vec<String>>,
    /// Volumes that are activated read-only; `None` for none.
    pub read_only_volume_list: Option<Vec<String>>,
    /// Whether to wait for udev.
    pub udev_sync: bool,
    /// Whether volumes whose metadata says nothing of it read nothing ahead.
    pub no_read_ahead: bool,
    /// Whether a busy device is tried again on deactivation.
    pub retry_deactivation: bool,
}

/// Section `metadata`.
#[derive(Clone, Debug, PartialEq)]
pub struct MetadataConf {
    /// Whether removed volumes that link others are remembered.
    pub record_history: bool,
}

/// Section `local`.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalConf {
    /// The host's system id, for source `lvmlocal`.
    pub system_id: Option<String>,
    /// Other hosts whose VGs this one may use.
    pub extra_system_ids: Vec<String>,
}

impl LvmConf {
    /// Reads `lvm.conf` and `lvmlocal.conf` in `system_dir`, which need not exist; `overrides` is a text in the same
    /// format that goes first, as lvm2's `--config`.
    ///
    /// # Errors
    /// [`ConfError`].
    pub fn load(system_dir: &Path, overrides: Option<&str>) -> Result<Self, ConfError> {
        Self::load_over(system_dir, overrides, None)
    }

    /// The same with the defaults that lvm2 was built with, as `built_in` tells them.
    ///
    /// # Errors
    /// [`ConfError`].
    pub fn load_over(
        system_dir: &Path,
        overrides: Option<&str>,
        built_in: Option<&str>,
    ) -> Result<Self, ConfError> {
        let mut layers = Layers::default();
        if let Some(text) = overrides {
            layers.add("the configuration given by option", text.as_bytes())?;
        }
        layers.add_file(&system_dir.join("lvmlocal.conf"))?;
        layers.add_file(&system_dir.join("lvm.conf"))?;
        if let Some(text) = built_in {
            layers.add("the defaults of lvm2", text.as_bytes())?;
        }
        Self::build(&layers, system_dir)
    }

    /// lvm2's defaults below that directory.
    ///
    /// # Errors
    /// Never, since nothing is configured.
    pub fn defaults(system_dir: &Path) -> Result<Self, ConfError> {
        Self::build(&Layers::default(), system_dir)
    }

    fn build(layers: &Layers, system_dir: &Path) -> Result<Self, ConfError> {
        Ok(Self {
            devices: devices(layers, system_dir)?,
            global: global(layers)?,
            backup: backup(layers, system_dir)?,
            activation: activation(layers)?,
            pools: pools::pool_defaults(layers)?,
            metadata: MetadataConf { record_history: layers.bool("metadata/record_lvs_history", false)? },
            local: LocalConf {
                system_id: layers.string("local/system_id")?.filter(|id| !id.is_empty()),
                extra_system_ids: layers.strings("local/extra_system_ids")?.unwrap_or_default(),
            },
            tags: TagsConf::of(layers)?,
            profile_dir: layers
                .string("config/profile_dir")?
                .map_or_else(|| system_dir.join("profile"), PathBuf::from),
        })
    }

    /// `activation/thin_pool_autoextend_threshold` as that profile says, if it does. A profile that does not exist says
    /// nothing, as for lvm2. Source: lvm2 `lib/config/config.c` (`load_profile`), `man/lvm.conf.5`.
    ///
    /// # Errors
    /// [`ConfError`].
    pub fn threshold_of_profile(&self, name: &str) -> Result<Option<u64>, ConfError> {
        self.number_of_profile(name, THRESHOLD)
    }

    /// `activation/thin_pool_autoextend_percent` likewise.
    ///
    /// # Errors
    /// [`ConfError`].
    pub fn percent_of_profile(&self, name: &str) -> Result<Option<u64>, ConfError> {
        self.number_of_profile(name, PERCENT)
    }

    fn number_of_profile(&self, name: &str, key: &str) -> Result<Option<u64>, ConfError> {
        let mut layers = Layers::default();
        // The name comes from metadata: it must not lead elsewhere.
        if !name.contains('/') {
            layers.add_file(&self.profile_dir.join(format!("{name}.profile")))?;
        }
        layers.optional_number(key)
    }

    /// The locks as configured. `wait` bounds each wait; `global/wait_for_locks=0` means none.
    pub fn locks(&self, wait: Duration) -> Locks {
        let wait = if self.global.wait_for_locks { wait } else { Duration::ZERO };
        Locks::new(&self.global.locking_dir, wait).prioritise_writers(self.global.prioritise_write_locks)
    }
}

fn devices(layers: &Layers, system_dir: &Path) -> Result<DevicesConf, ConfError> {
    let devicesfile_name = layers.text("devices/devicesfile", "system.devices")?;
    let dir = layers.path("devices/dir", "/dev")?;
    let scan = layers.strings("devices/scan")?.map(|dirs| dirs.into_iter().map(PathBuf::from).collect());
    Ok(DevicesConf {
        dir,
        scan: scan.unwrap_or_else(|| vec![PathBuf::from("/dev")]),
        filter: layers.strings("devices/filter")?,
        global_filter: layers.strings("devices/global_filter")?,
        use_devicesfile: layers.optional_bool("devices/use_devicesfile")?,
        devicesfile: system_dir.join("devices").join(&devicesfile_name),
        devicesfile_name,
        search_for_devnames: layers.word(
            "devices/search_for_devnames",
            SearchForNames::Auto,
            &[("auto", SearchForNames::Auto), ("none", SearchForNames::None), ("all", SearchForNames::All)],
        )?,
        scan_lvs: layers.bool("devices/scan_lvs", false)?,
        multipath_component_detection: layers.bool("devices/multipath_component_detection", true)?,
        multipath_wwids_file: layers
            .optional_path("devices/multipath_wwids_file", "/etc/multipath/wwids")?
            .filter(|path| path.is_absolute()),
        md_component_detection: layers.bool("devices/md_component_detection", true)?,
        md_component_checks: layers.word(
            "devices/md_component_checks",
            MdChecks::Auto,
            &[
                ("auto", MdChecks::Auto),
                ("start", MdChecks::Start),
                ("full", MdChecks::Full),
                ("none", MdChecks::None),
            ],
        )?,
        fw_raid_component_detection: layers.bool("devices/fw_raid_component_detection", false)?,
        info_from_udev: layers.word(
            "devices/external_device_info_source",
            false,
            &[("none", false), ("udev", true)],
        )?,
        hints: layers.word("devices/hints", true, &[("all", true), ("none", false)])?,
        pv_min_size_kib: layers.number("devices/pv_min_size", 2048)?,
        types: layers.types("devices/types")?,
    })
}

fn global(layers: &Layers) -> Result<GlobalConf, ConfError> {
    let check_options = || vec!["-q".to_owned()];
    let not_empty =
        |words: Vec<String>| words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<String>>();
    Ok(GlobalConf {
        locking_dir: layers.path("global/locking_dir", DEFAULT_LOCKING_DIR)?,
        wait_for_locks: layers.bool("global/wait_for_locks", true)?,
        prioritise_write_locks: layers.bool("global/prioritise_write_locks", true)?,
        system_id_source: layers.text("global/system_id_source", "none")?,
        system_id_file: layers.string("global/system_id_file")?.map(PathBuf::from),
        etc: layers.path("global/etc", "/etc")?,
        thin_check_executable: layers
            .optional_path("global/thin_check_executable", "/usr/sbin/thin_check")?,
        thin_check_options: layers
            .strings("global/thin_check_options")?
            .map_or_else(check_options, not_empty),
        thin_repair_executable: layers
            .optional_path("global/thin_repair_executable", "/usr/sbin/thin_repair")?,
        thin_repair_options: layers.strings("global/thin_repair_options")?.map_or_else(Vec::new, not_empty),
        metadata_read_only: layers.bool("global/metadata_read_only", false)?,
        activation: layers.bool("global/activation", true)?,
    })
}

fn backup(layers: &Layers, system_dir: &Path) -> Result<BackupConf, ConfError> {
    let dir = |key: &str, name: &str| -> Result<PathBuf, ConfError> {
        Ok(layers.string(key)?.map_or_else(|| system_dir.join(name), PathBuf::from))
    };
    Ok(BackupConf {
        backup: layers.bool("backup/backup", true)?,
        backup_dir: dir("backup/backup_dir", "backup")?,
        archive: layers.bool("backup/archive", true)?,
        archive_dir: dir("backup/archive_dir", "archive")?,
        retain_min: layers.number("backup/retain_min", 10)?,
        retain_days: layers.number("backup/retain_days", 30)?,
    })
}

fn activation(layers: &Layers) -> Result<ActivationConf, ConfError> {
    Ok(ActivationConf {
        thin_pool_autoextend_threshold: layers.number(THRESHOLD, 100)?,
        thin_pool_autoextend_percent: layers.number(PERCENT, 20)?,
        monitoring: layers.bool("activation/monitoring", true)?,
        volume_list: layers.strings("activation/volume_list")?,
        auto_activation_volume_list: layers.strings("activation/auto_activation_volume_list")?,
        read_only_volume_list: layers.strings("activation/read_only_volume_list")?,
        udev_sync: layers.bool("activation/udev_sync", true)?,
        no_read_ahead: layers.word("activation/readahead", false, &[("auto", false), ("none", true)])?,
        retry_deactivation: layers.bool("activation/retry_deactivation", true)?,
    })
}

#[cfg(test)]
mod tests;
