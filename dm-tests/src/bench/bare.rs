//! The ioctls that a piece of work cannot do without, and nothing else: the floor.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use base::ids::ThinId;
use base::units::Sectors;
use dm::ioctl::LinuxDm;
use dm::kernel::{Kernel, Suspend, UdevEvent};
use dm::name::{DmName, DmUuid};
use dm::table::{Table, TargetLine};
use dm::udev::{DeviceRole, flags_for};

/// Ids that lvm2 does not get to.
const FIRST_ID: u64 = 12_000_000;

/// The length of a bare volume: 1 GiB.
const LENGTH: Sectors = Sectors::new(2 << 20);

/// The operations that are timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bare {
    /// One message: a thin device.
    CreateThin,
    /// The same, and a device for it.
    CreateActive,
    /// The origin suspended, a message, the origin resumed.
    Snapshot,
    /// One message: a copy of a thin device that is not active.
    CreateSnap,
}

/// Times it `runs` times; everything is taken back. The origins are `vm-101-disk-0` (thin id 1, active) and
/// `vm-101-disk-1` (thin id 2, inactive).
pub fn times(what: Bare, runs: usize) -> Result<Vec<Duration>> {
    let kernel = LinuxDm::open()?;
    let tpool = DmName::new("pve-data-tpool")?;
    let origin = DmName::new("pve-vm--101--disk--0")?;
    let pool = kernel.info(&tpool)?.context("the pool is not active")?.dev;
    let event = flags_for(DeviceRole::Volume).event(0);
    let mut times = Vec::new();
    for number in 0..u64::try_from(runs)? {
        let id = ThinId::new(FIRST_ID + number)?;
        let name = DmName::new(&format!("bench-bare-{number}"))?;
        let uuid = DmUuid::new(&format!("bench-bare-{number}"))?;
        let started = Instant::now();
        match what {
            Bare::CreateThin | Bare::CreateActive => kernel.message(&tpool, &format!("create_thin {id}"))?,
            Bare::Snapshot => {
                kernel.suspend(&origin, Suspend::FlushAndFreeze)?;
                let sent = kernel.message(&tpool, &format!("create_snap {id} 1"));
                kernel.resume(&origin, event)?;
                sent?;
            }
            Bare::CreateSnap => kernel.message(&tpool, &format!("create_snap {id} 2"))?,
        }
        if what == Bare::CreateActive {
            kernel.create(&name, &uuid, None)?;
            kernel.load(&name, &Table::single(TargetLine::thin(LENGTH, pool, id, None)), false)?;
            kernel.resume(&name, UdevEvent(0))?;
        }
        times.push(started.elapsed());
        if what == Bare::CreateActive {
            remove(&kernel, &name)?;
        }
        kernel.message(&tpool, &format!("delete {id}"))?;
    }
    Ok(times)
}

/// udev's rules hold a new device open for a moment.
fn remove(kernel: &dyn Kernel, name: &DmName) -> Result<()> {
    for _ in 0..100 {
        if kernel.remove(name, UdevEvent(0)).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    kernel.remove(name, UdevEvent(0)).map(drop).context("udev does not let go of a device")
}
