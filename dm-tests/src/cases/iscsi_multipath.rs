//! Multipath devices on the LUNs of a storage, made by dmsetup with the tables that multipath-tools would load.

use anyhow::{Context, Result, ensure};

use super::iscsi_sessions::{IQN, PORTAL, class, nothing_left};
use crate::case::{Case, Tier};
use crate::ctx::{Ctx, Storages};

/// The cases of this file.
pub const CASES: &[Case] =
    &[Case { name: "iscsi_multipath::goes_with_its_storage", tier: Tier::Full, limit_s: 300, run: goes }];

/// The second portal of the target.
const OTHER_PORTAL: &str = "127.0.0.1:3261";

/// A multipath device on these disks, which waits where it has no path, with a partition as kpartx makes it.
fn join(ctx: &Ctx, disks: &[&str]) -> Result<()> {
    let sectors = ctx.ok(&format!("blockdev --getsz /dev/{}", disks.first().context("no disk")?))?;
    let paths = disks.iter().map(|disk| format!("/dev/{disk} 1")).collect::<Vec<_>>().join(" ");
    let count = disks.len();
    let table =
        format!("0 {} multipath 1 queue_if_no_path 0 1 1 service-time 0 {count} 1 {paths}", sectors.trim());
    let made = ctx.run(&["dmsetup", "create", "mpatha", "--uuid", "mpath-36001405", "--table", &table])?;
    ensure!(made.status == 0, "{made:?}");
    let part = "0 8192 linear /dev/mapper/mpatha 8192";
    let uuid = "part1-mpath-36001405";
    let made = ctx.run(&["dmsetup", "create", "mpatha-part1", "--uuid", uuid, "--table", part])?;
    ensure!(made.status == 0, "{made:?}");
    ctx.ok("udevadm settle").map(drop)
}

fn goes(ctx: &Ctx) -> Result<()> {
    for module in ["dm-multipath", "dm-service-time"] {
        ctx.ok(&format!("modprobe {module}"))?;
    }
    let store = ctx.backstore("a", 64 << 20, 0x71)?;
    let target = ctx.target(IQN, &[PORTAL, OTHER_PORTAL])?;
    target.add_lun(0, &store)?;
    let storages = Storages::new(ctx, "dir: local\n\tpath /var/lib/vz\n")?;
    storages.ok(&format!("add iscsi san --portal 127.0.0.1 --target {IQN}"))?;
    let up = || -> Result<Vec<String>> {
        storages.ok("activate san")?;
        let disks = ctx.shell("ls /sys/block | grep ^sd")?;
        let disks: Vec<String> = disks.split_whitespace().map(str::to_owned).collect();
        ensure!(disks.len() == 2, "{disks:?}");
        join(ctx, &disks.iter().map(String::as_str).collect::<Vec<_>>())?;
        Ok(disks)
    };
    let devices = || Ok::<_, anyhow::Error>(ctx.ok("dmsetup ls")?.contains("mpatha"));

    // In use: nothing is changed, and who uses it is named.
    up()?;
    let mount = ctx.dir().join("mnt");
    std::fs::create_dir_all(&mount)?;
    ctx.ok("mkfs.ext4 -q /dev/mapper/mpatha-part1")?;
    ctx.ok(&format!("mount /dev/mapper/mpatha-part1 {}", mount.display()))?;
    let refused = storages.run("deactivate san")?;
    ensure!(refused.status == 4, "{refused:?}");
    ensure!(refused.stderr.contains("mpatha-part1 is in use by the file system mounted on"), "{refused:?}");
    ensure!(class("iscsi_session").len() == 2 && devices()?);
    ctx.ok(&format!("cp /bin/bash {}/", mount.display()))?;
    ctx.ok(&format!("umount {}", mount.display()))?;

    // Unused: it goes, then the sessions, and what was written is there.
    let plan = storages.ok("deactivate san --dry-run")?;
    ensure!(plan.contains("take multipath device mpatha down") && devices()?, "{plan}");
    let down = storages.run("deactivate san")?;
    ensure!(down.status == 0 && down.stderr.is_empty(), "{down:?}");
    ensure!(class("iscsi_session").is_empty() && !devices()?);
    up()?;
    ctx.ok(&format!("mount /dev/mapper/mpatha-part1 {}", mount.display()))?;
    ctx.ok(&format!("cmp /bin/bash {}/bash", mount.display()))?;
    ctx.ok(&format!("umount {}", mount.display()))?;

    // Without any path left it waits for nothing.
    target.enable(false)?;
    super::iscsi_sessions::wait_for_state("FAILED")?;
    let down = storages.run("deactivate san")?;
    ensure!(down.status == 0, "{down:?}");
    ensure!(class("iscsi_session").is_empty() && !devices()?);
    target.enable(true)?;

    // One that other disks are paths of, too, is left to who made it.
    let disks = up()?;
    let disk = ctx.disk(64 << 20)?.name();
    ctx.ok("dmsetup remove --retry mpatha-part1")?;
    ctx.ok("dmsetup remove --retry mpatha")?;
    let foreign = disk.trim_start_matches("/dev/");
    join(ctx, &[disks.first().context("no disk")?, foreign])?;
    let refused = storages.run("deactivate san")?;
    ensure!(refused.status == 4 && refused.stderr.contains(foreign), "{refused:?}");
    ensure!(class("iscsi_session").len() == 2 && devices()?);
    ctx.ok("dmsetup remove --retry mpatha-part1")?;
    ctx.ok("dmsetup remove --retry mpatha")?;
    storages.ok("deactivate san")?;
    nothing_left()
}
