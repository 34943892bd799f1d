//! udev: what LVM's rules must be told of a device, and how to wait until they are through.
//!
//! A resume, remove or rename carries `flags << 16 | base` in its `event_nr`; the kernel hands it on in the
//! uevent, the rules read the flags, and `dmsetup udevcomplete` counts the semaphore `0x0D4D << 16 | base`
//! down. A base of 0 means that nobody waits. Without flags LVM's rules take the event for somebody else's
//! and make no `/dev/<vg>/<lv>`, so flags go along in every case. Source: lvm2 `libdm/libdevmapper.h`,
//! `libdm/libdm-common.c`, `udev/10-dm.rules.in`.

use std::fmt;
use std::io;
use std::ops::BitOr;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::kernel::{DmError, Kernel, UdevEvent, Uevent};
use super::name::{DmName, Layer};

mod cookie;
mod detect;
mod nodes;
#[cfg(test)]
mod tests;

pub use cookie::Cookies;
pub use detect::{Missing, Places, missing};
pub use nodes::Nodes;

/// The flags for udev's rules about a device: 16 bits. Source: lvm2 `libdm/libdevmapper.h` (`DM_UDEV_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct UdevFlags(u16);

impl UdevFlags {
    /// No `/dev/<vg>/<lv>`.
    pub const DISABLE_SUBSYSTEM_RULES: Self = Self(0x02);
    /// No `/dev/disk/by-…`.
    pub const DISABLE_DISK_RULES: Self = Self(0x04);
    /// No rules of others: no blkid, no systemd unit.
    pub const DISABLE_OTHER_RULES: Self = Self(0x08);
    /// libdevmapper leaves the nodes to udev.
    pub const DISABLE_LIBRARY_FALLBACK: Self = Self(0x20);
    /// The event comes from the manager of the device, not from a trigger.
    pub const PRIMARY_SOURCE: Self = Self(0x40);

    /// The bits.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// An `event_nr` with these flags and a cookie's base; base 0 if nobody waits.
    pub fn event(self, base: u16) -> UdevEvent {
        UdevEvent(u32::from(self.0) << 16 | u32::from(base))
    }

    /// An `event_nr` with these flags that nobody waits for.
    pub fn unwatched(self) -> UdevEvent {
        self.event(0)
    }
}

impl BitOr for UdevFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

/// What a device is to LVM, as far as udev's rules care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceRole {
    /// A volume that users open.
    Volume,
    /// A part of a pool's stack: `_tmeta`, `_tdata`, `-tpool`, `-real`, and the pool's own visible device.
    PoolStack,
    /// The device of a pool that has no thin volume yet (transaction id 0): a regular volume with a pool's
    /// uuid.
    NewPool,
}

impl DeviceRole {
    /// The role of a device of a thin pool's stack by its layer.
    pub fn of_layer(layer: Layer) -> Self {
        match layer {
            Layer::Plain => Self::Volume,
            Layer::Pool | Layer::Tpool | Layer::Tdata | Layer::Tmeta | Layer::Real => Self::PoolStack,
        }
    }
}

/// The flags LVM gives a device of this role. Source: lvm2 `lib/activate/dev_manager.c` (`_get_udev_flags`),
/// and the numbers seen on the wire: 0x60 for a volume, 0x6e for a pool's stack.
pub const fn flags_for(role: DeviceRole) -> UdevFlags {
    let always = UdevFlags::DISABLE_LIBRARY_FALLBACK.union(UdevFlags::PRIMARY_SOURCE);
    let quiet = UdevFlags::DISABLE_DISK_RULES.union(UdevFlags::DISABLE_OTHER_RULES);
    match role {
        DeviceRole::Volume => always,
        DeviceRole::NewPool => always.union(quiet),
        DeviceRole::PoolStack => always.union(quiet).union(UdevFlags::DISABLE_SUBSYSTEM_RULES),
    }
}

/// Why nodes may not be as they should after a wait. The kernel's devices are, in every case.
#[derive(Debug, Error)]
pub enum UdevError {
    /// udev does not get on.
    #[error(
        "waited {:.3} s for udev, which got through nothing; {pending} event(s) are still not processed",
        patience.as_secs_f64()
    )]
    Timeout {
        /// How long nothing was processed.
        patience: Duration,
        /// How many events are left.
        pending: u32,
    },
    /// udev does not get on, and has no room for its records.
    #[error(
        "waited {:.3} s for udev, which got through nothing: /run is full, and its records are there; {pending} \
         event(s) are still not processed",
        patience.as_secs_f64()
    )]
    NoRoom {
        /// How long nothing was processed.
        patience: Duration,
        /// How many events are left.
        pending: u32,
    },
    /// There was no semaphore to wait on.
    #[error("did not wait for udev on {events} event(s): no semaphore")]
    NoSemaphore {
        /// How many events nobody waited for.
        events: u32,
        /// The system's error; ENOSPC at its limit of semaphores.
        #[source]
        source: io::Error,
    },
    /// A node could not be made or removed where there is no udev.
    #[error("cannot make or remove {}", path.display())]
    Node {
        /// The node.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A device could not be looked up to make its node.
    #[error("cannot look up a device to make its node")]
    LookUp {
        /// What the kernel said.
        #[source]
        source: DmError,
    },
}

impl UdevError {
    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => {
                "the devices are in place; see that udevd runs in this IPC namespace, or use --no-udev-sync"
            }
            Self::NoRoom { .. } => {
                "the devices are in place; make room ('df -h /run' shows it), then 'vgmknodes' makes missing nodes"
            }
            Self::NoSemaphore { .. } => {
                "see `ipcs -s` and /proc/sys/kernel/sem; `udevadm settle` waits as well"
            }
            Self::Node { .. } | Self::LookUp { .. } => "`vgmknodes` makes missing nodes",
        }
    }
}

/// Where the uevents of a batch of verbs go. One `event` before each verb, `not_sent` after it if the verb
/// failed or caused no uevent, one `wait` for all of them.
pub trait UdevSync {
    /// What the next verb's `event_nr` is to be. `touched` are the device's names: two for a rename.
    fn event(&self, touched: &[&DmName], flags: UdevFlags) -> UdevEvent;

    /// Says that the last event will not come.
    fn not_sent(&self);

    /// Waits until all events so far are processed, as long as at least one is processed in each `patience`: a
    /// batch of many devices takes udev longer than one device, a udev that is stuck gets through nothing.
    /// Afterwards a new batch begins.
    ///
    /// # Errors
    /// If the nodes may not be in place.
    fn wait(&self, patience: Duration) -> Result<(), UdevError>;
}

/// `--no-udev-sync`: rules get their flags, nobody waits.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSync;

impl UdevSync for NoSync {
    fn event(&self, _: &[&DmName], flags: UdevFlags) -> UdevEvent {
        flags.unwatched()
    }

    fn not_sent(&self) {}

    fn wait(&self, _: Duration) -> Result<(), UdevError> {
        Ok(())
    }
}

/// The port to the udev of a machine.
pub trait Udev: fmt::Debug {
    /// Where the uevents of the next verbs go, so that somebody makes the nodes.
    fn sync<'k>(&self, kernel: &'k dyn Kernel) -> Box<dyn UdevSync + 'k>;

    /// What is missing where udevd would not answer, to be said once.
    fn missing(&self) -> Option<Missing>;
}

/// The udev of this machine: [`Cookies`] where udevd would answer, else [`Nodes`].
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemUdev;

impl Udev for SystemUdev {
    fn sync<'k>(&self, kernel: &'k dyn Kernel) -> Box<dyn UdevSync + 'k> {
        match self.missing() {
            None => Box::new(Cookies::default()),
            Some(_) => Box::new(Nodes::new(kernel)),
        }
    }

    fn missing(&self) -> Option<Missing> {
        missing(&Places::default())
    }
}

fn settle(sync: &dyn UdevSync, result: Result<Uevent, DmError>) -> Result<(), DmError> {
    match result {
        Ok(Uevent::Sent) => Ok(()),
        Ok(Uevent::NotSent) => {
            sync.not_sent();
            Ok(())
        }
        Err(error) => {
            sync.not_sent();
            Err(error)
        }
    }
}

/// Resumes a device with its event accounted for.
///
/// # Errors
/// The kernel's.
pub fn resume(
    kernel: &dyn Kernel,
    sync: &dyn UdevSync,
    name: &DmName,
    flags: UdevFlags,
) -> Result<(), DmError> {
    settle(sync, kernel.resume(name, sync.event(&[name], flags)))
}

/// Removes a device with its event accounted for.
///
/// # Errors
/// The kernel's.
pub fn remove(
    kernel: &dyn Kernel,
    sync: &dyn UdevSync,
    name: &DmName,
    flags: UdevFlags,
) -> Result<(), DmError> {
    settle(sync, kernel.remove(name, sync.event(&[name], flags)))
}

/// Renames a device with its event accounted for.
///
/// # Errors
/// The kernel's.
pub fn rename(
    kernel: &dyn Kernel,
    sync: &dyn UdevSync,
    name: &DmName,
    new: &DmName,
    flags: UdevFlags,
) -> Result<(), DmError> {
    settle(sync, kernel.rename(name, new, sync.event(&[name, new], flags)))
}
