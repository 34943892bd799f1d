//! thinvol's commands and udev: not waited for when asked not to, slow, or not there.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nix::sys::signal::{Signal, kill};

use super::dm_stack::UDEV_LIMIT;
use super::dm_udev::{Stopped, semaphores, udevd};
use crate::case::{Case, Skip, Tier};
use crate::ctx::Ctx;

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "udev::not_waited_for", tier: Tier::Full, limit_s: 240, run: not_waited_for },
    Case { name: "udev::no_room_for_records", tier: Tier::Full, limit_s: 240, run: no_room_for_records },
    Case { name: "udev::not_there", tier: Tier::Full, limit_s: 300, run: not_there },
];

/// Those that take longer.
pub const LONG: &[Case] = &[Case { name: "udev::slow", tier: Tier::Full, limit_s: 300, run: slow }];

fn only_in_a_guest(ctx: &Ctx) -> Result<()> {
    if ctx.on_host() {
        return Err(Skip("it would stop the host's udevd".into()).into());
    }
    Ok(())
}

fn stop_udevd() -> Result<Stopped> {
    let stopped = Stopped(udevd()?);
    ensure!(!stopped.0.is_empty(), "no udevd is running");
    for pid in &stopped.0 {
        kill(*pid, Signal::SIGSTOP)?;
    }
    Ok(stopped)
}

/// udevd takes events from the kernel some time after it goes on.
fn appears(ctx: &Ctx, node: &Path) -> Result<()> {
    let deadline = Instant::now() + UDEV_LIMIT;
    while !node.exists() {
        ensure!(Instant::now() < deadline, "{} does not appear", node.display());
        ctx.ok("udevadm settle --timeout=60")?;
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// With `--no-udev-sync` a command returns while udevd does nothing at all, and never makes a semaphore to wait on.
fn not_waited_for(ctx: &Ctx) -> Result<()> {
    only_in_a_guest(ctx)?;
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 8M"))?;
    let stopped = stop_udevd()?;
    let node = ctx.dev(vg, "vm-100-disk-1");
    let trace = ctx.dir().join("trace");
    let ran = ctx.sh(&format!(
        "strace -f -o {} -e trace=semget,semop,semtimedop thinvol alloc {vg}/data 100 vm-100-disk-1 8M --no-udev-sync",
        trace.display()
    ))?;
    ensure!(ran.status == 0 && ran.stderr.is_empty(), "{ran:?}");
    let calls = std::fs::read_to_string(trace)?;
    ensure!(!calls.contains("sem"), "it made or used a semaphore: {calls}");
    ensure!(semaphores()? == 0, "a semaphore is there");
    ensure!(!node.exists(), "the node is there, though udevd is stopped");
    ensure!(ctx.ok("dmsetup ls")?.contains("vm--100--disk--1"), "the device is not there on return");
    drop(stopped);
    appears(ctx, &node)?;
    ctx.oracle(vg)?;
    ctx.change(&format!("free {vg}/vm-100-disk-1 --no-udev-sync"))?;
    ctx.change(&format!("free {vg}/vm-100-disk-0"))?;
    Ok(())
}

/// udevd runs and does nothing: the wait ends, the change is made, and the awaited event is reported.
fn slow(ctx: &Ctx) -> Result<()> {
    only_in_a_guest(ctx)?;
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 8M"))?;
    let stopped = stop_udevd()?;
    let start = Instant::now();
    let ran = ctx.thinvol(&format!("alloc {vg}/data 100 vm-100-disk-1 8M"))?;
    println!("returned after {:?}", start.elapsed());
    ensure!(ran.status == 0, "{ran:?}");
    ensure!(ran.stderr.contains("for udev") && ran.stderr.contains("not processed"), "{}", ran.stderr);
    ensure!(semaphores()? == 0, "a semaphore stayed");
    ensure!(ctx.ok("dmsetup ls")?.contains("vm--100--disk--1"), "the device is not there");
    drop(stopped);
    appears(ctx, &ctx.dev(vg, "vm-100-disk-1"))?;
    ctx.oracle(vg)
}

/// Without udevd thinvol itself makes and removes the nodes, and reports that.
fn not_there(ctx: &Ctx) -> Result<()> {
    only_in_a_guest(ctx)?;
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 8M"))?;
    ctx.ok("udevadm settle")?;
    ctx.ok("udevadm control --exit")?;
    let result = without_udevd(ctx, vg);
    ctx.ok("/lib/systemd/systemd-udevd --daemon")?;
    ctx.ok("udevadm trigger --type=devices --action=change --settle")?;
    result?;
    // udev takes over what was made without it.
    ensure!(ctx.dev(vg, "vm-100-disk-2").exists());
    ctx.oracle(vg)?;
    ctx.change(&format!("free {vg}/vm-100-disk-2"))?;
    ensure!(!ctx.dev(vg, "vm-100-disk-2").exists(), "a node is left");
    Ok(())
}

fn without_udevd(ctx: &Ctx, vg: &str) -> Result<()> {
    let deadline = Instant::now() + UDEV_LIMIT;
    while !udevd()?.is_empty() {
        ensure!(Instant::now() < deadline, "udevd does not end");
        std::thread::sleep(Duration::from_millis(50));
    }
    for disk in [1, 2] {
        let ran = ctx.thinvol(&format!("alloc {vg}/data 100 vm-100-disk-{disk} 8M"))?;
        ensure!(ran.status == 0 && ran.stderr.contains("device nodes are made by thinvol"), "{ran:?}");
        let node = ctx.dev(vg, &format!("vm-100-disk-{disk}"));
        ctx.ok(&format!("dd if={} of=/dev/null bs=4k count=1", node.display()))?;
    }
    let ran = ctx.thinvol(&format!("free {vg}/vm-100-disk-1"))?;
    ensure!(ran.status == 0, "{ran:?}");
    for gone in
        [ctx.dev(vg, "vm-100-disk-1"), Path::new("/dev/mapper").join(format!("{vg}-vm--100--disk--1"))]
    {
        ensure!(std::fs::symlink_metadata(&gone).is_err(), "{} is left", gone.display());
    }
    ensure!(semaphores()? == 0, "a semaphore without udevd");
    Ok(())
}

/// If `/run` is full udev cannot work: that is reported, with a hint.
fn no_room_for_records(ctx: &Ctx) -> Result<()> {
    only_in_a_guest(ctx)?;
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 8M"))?;
    ctx.ok("udevadm settle")?;
    let full = "/run/full";
    // It ends when there is no room left.
    ctx.sh(&format!(
        "dd if=/dev/zero of={full} bs=64k; dd if=/dev/zero of={full} bs=4k oflag=append conv=notrunc"
    ))?;
    let ran = ctx.thinvol(&format!("alloc {vg}/data 100 vm-100-disk-1 8M"));
    std::fs::remove_file(full)?;
    let ran = ran?;
    ensure!(ran.status == 0 && !ran.stderr.contains("IPC"), "{ran:?}");
    let waited = ran.stderr.contains("waited");
    ensure!(!waited || ran.stderr.contains("/run is full"), "{ran:?}");
    ctx.ok("udevadm trigger --subsystem-match=block --action=change")?;
    ctx.ok("udevadm settle")?;
    ctx.oracle(vg)
}
