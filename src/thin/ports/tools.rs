//! The tools that check and repair a pool's metadata, and a look at what they leave.

use thiserror::Error;

use super::{CheckFailure, Devices};
use crate::meta::Superblock;
use crate::observed::PoolReadError;
use crate::plan::Assumed;
use base::ids::DevNo;
use dm::name::DmName;

/// Checks and repairs pool metadata on devices that no pool runs on.
pub trait MetadataTools {
    /// Checks all of it, whatever lvm.conf leaves out, and changes nothing.
    ///
    /// # Errors
    /// If it is damaged, or could not be checked, as where lvm.conf has no checker.
    fn check_all(&self, tmeta: &DmName, dev: DevNo) -> Result<(), CheckFailure>;

    /// The same; if nothing is wrong, the kernel's mark that it needs a check is taken away, durably.
    ///
    /// # Errors
    /// If it is damaged, or could not be checked or written.
    fn clear_mark(&self, tmeta: &DmName, dev: DevNo) -> Result<(), CheckFailure>;

    /// Writes what can be read of it to another device, and makes that durable.
    ///
    /// # Errors
    /// If too little can be read, or the other device is too small or fails.
    fn repair(&self, from: DevNo, to: DevNo, assumed: Option<&Assumed>) -> Result<(), RepairFailure>;

    /// The superblock.
    ///
    /// # Errors
    /// If it cannot be read or is not valid.
    fn superblock(&self, dev: DevNo) -> Result<Superblock, PoolReadError>;

    /// What is said of each thin device.
    ///
    /// # Errors
    /// If it cannot be read or is not valid.
    fn devices(&self, dev: DevNo) -> Result<Devices, PoolReadError>;
}

/// A repair of pool metadata that failed.
#[derive(Debug, Error)]
#[error("the metadata of the pool could not be repaired: {0}")]
pub struct RepairFailure(pub String);
