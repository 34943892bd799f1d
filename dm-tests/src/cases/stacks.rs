//! Pools on more than plain extents: mirrors are started and stopped as lvm2 does it, what only lvm2 can start is used
//! while it runs, and what hinders one pool hinders no other.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;

use anyhow::{Result, ensure};

use crate::case::{Case, Tier};
use crate::ctx::{Conf, Ctx};

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "stacks::mirrored_pool", tier: Tier::Full, limit_s: 300, run: mirrored_pool },
    Case { name: "stacks::pool_run_by_lvm2", tier: Tier::Full, limit_s: 300, run: pool_run_by_lvm2 },
    Case { name: "stacks::what_stays_is_said", tier: Tier::Full, limit_s: 300, run: what_stays_is_said },
    Case { name: "stacks::one_bad_pool", tier: Tier::Full, limit_s: 300, run: one_bad_pool },
    Case { name: "stacks::check_without_result", tier: Tier::Full, limit_s: 240, run: check_without_result },
    Case { name: "stacks::profile", tier: Tier::Full, limit_s: 240, run: profile },
    Case { name: "stacks::monitored", tier: Tier::Full, limit_s: 240, run: monitored },
];

/// A volume group on three disks.
fn three_disks(ctx: &Ctx) -> Result<&'static str> {
    ctx.volume_group(&[256 << 20, 256 << 20, 256 << 20], 512)
}

/// A pool whose data and metadata are made by these options of lvcreate, with a volume.
fn pool_of(ctx: &Ctx, vg: &str, pool: &str, options: &str) -> Result<()> {
    ctx.ok(&format!("lvcreate --yes {options} -L 48M -n {pool} {vg}"))?;
    ctx.ok(&format!("lvcreate --yes {options} -L 8M -n {pool}_meta {vg}"))?;
    ctx.ok(&format!("lvconvert --yes --type thin-pool --poolmetadata {vg}/{pool}_meta {vg}/{pool}"))?;
    ctx.ok(&format!("lvcreate -V 8M -T {vg}/{pool} -n {pool}-a"))?;
    ctx.ok("udevadm settle")?;
    Ok(())
}

/// All devices with their uuids, permissions and tables; numbers in tables given as names.
fn stack(ctx: &Ctx, vg: &str) -> Result<String> {
    ctx.ok("udevadm settle")?;
    let numbers = ctx.ok("dmsetup info -c --noheadings --separator : -o major,minor,name")?;
    let names: BTreeMap<String, &str> = numbers
        .lines()
        .filter_map(|line| {
            let (number, name) = line.rsplit_once(':')?;
            Some((number.to_owned(), name))
        })
        .collect();
    let info = ctx.ok("dmsetup info -c --noheadings --separator : -o name,uuid,readonly")?;
    let mut shown: Vec<String> =
        info.lines().filter(|line| line.starts_with(vg)).map(str::to_owned).collect();
    for line in ctx.ok("dmsetup table")?.lines().filter(|line| line.starts_with(vg)) {
        let words = line.split_whitespace().map(|word| names.get(word).copied().unwrap_or(word));
        shown.push(words.collect::<Vec<_>>().join(" "));
    }
    shown.sort();
    Ok(shown.join("\n"))
}

fn stop(ctx: &Ctx, vg: &str) -> Result<()> {
    ctx.ok("udevadm settle")?;
    ctx.lvm(&format!("vgchange -an {vg}"))?;
    ctx.ok("udevadm settle")?;
    Ok(())
}

/// Changes of each kind in a pool that runs, with volumes coming and going.
fn use_pool(ctx: &Ctx, vg: &str, pool: &str) -> Result<()> {
    ctx.change(&format!("alloc {vg}/{pool} 100 vm-100-disk-0 8M"))?;
    ctx.change(&format!("snapshot {vg}/vm-100-disk-0@s"))?;
    ctx.change(&format!("deactivate {vg}/vm-100-disk-0"))?;
    ctx.change(&format!("activate {vg}/vm-100-disk-0"))?;
    ctx.ok("udevadm settle")?;
    ctx.change(&format!("delete-snapshot {vg}/vm-100-disk-0@s"))?;
    ctx.change(&format!("free {vg}/vm-100-disk-0"))?;
    Ok(())
}

/// Data and metadata on mirrors: used while lvm2 runs them, and started and stopped with the very devices of lvm2.
fn mirrored_pool(ctx: &Ctx) -> Result<()> {
    let vg = three_disks(ctx)?;
    pool_of(ctx, vg, "data", "--type raid1 -m 1")?;
    use_pool(ctx, vg, "data")?;
    stop(ctx, vg)?;
    ctx.lvm(&format!("vgchange -ay {vg}"))?;
    let theirs = stack(ctx, vg)?;
    ensure!(theirs.contains("raid1") && theirs.contains("rmeta_1"), "{theirs}");
    let said = ctx.thinvol_ok(&format!("deactivate {vg}"))?;
    ensure!(stack(ctx, vg)?.is_empty(), "devices stay though it says '{said}': {}", stack(ctx, vg)?);
    ctx.change(&format!("activate {vg}"))?;
    let ours = stack(ctx, vg)?;
    ensure!(ours == theirs, "lvm2:\n{theirs}\nthinvol:\n{ours}");
    // A change of a stopped pool, whose metadata is read from the copies of its mirror first.
    ctx.thinvol_ok(&format!("deactivate {vg}"))?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-1 8M"))?;
    ctx.change(&format!("recover {vg}"))?;
    ctx.agreed(vg)
}

/// A kind of RAID that only lvm2 starts, beside a pool with striped metadata and a plain volume.
fn pool_run_by_lvm2(ctx: &Ctx) -> Result<()> {
    let vg = three_disks(ctx)?;
    pool_of(ctx, vg, "far", "--type raid5 -i 2")?;
    pool_of(ctx, vg, "wide", "--type striped -i 2")?;
    ctx.ok(&format!("lvcreate --yes -Wn -L 8M -n thick {vg}"))?;
    use_pool(ctx, vg, "far")?;
    ctx.change(&format!("activate {vg}"))?;
    let ran = ctx.thinvol(&format!("deactivate {vg}"))?;
    ensure!(ran.status == 5 && ran.stderr.contains("pool") && ran.stderr.contains("far"), "{ran:?}");
    ensure!(!ran.stdout.contains("deactivated volume group"), "{ran:?}");
    let left = stack(ctx, vg)?;
    ensure!(left.contains("far_tdata") && !left.contains("tpool"), "{left}");
    ensure!(!left.contains("wide") && !left.contains("thick"), "{left}");
    stop(ctx, vg)?;
    // A healthy pool whose metadata cannot be read while it is stopped is not called damaged.
    let ran = ctx.thinvol(&format!("activate {vg}/far-a"))?;
    ensure!(ran.status == 7 && !ran.stderr.contains("lvconvert"), "{ran:?}");
    let ran = ctx.thinvol(&format!("activate {vg}"))?;
    ensure!(ran.status == 5 && ran.stderr.contains("raid5") && !ran.stderr.contains("lvconvert"), "{ran:?}");
    let active = stack(ctx, vg)?;
    ensure!(active.contains("wide--a") && active.contains("thick") && !active.contains("far"), "{active}");
    use_pool(ctx, vg, "wide")?;
    ctx.lvm(&format!("vgchange -ay {vg}"))?;
    ctx.change(&format!("activate {vg}"))?;
    ctx.oracle(vg)
}

/// A mounted volume with a copy-on-write snapshot is lvm2's: it stays, and that is said.
fn what_stays_is_said(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 8M"))?;
    ctx.ok(&format!("lvcreate --yes -Wn -L 16M -n thick {vg}"))?;
    ctx.ok(&format!("mkfs.ext4 -q {}", ctx.dev(vg, "thick").display()))?;
    let mount = ctx.dir().join("mnt");
    std::fs::create_dir_all(&mount)?;
    ctx.ok(&format!("mount {} {}", ctx.dev(vg, "thick").display(), mount.display()))?;
    ctx.ok(&format!("lvcreate --yes -s -L 8M -n cow {vg}/thick"))?;
    ctx.ok("udevadm settle")?;
    let ran = ctx.thinvol(&format!("deactivate {vg}"))?;
    let left = stack(ctx, vg)?;
    ctx.ok(&format!("umount {}", mount.display()))?;
    ensure!(ran.status == 5 && ran.stderr.contains("thick") && ran.stderr.contains("stay"), "{ran:?}");
    ensure!(left.contains("thick-real") && !left.contains("tpool"), "{left}");
    stop(ctx, vg)?;
    let ran = ctx.thinvol(&format!("activate {vg}"))?;
    ensure!(ran.status == 5 && ran.stderr.contains("thick"), "{ran:?}");
    ensure!(stack(ctx, vg)?.contains("vm--100--disk--0"), "the rest is not active");
    // Data and metadata that a crash left without their pool go, too.
    ctx.thinvol(&format!("deactivate {vg}"))?;
    ctx.ok(&format!("lvremove --yes {vg}/cow {vg}/thick"))?;
    ctx.lvm(&format!("vgchange -ay {vg}"))?;
    ctx.ok("udevadm settle")?;
    let devices = [format!("{vg}-vm--100--disk--0"), format!("{vg}-data"), format!("{vg}-data-tpool")];
    devices.iter().try_for_each(|device| ctx.ok(&format!("dmsetup remove --retry {device}")).map(|_| ()))?;
    ctx.thinvol_ok(&format!("deactivate {vg}"))?;
    ensure!(stack(ctx, vg)?.is_empty(), "{}", stack(ctx, vg)?);
    ctx.agreed(vg)
}

/// A block of a stopped pool's metadata as it was, and where on which disk it lies.
struct Spoilt {
    block: [u8; 4096],
    disk: String,
    at: u64,
}

impl Spoilt {
    fn put_back(&self, ctx: &Ctx) -> Result<()> {
        std::fs::OpenOptions::new().write(true).open(&self.disk)?.write_all_at(&self.block, self.at)?;
        ctx.ok(&format!("blockdev --flushbufs {}", self.disk)).map(drop)
    }
}

/// Damages the root of the mappings of a stopped pool, whose metadata lies on one stretch: only a check reads it.
/// Where the superblock names it: Linux `drivers/md/dm-thin-metadata.c` (`thin_disk_superblock`).
fn spoil_mappings(ctx: &Ctx, vg: &str, pool: &str) -> Result<Spoilt> {
    let part = format!("{vg}/{pool}_tmeta");
    ctx.ok(&format!("lvchange --yes -qq -ay {part}"))?;
    let table = ctx.ok(&format!("dmsetup table {vg}-{pool}_tmeta"))?;
    ctx.ok("udevadm settle")?;
    ctx.lvm(&format!("lvchange -an {part}"))?;
    let words: Vec<&str> = table.split_whitespace().collect();
    let [_, _, "linear", number, start] = words.as_slice() else { anyhow::bail!("{table}") };
    let disk = format!("/dev/block/{number}");
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&disk)?;
    let start = start.parse::<u64>()? * 512;
    let mut root = [0; 8];
    file.read_exact_at(&mut root, start + 320)?;
    let at = start + u64::from_le_bytes(root) * 4096;
    let mut block = [0; 4096];
    file.read_exact_at(&mut block, at)?;
    file.write_all_at(b"spoilt", at + 100)?;
    drop(file);
    ctx.ok(&format!("blockdev --flushbufs {disk}"))?;
    Ok(Spoilt { block, disk, at })
}

/// Of two pools one fails its check: the other is activated, and stays.
fn one_bad_pool(ctx: &Ctx) -> Result<()> {
    let vg = three_disks(ctx)?;
    pool_of(ctx, vg, "two", "")?;
    pool_of(ctx, vg, "one", "")?;
    ctx.ok(&format!("lvcreate --yes -Wn -L 8M -n thick {vg}"))?;
    // Both pools have volumes that read from it.
    ctx.shell(&format!(
        "udevadm settle; lvchange -qq -an {vg}/thick; lvchange -qq -pr {vg}/thick; \
         for pool in two one; do lvcreate -qq -s --thinpool {vg}/$pool -n $pool-b {vg}/thick; done"
    ))?;
    stop(ctx, vg)?;
    let spoilt = spoil_mappings(ctx, vg, "two")?;
    let ran = ctx.thinvol(&format!("activate {vg}"))?;
    ensure!(ran.status == 5 && ran.stderr.contains("did not pass its check"), "{ran:?}");
    ensure!(ran.stderr.contains(&format!("thinvol pool repair {vg}/two")), "{ran:?}");
    let active = stack(ctx, vg)?;
    ensure!(active.contains("one--a") && active.contains("one--b"), "{active}");
    ensure!(active.contains("thick") && !active.contains("two"), "{active}");
    // By name it is refused, with nothing changed.
    let ran = ctx.thinvol(&format!("activate {vg}/two-a"))?;
    ensure!(ran.status == 6, "{ran:?}");
    ensure!(stack(ctx, vg)? == active, "a refused activation changed something");
    let theirs = ctx.run(&["lvchange", "-ay", &format!("{vg}/two-a")])?;
    ensure!(
        theirs.status == 5 && theirs.stderr.contains("failed (status:1)"),
        "lvm2 thinks otherwise: {theirs:?}"
    );
    spoilt.put_back(ctx)?;
    ctx.change(&format!("activate {vg}"))?;
    ctx.oracle(vg)
}

/// A check that was killed, or cannot run as it is told to, says nothing of the metadata.
fn check_without_result(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 8M"))?;
    stop(ctx, vg)?;
    let conf = Conf::new(ctx)?;
    let check = ctx.dir().join("check");
    std::fs::write(&check, "#!/bin/sh\nkill -KILL $$\n")?;
    ctx.ok(&format!("chmod 755 {}", check.display()))?;
    let settings = [
        format!("thin_check_executable = \"{}\"", check.display()),
        format!("thin_check_executable = \"{}\"", ctx.dir().display()),
        "thin_check_options = [ \"--no-such-option\" ]".to_owned(),
    ];
    for setting in settings {
        conf.set(&format!("global {{ {setting} }}\n"))?;
        let ran = conf.run(ctx, &format!("thinvol activate {vg}/vm-100-disk-0"))?;
        ensure!(ran.status == 1, "with {setting}: {ran:?}");
        ensure!(ran.stderr.contains("could not be checked") && !ran.stderr.contains("lvconvert"), "{ran:?}");
        ensure!(stack(ctx, vg)?.is_empty(), "{}", stack(ctx, vg)?);
    }
    ctx.change(&format!("activate {vg}"))?;
    ctx.oracle(vg)
}

/// The profile of a pool, or of its group, decides its low-water mark and when it counts as full, as for lvm2.
fn profile(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[256 << 20], 512)?;
    pool_of(ctx, vg, "data", "")?;
    let conf = Conf::new(ctx)?;
    conf.set("activation { monitoring = 0 }\n")?;
    let profiles = ctx.dir().join("lvm/profile");
    std::fs::create_dir_all(&profiles)?;
    for percent in ["60", "70"] {
        let text = format!("activation {{\n thin_pool_autoextend_threshold = {percent}\n}}\n");
        std::fs::write(profiles.join(format!("at{percent}.profile")), text)?;
    }
    let table = |starts: &str| -> Result<String> {
        stop(ctx, vg)?;
        conf.run(ctx, starts)?;
        Ok(ctx.ok(&format!("dmsetup table {vg}-data-tpool"))?.trim().to_owned())
    };
    // The pool has 768 chunks.
    let steps = [
        (format!("vgchange --metadataprofile at60 {vg}"), " 128 307 "),
        (format!("lvchange --metadataprofile at70 {vg}/data"), " 128 230 "),
    ];
    for (sets, mark) in steps {
        let set = conf.run(ctx, &sets)?;
        ensure!(set.status == 0, "{set:?}");
        let theirs = table(&format!("lvchange -ay {vg}/data"))?;
        let ours = table(&format!("thinvol activate {vg}/data"))?;
        ensure!(ours == theirs && ours.contains(mark), "{sets}: lvm2 '{theirs}', thinvol '{ours}'");
    }
    ctx.change(&format!("activate {vg}/data-a"))?;
    ctx.ok(&format!("lvextend -qq -L 36M {vg}/data-a"))?;
    ctx.ok(&format!(
        "dd if=/dev/urandom of={} bs=1M count=35 oflag=direct",
        ctx.dev(vg, "data-a").display()
    ))?;
    let (alloc, create) =
        (format!("thinvol alloc {vg}/data 100 vm-100-disk-0 8M"), format!("lvcreate -V 8M -T {vg}/data"));
    for line in [&alloc, &create] {
        let ran = conf.run(ctx, line)?;
        ensure!(ran.status != 0, "{line} took no notice of the profile: {ran:?}");
    }
    let ran = conf.run(ctx, &alloc)?;
    ensure!(ran.status == 1 && ran.stderr.contains("above the limit of 70 %"), "{ran:?}");
    let free = conf.run(ctx, &format!("lvchange --detachprofile {vg}/data"))?;
    let group = conf.run(ctx, &format!("vgchange --detachprofile {vg}"))?;
    ensure!(free.status == 0 && group.status == 0, "{free:?} {group:?}");
    let ran = conf.run(ctx, &alloc)?;
    ensure!(ran.status == 0, "{ran:?}");
    ctx.oracle(vg)
}

/// Whether dmeventd watches a pool is said as lvm2 says it, and a pool that gets its layers with its first volume is
/// watched on.
fn monitored(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    let agree = |wanted: bool| -> Result<()> {
        let theirs = ctx.lvm(&format!("lvs --noheadings -o seg_monitor {vg}/data"))?;
        let ours = ctx.thinvol_ok(&format!("info {vg}/data --json"))?;
        let text = ctx.thinvol_ok(&format!("info {vg}/data"))?;
        let line = text.lines().find(|line| line.contains("monitored")).unwrap_or_default();
        ensure!((theirs.trim() == "monitored") == wanted, "lvm2 says '{theirs}'");
        ensure!(ours.replace(' ', "").contains(&format!("\"monitored\":{wanted}")), "{ours}");
        ensure!(line.ends_with(if wanted { "by dmeventd" } else { "no" }), "{text}");
        Ok(())
    };
    ctx.ok(&format!("lvchange --monitor y {vg}/data"))?;
    agree(true)?;
    let ran = ctx.thinvol(&format!("alloc {vg}/data 100 vm-100-disk-0 8M"))?;
    ensure!(ran.status == 0 && ran.stderr.is_empty(), "{ran:?}");
    agree(true)?;
    ctx.oracle(vg)?;
    ctx.ok(&format!("lvchange --monitor n {vg}/data"))?;
    agree(false)?;
    ctx.ok(&format!("lvchange --monitor y {vg}/data"))?;
    agree(true)?;
    // What thinvol has activated is watched by nobody.
    ctx.change(&format!("deactivate {vg}"))?;
    ctx.change(&format!("activate {vg}"))?;
    agree(false)?;
    ctx.oracle(vg)
}
