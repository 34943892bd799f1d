//! Volumes that are discarded before they go, and zeroed when they are new.

use anyhow::{Result, ensure};

use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "wiped::planned_first", tier: Tier::Full, limit_s: 300, run: planned_first },
    Case { name: "wiped::all_is_given_back", tier: Tier::Full, limit_s: 300, run: all_is_given_back },
    Case { name: "wiped::stopped_by_a_signal", tier: Tier::Full, limit_s: 300, run: stopped_by_a_signal },
];

const MIB: u64 = 1 << 20;

/// Writes that many mebibytes of noise at a place of a volume.
fn noise(ctx: &Ctx, vg: &str, lv: &str, at_mib: u64, mib: u64) -> Result<()> {
    let node = ctx.dev(vg, lv);
    let line = format!("dd if=/dev/urandom of={} bs=1M seek={at_mib} count={mib} conv=fsync", node.display());
    ctx.ok(&line)?;
    // udev looks at what was written to.
    ctx.ok("udevadm settle").map(drop)
}

/// Of two volume groups the second refuses: the first is as it was, to the last byte. What will be done is in the plan.
fn planned_first(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    let other = format!("{vg}z");
    let disk = ctx.disk_with_sectors(256 * MIB, 512)?;
    ctx.ok(&format!("vgcreate --yes --setautoactivation n {other} {}", disk.name()))?;
    ctx.ok(&format!("lvcreate --yes --type thin-pool -L 64M -n data {other}"))?;
    for vg in [vg, other.as_str()] {
        ctx.thinvol_ok(&format!("alloc {vg}/data 100 vm-100-a 16M"))?;
        noise(ctx, vg, "vm-100-a", 0, 16)?;
    }
    let sum = |vg: &str| ctx.ok(&format!("sha256sum {}", ctx.dev(vg, "vm-100-a").display()));
    let before = sum(vg)?;
    let both = format!("{vg}/vm-100-a {other}/vm-100-a");
    let plan = ctx.thinvol_ok(&format!("free --discard --dry-run {both}"))?;
    ensure!(plan.matches("discard all 16 MiB of vm-100-a").count() == 2, "{plan}");
    let plan = ctx.thinvol_ok(&format!("alloc --zero --dry-run {vg}/data 100 vm-100-n 16M"))?;
    ensure!(plan.contains("overwrite all 16 MiB of vm-100-n with zeros"), "{plan}");
    let holder = format!("exec sleep 60 < {}", ctx.dev(&other, "vm-100-a").display());
    let mut holder = std::process::Command::new("sh").arg("-c").arg(&holder).spawn()?;
    let used = ctx.thinvol(&format!("free --discard {both}"))?;
    holder.kill()?;
    holder.wait()?;
    ensure!(used.status == 4 && used.stderr.contains("in use"), "{used:?}");
    ensure!(sum(vg)? == before, "the first volume was emptied, although the second is in use");
    let refused = ctx.thinvol(&format!("free --discard {vg}/vm-100-a {other}/data"))?;
    ensure!(refused.status == 1, "{refused:?}");
    ensure!(sum(vg)? == before, "the first volume was emptied, although the second is no volume");
    ctx.ok(&format!("lvchange -an {other}/vm-100-a"))?;
    ctx.thinvol_ok(&format!("free --discard {both}"))?;
    ensure!(ctx.fact(&other, "lv_name")? == "data" && ctx.fact(vg, "lv_name")? == "data");
    ctx.ok(&format!("vgchange -an {other}"))?;
    ctx.ok(&format!("vgremove -ff --yes {other}"))?;
    ctx.agreed(vg)
}

/// What is shared with snapshots that go as well, what lies at the border of two pieces in a pool with chunks of no
/// power of two, and what a read-only volume holds.
fn all_is_given_back(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[512 * MIB], 512)?;
    ctx.ok(&format!("lvcreate --yes --type thin-pool -L 192M --chunksize 192k -n data {vg}"))?;
    let blocks = || -> Result<u64> {
        let file = ctx.dir().join("disk0");
        Ok(ctx.ok(&format!("stat -c %b {}", file.display()))?.trim().parse::<u64>()? * 512 / MIB)
    };
    let empty = blocks()?;
    // Two GiB and three: 192 KiB do not divide one.
    ctx.thinvol_ok(&format!("alloc {vg}/data 100 vm-100-a 3G"))?;
    ctx.thinvol_ok(&format!("alloc {vg}/data 100 vm-100-b 32M"))?;
    for border in [1024, 2048] {
        noise(ctx, vg, "vm-100-a", border - 8, 16)?;
    }
    noise(ctx, vg, "vm-100-b", 0, 24)?;
    ctx.thinvol_ok(&format!("snapshot {vg}/vm-100-a@s {vg}/vm-100-b@s"))?;
    ctx.ok(&format!("lvchange -an {vg}/vm-100-b"))?;
    ctx.ok(&format!("lvchange -pr {vg}/vm-100-b"))?;
    let full = blocks()?;
    ensure!(full >= empty + 50, "{empty} MiB before, {full} MiB with all written");
    let freed = ctx.thinvol(&format!("free --discard --snapshots {vg}/vm-100-a {vg}/vm-100-b"))?;
    ensure!(freed.status == 0, "{freed:?}");
    ensure!(freed.stderr.contains(&format!("of {vg}/vm-100-b are no whole chunk of its pool")), "{freed:?}");
    let left = blocks()?;
    ensure!(left <= empty + 2, "{empty} MiB before, {full} MiB with all written, {left} MiB left");
    ctx.agreed(vg)
}

/// A signal stops the work between two pieces: exit 5, and the rest is reported.
fn stopped_by_a_signal(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.thinvol_ok(&format!("alloc {vg}/data 100 vm-100-a 200T"))?;
    ctx.ok("udevadm settle")?;
    let run = |command: &str, signal: &str, after: &str| {
        ctx.sh(&format!("timeout --preserve-status -s {signal} {after} thinvol {command}"))
    };
    let stopped = run(&format!("free --discard {vg}/vm-100-a"), "INT", "4")?;
    ensure!(stopped.status == 5, "{stopped:?}");
    ensure!(
        stopped.stderr.contains("no volume was removed, but what was discarded before is gone: vm-100-a (")
            && stopped.stderr.contains("stopped by SIGINT after"),
        "{stopped:?}"
    );
    ensure!(ctx.fact(&format!("{vg}/vm-100-a"), "lv_active")? == "active", "its device comes back");
    ctx.agreed(vg)?;
    ctx.ok("udevadm settle")?;
    ctx.thinvol_ok(&format!("free {vg}/vm-100-a"))?;
    let stopped = run(&format!("alloc --zero {vg}/data 100 vm-100-b 1000M"), "TERM", "4")?;
    ensure!(stopped.status == 5 && stopped.stderr.contains("stopped by SIGTERM after"), "{stopped:?}");
    ensure!(stopped.stderr.contains("not wholly overwritten with zeros: vm-100-b"), "{stopped:?}");
    ctx.ok("udevadm settle")?;
    ctx.thinvol_ok(&format!("free {vg}/vm-100-b"))?;
    ctx.agreed(vg)
}
