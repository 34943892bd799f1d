//! The ports of an engine, and those of this machine.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use super::Settings;
use crate::error::EngineError;
use crate::host::{CheckPolicy, LinuxHost, RepairPolicy, STATE_DIR, build_id};
use crate::ports::Host;
use base::error_kind::ErrorKind;
use dm::ioctl::LinuxDm;
use dm::kernel::Kernel;
use dm::udev::{SystemUdev, Udev};
use lvm2::host::backup::Notes;
use lvm2::host::conf::{LvmConf, built_in};
use sys::io::block::Disks;
use sys::io::direct::DirectDisks;
use sys::io::roots::Roots;

/// How long a check of pool metadata may take. Pools of many terabytes take minutes.
const CHECK_LIMIT: Duration = Duration::from_secs(3600);

/// Everything outside of an engine.
#[derive(Clone)]
pub struct EnginePorts {
    /// The configuration of LVM. It also says where the locks are, and the copies of metadata.
    pub conf: LvmConf,
    /// device-mapper.
    pub kernel: Rc<dyn Kernel>,
    /// udev.
    pub udev: Rc<dyn Udev>,
    /// The host: marks, the guard process, checks of pool metadata, holders of devices, signals, the clock, names.
    pub host: Rc<dyn Host>,
    /// Where the machine shows its block devices.
    pub roots: Roots,
    /// Opens them.
    pub disks: Rc<dyn Disks>,
    /// Where it is noted which state the copies of metadata are of, if anywhere.
    pub notes: Option<Notes>,
}

impl EnginePorts {
    /// The ports of this machine.
    ///
    /// # Errors
    /// If lvm.conf or device-mapper cannot be used.
    pub fn of_this_machine(settings: &Settings) -> Result<Self, EngineError> {
        let built_in = built_in(Path::new(STATE_DIR));
        let conf = LvmConf::load_over(&settings.system_dir, None, built_in.as_deref()).map_err(|error| {
            EngineError::caused(ErrorKind::Refused, "the configuration of LVM cannot be used", error)
        })?;
        let kernel = LinuxDm::open().map_err(|error| {
            let hint = error.hint();
            let failed = EngineError::caused(ErrorKind::Unsupported, "device-mapper cannot be used", error);
            match hint {
                Some(hint) => failed.with_hint(hint),
                None => failed,
            }
        })?;
        let check = CheckPolicy {
            executable: conf.global.thin_check_executable.clone(),
            options: conf.global.thin_check_options.clone(),
            limit: CHECK_LIMIT,
        };
        let repair = RepairPolicy {
            executable: conf.global.thin_repair_executable.clone(),
            options: conf.global.thin_repair_options.clone(),
        };
        let host = LinuxHost::new(Path::new(STATE_DIR), check).repairing_by(repair);
        let host = host.watched_by(settings.progress_observer.clone());
        Ok(Self {
            roots: Roots { dev: conf.devices.dir.clone(), ..Roots::default() },
            conf,
            kernel: Rc::new(kernel),
            udev: Rc::new(SystemUdev),
            host: Rc::new(host),
            disks: Rc::new(DirectDisks),
            notes: build_id().map(|build| Notes::new(Path::new(STATE_DIR), &build)),
        })
    }
}
