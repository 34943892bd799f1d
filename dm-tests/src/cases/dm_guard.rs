//! Nothing stays suspended, however the process that suspended it ends.

use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base::ids::{DevNo, VgName};
use base::units::Sectors;
use dm::ioctl::{CONTROL_NODE, LinuxDm};
use dm::kernel::{Counting, Kernel, Suspend};
use dm::name::{DmName, Layer};
use dm::table::{Table, TargetLine};
use dm::udev::{DeviceRole, NoSync, Places, flags_for, missing};
use lvm2::host::lock::Locks;
use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::Pid;
use sys::guard::{Endangered, ResumeGuard};
use sys::signals::SignalsHeldOff;

use super::dm_stack::{Stack, identity, volume};
use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "dm_guard::resumes_after_sigkill", tier: Tier::Fast, limit_s: 120, run: after_sigkill },
    Case {
        name: "dm_guard::resumes_after_sigkill_with_udev",
        tier: Tier::Full,
        limit_s: 120,
        run: after_sigkill,
    },
    Case {
        name: "dm_guard::leaves_the_rest_alone",
        tier: Tier::Fast,
        limit_s: 120,
        run: leaves_the_rest_alone,
    },
    Case { name: "dm_guard::does_not_wait_for_ever", tier: Tier::Fast, limit_s: 180, run: not_for_ever },
    Case { name: "dm_guard::keeps_the_lock", tier: Tier::Fast, limit_s: 120, run: keeps_the_lock },
    Case { name: "dm_guard::signals_wait", tier: Tier::Fast, limit_s: 120, run: signals_wait },
];

/// Set for the process that is to be killed.
const VICTIM: &str = "THINVOL_TEST_VICTIM";
/// Time a killed process's devices get to be resumed on a slow machine.
const LIMIT: Duration = Duration::from_secs(30);

/// How long a suspended device waits for the next one.
const FREEZE_LIMIT: Duration = Duration::from_secs(1);

fn arm(devices: &[DmName]) -> Result<ResumeGuard> {
    let event_nr = flags_for(DeviceRole::Volume).unwatched().0;
    let endangered: Vec<Endangered<'_>> =
        devices.iter().map(|name| Endangered { name: name.as_str(), event_nr }).collect();
    Ok(ResumeGuard::arm(CONTROL_NODE, &endangered, FREEZE_LIMIT, None)?)
}

fn suspended(dm: &Counting<LinuxDm>, name: &DmName) -> Result<bool> {
    Ok(dm.info(name)?.context("the device is gone")?.suspended)
}

fn linear_devices(ctx: &Ctx, dm: &Counting<LinuxDm>) -> Result<[DmName; 2]> {
    let stack = Stack { dm, udev: &NoSync };
    let disk = ctx.disk(8 << 20)?.number()?.parse()?;
    for (lv, start) in [("one", 0), ("two", 8192)] {
        let line = TargetLine::linear(Sectors::ZERO, Sectors::new(8192), disk, Sectors::new(start));
        stack.up(lv, Layer::Plain, line, false)?;
    }
    Ok([volume("one")?, volume("two")?])
}

fn after_sigkill(ctx: &Ctx) -> Result<()> {
    let dm = Counting::new(LinuxDm::open()?);
    if std::env::var_os(VICTIM).is_some() {
        return victim(&dm);
    }
    let devices = linear_devices(ctx, &dm)?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(["run", "dm_guard::resumes_after_sigkill"])
        .env(VICTIM, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    // The victim says so when both devices are suspended; it prints nothing before.
    let mut byte = [0];
    child.stdout.take().context("no pipe")?.read_exact(&mut byte)?;
    for name in &devices {
        ensure!(suspended(&dm, name)?, "{name} was not suspended");
    }
    child.kill()?;
    child.wait()?;
    let start = Instant::now();
    while suspended(&dm, &devices[0])? || suspended(&dm, &devices[1])? {
        ensure!(start.elapsed() < LIMIT, "a device is still suspended");
        std::thread::sleep(Duration::from_millis(5));
    }
    println!("resumed after {:?}", start.elapsed());
    if missing(&Places::default()).is_none() {
        // Nobody waits for the events of these resumes, and while udev looks at a device it cannot be
        // removed.
        ctx.ok("udevadm settle --timeout=60")?;
    }
    Ok(())
}

/// The lock of a process that was killed is free only when its guard has resumed: nobody finds origins suspended, or
/// suspends them, that a guard is about to resume.
fn keeps_the_lock(ctx: &Ctx) -> Result<()> {
    let dm = Counting::new(LinuxDm::open()?);
    let vg = VgName::new("vg")?;
    if let Some(dir) = std::env::var_os(VICTIM) {
        let lock = Locks::new(Path::new(&dir), LIMIT).vg_for_write(&vg)?;
        let device = volume("one")?;
        let endangered = [Endangered { name: device.as_str(), event_nr: 0 }];
        let file = lock.copy()?;
        let file = file.as_ref().map(AsFd::as_fd);
        let _guard = ResumeGuard::arm(CONTROL_NODE, &endangered, FREEZE_LIMIT, file)?;
        dm.suspend(&device, Suspend::HoldBack)?;
        println!("suspended");
        loop {
            std::thread::sleep(Duration::from_secs(3600));
        }
    }
    let [one, _] = linear_devices(ctx, &dm)?;
    let dir = ctx.dir().join("locks");
    let mut child = Command::new(std::env::current_exe()?)
        .args(["run", "dm_guard::keeps_the_lock"])
        .env(VICTIM, &dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdout.take().context("no pipe")?.read_exact(&mut [0])?;
    let is_guard = |pid: &i32| {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == "thinvol-guard\n")
    };
    let pids =
        std::fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let guard = Pid::from_raw(pids.filter(is_guard).last().context("no guard")?);
    kill(guard, Signal::SIGSTOP)?;
    child.kill()?;
    child.wait()?;
    let soon = Locks::new(&dir, Duration::from_millis(200)).vg_for_write(&vg);
    ensure!(soon.is_err() && suspended(&dm, &one)?, "the lock is free while the device is suspended");
    kill(guard, Signal::SIGCONT)?;
    let _lock = Locks::new(&dir, LIMIT).vg_for_write(&vg)?;
    ensure!(!suspended(&dm, &one)?, "the lock is free and the device is suspended");
    Ok(())
}

fn victim(dm: &Counting<LinuxDm>) -> Result<()> {
    let devices = [volume("one")?, volume("two")?];
    let _guard = arm(&devices)?;
    for name in &devices {
        dm.suspend(name, Suspend::FlushAndFreeze)?;
    }
    println!("suspended");
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// A disarmed guard does nothing; a dropped one resumes what is suspended, and only that: a table that waits
/// on a device in use stays where it is.
fn leaves_the_rest_alone(ctx: &Ctx) -> Result<()> {
    let dm = Counting::new(LinuxDm::open()?);
    let [one, two] = linear_devices(ctx, &dm)?;
    let event = flags_for(DeviceRole::Volume).unwatched();

    let guard = arm(&[one.clone(), two.clone()])?;
    dm.suspend(&one, Suspend::FlushAndFreeze)?;
    guard.disarm()?;
    ensure!(suspended(&dm, &one)?, "a disarmed guard resumed");
    dm.resume(&one, event)?;

    let lines = dm.table(&two)?;
    dm.load(&two, &Table(lines), true)?;
    // A name that does not exist must not keep the others from their resume.
    let guard = arm(&[volume("nobody")?, two.clone(), one.clone()])?;
    dm.suspend(&one, Suspend::HoldBack)?;
    let start = Instant::now();
    drop(guard);
    println!("dropped in {:?}", start.elapsed());
    ensure!(!suspended(&dm, &one)?, "a dropped guard did not resume");
    let info = dm.info(&two)?.context("gone")?;
    ensure!(info.inactive_table && !info.read_only, "the guard swapped a table in: {info:?}");
    // One that waits in a device that is suspended is dropped.
    let guard = arm(std::slice::from_ref(&two))?;
    dm.suspend(&two, Suspend::HoldBack)?;
    drop(guard);
    let info = dm.info(&two)?.context("gone")?;
    ensure!(!info.suspended && !info.inactive_table && !info.read_only, "{info:?}");
    ensure!(dm.info_by_uuid(&identity("one", Layer::Plain)?.1)?.is_some());
    Ok(())
}

/// A flush that takes long keeps the suspend of one volume in the kernel: those that were suspended before it go on
/// when the time is over, and the process hears of it.
fn not_for_ever(ctx: &Ctx) -> Result<()> {
    const DELAY: Duration = Duration::from_secs(12);
    let dm = Counting::new(LinuxDm::open()?);
    let stack = Stack { dm: &dm, udev: &NoSync };
    let [one, _] = linear_devices(ctx, &dm)?;
    let disk: DevNo = ctx.disk(8 << 20)?.number()?.parse()?;
    let line = TargetLine {
        start: Sectors::ZERO,
        length: Sectors::new(8192),
        target: "delay".into(),
        params: format!("{disk} 0 {}", DELAY.as_millis()),
    };
    let slow = stack.up("slow", Layer::Plain, line, false)?;
    let line = TargetLine::linear(Sectors::ZERO, Sectors::new(8192), slow, Sectors::ZERO);
    let upper = stack.up("upper", Layer::Plain, line, false)?;
    let two = volume("upper")?;

    let mut guard = arm(&[one.clone(), two.clone()])?;
    let node = ctx.dir().join("upper");
    nix::sys::stat::mknod(
        &node,
        nix::sys::stat::SFlag::S_IFBLK,
        nix::sys::stat::Mode::S_IRUSR,
        nix::sys::stat::makedev(upper.major.into(), upper.minor.into()),
    )?;
    let read = std::thread::spawn(move || -> std::io::Result<()> {
        let mut start = [0; 512];
        std::fs::File::open(node)?.read_exact(&mut start)
    });
    std::thread::sleep(Duration::from_millis(500));
    dm.suspend(&one, Suspend::FlushAndFreeze)?;
    guard.start_clock();
    let start = Instant::now();
    let watch = std::thread::spawn(move || -> Result<Duration> {
        let dm = LinuxDm::open()?;
        while dm.info(&volume("one")?)?.context("the device is gone")?.suspended {
            ensure!(start.elapsed() < LIMIT, "it is still suspended");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(start.elapsed())
    });
    dm.suspend(&two, Suspend::FlushAndFreeze)?;
    let slow = start.elapsed();
    let resumed = watch.join().map_err(|_| anyhow::anyhow!("the watch panicked"))??;
    println!("the second suspend took {slow:?}, the first device went on after {resumed:?}");
    ensure!(resumed < slow, "the first device waited for the second");
    ensure!(!guard.hold(), "the guard does not say that it has acted");
    drop(guard);
    for name in [&one, &two] {
        ensure!(!suspended(&dm, name)?, "{name} is left suspended");
    }
    read.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
    Ok(())
}

/// A signal that would make a suspend fail with EINTR waits until the devices are resumed.
fn signals_wait(ctx: &Ctx) -> Result<()> {
    let dm = Counting::new(LinuxDm::open()?);
    let [one, _] = linear_devices(ctx, &dm)?;
    let held_off = SignalsHeldOff::new()?;
    raise(Signal::SIGTERM)?;
    dm.suspend(&one, Suspend::FlushAndFreeze)?;
    ensure!(held_off.pending() == Some(Signal::SIGTERM));
    dm.resume(&one, flags_for(DeviceRole::Volume).unwatched())?;
    // Delivered now, it would end this case; so it is taken out while it still waits.
    let waiting = nix::sys::signal::SigSet::from(Signal::SIGTERM).wait()?;
    ensure!(waiting == Signal::SIGTERM);
    Ok(())
}
