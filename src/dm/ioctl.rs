//! device-mapper of the running kernel, by ioctl.
//!
//! Most verbs go through the `devicemapper` crate's core. Resume, remove, rename, the list of devices and a
//! device with a number of the caller's are issued by [`sys::dm`]: the crate picks `event_nr` itself,
//! makes a semaphore for each and waits for udev inside the call without bound, retries a busy remove for a
//! second, refuses the whole list if one name on the host is not ASCII, and takes no number. `device_wait` is
//! not used at all: it returns no status and takes no event number.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use devicemapper::errors::Error as CoreError;
use devicemapper::{DM, DevId, Device, DmError as CrateError, DmFlags, DmOptions};
use nix::errno::Errno;
use thiserror::Error;

use super::kernel::{
    DeviceInfo, DmError, Kernel, ListedDevice, StatusFlush, Suspend, UdevEvent, Uevent, Verb,
};
use super::name::{DmName, DmUuid};
use super::table::{Table, TargetLine};
use base::ids::DevNo;
use base::units::Sectors;
use sys::dm::{self as own, ListedUuid};

/// The node through which device-mapper is spoken to. Source: Linux `include/uapi/linux/dm-ioctl.h`
/// (`DM_DIR`).
pub const CONTROL_NODE: &str = "/dev/mapper/control";

/// Longest name of a target type that fits the header. Source: `DM_MAX_TYPE_NAME` in the same header.
const TARGET_TYPE_MAX: usize = 15;

/// Why device-mapper cannot be spoken to.
#[derive(Debug, Error)]
pub enum OpenError {
    /// No such node, or no driver behind it.
    #[error("{CONTROL_NODE} does not exist or has no driver: this kernel or container has no device-mapper")]
    Absent {
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The caller may not.
    #[error("no permission to open {CONTROL_NODE}")]
    NotPermitted {
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot open {CONTROL_NODE}")]
    Other {
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Absent { .. } => {
                Some("load it with `modprobe dm_mod`; a container must be given /dev/mapper")
            }
            Self::NotPermitted { .. } => Some("run as root, with CAP_SYS_ADMIN"),
            Self::Other { .. } => None,
        }
    }

    fn from_io(source: io::Error) -> Self {
        match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT | Errno::ENOTDIR | Errno::ENODEV | Errno::ENXIO) => Self::Absent { source },
            Some(Errno::EACCES | Errno::EPERM) => Self::NotPermitted { source },
            _ => Self::Other { source },
        }
    }
}

/// device-mapper of the running kernel.
pub struct LinuxDm {
    dm: DM,
}

impl AsFd for LinuxDm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dm.file().as_fd()
    }
}

impl LinuxDm {
    /// Opens the control node; creates nothing.
    ///
    /// # Errors
    /// If it is absent or not permitted.
    pub fn open() -> Result<Self, OpenError> {
        match DM::new() {
            Ok(dm) => Ok(Self { dm }),
            // The crate turns the cause into text: ask again in a way that keeps it.
            Err(error) => Err(File::open(CONTROL_NODE).map_or_else(OpenError::from_io, |_| {
                OpenError::Other { source: io::Error::other(error.to_string()) }
            })),
        }
    }

    /// Has a poll of this (it is readable then) wait for what happens to any device from now on.
    ///
    /// # Errors
    /// If the kernel is too old for it.
    pub fn arm(&self) -> Result<(), DmError> {
        own::arm(self.dm.file().as_fd()).map_err(|errno| Context::new(Verb::Arm, "any device").errno(errno))
    }

    fn info_of(&self, id: &DevId<'_>, shown: &str) -> Result<Option<DeviceInfo>, DmError> {
        let context = Context::new(Verb::Info, shown);
        match self.dm.device_info(id) {
            Ok(info) => device_info(&info, &context).map(Some),
            Err(error) => match context.error(&error) {
                DmError { errno: Errno::ENXIO, .. } => Ok(None),
                error => Err(error),
            },
        }
    }

    fn lines(
        &self,
        verb: Verb,
        name: &DmName,
        flags: DmFlags,
    ) -> Result<(DeviceInfo, Vec<TargetLine>), DmError> {
        let context = Context::new(verb, name.as_str());
        let options = DmOptions::default().set_flags(flags);
        let (info, lines) = self
            .dm
            .table_status(&DevId::Name(context.name()?), options)
            .map_err(|error| context.error(&error))?;
        let line = |(start, length, target, params): (u64, u64, String, String)| TargetLine {
            start: Sectors::new(start),
            length: Sectors::new(length),
            target,
            params,
        };
        Ok((device_info(&info, &context)?, lines.into_iter().map(line).collect()))
    }
}

impl Kernel for LinuxDm {
    fn info(&self, name: &DmName) -> Result<Option<DeviceInfo>, DmError> {
        let context = Context::new(Verb::Info, name.as_str());
        self.info_of(&DevId::Name(context.name()?), name.as_str())
    }

    fn info_by_uuid(&self, uuid: &DmUuid) -> Result<Option<DeviceInfo>, DmError> {
        let context = Context::new(Verb::Info, uuid.as_str());
        self.info_of(&DevId::Uuid(context.as_uuid(uuid)?), uuid.as_str())
    }

    fn list(&self) -> Result<Vec<ListedDevice>, DmError> {
        let context = Context::new(Verb::List, "");
        let listed = own::list(self.dm.file().as_fd()).map_err(|errno| context.errno(errno))?;
        let mut devices = Vec::with_capacity(listed.len());
        for device in listed {
            let Some(name) = text(&device.name).and_then(|name| DmName::new(name).ok()) else { continue };
            let uuid = match &device.uuid {
                ListedUuid::Is(uuid) => text(uuid).and_then(|uuid| DmUuid::new(uuid).ok()),
                ListedUuid::None => None,
                ListedUuid::Unknown => match self.info(&name)? {
                    Some(info) => info.uuid,
                    // Gone since the list was made.
                    None => continue,
                },
            };
            devices.push(ListedDevice {
                name,
                uuid,
                dev: kernel_number(device.dev),
                event_nr: device.event_nr,
            });
        }
        Ok(devices)
    }

    fn create(&self, name: &DmName, uuid: &DmUuid, minor: Option<u32>) -> Result<DevNo, DmError> {
        if let Some(minor) = minor {
            let context = Context::with(Verb::Create, name.as_str(), format!(" as number {minor}"));
            let made = own::create(self.dm.file().as_fd(), name.as_str(), uuid.as_str(), minor);
            // "No such device" is what the kernel calls a number that is taken. Source: Linux `drivers/md/dm.c`
            // (`alloc_dev`, `dm_create`).
            let taken = |errno| if errno == Errno::ENXIO { Errno::EBUSY } else { errno };
            return made.map(kernel_number).map_err(|errno| context.errno(taken(errno)));
        }
        let context = Context::new(Verb::Create, name.as_str());
        let info = self
            .dm
            .device_create(context.name()?, Some(context.as_uuid(uuid)?), DmOptions::default())
            .map_err(|error| context.error(&error))?;
        Ok(number(info.device()))
    }

    fn load(&self, name: &DmName, table: &Table, read_only: bool) -> Result<(), DmError> {
        let context = Context::with(Verb::Load, name.as_str(), format!(" with '{table}'"));
        if table.0.iter().any(|line| line.target.len() > TARGET_TYPE_MAX) {
            return Err(context.errno(Errno::EINVAL));
        }
        let lines: Vec<_> = table
            .0
            .iter()
            .map(|line| (line.start.get(), line.length.get(), line.target.clone(), line.params.clone()))
            .collect();
        let flags = if read_only { DmFlags::DM_READONLY } else { DmFlags::empty() };
        self.dm
            .table_load(&DevId::Name(context.name()?), &lines, DmOptions::default().set_flags(flags))
            .map(drop)
            .map_err(|error| context.error(&error))
    }

    fn clear(&self, name: &DmName) -> Result<(), DmError> {
        let context = Context::new(Verb::Clear, name.as_str());
        self.dm.table_clear(&DevId::Name(context.name()?)).map(drop).map_err(|error| context.error(&error))
    }

    fn suspend(&self, name: &DmName, how: Suspend) -> Result<(), DmError> {
        let context = Context::new(Verb::Suspend, name.as_str());
        let flags = match how {
            Suspend::FlushAndFreeze => DmFlags::DM_SUSPEND,
            Suspend::Flush => DmFlags::DM_SUSPEND | DmFlags::DM_SKIP_LOCKFS,
            Suspend::HoldBack => DmFlags::DM_SUSPEND | DmFlags::DM_NOFLUSH | DmFlags::DM_SKIP_LOCKFS,
        };
        // With DM_SUSPEND the crate makes no cookie and waits for nothing.
        self.dm
            .device_suspend(&DevId::Name(context.name()?), DmOptions::default().set_flags(flags))
            .map(drop)
            .map_err(|error| context.error(&error))
    }

    fn resume(&self, name: &DmName, udev: UdevEvent) -> Result<Uevent, DmError> {
        let result = own::resume(self.dm.file().as_fd(), name.as_str(), udev.0);
        own_result(&Context::new(Verb::Resume, name.as_str()), result)
    }

    fn remove(&self, name: &DmName, udev: UdevEvent) -> Result<Uevent, DmError> {
        let result = own::remove(self.dm.file().as_fd(), name.as_str(), udev.0);
        own_result(&Context::new(Verb::Remove, name.as_str()), result)
    }

    fn rename(&self, name: &DmName, new: &DmName, udev: UdevEvent) -> Result<Uevent, DmError> {
        let result = own::rename(self.dm.file().as_fd(), name.as_str(), new.as_str(), udev.0);
        own_result(&Context::with(Verb::Rename, name.as_str(), format!(" to '{new}'")), result)
    }

    fn message(&self, name: &DmName, message: &str) -> Result<(), DmError> {
        let context = Context::with(Verb::Message, name.as_str(), format!(": {message}"));
        self.dm
            .target_msg(&DevId::Name(context.name()?), None, message)
            .map(drop)
            .map_err(|error| context.error(&error))
    }

    fn table(&self, name: &DmName) -> Result<Vec<TargetLine>, DmError> {
        let flags = DmFlags::DM_STATUS_TABLE | DmFlags::DM_NOFLUSH;
        self.lines(Verb::Table, name, flags).map(|(_, lines)| lines)
    }

    fn status(&self, name: &DmName, flush: StatusFlush) -> Result<(DeviceInfo, Vec<TargetLine>), DmError> {
        let flags = match flush {
            StatusFlush::NoFlush => DmFlags::DM_NOFLUSH,
            StatusFlush::Flush => DmFlags::empty(),
        };
        self.lines(Verb::Status, name, flags)
    }

    fn deps(&self, name: &DmName) -> Result<Vec<DevNo>, DmError> {
        let context = Context::new(Verb::Deps, name.as_str());
        self.dm
            .table_deps(&DevId::Name(context.name()?), DmOptions::default())
            .map(|devices| devices.into_iter().map(number).collect())
            .map_err(|error| context.error(&error))
    }
}

/// What is being tried, for errors.
struct Context<'a> {
    verb: Verb,
    device: &'a str,
    detail: String,
}

impl<'a> Context<'a> {
    fn new(verb: Verb, device: &'a str) -> Self {
        Self::with(verb, device, String::new())
    }

    fn with(verb: Verb, device: &'a str, detail: String) -> Self {
        Self { verb, device, detail }
    }

    fn errno(&self, errno: Errno) -> DmError {
        DmError { verb: self.verb, device: self.device.to_owned(), detail: self.detail.clone(), errno }
    }

    /// The crate's error: its errno where it has one, else its text with the errno that comes closest.
    fn error(&self, error: &CrateError) -> DmError {
        let (errno, why) = match error {
            CrateError::Core(CoreError::Ioctl(_, _, _, errno)) => return self.errno(**errno),
            CrateError::Core(CoreError::IoctlResultTooLarge) => (Errno::EMSGSIZE, error.to_string()),
            CrateError::Core(CoreError::InvalidArgument(why)) => (Errno::EINVAL, why.clone()),
            CrateError::Core(other) => (Errno::EIO, other.to_string()),
            CrateError::Dm(_, why) => (Errno::EPROTO, why.clone()),
        };
        DmError { detail: format!("{} ({why})", self.detail), ..self.errno(errno) }
    }

    /// The device's name as the crate wants it: ASCII.
    fn name(&self) -> Result<&'a devicemapper::DmName, DmError> {
        devicemapper::DmName::new(self.device).map_err(|error| self.error(&error))
    }

    /// A uuid as the crate wants it: ASCII.
    fn as_uuid<'u>(&self, uuid: &'u DmUuid) -> Result<&'u devicemapper::DmUuid, DmError> {
        devicemapper::DmUuid::new(uuid.as_str()).map_err(|error| self.error(&error))
    }
}

fn own_result(context: &Context<'_>, result: Result<bool, Errno>) -> Result<Uevent, DmError> {
    match result {
        Ok(true) => Ok(Uevent::Sent),
        Ok(false) => Ok(Uevent::NotSent),
        Err(errno) => Err(context.errno(errno)),
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn number(device: Device) -> DevNo {
    DevNo { major: device.major, minor: device.minor }
}

/// Reads the kernel's own encoding of a device number. Source: Linux `include/linux/kdev_t.h`
/// (`huge_encode_dev`).
fn kernel_number(dev: u64) -> DevNo {
    // The encoding has 32 bits; the field is wider.
    let dev = u32::try_from(dev & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    number(Device::from_kdev_t(dev))
}

fn device_info(info: &devicemapper::DeviceInfo, context: &Context<'_>) -> Result<DeviceInfo, DmError> {
    let no_name = || context.errno(Errno::EPROTO);
    let name = info.name().ok_or_else(no_name)?.to_string();
    let flags = info.flags();
    Ok(DeviceInfo {
        name: DmName::new(&name).map_err(|_| no_name())?,
        uuid: info.uuid().and_then(|uuid| DmUuid::new(&uuid.to_string()).ok()),
        dev: number(info.device()),
        open_count: u32::try_from(info.open_count()).unwrap_or(0),
        suspended: flags.contains(DmFlags::DM_SUSPEND),
        read_only: flags.contains(DmFlags::DM_READONLY),
        live_table: flags.contains(DmFlags::DM_ACTIVE_PRESENT),
        inactive_table: flags.contains(DmFlags::DM_INACTIVE_PRESENT),
        event_nr: info.event_nr(),
    })
}

#[cfg(test)]
mod tests;
