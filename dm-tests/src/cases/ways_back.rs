//! For each state of a pool that docs/pools.md names, the way back that it names: the real pool is brought into the
//! state, what is told there is typed, and all that was acknowledged is there. fio writes and verifies.

use anyhow::{Context, Result, ensure};

use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// The cases of this file, all of them long.
pub const LONG: &[Case] = &[
    Case { name: "ways_back::of_a_full_pool", tier: Tier::Full, limit_s: 400, run: waits },
    Case { name: "ways_back::of_a_full_pool_that_fails_writes", tier: Tier::Full, limit_s: 400, run: fails },
    Case { name: "ways_back::of_full_metadata", tier: Tier::Full, limit_s: 500, run: metadata_full },
    Case { name: "ways_back::of_a_pool_that_only_reads", tier: Tier::Full, limit_s: 300, run: read_only },
    Case { name: "ways_back::of_a_failed_pool", tier: Tier::Full, limit_s: 300, run: failed },
    Case { name: "ways_back::of_a_disk_that_was_away", tier: Tier::Full, limit_s: 300, run: disk_away },
    Case { name: "ways_back::of_metadata_put_back", tier: Tier::Full, limit_s: 400, run: put_back },
];

/// A group of 1 MiB extents with a pool and a volume whose data is acknowledged.
fn pool(ctx: &Ctx, size: &str, more: &str) -> Result<&'static str> {
    let vg = ctx.vg();
    let disk = ctx.disk(512 << 20)?;
    ctx.ok(&format!("vgcreate --yes --setautoactivation n -s 1M {vg} {}", disk.name()))?;
    ctx.change(&format!("pool create {vg}/data --size {size} {more}"))?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 64M"))?;
    ctx.ok(&format!("fio {} --do_verify=0 --end_fsync=1", job(ctx, "vm-100-disk-0")))?;
    Ok(vg)
}

/// Eight megabytes with checksums in each block.
fn job(ctx: &Ctx, volume: &str) -> String {
    format!(
        "--name=kept --filename={} --rw=write --bs=64k --size=8M --direct=1 --verify=crc32c --verify_fatal=1 \
         --minimal --output=/dev/null",
        ctx.dev(ctx.vg(), volume).display()
    )
}

/// All that was acknowledged is there.
fn verified(ctx: &Ctx) -> Result<()> {
    ctx.ok(&format!("fio {} --verify_only=1", job(ctx, "vm-100-disk-0"))).map(drop)
}

/// The same, and pool and group are as they should be, for lvm2 as well.
fn is_well(ctx: &Ctx, vg: &str) -> Result<()> {
    let condition = ctx.thinvol(&format!("status {vg}/data -o condition --noheadings"))?;
    ensure!(condition.stdout.trim() == "works", "{condition:?}");
    verified(ctx)?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-7 4M"))?;
    ctx.agreed(vg)?;
    verified(ctx)
}

/// The pool says that it is in that state, in a word and in words that name the way out.
fn is_in(ctx: &Ctx, vg: &str, word: &str, way_out: &str) -> Result<()> {
    ctx.shell(&format!(
        "for i in $(seq 300); do [ \"$(thinvol status {vg}/data -o condition --noheadings 2> /dev/null)\" = {word} ] \
         && exit 0; sleep 0.2; done; thinvol status {vg}/data -o condition; exit 1"
    ))?;
    let info = ctx.thinvol(&format!("info {vg}/data"))?;
    ensure!(info.stdout.contains(way_out), "{way_out} is not named: {info:?}");
    let page = include_str!("../../../docs/pools.md");
    ensure!(page.contains(&format!("`{word}`")), "docs/pools.md does not know {word}");
    Ok(())
}

/// A writer that needs more than there is, in the background; its exit code comes to a file.
fn write_beyond(ctx: &Ctx, vg: &str, megabytes: u32) -> Result<()> {
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-1 64M"))?;
    let (device, dir) = (ctx.dev(vg, "vm-100-disk-1"), ctx.dir().display());
    ctx.shell(&format!(
        "(dd if=/dev/urandom of={} bs=1M count={megabytes} oflag=direct conv=fsync > {dir}/dd 2>&1 && \
         echo 0 > {dir}/code || echo 1 > {dir}/code) > /dev/null 2>&1 &",
        device.display()
    ))?;
    Ok(())
}

fn code(ctx: &Ctx) -> Result<String> {
    let dir = ctx.dir().display();
    ctx.shell(&format!(
        "for i in $(seq 600); do test -e {dir}/code && break; sleep 0.2; done; cat {dir}/code"
    ))
}

fn waits(ctx: &Ctx) -> Result<()> {
    let vg = pool(ctx, "32M", "--when-full queue")?;
    write_beyond(ctx, vg, 40)?;
    is_in(ctx, vg, "data_full_writes_wait", "pool extend")?;
    // What is mapped goes on meanwhile.
    ctx.ok(&format!("fio {} --do_verify=1", job(ctx, "vm-100-disk-0")))?;
    ctx.change(&format!("pool extend {vg}/data --size +64M"))?;
    ensure!(code(ctx)?.trim() == "0", "the writer that waited failed");
    is_well(ctx, vg)
}

fn fails(ctx: &Ctx) -> Result<()> {
    let vg = pool(ctx, "32M", "--when-full error")?;
    write_beyond(ctx, vg, 40)?;
    is_in(ctx, vg, "data_full_writes_fail", "who wrote must check")?;
    ensure!(code(ctx)?.trim() != "0", "the writer learned of nothing");
    ctx.ok(&format!("fio {} --do_verify=1", job(ctx, "vm-100-disk-0")))?;
    ctx.change(&format!("pool extend {vg}/data --size +64M"))?;
    ctx.ok(&format!("fio {} --do_verify=1", job(ctx, "vm-100-disk-1")))?;
    is_well(ctx, vg)
}

/// Volumes are made until the metadata is all but full, and then devices by hand until it is.
fn metadata_full(ctx: &Ctx) -> Result<()> {
    let vg = pool(ctx, "64M", "--metadata-size 2M")?;
    let file = ctx.dir().join("batch");
    let line = |n: u32| {
        format!(
            "{{\"request\":\"create\",\"pool\":\"{vg}/data\",\"name\":\"v{n}\",\"size\":\"1M\",\"activate\":false}}\n"
        )
    };
    std::fs::write(&file, (0..280).map(line).collect::<String>())?;
    ctx.ok(&format!("thinvol batch {}", file.display()))?;
    ctx.shell(&format!(
        "for i in $(seq 5000 5400); do dmsetup message {vg}-data-tpool 0 \"create_thin $i\" 2> /dev/null || break; \
         echo $i > {}/last; done; true",
        ctx.dir().display()
    ))?;
    is_in(ctx, vg, "metadata_full", "--metadata-size")?;
    ctx.ok(&format!("fio {} --do_verify=1", job(ctx, "vm-100-disk-0")))?;
    let refused = ctx.thinvol(&format!("alloc {vg}/data 100 vm-100-disk-1 4M"))?;
    ensure!(refused.status == 1 && refused.stderr.contains("--metadata-size"), "{refused:?}");
    ctx.thinvol_ok(&format!("pool extend {vg}/data --metadata-size +4M"))?;
    ctx.shell(&format!(
        "for i in $(seq 5000 5400); do dmsetup message {vg}-data-tpool 0 \"delete $i\" 2> /dev/null || break; done"
    ))?;
    let line = |n: u32| format!("{{\"request\":\"remove\",\"volume\":\"{vg}/v{n}\"}}\n");
    std::fs::write(&file, (0..280).map(line).collect::<String>())?;
    ctx.ok(&format!("thinvol batch {}", file.display()))?;
    is_well(ctx, vg)
}

fn read_only(ctx: &Ctx) -> Result<()> {
    let vg = pool(ctx, "64M", "")?;
    let table = ctx.ok(&format!("dmsetup table {vg}-data-tpool"))?;
    let words: Vec<&str> = table.split_whitespace().collect();
    let (fixed, features) = words.split_at_checked(7).context("the pool's table is short")?;
    let count: u32 = features.first().map_or(Ok(0), |count| count.parse())?;
    let rest = features.get(1..).unwrap_or_default().join(" ");
    let with = format!("{} {} {rest} read_only", fixed.join(" "), count + 1);
    ctx.shell(&format!(
        "dmsetup suspend {vg}-data-tpool; dmsetup reload {vg}-data-tpool --table '{with}'; \
         dmsetup resume {vg}-data-tpool"
    ))?;
    is_in(ctx, vg, "read_only", "kernel log")?;
    ctx.ok(&format!("fio {} --do_verify=1", job(ctx, "vm-100-disk-0")))?;
    ctx.change(&format!("deactivate {vg}"))?;
    ctx.change(&format!("activate {vg}"))?;
    is_well(ctx, vg)
}

/// The metadata's disk goes away under a running pool: not even what failed can be taken back. It comes again.
fn failed(ctx: &Ctx) -> Result<()> {
    let vg = pool(ctx, "64M", "")?;
    let tmeta = format!("{vg}-data_tmeta");
    let table = ctx.ok(&format!("dmsetup table {tmeta}"))?.trim().to_owned();
    let length = table.split_whitespace().nth(1).context("a table has a length")?.to_owned();
    let put = |table: &str| {
        ctx.shell(&format!(
            "dmsetup suspend --noflush --nolockfs {vg}-data-tpool; dmsetup suspend --noflush --nolockfs {tmeta}; \
             dmsetup reload {tmeta} --table '{table}'; dmsetup resume {tmeta}; dmsetup resume {vg}-data-tpool"
        ))
    };
    put(&format!("0 {length} error"))?;
    let device = ctx.dev(vg, "vm-100-disk-0");
    ctx.sh(&format!(
        "dd if=/dev/zero of={} bs=1M seek=40 count=1 oflag=direct conv=fsync > /dev/null 2>&1",
        device.display()
    ))?;
    is_in(ctx, vg, "failed", "pool check")?;
    put(&table)?;
    ctx.thinvol_ok(&format!("deactivate {vg}"))?;
    let check = ctx.thinvol(&format!("pool check {vg}/data"))?;
    if check.status != 0 {
        ensure!(check.stderr.contains("--clear-needs-check"), "{check:?}");
        ctx.thinvol_ok(&format!("pool check {vg}/data --clear-needs-check"))?;
    }
    ctx.change(&format!("activate {vg}"))?;
    is_well(ctx, vg)
}

fn disk_away(ctx: &Ctx) -> Result<()> {
    let vg = ctx.vg();
    let disks = [ctx.disk(256 << 20)?, ctx.disk(64 << 20)?];
    let names: Vec<String> = disks.iter().map(|disk| disk.name()).collect();
    ctx.ok(&format!("vgcreate --yes --setautoactivation n {vg} {}", names.join(" ")))?;
    ctx.change(&format!("pool create {vg}/data --size 128M"))?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 64M"))?;
    ctx.ok(&format!("fio {} --do_verify=0 --end_fsync=1", job(ctx, "vm-100-disk-0")))?;
    let on = ctx.fact(&format!("-a {vg}/data_tmeta"), "devices")?;
    let (place, disk) = names
        .iter()
        .enumerate()
        .find(|(_, name)| on.contains(name.as_str()))
        .context("the metadata is nowhere")?;
    ctx.ok("udevadm settle")?;
    ctx.change(&format!("deactivate {vg}"))?;
    ctx.ok(&format!("losetup -d {disk}"))?;
    ctx.ok("udevadm settle")?;
    let shown = ctx.thinvol(&format!("status {vg}/data -o condition --noheadings"))?;
    ensure!(shown.stdout.trim() == "part_missing", "{shown:?}");
    let activate = ctx.thinvol(&format!("activate {vg}/vm-100-disk-0"))?;
    ensure!(activate.status != 0 && !activate.stderr.contains("pool repair"), "{activate:?}");
    let repair = ctx.thinvol(&format!("pool repair {vg}/data"))?;
    ensure!(repair.status != 0, "what is not here was repaired: {repair:?}");
    ctx.ok(&format!("losetup {disk} {}", disks[place].file().display()))?;
    ctx.ok("udevadm settle")?;
    ctx.change(&format!("activate {vg}"))?;
    is_well(ctx, vg)
}

/// Either side is put back without the other: `recover` names the copy that fits, and what is typed after that leads to
/// a pool that works, with all that both sides know of.
fn put_back(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 64M"))?;
    ctx.ok(&format!("fio {} --do_verify=0 --end_fsync=1", job(ctx, "vm-100-disk-0")))?;
    let stop = || -> Result<()> {
        ctx.ok("udevadm settle")?;
        ctx.change(&format!("deactivate {vg}")).map(drop)
    };
    stop()?;
    let metadata = ctx.pool_metadata(vg)?;
    let blocks: Vec<_> = (0..metadata.blocks()).map(|at| metadata.read(at)).collect::<Result<_>>()?;
    let old = ctx.dir().join("old.vg");
    ctx.lvm(&format!("vgcfgbackup -f {} {vg}", old.display()))?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-1 8M"))?;
    stop()?;
    // The pool's own metadata, as of a disk that was restored.
    for (at, block) in (0..).zip(&blocks) {
        metadata.write(at, block)?;
    }
    let refused = ctx.thinvol(&format!("activate {vg}/vm-100-disk-0"))?;
    ensure!(refused.status == 6 && refused.stderr.contains("transaction"), "{refused:?}");
    let dry = ctx.thinvol(&format!("recover --dry-run {vg}"))?;
    ensure!(dry.status == 6 && dry.stderr.contains("vm-100-disk-1 go from it"), "{dry:?}");
    typed(ctx, &dry.stderr)?;
    ctx.change(&format!("activate {vg}"))?;
    ensure!(ctx.thinvol(&format!("info {vg}/vm-100-disk-1"))?.status == 3, "the newer volume is still there");
    is_well(ctx, vg)?;
    // The group's metadata, as of a copy of it.
    ctx.change(&format!("free {vg}/vm-100-disk-7"))?;
    stop()?;
    ctx.lvm(&format!("vgcfgbackup -f {} {vg}", old.display()))?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-2 8M"))?;
    stop()?;
    ctx.ok(&format!("cp -r /etc/lvm/backup {}/kept", ctx.dir().display()))?;
    ctx.sh(&format!("vgcfgrestore --force -f {} {vg}", old.display()))?;
    let refused = ctx.thinvol(&format!("recover {vg}"))?;
    ensure!(refused.status == 6, "{refused:?}");
    if refused.stderr.contains("A copy on this host fits") {
        ensure!(refused.stderr.contains("vm-100-disk-2 are in it again"), "{refused:?}");
        typed(ctx, &refused.stderr)?;
    } else {
        // lvm2 has replaced the only one; who has it elsewhere puts it back.
        ctx.sh(&format!("vgcfgrestore --force -f {}/kept/{vg} {vg}", ctx.dir().display()))?;
        ctx.thinvol_ok(&format!("recover {vg}"))?;
    }
    ctx.change(&format!("activate {vg}"))?;
    is_well(ctx, vg)
}

/// Types the commands that a hint names.
fn typed(ctx: &Ctx, hint: &str) -> Result<()> {
    let hint = hint.lines().find_map(|line| line.strip_prefix("hint: ")).context("there is no hint")?;
    let commands: Vec<&str> = hint.split('\'').skip(1).step_by(2).collect();
    ensure!(commands.iter().any(|command| command.starts_with("vgcfgrestore")), "{hint}");
    for command in commands {
        // vgcfgrestore warns that the pool's own metadata is not put back.
        let ran = ctx.sh(command)?;
        ensure!(ran.status == 0, "{command}: {ran:?}");
    }
    Ok(())
}
