//! What Proxmox VE's programs ask of its storage plugins, with thinvol's plugins in their places: the recorded orders
//! of calls, played by Perl over stand-ins for Proxmox VE's classes (`dm-tests/proxmox`).

use anyhow::{Context, Result, ensure};

use super::iscsi_daemons::Supervisor;
use super::iscsi_sessions::{IQN, PORTAL, nothing_left};
use crate::case::{Case, Skip, Tier};
use crate::ctx::{Ctx, Storages};

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "proxmox::lvmthin", tier: Tier::Full, limit_s: 600, run: lvmthin },
    Case { name: "proxmox::iscsi", tier: Tier::Full, limit_s: 300, run: iscsi },
];

/// Where the guest sees the source tree.
const SOURCE: &str = "/src";

/// The second portal of the target.
const OTHER_PORTAL: &str = "127.0.0.1:3261";

/// Plays a script; everything it tries must be as it expects, and nothing may be said but by thinvol. Returns what that
/// said.
fn play(ctx: &Ctx, script: &str, arguments: &[&str]) -> Result<String> {
    if ctx.on_host() {
        return Err(Skip("the scripts are where the virtual machine sees them".into()).into());
    }
    let [stand_ins, plugins, script] = [
        format!("{SOURCE}/dm-tests/proxmox/lib"),
        format!("{SOURCE}/packaging/proxmox/perl5"),
        format!("{SOURCE}/dm-tests/proxmox/{script}"),
    ];
    let program = ctx.sh("command -v thinvol")?.stdout;
    let mut argv = vec!["perl", "-T", "-w", "-I", &stand_ins, "-I", &plugins, &script, program.trim()];
    argv.extend(arguments);
    let ran = ctx.run(&argv)?;
    let last = ran.stdout.lines().last().context("it said nothing")?;
    let count: usize = last.strip_prefix("1..").context("it did not come to its end")?.parse()?;
    ensure!(ran.status == 0 && count > 0, "status {}", ran.status);
    let strange: Vec<&str> = ran.stderr.lines().filter(|line| !line.starts_with("thinvol: ")).collect();
    ensure!(strange.is_empty(), "it said {strange:#?}");
    Ok(ran.stderr)
}

/// Guests are created, started, snapshotted, rolled back, backed up, cloned, grown, renamed, destroyed.
fn lvmthin(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    let storages = Storages::new(ctx, "")?;
    storages.ok(&format!("add lvmthin st --vgname {vg} --thinpool data"))?;
    let said = play(ctx, "replay.pl", &[&storages.file().display().to_string(), vg])?;
    let created = format!("thinvol: {vg}/vm-100-disk-0: ");
    let made = said.lines().find_map(|line| line.strip_prefix(created.as_str()));
    ensure!(made.is_some_and(|what| what != "done"), "the log of a task does not say what was made: {said}");
    ctx.agreed(vg)
}

/// A target is added, logged in to, looked at, used, and left.
fn iscsi(ctx: &Ctx) -> Result<()> {
    let target = ctx.target(IQN, &[PORTAL, OTHER_PORTAL])?;
    let store = ctx.backstore("a", 64 << 20, 0x91)?;
    target.add_lun(1, &store)?;
    let _supervisor = Supervisor::start(ctx)?;
    let storages = Storages::new(ctx, "")?;
    storages.ok(&format!("add iscsi san --portal 127.0.0.1 --target {IQN}"))?;
    let disk = format!("0.0.1.scsi-3{}", store.wwid.trim_start_matches("naa."));
    let file = storages.file().display().to_string();
    let part = |what| play(ctx, "replay-iscsi.pl", &[&file, "127.0.0.1", IQN, &disk, what]);
    part("up")?;
    part("down")?;
    nothing_left()?;
    target.enable(false)?;
    part("off")?;
    [PORTAL, OTHER_PORTAL].iter().try_for_each(|portal| target.remove_portal(portal))?;
    part("gone")?;
    nothing_left()
}
