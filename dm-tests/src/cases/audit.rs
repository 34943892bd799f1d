//! Inconsistencies are reported, and nothing is changed.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::case::{Case, Tier};
use crate::ctx::{Conf, Ctx, Storages};

/// The cases of this file.
pub const CASES: &[Case] =
    &[Case { name: "audit::what_does_not_fit", tier: Tier::Full, limit_s: 300, run: what_does_not_fit }];

/// Volumes, snapshots, ids and groups that only one side knows.
fn what_does_not_fit(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    let storages = Storages::new(ctx, "")?;
    storages.ok(&format!("add lvmthin st --vgname {vg} --thinpool data"))?;
    let folder = storages.file().parent().context("it is in a folder")?.join("qemu-server");
    fs::create_dir_all(&folder)?;
    let config = |text: &str| fs::write(folder.join("100.conf"), text);
    ctx.thinvol_ok(&format!("alloc {vg}/data 100 vm-100-disk-0 32M"))?;
    ctx.thinvol_ok(&format!("snapshot {vg}/vm-100-disk-0@monday"))?;
    config("scsi0: st:vm-100-disk-0,size=32M\n[monday]\nscsi0: st:vm-100-disk-0,size=32M\n")?;
    let fits = ctx.thinvol(&storages.line("audit"))?;
    ensure!(fits.status == 0 && fits.stdout == "all fits together: st\n", "{fits:?}");

    // By the stock commands, as Proxmox VE and its users leave things behind.
    ctx.ok(&format!("lvcreate -V 4M -T {vg}/data -n vm-200-disk-0"))?;
    ctx.ok(&format!("lvcreate -qq -n snap_vm-100-disk-0_vzdump -pr -s {vg}/vm-100-disk-0"))?;
    ctx.ok(&format!("lvcreate -qq -n snap_vm-201-disk-0_x -pr -s {vg}/vm-200-disk-0"))?;
    ctx.ok(&format!("lvremove -f {vg}/snap_vm-100-disk-0_monday"))?;
    ctx.shell(&format!("dmsetup message {vg}-data-tpool 0 'create_thin 4000'"))?;
    config(
        "scsi0: st:vm-100-disk-0,size=32M\nscsi1: st:vm-100-disk-9\n[monday]\nscsi0: st:vm-100-disk-0,size=32M\n",
    )?;
    let before = ctx.shell("vgcfgbackup -f /tmp/before pve >/dev/null; grep seqno /tmp/before")?;
    let held = || ctx.shell(&format!("dmsetup status {vg}-data-tpool"));
    let status = held()?;
    let told = ctx.thinvol(&storages.line("audit"))?;
    ensure!(told.status == 1 && told.stderr.contains("6 things do not fit together"), "{told:?}");
    for words in [
        "st:vm-100-disk-9: guest 100 names it as scsi1, and it does not exist\n",
        "st:vm-100-disk-0@monday: guest 100 has a snapshot 'monday', its disk scsi0 (st:vm-100-disk-0) does not\n",
        "st:vm-200-disk-0: no configuration names it, and there is no guest 200 on this node\n",
        "st:vm-100-disk-0@vzdump: the configuration of guest 100 has no snapshot 'vzdump', a backup has not removed",
        "pve/snap_vm-201-disk-0_x: it is a snapshot, and its volume is gone\n",
        "pve/data: the pool holds a thin device 4000 of 0 B that no volume is\n",
    ] {
        ensure!(told.stdout.contains(words), "not told: {words}");
    }
    let document = ctx.sh(&format!("thinvol {}", storages.line("audit --json")))?;
    ensure!(document.status == 1 && document.stdout.contains("\"finding\": \"unknown_id\""), "{document:?}");
    let after = ctx.shell("vgcfgbackup -f /tmp/after pve >/dev/null; grep seqno /tmp/after")?;
    // The metadata snapshot commits the pool's metadata, which changes its counts of blocks only.
    let root = |status: &str| status.split_whitespace().nth(6).map(ToOwned::to_owned);
    ensure!(before == after && root(&status) == root(&held()?), "something was changed");

    // What the advice says clears it.
    ctx.shell(&format!("dmsetup message {vg}-data-tpool 0 'delete 4000'"))?;
    ctx.thinvol_ok(&storages.line("delete-snapshot st:vm-100-disk-0@vzdump"))?;
    ctx.thinvol_ok(&format!("free {vg}/snap_vm-201-disk-0_x"))?;
    ctx.thinvol_ok(&storages.line("free st:vm-200-disk-0"))?;
    config("scsi0: st:vm-100-disk-0,size=32M\n")?;
    ctx.thinvol_ok(&storages.line("audit"))?;
    guests_group(ctx, &storages, vg)?;
    ctx.agreed(vg)
}

/// A volume group that a guest made on its disk, on a host that looks into volumes.
fn guests_group(ctx: &Ctx, storages: &Storages<'_>, vg: &str) -> Result<()> {
    let conf = Conf::new(ctx)?;
    conf.set("devices/scan_lvs=1\n")?;
    let disk = ctx.dev(vg, "vm-100-disk-0").display().to_string();
    conf.run(ctx, &format!("vgcreate --setautoactivation n inside {disk}"))?;
    let told = conf.run(ctx, &format!("thinvol {}", storages.line("audit")))?;
    let words = format!(
        "which is volume {vg}/vm-100-disk-0: this host must not touch it\n  hide it in /etc/lvm/lvm.conf: \
                         devices {{ global_filter = [ \"r|^/dev/{vg}/(vm|base|snap)[-_].*|\" ] }}"
    );
    ensure!(told.status == 1 && told.stdout.contains(&words), "{told:?}");
    conf.set(&format!(
        "devices/scan_lvs=1\ndevices/global_filter=[ \"r|^/dev/{vg}/(vm|base|snap)[-_].*|\" ]\n"
    ))?;
    let hidden = conf.run(ctx, &format!("thinvol {}", storages.line("audit")))?;
    ensure!(hidden.status == 0, "{hidden:?}");
    conf.set("devices/scan_lvs=1\n")?;
    conf.run(ctx, "vgremove -f inside")?;
    conf.run(ctx, &format!("pvremove -y {disk}"))?;
    ctx.shell("udevadm settle").map(|_| ())
}
