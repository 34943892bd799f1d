//! The model as a [`Kernel`]: every ioctl is counted, logged, and can be made to fail.

use nix::errno::Errno;

use super::SimKernel;
use super::devices::World;
use super::faults::{Call, FaultKind, When};
use crate::kernel::{
    DeviceInfo, DmError, Kernel, ListedDevice, StatusFlush, Suspend, UdevEvent, Uevent, Verb,
};
use crate::name::{DmName, DmUuid};
use crate::table::{Table, TargetLine};
use base::ids::DevNo;

impl SimKernel {
    fn call<T>(
        &self,
        verb: Verb,
        device: &str,
        detail: String,
        effect: impl FnOnce(&mut World) -> Result<T, Errno>,
    ) -> Result<T, DmError> {
        let mut world = self.lock();
        let error = |errno, detail: &str| DmError {
            verb,
            device: device.to_owned(),
            detail: if detail.is_empty() { String::new() } else { format!(": {detail}") },
            errno,
        };
        if world.trace.stopped {
            return Err(error(Errno::ESHUTDOWN, &detail));
        }
        let fault = world.trace.next_fault(verb);
        let done = match fault {
            Some((When::Before, _)) => None,
            _ => Some(effect(&mut world)),
        };
        let result = match (fault, done) {
            (None, Some(done)) => done,
            (Some((_, FaultKind::Errno(errno))), _) => Err(errno),
            (Some((_, FaultKind::Stop)), _) | (None, None) => {
                world.trace.stopped = true;
                Err(Errno::ESHUTDOWN)
            }
        };
        let logged = result.as_ref().map(|_| ()).map_err(|errno| *errno);
        let call = Call { verb, device: device.to_owned(), detail, result: logged };
        let outcome = result.map_err(|errno| error(errno, &call.detail));
        world.trace.log.push(call);
        outcome
    }
}

impl Kernel for SimKernel {
    fn info(&self, name: &DmName) -> Result<Option<DeviceInfo>, DmError> {
        self.call(Verb::Info, name.as_str(), String::new(), |world| {
            world.find(name).ok().map(|minor| world.info(minor)).transpose()
        })
    }

    fn info_by_uuid(&self, uuid: &DmUuid) -> Result<Option<DeviceInfo>, DmError> {
        self.call(Verb::Info, uuid.as_str(), String::new(), |world| {
            world.find_uuid(uuid).map(|minor| world.info(minor)).transpose()
        })
    }

    fn list(&self) -> Result<Vec<ListedDevice>, DmError> {
        self.call(Verb::List, "", String::new(), |world| Ok(world.list()))
    }

    fn create(&self, name: &DmName, uuid: &DmUuid, minor: Option<u32>) -> Result<DevNo, DmError> {
        self.call(Verb::Create, name.as_str(), uuid.to_string(), |world| world.create(name, uuid, minor))
    }

    fn load(&self, name: &DmName, table: &Table, read_only: bool) -> Result<(), DmError> {
        let mode = if read_only { "read-only " } else { "" };
        self.call(Verb::Load, name.as_str(), format!("{mode}{table}"), |world| {
            world.load(world.find(name)?, table, read_only)
        })
    }

    fn clear(&self, name: &DmName) -> Result<(), DmError> {
        self.call(Verb::Clear, name.as_str(), String::new(), |world| world.clear(world.find(name)?))
    }

    fn suspend(&self, name: &DmName, how: Suspend) -> Result<(), DmError> {
        let detail = match how {
            Suspend::FlushAndFreeze => "flush",
            Suspend::Flush => "flush, nolockfs",
            Suspend::HoldBack => "noflush",
        };
        self.call(Verb::Suspend, name.as_str(), detail.to_owned(), |world| {
            world.suspend(world.find(name)?, how)
        })
    }

    fn resume(&self, name: &DmName, _udev: UdevEvent) -> Result<Uevent, DmError> {
        self.call(Verb::Resume, name.as_str(), String::new(), |world| world.resume(world.find(name)?))
    }

    fn remove(&self, name: &DmName, _udev: UdevEvent) -> Result<Uevent, DmError> {
        self.call(Verb::Remove, name.as_str(), String::new(), |world| world.remove(world.find(name)?))
    }

    fn rename(&self, name: &DmName, new: &DmName, _udev: UdevEvent) -> Result<Uevent, DmError> {
        self.call(Verb::Rename, name.as_str(), new.to_string(), |world| world.rename(name, new))
    }

    fn message(&self, name: &DmName, message: &str) -> Result<(), DmError> {
        self.call(Verb::Message, name.as_str(), message.to_owned(), |world| {
            world.message(world.find(name)?, message)
        })
    }

    fn table(&self, name: &DmName) -> Result<Vec<TargetLine>, DmError> {
        self.call(Verb::Table, name.as_str(), String::new(), |world| world.table(world.find(name)?))
    }

    fn status(&self, name: &DmName, flush: StatusFlush) -> Result<(DeviceInfo, Vec<TargetLine>), DmError> {
        self.call(Verb::Status, name.as_str(), String::new(), |world| {
            let minor = world.find(name)?;
            let lines = world.status(minor, flush)?;
            Ok((world.info(minor)?, lines))
        })
    }

    fn deps(&self, name: &DmName) -> Result<Vec<DevNo>, DmError> {
        self.call(Verb::Deps, name.as_str(), String::new(), |world| world.deps(world.find(name)?))
    }
}
