//! Emulation or KVM. `/dev/kvm` may exist and still hang a guest (nested virtualisation), so KVM is taken
//! only after a probe boot under it has reached the agent; one that was only too slow is tried once more. The answer is
//! remembered until the host is booted again.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use vm_harness::protocol::Tier;

use crate::accel::Accel;
use crate::guest::{Guest, Setup};
use crate::progress::step;
use crate::workspace::Workspace;

/// A boot under KVM takes 2 s; one that takes this long hangs.
const PROBE_LIMIT: Duration = Duration::from_secs(15);

/// Which one to use here.
pub fn choose(workspace: &Workspace, setup: &Setup) -> Result<Accel> {
    if fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_err() {
        return Ok(Accel::Tcg);
    }
    let answer = answer_file(workspace)?;
    if let Ok(text) = fs::read_to_string(&answer) {
        return Ok(if text.trim() == "kvm" { Accel::Kvm } else { Accel::Tcg });
    }
    let boot = |limit| Guest::boot_within(workspace, setup, Tier::Fast, Accel::Kvm, limit).map(drop).err();
    let failure = step(workspace, "try whether KVM works here", |_| {
        let started = Instant::now();
        let failure = boot(PROBE_LIMIT);
        // The host may be busy with something else.
        let was_slow = failure.is_some() && started.elapsed() >= PROBE_LIMIT;
        Ok(if was_slow { boot(3 * PROBE_LIMIT) } else { failure })
    })?;
    let accel = match failure {
        None => Accel::Kvm,
        Some(error) => {
            // The first line says whether it hung or died; the console is of no interest.
            eprintln!(
                "        it does not, so the machine is emulated: {}",
                error.to_string().lines().next().unwrap_or("")
            );
            Accel::Tcg
        }
    };
    fs::write(&answer, if accel == Accel::Kvm { "kvm\n" } else { "tcg\n" })?;
    Ok(accel)
}

fn answer_file(workspace: &Workspace) -> Result<PathBuf> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(workspace.cache.join(format!("accel-{}", boot.trim())))
}
