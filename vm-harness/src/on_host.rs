//! `--host`: the same cases on the kernel this runs on, for machines that have dm-thin. Only loop devices are
//! used.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};
use vm_harness::protocol::CaseInfo;

use crate::payload::Payload;
use crate::workspace::Workspace;

/// Says why cases cannot run here, or nothing.
pub fn refuse() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("--host needs root: it makes loop devices and device-mapper devices");
    }
    // The node in /dev may be there without the driver.
    if !std::fs::read_to_string("/proc/misc")?.contains("device-mapper") {
        bail!("--host is not possible: this kernel has no device-mapper (/proc/misc does not list it)");
    }
    let targets =
        Command::new("dmsetup").arg("targets").output().context("--host needs dmsetup (Debian: dmsetup)")?;
    let targets = String::from_utf8_lossy(&targets.stdout).into_owned();
    if !targets.lines().any(|line| line.starts_with("thin-pool ")) {
        // Loading a module is a change to the host that its owner should make.
        bail!("--host is not possible: this kernel has no thin-pool target; try `modprobe dm-thin-pool`");
    }
    Ok(())
}

/// Runs the cases here; the test program keeps the score and its exit status becomes ours.
pub fn run(workspace: &Workspace, payload: &Payload, cases: &[CaseInfo]) -> Result<()> {
    refuse()?;
    let folder = workspace.run_folder()?;
    let mut command = Command::new(payload.cases().context("there are no cases")?);
    command.arg("host").arg(folder.path()).args(cases.iter().map(|case| case.name.as_str()));
    Err(command.exec()).context("cannot start dm-tests")
}
