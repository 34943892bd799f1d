//! A disk that loses power at every flush: dm-log-writes records what a change writes, in the order in which it became
//! durable, and each prefix up to a flush is a disk that a crash could leave. Stock lvm2 gets each of them.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::case::{Case, Tier};
use crate::ctx::{Conf, Ctx};
use crate::loopdev;

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

/// Source of the log's format: Linux `drivers/md/dm-log-writes.c`.
const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const DISCARD: u64 = 4;
const MARK: u64 = 8;

/// One write, discard, mark or flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    sector: u64,
    sectors: u64,
    flags: u64,
    /// Where its data is in the log.
    data_at: u64,
}

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

/// Records a change, then shows at most `most` of its flushes to lvm2.
fn cut(ctx: &Ctx, most: usize) -> Result<()> {
    let disk = ctx.disk(DISK_BYTES)?;
    let log = ctx.disk(LOG_BYTES)?;
    let on_disk = only(ctx, &disk.name())?;
    let vg = "pve";
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

    let entries = entries(log.file())?;
    let done = entries.iter().position(|entry| entry.flags & MARK != 0).context("the log has no mark")?;
    let flushes: Vec<usize> = (0..done).filter(|at| entries[*at].flags & FLUSH != 0).collect();
    println!("{} entries until the end of the change, {} of them flushes", done, flushes.len());
    ensure!(flushes.len() >= 8, "the change cannot have been recorded");
    let step = flushes.len().div_ceil(most.min(flushes.len()));
    let (mut old, mut new) = (0, 0);
    for at in flushes.iter().step_by(step).chain(flushes.last()) {
        let image = ctx.dir().join("cut");
        std::fs::copy(&start, &image)?;
        replay(&entries[..=*at], log.file(), &image)?;
        if shown_to_lvm2(ctx, &image, vg, &content).with_context(|| format!("cut after entry {at}"))? {
            new += 1;
        } else {
            old += 1;
        }
    }
    println!("{old} cuts left the old volumes, {new} the new ones");
    ensure!(old > 0 && new > 0, "the cuts show one side only");
    Ok(())
}

/// lvm2 activates what is on that disk and works with it; then thinvol finds it in order. Says whether the volumes are
/// the new ones.
fn shown_to_lvm2(ctx: &Ctx, image: &Path, vg: &str, content: &str) -> Result<bool> {
    let file = OpenOptions::new().read(true).write(true).open(image)?;
    let device = loopdev::attach(&file, image, 512)?;
    let lvm = only(ctx, &device.display().to_string())?;
    let result = (|| {
        // lvm2 makes a thin device of a crashed change only with the next change to the pool: until then the volume
        // that waits for it cannot be activated, and all others are.
        let ran = ctx.sh(&format!("{lvm} vgchange -ay {vg}"))?;
        let waits = ran.status == 5 && ran.stderr.lines().all(|line| line.contains("No data available"));
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

/// Reads the log. Entries and data are padded to sectors.
fn entries(log: &Path) -> Result<Vec<Entry>> {
    let mut file = File::open(log)?;
    let [magic, _version, count, sector_size] = numbers(&mut file, 0)?;
    ensure!(magic == MAGIC, "no log: its magic is {magic:x}");
    // The size is the lower half of the last field.
    let sector_size = sector_size & 0xffff_ffff;
    let mut at = sector_size;
    let mut entries = Vec::new();
    for _ in 0..count {
        let [sector, sectors, flags, data_len] = numbers(&mut file, at)?;
        let data_at = at + sector_size;
        entries.push(Entry { sector, sectors, flags, data_at });
        let has_data = flags & (DISCARD | MARK) == 0;
        let data = if has_data { sectors * 512 } else { 0 };
        // A mark's words share its own sector.
        ensure!(flags & MARK == 0 || data_len < sector_size, "a mark that is too long");
        at = data_at + data.next_multiple_of(sector_size);
    }
    Ok(entries)
}

fn numbers(file: &mut File, at: u64) -> Result<[u64; 4]> {
    let mut bytes = [0; 32];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut bytes)?;
    let number =
        |place: usize| -> Result<u64> { Ok(u64::from_le_bytes(bytes[place * 8..place * 8 + 8].try_into()?)) };
    Ok([number(0)?, number(1)?, number(2)?, number(3)?])
}

/// Writes what was written to another disk.
fn replay(entries: &[Entry], log: &Path, image: &Path) -> Result<()> {
    let mut log = File::open(log)?;
    let mut image = OpenOptions::new().write(true).open(image)?;
    for entry in entries.iter().filter(|entry| entry.flags & MARK == 0) {
        let length = usize::try_from(entry.sectors * 512)?;
        let mut data = vec![0; length];
        if entry.flags & DISCARD == 0 {
            log.seek(SeekFrom::Start(entry.data_at))?;
            log.read_exact(&mut data)?;
        }
        image.seek(SeekFrom::Start(entry.sector * 512))?;
        image.write_all(&data)?;
    }
    Ok(())
}
