//! Volumes that read from a read-only volume outside their pool what they do not hold: by thinvol as by lvm2.

use anyhow::{Result, ensure};

use super::snapshots::sum;
use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// The cases of this file.
pub const CASES: &[Case] =
    &[Case { name: "external_origins::kept", tier: Tier::Full, limit_s: 500, run: kept }];

/// Tables but for the numbers of devices, names, uuids, modes and openers, as `dmsetup` shows them.
fn layers(ctx: &Ctx) -> Result<String> {
    ctx.shell(
        "dmsetup table | sed 's/ [0-9]*:[0-9]*//g' | sort; \
         dmsetup info -c --noheadings -o name,uuid,attr,open | sort",
    )
}

fn kept(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    let base = format!("{vg}/base");
    let volume = format!("{vg}/vm-100-disk-0");
    ctx.shell(&format!("lvcreate -qq --yes -n base -L 16M {vg}"))?;
    ctx.shell(&format!("dd if=/dev/urandom of={} bs=1M count=16 conv=fsync", ctx.dev(vg, "base").display()))?;
    let before = sum(ctx, vg, "base")?;
    ctx.shell(&format!("udevadm settle; lvchange -qq -an {base}; lvchange -qq -pr {base}"))?;
    ctx.shell(&format!("lvcreate -qq --type thin --thinpool {vg}/data -n vm-100-disk-0 {base}"))?;
    ensure!(sum(ctx, vg, "vm-100-disk-0")? == before);
    // Snapshot and clone read what the volume reads; lvm2 sees the origin of each.
    ctx.thinvol_ok(&format!("snapshot {volume}@s1"))?;
    ctx.thinvol_ok(&format!("clone {volume} 101"))?;
    ctx.thinvol_ok(&format!("clone {volume}@s1 102"))?;
    ctx.oracle(vg)?;
    for disk in ["vm-101-disk-0", "vm-102-disk-0"] {
        ctx.thinvol_ok(&format!("activate {vg}/{disk}"))?;
        ensure!(sum(ctx, vg, disk)? == before, "{disk} has lost what it reads from its external origin");
    }
    // Written, rolled back.
    let node = ctx.dev(vg, "vm-100-disk-0").display().to_string();
    ctx.shell(&format!(
        "dd if=/dev/urandom of={node} bs=64k count=3 seek=5 conv=fsync,notrunc; udevadm settle"
    ))?;
    ensure!(sum(ctx, vg, "vm-100-disk-0")? != before);
    ctx.thinvol_ok(&format!("rollback {volume}@s1"))?;
    ensure!(sum(ctx, vg, "vm-100-disk-0")? == before);
    ctx.agreed(vg)?;
    // The layers are the same as lvm2's.
    let all = format!("{volume} {vg}/vm-101-disk-0 {vg}/vm-102-disk-0 {base}");
    let stop = format!("udevadm settle; vgchange -qq -an {vg}");
    ctx.shell(&stop)?;
    ctx.shell(&format!("lvchange -qq -ay {all}; udevadm settle"))?;
    let by_lvm2 = layers(ctx)?;
    ctx.shell(&stop)?;
    ctx.thinvol_ok(&format!("activate {all}"))?;
    ctx.shell("udevadm settle")?;
    let by_thinvol = layers(ctx)?;
    ensure!(by_lvm2 == by_thinvol, "by lvm2:\n{by_lvm2}by thinvol:\n{by_thinvol}");
    ensure!(sum(ctx, vg, "base")? == before && sum(ctx, vg, "vm-101-disk-0")? == before);
    // lvm2 takes down what thinvol made, and the other way round; nothing stays.
    ctx.shell(&format!("udevadm settle; lvchange -qq -an {volume} {base}"))?;
    ctx.thinvol_ok(&format!("deactivate {vg}"))?;
    let left = ctx.shell("dmsetup ls")?;
    ensure!(!left.contains("base") && !left.contains("disk"), "{left}");
    ctx.thinvol_ok(&format!("free {vg}/vm-101-disk-0"))?;
    ctx.oracle(vg)?;
    ctx.thinvol_ok(&format!("activate {volume} {base}"))?;
    ensure!(sum(ctx, vg, "vm-100-disk-0")? == before);
    ctx.agreed(vg)?;
    // The last that reads from it goes: it stands on its own extents again, as one that never was an external origin.
    ctx.thinvol_ok(&format!("free {vg}/snap_vm-100-disk-0_s1 {vg}/vm-102-disk-0 {volume}"))?;
    let left = ctx.shell("dmsetup ls")?;
    ensure!(left.contains("base") && !left.contains("-real"), "{left}");
    ensure!(sum(ctx, vg, "base")? == before);
    layer_of_no_volume(ctx, vg)?;
    ctx.agreed(vg)
}

/// What a conversion leaves that lvm2 was killed in, before its commit: a layer that no text knows.
fn layer_of_no_volume(ctx: &Ctx, vg: &str) -> Result<()> {
    let id = ctx.shell(&format!("vgs --noheadings -o vg_uuid {vg} | tr -d ' -'"))?;
    let uuid = format!("LVM-{}{}-real", id.trim(), "a".repeat(32));
    let layer = format!("{vg}-lvol7-real");
    ctx.shell(&format!("dmsetup create {layer} --uuid {uuid} --table \"$(dmsetup table {vg}-base)\""))?;
    let ran = ctx.thinvol(&format!("recover {vg}"))?;
    ensure!(ran.status == 0 && ran.stdout.contains(&layer), "{ran:?}");
    let left = ctx.shell("dmsetup ls")?;
    ensure!(!left.contains(&layer), "{left}");
    Ok(())
}
