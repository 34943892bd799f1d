//! The port to device-mapper in the kernel: one method per ioctl, nothing decided behind it.

use std::path::PathBuf;

use nix::errno::Errno;
use serde::Serialize;
use thiserror::Error;

use super::name::{DmName, DmUuid};
use super::table::{Table, TargetLine};
use base::ids::DevNo;

mod counting;

pub use counting::Counting;

/// What the kernel says of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its name.
    pub name: DmName,
    /// Its uuid, if it has one.
    pub uuid: Option<DmUuid>,
    /// Its number.
    pub dev: DevNo,
    /// How many openers it has: mounts, processes, devices stacked on it.
    pub open_count: u32,
    /// Whether I/O to it is held back.
    pub suspended: bool,
    /// Whether it refuses writes.
    pub read_only: bool,
    /// Whether a table is in use.
    pub live_table: bool,
    /// Whether a table is loaded and waits for a resume.
    pub inactive_table: bool,
    /// Number of events so far.
    pub event_nr: u32,
}

/// The node of a device under the kernel's own name, which stays whatever becomes of its name and links. Source: Linux
/// `drivers/md/dm.c` (`alloc_dev`: `dm-<minor>`).
pub fn kernel_node(dev: DevNo) -> PathBuf {
    PathBuf::from(format!("/dev/dm-{}", dev.minor))
}

/// One entry of the kernel's list of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedDevice {
    /// Its name.
    pub name: DmName,
    /// Its uuid, if it has one.
    pub uuid: Option<DmUuid>,
    /// Its number.
    pub dev: DevNo,
    /// Number of events so far.
    pub event_nr: u32,
}

/// How a suspend treats I/O under way and file systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Suspend {
    /// Freeze the file system, wait for I/O under way: a consistent state, as for a snapshot.
    FlushAndFreeze,
    /// Wait for I/O under way and leave the file system alone (SKIP_LOCKFS): what a power failure would leave.
    Flush,
    /// Hold I/O back as it is (NOFLUSH, SKIP_LOCKFS): for a table reload.
    HoldBack,
}

/// Whether asking for a status may first commit the pool's metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusFlush {
    /// Report as is: never blocks.
    NoFlush,
    /// Commit first, so that counts are exact.
    Flush,
}

/// What goes into `event_nr` of a resume, remove or rename: `flags << 16 | cookie base`.
/// Source: lvm2 `libdm/libdevmapper.h` (`DM_UDEV_FLAGS_SHIFT`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdevEvent(pub u32);

/// Whether the kernel sent a uevent for the verb (`DM_UEVENT_GENERATED_FLAG`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uevent {
    /// It did: udev will complete the cookie.
    Sent,
    /// It did not: the caller must complete the cookie itself.
    NotSent,
}

/// An ioctl of device-mapper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Look at one device.
    Info,
    /// List all devices.
    List,
    /// Create a device without a table.
    Create,
    /// Load a table into the inactive slot.
    Load,
    /// Drop the inactive table.
    Clear,
    /// Hold I/O back.
    Suspend,
    /// Swap the inactive table in, if any, and let I/O go on.
    Resume,
    /// Remove a device.
    Remove,
    /// Give a device another name.
    Rename,
    /// Send a message to a target.
    Message,
    /// Read the live table.
    Table,
    /// Read the targets' status.
    Status,
    /// List the devices a device stands on.
    Deps,
    /// Have a poll wait for what happens to any device.
    Arm,
}

/// A device-mapper ioctl that failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("device-mapper {verb:?} of '{device}'{detail} failed: {errno}")]
pub struct DmError {
    /// What was tried.
    pub verb: Verb,
    /// On what: a name or uuid.
    pub device: String,
    /// With what, if it matters (`: create_thin 5`), with its own leading separator; else empty.
    pub detail: String,
    /// What the kernel said.
    pub errno: Errno,
}

/// The device-mapper of one kernel.
///
/// Errors carry the kernel's errno. `ENXIO` (no such device) is `Ok(None)` for the two look-ups and an error
/// elsewhere.
pub trait Kernel {
    /// Looks a device up by name.
    ///
    /// # Errors
    /// Anything but ENXIO.
    fn info(&self, name: &DmName) -> Result<Option<DeviceInfo>, DmError>;

    /// Looks a device up by uuid.
    ///
    /// # Errors
    /// Anything but ENXIO.
    fn info_by_uuid(&self, uuid: &DmUuid) -> Result<Option<DeviceInfo>, DmError>;

    /// Lists all devices, except those whose name is not UTF-8 (never LVM's).
    ///
    /// # Errors
    /// Any errno.
    fn list(&self) -> Result<Vec<ListedDevice>, DmError>;

    /// Creates a device without a table, with a minor number of the caller's or the lowest free one.
    ///
    /// # Errors
    /// EBUSY if the name, the uuid or the number is taken, EINVAL if there can be no such number.
    fn create(&self, name: &DmName, uuid: &DmUuid, minor: Option<u32>) -> Result<DevNo, DmError>;

    /// Loads a table into the inactive slot.
    ///
    /// # Errors
    /// EINVAL and others if a target refuses its parameters.
    fn load(&self, name: &DmName, table: &Table, read_only: bool) -> Result<(), DmError>;

    /// Drops the inactive table.
    ///
    /// # Errors
    /// Any errno.
    fn clear(&self, name: &DmName) -> Result<(), DmError>;

    /// Holds I/O back. A device that is suspended already stays so.
    ///
    /// # Errors
    /// Any errno; the device is then not suspended.
    fn suspend(&self, name: &DmName, how: Suspend) -> Result<(), DmError>;

    /// Puts a loaded table in place and lets I/O go on.
    ///
    /// # Errors
    /// Any errno.
    fn resume(&self, name: &DmName, udev: UdevEvent) -> Result<Uevent, DmError>;

    /// Removes a device.
    ///
    /// # Errors
    /// EBUSY if it is open.
    fn remove(&self, name: &DmName, udev: UdevEvent) -> Result<Uevent, DmError>;

    /// Gives a device another name.
    ///
    /// # Errors
    /// EBUSY if the new name is taken.
    fn rename(&self, name: &DmName, new: &DmName, udev: UdevEvent) -> Result<Uevent, DmError>;

    /// Sends a message to the target at sector 0.
    ///
    /// # Errors
    /// Whatever the target answers.
    fn message(&self, name: &DmName, message: &str) -> Result<(), DmError>;

    /// Reads the live table.
    ///
    /// # Errors
    /// Any errno.
    fn table(&self, name: &DmName) -> Result<Vec<TargetLine>, DmError>;

    /// Reads the targets' status, and with it what the same ioctl says of the device (its uuid tells whose it
    /// is).
    ///
    /// # Errors
    /// Any errno; ENXIO if there is no such device.
    fn status(&self, name: &DmName, flush: StatusFlush) -> Result<(DeviceInfo, Vec<TargetLine>), DmError>;

    /// Lists the devices a device stands on.
    ///
    /// # Errors
    /// Any errno.
    fn deps(&self, name: &DmName) -> Result<Vec<DevNo>, DmError>;
}
