//! What is so after a machine has booted by systemd, with the project's package as it is installed: one phase for each
//! boot. `vm-harness/src/boots.rs` is the other half: it reboots the machine, or cuts its power, between two phases.
//!
//! The group `local` is on a disk of the machine, the group `san` on a LUN of a target that the machine itself has.

mod phases;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::ctx::Ctx;

/// The groups.
const GROUPS: [&str; 2] = ["local", "san"];

/// The disk below the target. Nobody else may take its volume group for one of this machine.
const STORE: &str = "/dev/vdd";

const IQN: &str = "iqn.2025-01.test:a";
const PORTAL: &str = "127.0.0.1:3260";

/// How long jobs of systemd, and what they lead to, may take.
const LIMIT: Duration = Duration::from_secs(180);

/// Runs a phase.
///
/// # Errors
/// What is not as it must be.
pub fn run(phase: &str) -> Result<()> {
    let folder = Path::new("/run/boots");
    std::fs::create_dir_all(folder)?;
    let ctx = Ctx::new(folder)?;
    match phase {
        "prepare" => phases::prepare(&ctx),
        "target" => phases::target(&ctx),
        "first" => phases::first(&ctx),
        "after-cut" => phases::after_cut(&ctx),
        "after-reboot" => phases::after_reboot(&ctx),
        "away" => phases::away(&ctx),
        _ => bail!("there is no phase {phase}"),
    }
}

/// Waits until something is so.
fn wait_for(ctx: &Ctx, what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    while !is_so()? {
        if Instant::now() > deadline {
            ctx.sh("systemctl list-jobs; systemctl --failed; journalctl --boot --no-pager | tail -n 60")?;
            bail!("it does not come to pass: {what}");
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

/// Whether these are mounted.
fn are_mounted(ctx: &Ctx, places: &[&str]) -> Result<bool> {
    places.iter().try_fold(true, |all, place| {
        Ok(all && ctx.run_quietly(&["mountpoint", "--quiet", place])?.status == 0)
    })
}

/// Waits until systemd has nothing left to do.
fn settled(ctx: &Ctx) -> Result<()> {
    wait_for(ctx, "systemd has done its jobs", || {
        let jobs = ctx.run_quietly(&["systemctl", "list-jobs", "--no-legend"])?;
        Ok(jobs.status == 0 && jobs.stdout.trim().is_empty())
    })
}

/// Whether a volume is active, as lvm2 sees it; `false` if its group is not there.
fn is_active(ctx: &Ctx, volume: &str) -> Result<bool> {
    let seen = ctx.run_quietly(&["lvs", "--noheadings", "-o", "lv_active", volume])?;
    Ok(seen.stdout.trim() == "active")
}

/// What the journal of this boot, or of one before, has of a unit.
fn journal(ctx: &Ctx, boot: &str, unit: &str) -> Result<String> {
    Ok(ctx
        .run(&["journalctl", "--boot", boot, "--no-pager", "--output=short-monotonic", "--unit", unit])?
        .stdout)
}

/// A property of a unit.
fn property(ctx: &Ctx, unit: &str, name: &str) -> Result<String> {
    Ok(ctx.ok(&format!("systemctl show --value --property={name} {unit}"))?.trim().to_owned())
}

/// Writes `1` or `0` to what lets initiators in at the target.
fn enable_target(on: bool) -> Result<()> {
    let file = Path::new(crate::ctx::lio::CONFIGFS).join("iscsi").join(IQN).join("tpgt_1/enable");
    std::fs::write(&file, if on { "1" } else { "0" })
        .with_context(|| format!("cannot write {}", file.display()))
}
