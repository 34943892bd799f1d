//! Whose snapshot is whose after others have renamed, rolled back and merged.

use anyhow::{Result, ensure};

use super::snapshots::{sum, write};
use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "lineage::became_a_disk", tier: Tier::Full, limit_s: 600, run: became_a_disk },
    Case { name: "lineage::rolled_back_by_proxmox", tier: Tier::Full, limit_s: 600, run: rolled_back },
];

/// Those that take longer.
pub const LONG: &[Case] =
    &[Case { name: "lineage::merged_groups", tier: Tier::Full, limit_s: 600, run: merged_groups }];

/// A snapshot that `lvrename` and `lvchange` made a guest's disk of stays when its volume goes, and is told.
fn became_a_disk(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 12M"))?;
    write(ctx, vg, "vm-100-disk-0", 1)?;
    ctx.change(&format!("snapshot {vg}/vm-100-disk-0@s1"))?;
    ctx.change(&format!("snapshot {vg}/vm-100-disk-0@s2"))?;
    ctx.lvm(&format!("lvrename -qq {vg}/snap_vm-100-disk-0_s1 vm-200-disk-0"))?;
    ctx.lvm(&format!("lvchange -qq --permission rw {vg}/vm-200-disk-0"))?;
    ctx.lvm(&format!("lvchange -qq -kn {vg}/vm-200-disk-0"))?;
    ctx.lvm(&format!("lvchange -qq -ay {vg}/vm-200-disk-0"))?;
    write(ctx, vg, "vm-200-disk-0", 2)?;
    let guests = sum(ctx, vg, "vm-200-disk-0")?;
    for verb in ["rollback", "delete-snapshot"] {
        let refused = ctx.thinvol(&format!("{verb} {vg}/vm-100-disk-0@s1"))?;
        ensure!(refused.status == 3 && refused.stderr.contains("vm-200-disk-0"), "{refused:?}");
    }
    let tree = ctx.thinvol_ok(&format!("list {vg}/data --tree"))?;
    ensure!(tree.contains("once snapshot s1") && tree.contains("snapshot s2"), "{tree}");
    let freed = ctx.thinvol(&format!("free {vg}/vm-100-disk-0 --with-snapshots"))?;
    ensure!(freed.status == 0 && freed.stderr.contains("vm-200-disk-0"), "{freed:?}");
    ensure!(ctx.fact(&format!("-S segtype=thin {vg}"), "lv_name")? == "vm-200-disk-0");
    ensure!(sum(ctx, vg, "vm-200-disk-0")? == guests, "the guest's disk changed");
    ctx.agreed(vg)
}

/// What Proxmox VE runs for a rollback gives the volume another uuid: its snapshots go on to be its own.
/// Source: pve-storage `PVE/Storage/LvmThinPlugin.pm` (`volume_snapshot_rollback`).
fn rolled_back(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    let volume = format!("{vg}/vm-100-disk-0");
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 12M"))?;
    for (seed, snap) in [(1, "s1"), (2, "s2")] {
        write(ctx, vg, "vm-100-disk-0", seed)?;
        ctx.change(&format!("snapshot {volume}@{snap}"))?;
    }
    ctx.ok("udevadm settle")?;
    ctx.lvm(&format!("lvremove -qq -f {volume}"))?;
    ctx.lvm(&format!("lvcreate -qq -kn -n vm-100-disk-0 -s {vg}/snap_vm-100-disk-0_s1"))?;
    let tree = ctx.thinvol_ok(&format!("list {vg}/data --tree"))?;
    ensure!(tree.contains("  ") && !tree.contains("gone"), "before anything is mended: {tree}");
    let said = ctx.change(&format!("delete-snapshot {volume}@s1"))?;
    ensure!(said.contains("recovered: "), "{said}");
    // What linked the volume to them is gone by now: the mended tags tell.
    let uuid = ctx.fact(&volume, "lv_uuid")?;
    ensure!(ctx.fact(&format!("{vg}/snap_vm-100-disk-0_s2"), "tags")?.contains(&uuid));
    let again = ctx.change(&format!("recover {vg}"))?;
    ensure!(again.contains("nothing to recover"), "{again}");
    ctx.change(&format!("rollback {volume}@s2"))?;
    ctx.change(&format!("free {volume} --with-snapshots"))?;
    ensure!(ctx.fact(&format!("-S segtype=thin {vg}"), "lv_name")?.is_empty());
    ctx.agreed(vg)
}

/// Of two groups with volumes of the same uuids, as `vgimportclone` makes them, `vgmerge` makes one.
fn merged_groups(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[128 << 20], 512)?;
    ctx.ok(&format!("lvcreate -y --type thin-pool -L 64M -n data {vg}"))?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 12M"))?;
    ctx.change(&format!("snapshot {vg}/vm-100-disk-0@s1"))?;
    ctx.ok("udevadm settle")?;
    ctx.lvm(&format!("vgchange -qq -an {vg}"))?;
    let copy = ctx.disk_with_sectors(128 << 20, 512)?.name();
    let disk = ctx.fact(vg, "devices")?;
    let disk = disk.split('(').next().unwrap_or_default().to_owned();
    let disk = if disk.starts_with('/') {
        disk
    } else {
        ctx.lvm(&format!("pvs --noheadings -o pv_name -S vg_name={vg}"))?.trim().to_owned()
    };
    ctx.ok(&format!("dd if={disk} of={copy} bs=1M oflag=direct"))?;
    ctx.ok(&format!("vgimportclone -qq -y --basevgname copied {copy}"))?;
    for (from, to) in [
        ("data", "data2"),
        ("vm-100-disk-0", "vm-200-disk-0"),
        ("snap_vm-100-disk-0_s1", "snap_vm-200-disk-0_s1"),
    ] {
        ctx.ok(&format!("lvrename copied/{from} {to}"))?;
    }
    ctx.ok("vgchange -an copied")?;
    ctx.ok(&format!("vgmerge {vg} copied"))?;
    let freed = ctx.change(&format!("free {vg}/vm-100-disk-0 --with-snapshots"))?;
    ensure!(freed.contains("recovered: "), "{freed}");
    let left = ctx.fact(&format!("-S segtype=thin {vg}"), "lv_name")?;
    ensure!(left == "snap_vm-200-disk-0_s1 vm-200-disk-0", "{left}");
    ctx.change(&format!("free {vg}/vm-200-disk-0 --with-snapshots"))?;
    ensure!(ctx.fact(&format!("-S segtype=thin {vg}"), "lv_name")?.is_empty());
    ctx.agreed(vg)
}
