//! What was seen outside the metadata when a plan was made: devices, pools in the kernel, random and clock values.
//!
//! Gathered by `thin::observe`; here so that the planner can be handed any of it.

use std::collections::BTreeMap;

use crate::making::Making;
use crate::meta::{DeviceDetails, Superblock};
use crate::stack::{DevRef, Stacks};
use base::ids::{DevNo, LvName, LvmUuid, ThinId, TransactionId};
use base::units::{Bytes, Sectors};
use dm::kernel::DeviceInfo;
use dm::name::{DmName, DmUuid};
use dm::status::{PoolStatus, PoolWorking};
use dm::table::TargetLine;
use lvm2::format::edit::MetadataHeader;
use lvm2::format::model::Vg;
use lvm2::format::monitoring::Registration;
use lvm2::format::pool_size::PoolDefaults;
use lvm2::format::volume_list::VolumeLists;
use thiserror::Error;

/// The world as far as a plan needs it.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// All device-mapper devices, as listed: name, and uuid if it has one.
    pub listed: BTreeMap<DmName, Option<DmUuid>>,
    /// Those of this VG that the requests concern, by uuid.
    pub devices: BTreeMap<DmUuid, DeviceInfo>,
    /// What each device stands on, by number; only where a device of this VG is suspended.
    pub beneath: BTreeMap<DevNo, Beneath>,
    /// The live tables of volumes whose tables matter, by uuid.
    pub tables: BTreeMap<DmUuid, Vec<TargetLine>>,
    /// Numbers of the devices that tables may stand on: the VG's physical volumes and everything listed.
    pub numbers: BTreeMap<DevRef, DevNo>,
    /// What the physical volumes read ahead, by their keys in the text; only where a device may be made or get another
    /// table.
    pub read_ahead: BTreeMap<String, Sectors>,
    /// The pools that were looked at.
    pub pools: BTreeMap<LvName, PoolSeen>,
    /// The largest text that every metadata area in use can take; `None` if unknown.
    pub text_limit: Option<Bytes>,
    /// Metadata areas that lag behind or are damaged, in words: a fresh commit mends them.
    pub lagging: Vec<String>,
    /// Settings that decide.
    pub policy: Policy,
    /// Values a plan must not make up.
    pub inputs: PlanInputs,
}

/// What a device stands on.
#[derive(Clone, Debug)]
pub struct Beneath {
    /// The device's name.
    pub name: DmName,
    /// Whether I/O to it is held back.
    pub suspended: bool,
    /// The devices below it.
    pub on: Vec<DevNo>,
}

/// A pool as the kernel and its metadata device show it.
#[derive(Clone, Debug)]
pub struct PoolSeen {
    /// What runs.
    pub state: PoolState,
    /// What the superblock says of one that does not run, if it has one that can be read.
    pub superblock: Option<Superblock>,
    /// What is known of the devices in the pool's own metadata.
    pub inventory: Inventory,
    /// What the last change was about to make, if it did not run through to its end.
    pub making: Option<Making>,
    /// How dmeventd watches a pool whose target has to be made anew for its first volume.
    pub watch: Option<Registration>,
    /// Thin devices that the text does not know and that are active all the same, under these names.
    pub strangers: BTreeMap<ThinId, DmName>,
}

/// What is known of the thin devices that a pool holds.
#[derive(Clone, Debug)]
pub enum Inventory {
    /// They match the text: the last change since boot went through to its end.
    Clean,
    /// They were read.
    Read(BTreeMap<ThinId, DeviceDetails>),
    /// They could not be read; why.
    Unknown(String),
}

impl Inventory {
    /// The devices, if they were read.
    pub fn devices(&self) -> Option<&BTreeMap<ThinId, DeviceDetails>> {
        match self {
            Self::Read(devices) => Some(devices),
            Self::Clean | Self::Unknown(_) => None,
        }
    }
}

/// Pool metadata that could not be read, and why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PoolReadError {
    /// It lies where it cannot be read while the pool is stopped: nothing is wrong with it.
    #[error("{0}")]
    OutOfReach(String),
    /// A device is missing or failed.
    #[error("{0}")]
    Failed(String),
    /// It was read, and is not what it must be.
    #[error("{0}")]
    Damaged(String),
}

/// Whether and how a pool runs.
#[derive(Clone, Debug)]
pub enum PoolState {
    /// Its target runs under LVM's `-tpool` name.
    Active(PoolStatus),
    /// Its target runs under the pool LV's own name, as lvm2 sets a never-used pool up.
    ActiveNew(PoolStatus),
    /// It does not run; its superblock says this id (0 if it is blank).
    Inactive(TransactionId),
    /// It does not run and its superblock could not be read; why.
    Unreadable(PoolReadError),
}

/// Settings of lvm.conf that decide what is planned.
#[derive(Clone, Debug)]
pub struct Policy {
    /// `activation/thin_pool_autoextend_threshold`, in percent.
    pub autoextend_threshold: u32,
    /// The same for pools whose profile says otherwise.
    pub thresholds: BTreeMap<LvName, u32>,
    /// Names of this host that may own a VG (`system_id`).
    pub system_ids: Vec<String>,
    /// What may be activated here, and how.
    pub lists: VolumeLists,
    /// Whether volumes whose text says nothing of it read nothing ahead (`activation/readahead`).
    pub no_read_ahead: bool,
    /// How pools are made.
    pub pools: PoolDefaults,
    /// Whether removed volumes that link others are remembered (`metadata/record_lvs_history`).
    pub record_history: bool,
    /// Whether pools may promise more than their rules let them.
    pub beyond_rules: bool,
    /// Whether dmeventd is to watch pools that are made (`activation/monitoring`).
    pub has_pools_watched: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            autoextend_threshold: 100,
            thresholds: BTreeMap::new(),
            system_ids: Vec::new(),
            lists: VolumeLists::default(),
            no_read_ahead: false,
            pools: PoolDefaults::default(),
            record_history: false,
            beyond_rules: false,
            has_pools_watched: false,
        }
    }
}

impl Policy {
    /// How full that pool may be before it is extended, or new volumes are refused, in percent.
    pub fn threshold(&self, pool: &LvName) -> u32 {
        self.thresholds.get(pool).copied().unwrap_or(self.autoextend_threshold)
    }
}

/// Values from outside that a plan uses up.
#[derive(Clone, Debug, Default)]
pub struct PlanInputs {
    /// New UUIDs, at least as many as the requests take.
    pub uuids: Vec<LvmUuid>,
    /// Time, host and wording for the metadata header.
    pub header: MetadataHeader,
}

impl PoolState {
    /// The transaction id the kernel holds or would hold.
    pub fn transaction_id(&self) -> Option<TransactionId> {
        match self {
            Self::Active(status) | Self::ActiveNew(status) => match status {
                PoolStatus::Working(working) => Some(working.transaction_id),
                PoolStatus::Failed | PoolStatus::Error => None,
            },
            Self::Inactive(id) => Some(*id),
            Self::Unreadable(_) => None,
        }
    }

    /// Whether its target runs, under whatever name.
    pub fn runs(&self) -> bool {
        matches!(self, Self::Active(_) | Self::ActiveNew(_))
    }

    /// What the kernel says of it, if it runs and works.
    pub fn working(&self) -> Option<&PoolWorking> {
        match self {
            Self::Active(PoolStatus::Working(working)) | Self::ActiveNew(PoolStatus::Working(working)) => {
                Some(working)
            }
            Self::Active(_) | Self::ActiveNew(_) | Self::Inactive(_) | Self::Unreadable(_) => None,
        }
    }
}

impl Observed {
    /// Builds the specs of a volume group's devices as the settings and the disks seen here decide.
    pub fn stacks<'a>(&'a self, vg: &'a Vg) -> Stacks<'a> {
        Stacks::new(vg, self.policy.autoextend_threshold)
            .with_thresholds(&self.policy.thresholds)
            .with_lists(&self.policy.lists)
            .with_read_ahead(&self.read_ahead, self.policy.no_read_ahead)
    }

    /// The device with that uuid, if it exists.
    pub fn device(&self, uuid: &DmUuid) -> Option<&DeviceInfo> {
        self.devices.get(uuid)
    }

    /// Whether another device than that of `uuid` bears the name.
    pub fn name_taken_from(&self, name: &DmName, uuid: &DmUuid) -> bool {
        self.listed.get(name).is_some_and(|owner| owner.as_ref() != Some(uuid))
    }
}
