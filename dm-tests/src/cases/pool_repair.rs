//! Damaged pools repaired, as lvm2 repairs them, and pools that the kernel has marked.

use anyhow::{Context, Result, ensure};

use super::pools::{difference, seen};
use crate::case::{Case, Tier};
use crate::ctx::{Ctx, Disk};

/// The cases of this file, all of them long.
pub const LONG: &[Case] = &[
    Case { name: "pool_repair::is_that_of_lvm2", tier: Tier::Full, limit_s: 500, run: twin },
    Case { name: "pool_repair::the_mark_is_cleared", tier: Tier::Full, limit_s: 300, run: marked },
    Case { name: "pool_repair::damage_anywhere", tier: Tier::Full, limit_s: 3000, run: anywhere },
];

/// A small group with a pool that holds data, stopped, and what its disk holds.
struct Stopped<'a> {
    ctx: &'a Ctx,
    vg: &'static str,
    disk: Disk,
    /// Checksums of what the volumes hold.
    sums: String,
}

impl<'a> Stopped<'a> {
    fn new(ctx: &'a Ctx) -> Result<Self> {
        let disk = ctx.disk(160 << 20)?;
        let vg = ctx.vg();
        ctx.ok(&format!("vgcreate --yes --setautoactivation n {vg} {}", disk.name()))?;
        ctx.change(&format!("pool create {vg}/data --size 64M"))?;
        ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 16M"))?;
        ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-1 8M"))?;
        let volume = ctx.dev(vg, "vm-100-disk-0");
        let write = |what: &str| ctx.ok(&format!("dd if=/dev/urandom of={} bs=64k {what}", volume.display()));
        write("count=60 oflag=direct status=none")?;
        ctx.change(&format!("snapshot {vg}/vm-100-disk-0@s"))?;
        write("count=7 seek=30 oflag=direct status=none")?;
        let mut stopped = Self { ctx, vg, disk, sums: String::new() };
        stopped.sums = stopped.read()?;
        stopped.ctx.ok(&format!(
            "cp --sparse=always {} {}",
            stopped.disk.file().display(),
            stopped.saved()
        ))?;
        Ok(stopped)
    }

    fn saved(&self) -> String {
        self.ctx.dir().join("saved").display().to_string()
    }

    /// What the volumes hold; the group is stopped afterwards.
    fn read(&self) -> Result<String> {
        let vg = self.vg;
        self.ctx.lvm(&format!("vgchange -qq -ay -K {vg}"))?;
        let sums = self.ctx.shell(&format!(
            "md5sum < /dev/{vg}/vm-100-disk-0; md5sum < /dev/{vg}/vm-100-disk-1; \
             md5sum < /dev/{vg}/snap_vm-100-disk-0_s"
        ))?;
        self.stop()?;
        Ok(sums)
    }

    fn stop(&self) -> Result<()> {
        self.ctx.ok("udevadm settle")?;
        self.ctx.lvm(&format!("vgchange -qq -an {}", self.vg))?;
        self.ctx.ok("sync")?;
        Ok(())
    }

    /// The disk as it was at first.
    fn restore(&self) -> Result<()> {
        self.ctx.ok(&format!(
            "dd if={} of={} bs=1M oflag=direct conv=fsync status=none",
            self.saved(),
            self.disk.name()
        ))?;
        self.ctx.ok(&format!("blockdev --flushbufs {}", self.disk.name()))?;
        Ok(())
    }

    fn damage(&self, block: u64, at: usize, whole: bool) -> Result<()> {
        let metadata = self.ctx.pool_metadata(self.vg)?;
        let mut content = metadata.read(block)?;
        if whole {
            content = [0x5a; 4096];
        } else {
            content[at] = if at == 97 { b'Z' } else { content[at] ^ 4 };
        }
        metadata.write(block, &content)
    }
}

/// A block whose damage the check sees and `thin_repair` mends without a loss, such as one of a space map.
fn mendable(stopped: &Stopped<'_>) -> Result<u64> {
    let metadata = stopped.ctx.pool_metadata(stopped.vg)?;
    let bytes = metadata.blocks() * 4096;
    let [whole, damaged, out] =
        [stopped.ctx.disk(bytes)?, stopped.ctx.disk(bytes)?, stopped.ctx.disk(bytes)?];
    let blocks: Vec<u8> =
        (0..metadata.blocks()).map(|number| metadata.read(number)).collect::<Result<Vec<_>>>()?.concat();
    std::fs::write(whole.file(), &blocks)?;
    let found = stopped.ctx.shell(&format!(
        "cd {}; good={}; m={}; out={}; blockdev --flushbufs $good; thin_dump $good > good; \
         for n in $(seq 1 60); do dd if=$good of=$m bs=1M conv=fsync oflag=direct status=none; \
         dd if=$good of=block bs=4096 skip=$n count=1 status=none; \
         printf 'Z' | dd of=block bs=1 seek=97 conv=notrunc status=none; \
         dd if=block of=$m bs=4096 seek=$n oflag=direct conv=fsync status=none; \
         if ! thin_check -q $m > /dev/null 2>&1 && thin_repair -i $m -o $out > /dev/null 2>&1 && \
         thin_dump $out 2> /dev/null | cmp -s - good; then echo $n; exit 0; fi; done",
        stopped.ctx.dir().display(),
        whole.name(),
        damaged.name(),
        out.name()
    ))?;
    found.trim().parse().context("no block is mended without a loss")
}

/// What lvm2 says of the group and of what is in the metadata, after either has repaired it.
fn after(stopped: &Stopped<'_>) -> Result<(super::pools::Seen, String)> {
    let Stopped { ctx, vg, .. } = stopped;
    let all = seen(ctx, vg)?;
    ctx.lvm(&format!("lvchange -qq -y -ay {vg}/data_tmeta"))?;
    let dump = ctx.ok(&format!("thin_dump /dev/mapper/{vg}-data_tmeta"))?;
    ctx.ok("udevadm settle")?;
    ctx.lvm(&format!("lvchange -qq -an {vg}/data_tmeta"))?;
    Ok((all, dump))
}

fn twin(ctx: &Ctx) -> Result<()> {
    let stopped = Stopped::new(ctx)?;
    let (vg, disk) = (stopped.vg, stopped.disk.name());
    let refused = ctx.thinvol(&format!("pool repair {vg}/data"))?;
    ensure!(refused.status == 1 && refused.stderr.contains("nothing is wrong with"), "{refused:?}");
    let block = mendable(&stopped)?;
    for spare in [true, false] {
        let prepare = || -> Result<()> {
            stopped.restore()?;
            if !spare {
                ctx.ok(&format!("lvremove -fqq {vg}/lvol0_pmspare"))?;
            }
            stopped.damage(block, 97, false)
        };
        prepare()?;
        let ran = ctx.sh(&format!("lvconvert -qq -y --repair {vg}/data"))?;
        ensure!(ran.status == 0, "lvm2 does not repair block {block}: {ran:?}");
        // As lvm2 leaves it since 2.03.22.
        ctx.sh(&format!("lvchange -qq -pr {vg}/data_meta0; lvchange -qq -ky {vg}/data_meta0; true"))?;
        let (theirs, their_dump) = after(&stopped)?;
        prepare()?;
        let check = ctx.thinvol(&format!("pool check {vg}/data"))?;
        ensure!(check.status == 6 && check.stderr.contains("thinvol pool repair"), "{check:?}");
        let plan = ctx.thinvol_ok(&format!("pool repair --dry-run {vg}/data"))?;
        ensure!(plan.contains("expect damage") && plan.contains("data_meta0"), "{plan}");
        ensure!(ctx.thinvol(&format!("pool check {vg}/data"))?.status == 6, "the dry run repaired it");
        let said = ctx.change(&format!("pool repair {vg}/data"))?;
        ensure!(said.contains("data_meta0"), "{said}");
        let (ours, our_dump) = after(&stopped)?;
        ensure!(theirs == ours, "{}", difference(&theirs, &ours));
        ensure!(their_dump == our_dump, "{their_dump}\nand\n{our_dump}");
        ensure!(stopped.read()? == stopped.sums, "the volumes hold something else");
        ensure!(ctx.thinvol(&format!("pool check {vg}/data"))?.status == 0, "it is not whole");
        ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-2 4M"))?;
        ctx.agreed(vg)?;
        stopped.stop()?;
    }
    superblock(&stopped)?;
    lost(&stopped, &disk)
}

/// What cannot be read of the superblock is taken from the text.
fn superblock(stopped: &Stopped<'_>) -> Result<()> {
    let Stopped { ctx, vg, .. } = stopped;
    stopped.restore()?;
    stopped.damage(0, 50, false)?;
    let activate = ctx.thinvol(&format!("activate {vg}/vm-100-disk-0"))?;
    ensure!(activate.status == 6 && activate.stderr.contains("thinvol pool repair"), "{activate:?}");
    let plan = ctx.thinvol_ok(&format!("pool repair --dry-run {vg}/data"))?;
    ensure!(plan.contains("its superblock cannot be read"), "{plan}");
    let ran = ctx.thinvol(&format!("pool repair {vg}/data"))?;
    // The tools of Debian 12 find no roots without one; newer ones do.
    if ran.status == 0 {
        ensure!(stopped.read()? == stopped.sums, "the volumes hold something else");
        return ctx.oracle(vg);
    }
    ensure!(ran.status == 6 && ran.stderr.contains("nothing was changed"), "{ran:?}");
    ctx.oracle(vg)
}

/// What a repair would lose is said, and nothing is changed; forced it is, and what was there before is kept.
fn lost(stopped: &Stopped<'_>, disk: &str) -> Result<()> {
    let Stopped { ctx, vg, .. } = stopped;
    for block in 1..40 {
        stopped.restore()?;
        stopped.damage(block, 200, true)?;
        if ctx.thinvol(&format!("pool check {vg}/data"))?.status == 0 {
            continue;
        }
        let before = ctx.ok(&format!("md5sum {disk}"))?;
        let ran = ctx.thinvol(&format!("pool repair {vg}/data"))?;
        if ran.status == 0 {
            ensure!(stopped.read()? == stopped.sums, "block {block}: the volumes hold something else");
            continue;
        }
        ensure!(ran.status == 6 && ran.stderr.contains("nothing was changed"), "block {block}: {ran:?}");
        if !ran.stderr.contains("--force") {
            continue;
        }
        ensure!(before != ctx.ok(&format!("md5sum {disk}"))?, "the spare was not written");
        ctx.oracle(vg)?;
        let ran = ctx.thinvol(&format!("pool repair --force {vg}/data"))?;
        ensure!(ran.status == 0 && ran.stderr.contains("is not all there was"), "block {block}: {ran:?}");
        ctx.oracle(vg)?;
        ensure!(ctx.fact(&format!("{vg}/data_meta0"), "lv_name")? == "data_meta0", "nothing is kept");
        return Ok(());
    }
    anyhow::bail!("no damage loses anything")
}

/// Damage anywhere is found and repaired, or refused: never made worse, and nobody panics.
fn anywhere(ctx: &Ctx) -> Result<()> {
    let stopped = Stopped::new(ctx)?;
    let Stopped { vg, .. } = &stopped;
    let metadata = ctx.pool_metadata(vg)?;
    let is_used =
        |number: &u64| metadata.read(*number).is_ok_and(|block| block.iter().any(|byte| *byte != 0));
    let used: Vec<u64> = (0..metadata.blocks()).filter(is_used).collect();
    let (mut found, mut repaired, mut refused, mut forced) = (0, 0, 0, 0);
    for (block, whole) in used.iter().flat_map(|block| [(*block, false), (*block, true)]) {
        stopped.restore()?;
        stopped.damage(block, usize::try_from(block * 97 % 4096)?, whole)?;
        let check = ctx.thinvol(&format!("pool check {vg}/data"))?;
        ensure!([0, 6].contains(&check.status), "block {block}: {check:?}");
        let ran = ctx.thinvol(&format!("pool repair {vg}/data"))?;
        ensure!([0, 1, 6].contains(&ran.status), "block {block}: {ran:?}");
        if check.status == 0 {
            ensure!(ran.status == 1, "block {block} is whole, and repaired: {ran:?}");
            continue;
        }
        found += 1;
        if ran.status == 0 {
            repaired += 1;
            ensure!(stopped.read()? == stopped.sums, "block {block}: the volumes hold something else");
            ensure!(ctx.thinvol(&format!("pool check {vg}/data"))?.status == 0, "block {block}: not whole");
        } else {
            refused += 1;
            ensure!(ran.stderr.contains("nothing was changed"), "block {block}: {ran:?}");
            let again = ctx.thinvol(&format!("pool repair --force {vg}/data"))?;
            ensure!([0, 6].contains(&again.status), "block {block}: {again:?}");
            forced += u32::from(again.status == 0);
        }
        ctx.oracle(vg)?;
    }
    ensure!(
        found > 10 && repaired > 5,
        "{found} found, {repaired} repaired, {refused} refused, {forced} forced"
    );
    println!("{found} found, {repaired} repaired, {refused} refused, {forced} of them forced");
    Ok(())
}

/// A commit fails, since the disk below the metadata does; the kernel marks the pool. Nothing is wrong with it: the
/// mark is taken away, and it goes on.
fn marked(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 16M"))?;
    let device = ctx.dev(vg, "vm-100-disk-0").display().to_string();
    ctx.ok(&format!("dd if=/dev/urandom of={device} bs=1M count=4 oflag=direct conv=fsync status=none"))?;
    let sum = ctx.ok(&format!("md5sum {device}"))?;
    let tmeta = format!("{vg}-data_tmeta");
    let table = ctx.ok(&format!("dmsetup table {tmeta}"))?;
    let failing = table.trim().replace("linear", "flakey") + " 0 3600 1 error_writes";
    let put = |table: &str| {
        ctx.shell(&format!(
            "modprobe dm-flakey; dmsetup suspend --noflush --nolockfs {vg}-data-tpool; \
             dmsetup suspend --noflush --nolockfs {tmeta}; dmsetup reload {tmeta} --table '{table}'; \
             dmsetup resume {tmeta}; dmsetup resume {vg}-data-tpool"
        ))
    };
    put(&failing)?;
    // Whether the write learns of it depends on which commit comes first: its own, or that of each second.
    ctx.sh(&format!(
        "dd if=/dev/urandom of={device} bs=1M seek=8 count=1 oflag=direct conv=fsync 2> /dev/null"
    ))?;
    ctx.shell(&format!(
        "for i in $(seq 100); do dmsetup status {vg}-data-tpool | grep -q needs_check && exit 0; sleep 0.1; done; \
         dmsetup status {vg}-data-tpool; dmsetup table {tmeta}; dmesg | tail -5; exit 1"
    ))?;
    put(table.trim())?;
    let shown = ctx.thinvol(&format!("info {vg}/data"))?;
    ensure!(shown.stdout.contains("--clear-needs-check") && !shown.stdout.contains("repair"), "{shown:?}");
    let refused = ctx.thinvol(&format!("alloc {vg}/data 100 vm-100-disk-1 8M"))?;
    ensure!(refused.status == 6 && refused.stderr.contains("--clear-needs-check"), "{refused:?}");
    let busy = ctx.thinvol(&format!("pool check {vg}/data --clear-needs-check"))?;
    ensure!(busy.status == 4, "{busy:?}");
    ctx.change(&format!("deactivate {vg}"))?;
    let check = ctx.thinvol(&format!("pool check {vg}/data"))?;
    ensure!(check.status == 6 && check.stdout.contains("unchecked: "), "{check:?}");
    ensure!(!check.stderr.contains("pool repair"), "nothing is damaged: {check:?}");
    let repair = ctx.thinvol(&format!("pool repair {vg}/data"))?;
    ensure!(repair.status == 1 && repair.stderr.contains("--clear-needs-check"), "{repair:?}");
    let started = ctx.thinvol(&format!("activate {vg}/vm-100-disk-0"))?;
    ensure!(started.status == 0 && started.stderr.contains("--clear-needs-check"), "{started:?}");
    ctx.change(&format!("deactivate {vg}"))?;
    let cleared = ctx.thinvol_ok(&format!("pool check {vg}/data --clear-needs-check"))?;
    ensure!(cleared.contains("nothing is wrong"), "{cleared}");
    ctx.change(&format!("activate {vg}/vm-100-disk-0"))?;
    let status = ctx.ok(&format!("dmsetup status {vg}-data-tpool"))?;
    ensure!(status.contains(" rw ") && !status.contains("needs_check"), "the pool says {status}");
    ensure!(ctx.ok(&format!("md5sum {device}"))? == sum, "the volume holds something else");
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-1 8M"))?;
    ctx.agreed(vg)
}
