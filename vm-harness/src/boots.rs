//! Boots a machine by systemd from a disk of its own, with the project's package installed, and ends it by a reboot or
//! by a power cut, again and again. `dm-tests/src/boots.rs` says what must be so after each boot.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use vm_harness::protocol::{Order, Report};

use crate::accel::Accel;
use crate::guest::{GRACE, Guest, Setup};
use crate::qemu::Disks;
use crate::workspace::Workspace;

/// The disks: what the root file system differs from the image in, that of the group `local`, and that of the target.
const DISKS: [(&str, u64); 3] = [("root", 1 << 30), ("local", 512 << 20), ("store", 512 << 20)];

/// How long a phase, and a shutdown, may take.
const PHASE_LIMIT_S: u64 = 600;
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(240);

/// How a machine ends after a phase.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Reboot,
    Cut,
}

/// The phases, each with a boot of its own.
const PHASES: [(&str, End); 4] =
    [("first", End::Cut), ("after-cut", End::Reboot), ("after-reboot", End::Cut), ("away", End::Reboot)];

/// Runs the phases. The payload has the package.
///
/// # Errors
/// What is not as it must be, or a machine that does not come up or go down.
pub fn run(workspace: &Workspace, setup: &Setup, accel: Accel) -> Result<()> {
    let folder = workspace.run_folder()?;
    let mut files: Vec<PathBuf> = Vec::new();
    for (name, bytes) in DISKS {
        let path = folder.path().join(name);
        File::create(&path)?.set_len(bytes)?;
        files.push(path);
    }
    let mut machine = Guest::boot_with(workspace, setup, accel, Disks { files: &files, ..Disks::default() })?;
    phase(&mut machine, "prepare")?;
    drop(machine);
    let disks = Disks { files: &files, is_booted_from: true, ..Disks::default() };
    for (name, end) in PHASES {
        let started = Instant::now();
        let mut machine = Guest::boot_with(workspace, setup, accel, disks)
            .with_context(|| format!("the boot of phase {name}"))?;
        let booted = started.elapsed().as_secs();
        phase(&mut machine, name)?;
        match end {
            End::Cut => drop(machine.cut()),
            End::Reboot => reboot(machine).with_context(|| format!("the reboot after phase {name}"))?,
        }
        eprintln!("  ok    boot: {name} ({booted} s to boot, {} s in all)", started.elapsed().as_secs());
    }
    println!("boots by systemd: {} with what must be so after each", PHASES.len());
    Ok(())
}

fn phase(machine: &mut Guest, name: &str) -> Result<()> {
    let argv = ["dm-tests", "boots", name].map(str::to_owned).to_vec();
    machine.order(&Order::Exec { argv, limit_s: PHASE_LIMIT_S })?;
    let mut printed = String::new();
    loop {
        match machine.report_within(PHASE_LIMIT_S, GRACE) {
            Ok(Report::Output { text }) => printed.push_str(&text),
            Ok(Report::Exit { code: 0 }) => return Ok(()),
            Ok(Report::Exit { code }) => {
                bail!("phase {name} ended with status {code}:\n{printed}\n{}", machine.last_words())
            }
            Ok(other) => bail!("the guest answered {other:?} to a program"),
            Err(silence) => bail!("phase {name}: {silence:?}: {printed}\n{}", machine.last_words()),
        }
    }
}

fn reboot(mut machine: Guest) -> Result<()> {
    let argv = ["systemctl", "reboot", "--no-block"].map(str::to_owned).to_vec();
    machine.order(&Order::Exec { argv, limit_s: PHASE_LIMIT_S })?;
    machine.ended(SHUTDOWN_LIMIT)
}
