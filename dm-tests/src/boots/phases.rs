//! The phases.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{
    GROUPS, IQN, PORTAL, STORE, are_mounted, enable_target, is_active, journal, property, settled, wait_for,
};
use crate::cases::iscsi_sessions::wait_for_state;
use crate::cases::recovery::take_back_create;
use crate::ctx::Ctx;

/// The unit that logs in.
const LOGIN: &str = "thinvol-login@san.service";

/// Longer than the watchdog of the supervisor waits.
const WATCHDOG: Duration = Duration::from_secs(45);

/// In a machine of the usual kind: makes the groups and the root file system of the one that systemd boots.
pub fn prepare(ctx: &Ctx) -> Result<()> {
    ctx.shell(
        "sed -i 's|^devices {|devices {\\n\\tglobal_filter = [ \"r#/dev/vd[bd]#\" ]|' /etc/lvm/lvm.conf",
    )?;
    target(ctx)?;
    ctx.thinvol_ok(&format!("iscsi login --portal {PORTAL} --target {IQN}"))?;
    let lun = ctx.shell("ls /dev/sd?")?;
    for (vg, disk) in GROUPS.into_iter().zip(["/dev/vdc", lun.trim()]) {
        ctx.ok(&format!("vgcreate --yes {vg} {disk}"))?;
        ctx.ok(&format!("lvcreate --yes --type thin-pool -L 256M -n data {vg}"))?;
        for name in ["vm-100-files", "vm-100-off"] {
            ctx.thinvol_ok(&format!("alloc {vg}/data 100 {name} 32M"))?;
        }
        ctx.ok(&format!("lvchange --setautoactivation y {vg}/vm-100-files"))?;
        ctx.ok("udevadm settle")?;
        ctx.ok(&format!("mkfs.ext4 -q /dev/{vg}/vm-100-files"))?;
        ctx.ok(&format!("vgchange -an {vg}"))?;
    }
    ctx.ok("udevadm settle")?;
    ctx.thinvol_ok("iscsi logout --all")?;
    ctx.ok("bash /src/dm-tests/boot/root.sh").map(drop)
}

/// The target comes up.
pub fn target(ctx: &Ctx) -> Result<()> {
    let lun = ctx.block_backstore("store", Path::new(STORE), 0x77)?;
    ctx.target(IQN, &[PORTAL])?.add_lun(0, &lun)
}

/// The first boot, then a change is left pending in both groups.
pub fn first(ctx: &Ctx) -> Result<()> {
    settled(ctx)?;
    all_is_up(ctx)?;
    ctx.ok("dd if=/bin/bash of=/srv/copy conv=fsync")?;
    GROUPS.into_iter().try_for_each(|vg| leave_pending(ctx, vg))?;
    ctx.ok("sync").map(drop)
}

/// The boot after the power was cut. It must have been recovered before the groups were activated: lvm2's activation
/// alone does not create what the pending message is about. Then journald stands still while a connection is lost.
pub fn after_cut(ctx: &Ctx) -> Result<()> {
    settled(ctx)?;
    all_is_up(ctx)?;
    for vg in GROUPS {
        was_recovered_first(ctx, vg)?;
    }
    ctx.ok("cmp /bin/bash /srv/copy")?;
    journal_stands_still(ctx)
}

/// After a reboot: the file system on the LUN was unmounted and the session ended. Then the target goes, with a change
/// pending in its group.
pub fn after_reboot(ctx: &Ctx) -> Result<()> {
    settled(ctx)?;
    all_is_up(ctx)?;
    let login = journal(ctx, "-1", LOGIN)?;
    ensure!(login.contains("deactivated 'san'"), "it was not logged out of: {login}");
    let kernel = ctx.ok("dmesg")?;
    let mut volumes = kernel.lines().filter(|line| line.contains("EXT4-fs (dm-"));
    ensure!(
        !volumes.any(|line| line.contains("recovery complete")),
        "a file system was not unmounted: {kernel}"
    );
    leave_pending(ctx, "san")?;
    ctx.ok("systemctl disable target.service")?;
    ctx.ok("sync").map(drop)
}

/// The boot without a target goes on without it; when it is there, all that is on it comes up, recovered first.
pub fn away(ctx: &Ctx) -> Result<()> {
    // The login is tried again and again, so that there is always a job of it.
    wait_for(ctx, "the rest of the machine is up", || is_active(ctx, "local/vm-100-files"))?;
    ensure!(are_mounted(ctx, &["/data"])?);
    ensure!(!is_active(ctx, "san/vm-100-files")?, "the target is there");
    wait_for(ctx, "the login is tried again", || Ok(property(ctx, LOGIN, "NRestarts")? != "0"))?;
    ctx.ok("systemctl start target.service")?;
    wait_for(ctx, "the group on the LUN is up", || is_active(ctx, "san/vm-100-pending"))?;
    settled(ctx)?;
    was_recovered_first(ctx, "san")
}

/// What comes up by itself does, nothing else does, and no unit has failed.
fn all_is_up(ctx: &Ctx) -> Result<()> {
    for vg in GROUPS {
        wait_for(ctx, "the volumes are up", || is_active(ctx, &format!("{vg}/vm-100-files")))?;
        ensure!(is_active(ctx, &format!("{vg}/data"))?, "the pool of {vg} is not up");
        ensure!(!is_active(ctx, &format!("{vg}/vm-100-off"))?, "{vg}/vm-100-off is up, and is not to be");
        let unit = format!("lvm-activate-{vg}.service");
        let said = journal(ctx, "0", &unit)?;
        // What thinvol says of a group begins with its name.
        let (recovered, active) = (said.find(&format!("]: {vg}: ")), said.find("now active"));
        ensure!(recovered.is_some() && recovered < active, "{unit} has said: {said}");
    }
    wait_for(ctx, "the file systems are mounted", || are_mounted(ctx, &["/data", "/srv"]))?;
    let failed = ctx.ok("systemctl list-units --failed --plain --no-legend")?;
    ensure!(failed.trim().is_empty(), "units have failed: {failed}");
    Ok(())
}

/// Leaves the text of a group with a volume whose message was not sent.
fn leave_pending(ctx: &Ctx, vg: &str) -> Result<()> {
    if ctx.run(&["lvs", &format!("{vg}/vm-100-pending")])?.status == 0 {
        ctx.thinvol_ok(&format!("free {vg}/vm-100-pending"))?;
    }
    ctx.thinvol_ok(&format!("alloc {vg}/data 100 vm-100-pending 16M"))?;
    ctx.ok(&format!("lvchange --setautoactivation y {vg}/vm-100-pending"))?;
    ctx.ok("udevadm settle")?;
    take_back_create(ctx, vg, "vm-100-pending").map(drop)
}

fn was_recovered_first(ctx: &Ctx, vg: &str) -> Result<()> {
    ensure!(is_active(ctx, &format!("{vg}/vm-100-pending"))?, "what was pending in {vg} is not there");
    let again = ctx.thinvol_ok(&format!("recover {vg}"))?;
    ensure!(again.contains("nothing to recover"), "{again}");
    ctx.oracle(vg)
}

/// A connection is lost and replaced while journald reads nothing; nobody is ended for that.
fn journal_stands_still(ctx: &Ctx) -> Result<()> {
    let units = ["thinvol-iscsi.service", "systemd-journald.service"];
    let pid = |unit| property(ctx, unit, "MainPID");
    let (supervisor, journald) = (pid(units[0])?, pid(units[1])?);
    ctx.ok(&format!("kill -STOP {journald}"))?;
    let lost_and_replaced = || -> Result<()> {
        for _ in 0..3 {
            enable_target(false)?;
            wait_for_state("FAILED")?;
            enable_target(true)?;
            wait_for_state("LOGGED_IN")?;
        }
        std::thread::sleep(WATCHDOG);
        ctx.ok("dd if=/dev/san/vm-100-files of=/dev/null iflag=direct bs=1M count=4").map(drop)
    };
    let done = lost_and_replaced();
    ctx.ok(&format!("kill -CONT {journald}"))?;
    done?;
    ensure!(pid(units[0])? == supervisor, "the supervisor was ended");
    ensure!(property(ctx, units[0], "NRestarts")? == "0");
    Ok(())
}
