//! A disk that loses power at every flush, and between any two of them: dm-log-writes records what a change writes.
//! Each prefix up to a flush is a disk that a crash could leave; so is each with some of what was written after it, in
//! any order. Stock lvm2 gets each of them.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use vm_harness::lossy::LossyDisk;

use crate::case::{Case, Tier};
use crate::ctx::{Conf, Ctx};
use crate::loopdev;
use crate::write_log::{WriteLog, is_flush, is_mark};

/// The cases of this file: they take minutes.
pub const LONG: &[Case] = &[
    Case { name: "replay::disk_cut_at_some_flushes", tier: Tier::Full, limit_s: 600, run: |ctx| cut(ctx, 6) },
    Case {
        name: "replay::disk_cut_at_every_flush",
        tier: Tier::Full,
        limit_s: 3600,
        run: |ctx| cut(ctx, usize::MAX),
    },
];

/// Size of the disk, and of the disk that takes the log.
const DISK_BYTES: u64 = 96 << 20;
const LOG_BYTES: u64 = 256 << 20;

/// How often what was not flushed is drawn before each flush.
const DRAWS: u64 = 2;

/// What draws; the time if it is not set. It is printed.
const SEED: &str = "THINVOL_CUT_SEED";

/// What commands begin with while the disk is cut: only the device on top may be taken for a physical volume.
fn only(ctx: &Ctx, device: &str) -> Result<String> {
    let conf = Conf::new(ctx)?;
    conf.set(&format!("devices {{\n global_filter = [ \"a|^{device}$|\", \"r|.*|\" ]\n}}\n"))?;
    Ok(conf.line(""))
}

fn must(ctx: &Ctx, line: &str) -> Result<String> {
    let ran = ctx.sh(line)?;
    ensure!(ran.status == 0, "`{line}` failed with status {}: {}", ran.status, ran.stderr);
    Ok(ran.stdout)
}

/// A change that was recorded.
struct Recorded {
    /// The disk before it.
    start: PathBuf,
    /// The sum of a volume that nobody writes to meanwhile.
    content: String,
    log: WriteLog,
}

/// Makes a change on a disk that records it.
fn record(ctx: &Ctx, vg: &str) -> Result<Recorded> {
    let disk = ctx.disk(DISK_BYTES)?;
    let log = ctx.disk(LOG_BYTES)?;
    let on_disk = only(ctx, &disk.name())?;
    must(ctx, &format!("{on_disk} vgcreate --yes --setautoactivation n {vg} {}", disk.name()))?;
    must(ctx, &format!("{on_disk} lvcreate --yes --type thin-pool -L 48M -n data {vg}"))?;
    must(ctx, &format!("{on_disk} thinvol alloc {vg}/data 100 vm-100-disk-0 8M"))?;
    must(ctx, &format!("{on_disk} thinvol alloc {vg}/data 100 vm-100-disk-1 8M"))?;
    must(ctx, &format!("dd if=/dev/urandom of=/dev/{vg}/vm-100-disk-0 bs=1M count=2 oflag=direct"))?;
    let content = must(ctx, &format!("sha256sum < /dev/{vg}/vm-100-disk-0"))?;
    must(ctx, "udevadm settle")?;
    must(ctx, &format!("{on_disk} vgchange -an {vg}"))?;
    let start = ctx.dir().join("start");
    std::fs::copy(disk.file(), &start)?;

    let sectors = DISK_BYTES / 512;
    let table = format!("0 {sectors} log-writes {} {}", disk.name(), log.name());
    must(ctx, &format!("dmsetup create recorded --table '{table}'"))?;
    let recorded = only(ctx, "/dev/mapper/recorded")?;
    must(ctx, &format!("{recorded} vgchange -ay {vg}"))?;
    let batch = ctx.dir().join("batch");
    std::fs::write(
        &batch,
        format!(
            "{{\"request\":\"create\",\"pool\":\"{vg}/data\",\"name\":\"n1\",\"size\":\"4M\"}}\n\
             {{\"request\":\"snapshot\",\"snapshot\":\"{vg}/vm-100-disk-0@s\"}}\n\
             {{\"request\":\"remove\",\"volume\":\"{vg}/vm-100-disk-1\"}}\n"
        ),
    )?;
    must(ctx, &format!("{recorded} thinvol batch {}", batch.display()))?;
    must(ctx, "dmsetup message recorded 0 mark done && udevadm settle")?;
    must(ctx, &format!("{recorded} vgchange -an {vg}"))?;
    must(ctx, "udevadm settle && dmsetup remove recorded")?;
    Ok(Recorded { start, content, log: WriteLog::read(log.file())? })
}

/// Records a change, then shows at most `most` of its flushes to lvm2, and what may be there before each.
fn cut(ctx: &Ctx, most: usize) -> Result<()> {
    let vg = "pve";
    let Recorded { start, content, log } = record(ctx, vg)?;
    let done = log.entries.iter().position(is_mark).context("the log has no mark")?;
    let flushes: Vec<usize> = (0..done).filter(|at| is_flush(&log.entries[*at])).collect();
    println!("{} entries until the end of the change, {} of them flushes", done, flushes.len());
    ensure!(flushes.len() >= 8, "the change cannot have been recorded");
    let step = flushes.len().div_ceil(most.min(flushes.len()));
    let image = ctx.dir().join("cut");
    let disk_up_to = |at: usize| -> Result<LossyDisk> {
        std::fs::copy(&start, &image)?;
        let disk = LossyDisk::new(OpenOptions::new().read(true).write(true).open(&image)?, DISK_BYTES)?;
        log.put(at, &disk)?;
        Ok(disk)
    };
    let seed = seed()?;
    let (mut old, mut new, mut drawn) = (0, 0, 0);
    for at in flushes.iter().step_by(step).chain(flushes.last()) {
        disk_up_to(at + 1)?.flush()?;
        let is_new = shown_to_lvm2(ctx, &image, vg, &content, false);
        if is_new.with_context(|| format!("cut after entry {at}"))? {
            new += 1;
        } else {
            old += 1;
        }
        for draw in 0..DRAWS {
            let cut = disk_up_to(*at)?.cut(seed.wrapping_add(draw))?;
            // With all or nothing of it the disk is one of those that are cut at a flush.
            if cut.kept > 0 && cut.lost > 0 {
                drawn += 1;
                shown_to_lvm2(ctx, &image, vg, &content, drawn % 2 == 0).with_context(|| {
                    format!(
                        "before entry {at}, of what was not flushed: {cut:?} ({SEED}={seed}, draw {draw})"
                    )
                })?;
            }
        }
    }
    println!(
        "{old} cuts left the old volumes, {new} the new ones; {drawn} drawn disks between flushes were in order"
    );
    ensure!(old > 0 && new > 0, "the cuts show one side only");
    ensure!(drawn > 0, "nothing was ever written between two flushes");
    Ok(())
}

fn seed() -> Result<u64> {
    match std::env::var(SEED) {
        Ok(given) => given.parse().with_context(|| format!("{SEED} is no number")),
        Err(_) => Ok(u64::from(SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos())),
    }
}

/// lvm2 activates what is on that disk and works with it; then thinvol finds it in order. Or thinvol recovers it first.
/// Says whether the volumes are the new ones.
fn shown_to_lvm2(ctx: &Ctx, image: &Path, vg: &str, content: &str, recovered: bool) -> Result<bool> {
    let file = OpenOptions::new().read(true).write(true).open(image)?;
    let device = loopdev::attach(&file, image, 512)?;
    let lvm = only(ctx, &device.display().to_string())?;
    let result = (|| {
        // lvm2 makes a thin device of a crashed change only with the next change to the pool: until then the volume
        // that waits for it cannot be activated, and all others are.
        if recovered {
            must(ctx, &format!("{lvm} thinvol recover {vg}"))?;
        }
        let ran = ctx.sh(&format!("{lvm} vgchange -ay {vg}"))?;
        let waits = !recovered
            && ran.status == 5
            && ran.stderr.lines().all(|line| line.contains("No data available"));
        ensure!(ran.status == 0 || waits, "vgchange -ay: status {}: {}", ran.status, ran.stderr);
        let names = must(ctx, &format!("{lvm} lvs --noheadings -o lv_name {vg}"))?;
        let names: Vec<&str> = names.split_whitespace().collect();
        let has = |name: &str| names.contains(&name);
        let new = has("n1") && has("snap_vm-100-disk-0_s") && !has("vm-100-disk-1");
        let old = !has("n1") && !has("snap_vm-100-disk-0_s") && has("vm-100-disk-1");
        ensure!(old != new, "neither the old volumes nor the new ones: {names:?}");
        let read = must(ctx, &format!("sha256sum < /dev/{vg}/vm-100-disk-0"))?;
        ensure!(read == content, "a volume that nobody wrote to holds something else");
        must(ctx, &format!("{lvm} lvcreate --yes -V 4M -T {vg}/data -n after"))?;
        let zeros = must(ctx, &format!("tr -d '\\0' < /dev/{vg}/after | wc -c"))?;
        ensure!(zeros.trim() == "0", "a new volume of lvm2 holds data");
        ensure!(new || !waits, "an old volume cannot be activated");
        must(ctx, &format!("{lvm} vgchange -ay {vg}"))?;
        must(ctx, &format!("udevadm settle; {lvm} lvremove --yes {vg}/after"))?;
        must(ctx, &format!("{lvm} thinvol recover {vg}"))?;
        let checked = ctx.sh(&format!("{lvm} vgck {vg}"))?;
        ensure!(checked.status == 0 && checked.stderr.is_empty(), "vgck: {}", checked.stderr);
        Ok(new)
    })();
    must(ctx, &format!("udevadm settle; {lvm} vgchange -an {vg}"))?;
    loopdev::detach(&device)?;
    result
}
