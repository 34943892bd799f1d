//! A merge that lvm2 has begun and not finished: lvm2 gives the origin the snapshot's thin device when it activates it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::snapshots::{sum, write};
use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// The cases of this file.
pub const CASES: &[Case] =
    &[Case { name: "merging::is_left_to_lvm2", tier: Tier::Full, limit_s: 300, run: left_to_lvm2 }];

const DISK: &str = "vm-100-disk-0";

/// A volume that holds something else than its snapshot, whose merge waits until nobody has it open.
fn waiting_merge(ctx: &Ctx) -> Result<(&'static str, String)> {
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 {DISK} 12M"))?;
    write(ctx, vg, DISK, 1)?;
    let then = sum(ctx, vg, DISK)?;
    ctx.change(&format!("snapshot {vg}/{DISK}@s"))?;
    write(ctx, vg, DISK, 2)?;
    ctx.ok("udevadm settle")?;
    let merged = ctx.sh(&format!(
        "exec 7< {}; lvconvert -qq --merge {vg}/snap_{DISK}_s; exec 7<&-",
        ctx.dev(vg, DISK).display()
    ))?;
    ensure!(merged.status == 0, "{merged:?}");
    Ok((vg, then))
}

fn left_to_lvm2(ctx: &Ctx) -> Result<()> {
    let (vg, then) = waiting_merge(ctx)?;
    let volume = format!("{vg}/{DISK}");
    for verb in [
        format!("activate {volume}"),
        format!("snapshot {volume}@t"),
        format!("resize {volume} 16M"),
        format!("rename {volume} vm-100-disk-9"),
        format!("clone {volume} 101"),
        format!("free {volume}"),
    ] {
        let refused = ctx.thinvol(&verb)?;
        ensure!(refused.status == 7 && refused.stderr.contains("being merged"), "{refused:?}");
    }
    // What a refresh that was killed leaves: the table of the snapshot waits. It is the one that counts.
    let id = ctx.fact(&format!("-a {vg}/snap_{DISK}_s"), "thin_id")?;
    let device = format!("{vg}-vm--100--disk--0");
    let table = ctx.ok(&format!("dmsetup table {device}"))?;
    let (head, _) = table.trim().rsplit_once(' ').context("a thin table")?;
    let loaded = ctx.run(&["dmsetup", "load", &device, "--table", &format!("{head} {id}")])?;
    ensure!(loaded.status == 0, "{loaded:?}");
    ctx.ok(&format!("dmsetup suspend {device}"))?;
    ctx.thinvol_ok(&format!("recover {vg}"))?;
    ensure!(
        ctx.ok(&format!("dmsetup table {device}"))?.trim().ends_with(&format!(" {id}")),
        "the old device"
    );
    ensure!(sum(ctx, vg, DISK)? == then, "recovery put the old content back");
    // Nobody has it open: it goes, and comes back by lvm2 alone.
    ctx.ok("udevadm settle")?;
    ctx.thinvol_ok(&format!("deactivate {volume}"))?;
    ensure!(ctx.thinvol(&format!("activate {volume}"))?.status == 7);
    let all = ctx.thinvol(&format!("activate {vg}"))?;
    ensure!(all.stderr.contains("being merged"), "{all:?}");
    ctx.ok("udevadm settle")?;
    // As the hint says.
    ctx.ok(&format!("lvchange --activate y {volume}"))?;
    let deadline = Instant::now() + Duration::from_secs(120);
    while !ctx.fact(&format!("-a -S lv_name=~snap {vg}"), "lv_name")?.is_empty() {
        ensure!(Instant::now() < deadline, "lvm2 does not finish the merge");
        std::thread::sleep(Duration::from_secs(1));
    }
    ensure!(sum(ctx, vg, DISK)? == then, "the merged volume does not hold what the snapshot held");
    ctx.change(&format!("snapshot {volume}@t"))?;
    ctx.agreed(vg)
}
