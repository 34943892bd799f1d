//! What udev makes of thinvol's events, and what happens when it does not answer.

use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base::units::Sectors;
use dm::ioctl::LinuxDm;
use dm::kernel::{Counting, Kernel};
use dm::name::Layer;
use dm::table::TargetLine;
use dm::udev::{self, Cookies, DeviceRole, Missing, NoSync, Places, UdevError, UdevSync, flags_for, missing};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::dm_stack::{Stack, UDEV_LIMIT, volume};
use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "dm_udev::batch_shares_one_cookie", tier: Tier::Full, limit_s: 180, run: batch },
    Case { name: "dm_udev::flags_without_a_cookie", tier: Tier::Full, limit_s: 180, run: no_sync },
    Case { name: "dm_udev::wait_is_bounded", tier: Tier::Full, limit_s: 180, run: bounded },
    Case { name: "dm_udev::missing_rules_are_noticed", tier: Tier::Full, limit_s: 60, run: missing_rules },
];

const COUNT: u64 = 12;

/// How many semaphores there are.
pub fn semaphores() -> Result<usize> {
    Ok(fs::read_to_string("/proc/sysvipc/sem")?.lines().count().saturating_sub(1))
}

fn linear_devices(ctx: &Ctx, stack: &Stack<'_>) -> Result<()> {
    let disk = ctx.disk(COUNT << 20)?.number()?.parse()?;
    for n in 0..COUNT {
        let line = TargetLine::linear(Sectors::ZERO, Sectors::new(2048), disk, Sectors::new(2048 * n));
        stack.up(&format!("lv-{n}"), Layer::Plain, line, false)?;
    }
    Ok(())
}

fn links(expected: bool) -> Result<()> {
    for n in 0..COUNT {
        let link = format!("/dev/tv-1/lv-{n}");
        ensure!(
            fs::exists(&link)? == expected,
            "{link} should {}be there",
            if expected { "" } else { "not " }
        );
    }
    Ok(())
}

fn remove_all(stack: &Stack<'_>) -> Result<()> {
    for n in 0..COUNT {
        udev::remove(stack.dm, stack.udev, &volume(&format!("lv-{n}"))?, flags_for(DeviceRole::Volume))?;
    }
    Ok(())
}

/// All links are there when one wait for all returns, and gone after the next.
fn batch(ctx: &Ctx) -> Result<()> {
    let (dm, cookies) = (Counting::new(LinuxDm::open()?), Cookies::default());
    let stack = Stack { dm: &dm, udev: &cookies };
    let start = Instant::now();
    linear_devices(ctx, &stack)?;
    ensure!(semaphores()? == 1, "{} semaphores for one batch", semaphores()?);
    stack.wait()?;
    println!("{COUNT} devices in {:?}", start.elapsed());
    ensure!(semaphores()? == 0, "a semaphore stayed");
    links(true)?;
    // A resume of a live device without a new table sends an event, too, and keeps the links.
    udev::resume(&dm, &cookies, &volume("lv-0")?, flags_for(DeviceRole::Volume))?;
    stack.wait()?;
    links(true)?;
    remove_all(&stack)?;
    stack.wait()?;
    links(false)?;
    ensure!(semaphores()? == 0, "a semaphore stayed");
    Ok(())
}

/// Without a cookie the links come as well, only later.
fn no_sync(ctx: &Ctx) -> Result<()> {
    let dm = Counting::new(LinuxDm::open()?);
    let stack = Stack { dm: &dm, udev: &NoSync };
    linear_devices(ctx, &stack)?;
    stack.wait()?;
    ensure!(semaphores()? == 0, "a semaphore without sync");
    ctx.ok("udevadm settle --timeout=60")?;
    links(true)?;
    // What a trigger does to a device whose flags are in udev's database: nothing.
    ctx.ok("udevadm trigger --action=change --subsystem-match=block --settle")?;
    links(true)?;
    remove_all(&stack)?;
    ctx.ok("udevadm settle --timeout=60")?;
    links(false)
}

/// The processes of udevd.
pub fn udevd() -> Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let comm = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        // "(udev-worker)" and "systemd-udevd" of different versions.
        if comm.contains("udevd") || comm.contains("udev-worker") {
            found.push(Pid::from_raw(entry.file_name().to_string_lossy().parse()?));
        }
    }
    Ok(found)
}

/// Continues udevd on every way out.
pub struct Stopped(pub Vec<Pid>);

impl Drop for Stopped {
    fn drop(&mut self) {
        for pid in &self.0 {
            let _ = kill(*pid, Signal::SIGCONT);
        }
    }
}

/// How many events [`complete_slowly`] counts down.
const PROCESSED: u32 = 4;

/// Counts some events down as udev's rules would, one a second.
fn complete_slowly() -> Result<Child> {
    let table = fs::read_to_string("/proc/sysvipc/sem")?;
    let line = table.lines().nth(1).context("no semaphore")?;
    let key = line.split_ascii_whitespace().next().context("no key")?;
    let each = format!("for i in $(seq {PROCESSED}); do sleep 1; dmsetup udevcomplete {key} || exit; done");
    Ok(Command::new("sh").args(["-c", &each]).spawn()?)
}

/// As long as udev gets on, it is waited for; once it does not, no longer than asked for.
fn bounded(ctx: &Ctx) -> Result<()> {
    if ctx.on_host() {
        return Err(crate::case::Skip("it would stop the host's udevd".into()).into());
    }
    let (dm, cookies) = (Counting::new(LinuxDm::open()?), Cookies::default());
    let stack = Stack { dm: &dm, udev: &cookies };
    let stopped = Stopped(udevd()?);
    ensure!(!stopped.0.is_empty(), "no udevd is running");
    for pid in &stopped.0 {
        kill(*pid, Signal::SIGSTOP)?;
    }
    ensure!(missing(&Places::default()).is_none(), "a stopped udevd is taken for an absent one");
    linear_devices(ctx, &stack)?;
    let start = Instant::now();
    let mut slow = complete_slowly()?;
    let error = cookies.wait(Duration::from_secs(3)).err().context("the wait succeeded")?;
    println!("{error}; {} (waited {:?})", error.hint(), start.elapsed());
    ensure!(slow.wait()?.success(), "dmsetup udevcomplete failed");
    let waited = Duration::from_secs(5)..Duration::from_secs(20);
    ensure!(waited.contains(&start.elapsed()), "waited {:?}", start.elapsed());
    let expected = u32::try_from(COUNT)? - PROCESSED;
    ensure!(matches!(error, UdevError::Timeout { pending, .. } if pending == expected), "{error}");
    ensure!(semaphores()? == 0, "a semaphore stayed");
    ensure!(dm.info(&volume("lv-0")?)?.is_some_and(|info| info.live_table), "the device is not in place");
    drop(stopped);
    // The events are processed late; that nobody waits on the cookie any more disturbs nobody. udevd takes them from
    // the kernel some time after it goes on, so that a first settle may find nothing to wait for.
    let deadline = Instant::now() + UDEV_LIMIT;
    while links(true).is_err() && Instant::now() < deadline {
        ctx.ok("udevadm settle --timeout=60")?;
        std::thread::sleep(Duration::from_millis(50));
    }
    links(true)?;
    remove_all(&stack)?;
    cookies.wait(UDEV_LIMIT)?;
    links(false)
}

fn missing_rules(ctx: &Ctx) -> Result<()> {
    let complete = Places::default();
    ensure!(missing(&complete).is_none(), "udev is not complete: {:?}", missing(&complete));
    let without = Places { rules: vec![ctx.dir().to_owned()], ..complete.clone() };
    ensure!(matches!(missing(&without), Some(Missing::Rules { .. })));
    let dead = Places { control: ctx.dir().join("control"), ..complete };
    ensure!(matches!(missing(&dead), Some(Missing::Daemon { .. })));
    Ok(())
}
