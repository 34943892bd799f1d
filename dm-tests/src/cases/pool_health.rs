//! Pools that take no more: what is asked of them is refused before anything is done to them.

use anyhow::{Context, Result, ensure};
use base::bytes::{crc, le};

use super::refusals::says_no;
use crate::case::{Case, Tier};
use crate::ctx::{Conf, Ctx};

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "pool_health::metadata_without_room", tier: Tier::Full, limit_s: 240, run: no_room },
    Case { name: "pool_health::read_only", tier: Tier::Full, limit_s: 180, run: read_only },
    Case { name: "pool_health::damage_is_found", tier: Tier::Full, limit_s: 400, run: damaged },
    Case { name: "pool_health::needs_check", tier: Tier::Full, limit_s: 240, run: needs_check },
];

/// The command fails so and says that, and neither the metadata text nor the pool has changed.
fn refused(ctx: &Ctx, line: &str, code: i32, words: &[&str]) -> Result<()> {
    let state = || -> Result<(String, String)> {
        let text = ctx.lvm(&format!("vgs --noheadings -o vg_seqno {}", ctx.vg()))?;
        Ok((text, ctx.ok(&format!("dmsetup status {}-data-tpool", ctx.vg()))?))
    };
    let before = state()?;
    says_no(ctx, line, code, words)?;
    ensure!(state()? == before, "`{line}` was refused and changed something");
    Ok(())
}

/// A batch that the metadata has no room for would leave the pool read-only in its middle.
fn no_room(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[128 << 20], 512)?;
    ctx.ok(&format!("lvcreate -y --type thin-pool -L 64M --poolmetadatasize 4M -n data {vg}"))?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 4M"))?;
    let batch = |count: u32| -> Result<String> {
        let file = ctx.dir().join(format!("batch-{count}"));
        let line = |n| {
            let volume =
                format!("\"pool\":\"{vg}/data\",\"name\":\"v{n}\",\"size\":\"4M\",\"activate\":false");
            format!("{{\"request\":\"create\",{volume}}}\n")
        };
        std::fs::write(&file, (0..count).map(line).collect::<String>())?;
        Ok(format!("thinvol batch {}", file.display()))
    };
    refused(ctx, &batch(700)?, 1, &["the metadata of pool", "700 new volumes", "--metadata-size"])?;
    ctx.ok(&batch(500)?)?;
    let used = ctx.lvm(&format!("lvs --noheadings -o metadata_percent {vg}/data"))?;
    let used: f64 = used.trim().parse()?;
    ensure!((55.0..75.0).contains(&used), "500 volumes take {used} % of 1024 blocks");
    ctx.change(&format!("snapshot {vg}/vm-100-disk-0@s"))?;
    Ok(())
}

fn read_only(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 8M"))?;
    let tpool = format!("{vg}-data-tpool");
    let table = ctx.ok(&format!("dmsetup table {tpool}"))?;
    let words: Vec<&str> = table.split_whitespace().collect();
    let (fixed, features) = words.split_at_checked(7).context("the pool's table is short")?;
    let count: u32 = features.first().map_or(Ok(0), |count| count.parse())?;
    let rest = features.get(1..).unwrap_or_default().join(" ");
    let with = format!("{} {} {rest} read_only", fixed.join(" "), count + 1);
    for line in [
        format!("dmsetup suspend {tpool}"),
        format!("dmsetup reload {tpool} --table '{with}'"),
        format!("dmsetup resume {tpool}"),
    ] {
        let ran = ctx.sh(&line)?;
        ensure!(ran.status == 0, "{ran:?}");
    }
    let hint = "metadata space";
    refused(ctx, &format!("thinvol alloc {vg}/data 100 vm-100-disk-1 8M"), 1, &["is read-only", hint])?;
    refused(ctx, &format!("thinvol snapshot {vg}/vm-100-disk-0@s"), 1, &["is read-only", hint])?;
    refused(ctx, &format!("thinvol free {vg}/vm-100-disk-0"), 1, &["is read-only", hint])
}

/// The kernel has marked the metadata as suspect, and nobody has looked since.
fn needs_check(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 8M"))?;
    ctx.ok("udevadm settle")?;
    ctx.lvm(&format!("vgchange -an {vg}"))?;
    mark_suspect(ctx, vg)?;
    let conf = Conf::new(ctx)?;
    conf.set("global { thin_check_executable = \"\" }\n")?;
    let ran = conf.run(ctx, &format!("thinvol activate {vg}/vm-100-disk-0"))?;
    ensure!(ran.status == 0, "{ran:?}");
    let hint = "--clear-needs-check";
    let alloc = conf.line(&format!("thinvol alloc {vg}/data 100 vm-100-disk-1 8M"));
    refused(ctx, &alloc, 6, &["needs its metadata checked", hint])?;
    refused(
        ctx,
        &conf.line(&format!("thinvol free {vg}/vm-100-disk-0")),
        6,
        &["needs its metadata checked", hint],
    )?;
    ctx.ok("udevadm settle")?;
    ctx.lvm(&format!("vgchange -an {vg}"))?;
    // The check finds nothing, and clears the mark only if it is told to.
    let ran = ctx.thinvol(&format!("alloc {vg}/data 100 vm-100-disk-1 8M"))?;
    ensure!(ran.status == 6 && ran.stderr.contains("--clear-needs-check"), "{ran:?}");
    let options = "global { thin_check_options = [ \"-q\", \"--clear-needs-check-flag\" ] }\n";
    conf.set(options)?;
    let ran = ctx.sh(&alloc)?;
    ensure!(ran.status == 0, "{ran:?}");
    ctx.agreed(vg)
}

/// A bit that flips anywhere in the metadata is damage to thinvol if it is to `thin_check`, and nobody panics; put
/// back, nothing is wrong. A running pool is checked while it runs.
fn damaged(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 8M"))?;
    let device = ctx.dev(vg, "vm-100-disk-0");
    ctx.ok(&format!("dd if=/dev/urandom of={} bs=1M count=4 oflag=direct status=none", device.display()))?;
    ctx.change(&format!("snapshot {vg}/vm-100-disk-0@s"))?;
    ctx.ok(&format!("dd if=/dev/urandom of={} bs=64k count=3 oflag=direct status=none", device.display()))?;
    let live = ctx.thinvol(&format!("pool check --rate 400 {vg}/data"))?;
    ensure!(live.status == 0 && live.stdout.contains("nothing is wrong"), "{live:?}");
    ctx.ok(&format!("dmsetup message {vg}-data-tpool 0 create_thin 77"))?;
    let stray = ctx.thinvol(&format!("pool check {vg}/data"))?;
    ensure!(stray.status == 0 && stray.stdout.contains("left over: device 77 is no volume's"), "{stray:?}");
    ctx.ok(&format!("dmsetup message {vg}-data-tpool 0 delete 77"))?;
    ctx.ok("udevadm settle")?;
    ctx.lvm(&format!("vgchange -an {vg}"))?;
    let check = || ctx.thinvol(&format!("pool check {vg}/data"));
    let whole = check()?;
    ensure!(whole.status == 0 && whole.stdout.contains("nothing is wrong"), "{whole:?}");
    let metadata = ctx.pool_metadata(vg)?;
    let mut found = 0;
    for number in 0..metadata.blocks().min(40) {
        let block = metadata.read(number)?;
        if block.iter().all(|byte| *byte == 0) {
            continue;
        }
        let mut flipped = block;
        flipped[usize::try_from(number * 97 % 4096)?] ^= 4;
        metadata.write(number, &flipped)?;
        let ran = check()?;
        ensure!([0, 6].contains(&ran.status), "block {number}: {ran:?}");
        ensure!((ran.status == 6) == ran.stdout.contains("damage: "), "block {number}: {ran:?}");
        found += u32::from(ran.status == 6);
        metadata.write(number, &block)?;
    }
    ensure!(found >= 5, "of all blocks only {found} matter");
    let whole = check()?;
    ensure!(whole.status == 0, "{whole:?}");
    ctx.change(&format!("activate {vg}/vm-100-disk-0"))?;
    ctx.agreed(vg)
}

/// Sets the flag in the superblock of a pool that is stopped.
fn mark_suspect(ctx: &Ctx, vg: &str) -> Result<()> {
    /// Source: Linux `drivers/md/dm-thin-metadata.c` (`SUPERBLOCK_CSUM_XOR`).
    const SALT: u32 = 160_774;
    let metadata = ctx.pool_metadata(vg)?;
    let mut block = metadata.read(0)?;
    ensure!(le::u32(&block, 0)? == crc::crc32c(&block[4..]) ^ SALT, "this is not the superblock");
    let flags = le::u32(&block, 4)?;
    le::put_u32(&mut block, 4, flags | 1)?;
    let sum = crc::crc32c(&block[4..]) ^ SALT;
    le::put_u32(&mut block, 0, sum)?;
    metadata.write(0, &block)
}
