//! Waiting for the disks of LUNs.

use std::time::{Duration, Instant};

use super::diskless::{Diskless, WhyDiskless};
use super::env::Env;
use super::lun_set::LunSet;
use crate::host::limit::Limit;
use crate::host::sysfs::{self, Lun, Session};

/// How long a LUN may be without a driver: the kernel binds drivers to disks in the background, and one that is a
/// module may have to be loaded first.
const DRIVER_WAIT: Duration = Duration::from_secs(10);

/// How often to look for a driver: there is no event for a missing one.
const LOOK: Duration = Duration::from_millis(250);

/// How far a LUN is.
enum Progress {
    Ready,
    Without(WhyDiskless),
    Waits { what: String, for_driver: bool },
}

/// Waits until the selected LUNs that exist have block devices, and udev has handled those. Where the time is
/// over, those that are ready are given all the same.
pub fn settled(
    env: &Env<'_>,
    session: &Session,
    wanted: &LunSet,
    limit: &Limit,
) -> (Vec<Lun>, Vec<Diskless>) {
    let has_udev = env.roots.has_udev_db();
    let events = (env.events)();
    let started = Instant::now();
    loop {
        let is_wanted = |lun: &Lun| lun.kind == sysfs::DISK && wanted.includes(lun.address.lun);
        let over = limit.check().err();
        let (mut ready, mut diskless) = (Vec::new(), Vec::new());
        let (mut waits, mut for_driver) = (false, false);
        for lun in sysfs::luns(&env.roots, session).into_iter().filter(is_wanted) {
            let number = lun.address.lun;
            match (progress(&lun, has_udev, started.elapsed()), over) {
                (Progress::Ready, _) => ready.push(lun),
                (Progress::Without(why), _) => diskless.push(Diskless { lun: number, why }),
                (Progress::Waits { what, .. }, Some(why)) => {
                    diskless.push(Diskless { lun: number, why: WhyDiskless::Unfinished { what, why } });
                }
                (Progress::Waits { for_driver: driver, .. }, None) => {
                    waits = true;
                    for_driver |= driver;
                }
            }
        }
        if !waits {
            return (ready, diskless);
        }
        events.wait(if for_driver { LOOK.min(limit.left()) } else { limit.left() });
    }
}

fn progress(lun: &Lun, has_udev: bool, waited: Duration) -> Progress {
    match &lun.disk {
        Some(disk) if has_udev && !disk.settled => {
            Progress::Waits { what: format!("udev's work on {}", disk.path()), for_driver: false }
        }
        Some(_) => Progress::Ready,
        None if !lun.is_connected => Progress::Without(WhyDiskless::NotConnected),
        None if !lun.has_driver && waited >= DRIVER_WAIT => Progress::Without(WhyDiskless::NoDriver),
        None => {
            let what = format!("the block device of LUN {}", lun.address.lun);
            Progress::Waits { what, for_driver: !lun.has_driver }
        }
    }
}
