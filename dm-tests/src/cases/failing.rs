//! Disks, directories and helpers that fail while something is changed: said, with the right exit code; nothing stays
//! suspended; lvm2 goes on afterwards.

use anyhow::{Result, ensure};

use crate::case::{Case, Tier};
use crate::ctx::{Conf, Ctx, Disk, Ran};

/// The cases of this file: they take long.
pub const LONG: &[Case] = &[
    Case { name: "failing::disk_refuses_writes", tier: Tier::Full, limit_s: 300, run: disk_refuses_writes },
    Case { name: "failing::one_disk_of_two", tier: Tier::Full, limit_s: 300, run: one_disk_of_two },
    Case { name: "failing::copies_of_metadata", tier: Tier::Full, limit_s: 240, run: copies_of_metadata },
    Case {
        name: "failing::metadata_area_is_full",
        tier: Tier::Full,
        limit_s: 300,
        run: metadata_area_is_full,
    },
    Case { name: "failing::check_of_the_pool", tier: Tier::Full, limit_s: 240, run: check_of_the_pool },
];

/// How far into the disk a device in front of it begins, in sectors: the disk itself is then no physical volume.
const OFFSET: u64 = 2048;

/// A device in front of a disk that can be made to fail.
struct Front<'a> {
    ctx: &'a Ctx,
    name: &'static str,
    disk: Disk,
    sectors: u64,
}

impl<'a> Front<'a> {
    fn new(ctx: &'a Ctx, name: &'static str, bytes: u64) -> Result<Self> {
        let front = Self { ctx, name, disk: ctx.disk(bytes)?, sectors: bytes / 512 - OFFSET };
        let table = front.linear();
        let ran = ctx.run(&["dmsetup", "create", name, "--table", &table])?;
        ensure!(ran.status == 0, "{}", ran.stderr);
        ctx.ok("udevadm settle")?;
        Ok(front)
    }

    fn device(&self) -> String {
        format!("/dev/mapper/{}", self.name)
    }

    fn linear(&self) -> String {
        format!("0 {} linear {} {OFFSET}", self.sectors, self.disk.name())
    }

    fn put(&self, table: &str) -> Result<()> {
        self.ctx.ok(&format!("dmsetup suspend --noflush {}", self.name))?;
        let ran = self.ctx.run(&["dmsetup", "load", self.name, "--table", table])?;
        ensure!(ran.status == 0, "{}", ran.stderr);
        self.ctx.ok(&format!("dmsetup resume {}", self.name))?;
        Ok(())
    }

    /// From now on every write fails.
    fn refuse_writes(&self) -> Result<()> {
        self.put(&format!("0 {} flakey {} {OFFSET} 0 3600 1 error_writes", self.sectors, self.disk.name()))
    }

    /// From now on everything fails.
    fn die(&self) -> Result<()> {
        self.put(&format!("0 {} error", self.sectors))
    }

    fn heal(&self) -> Result<()> {
        self.put(&self.linear())
    }
}

/// A group with a pool and an active volume on a device that can fail.
fn group_on(ctx: &Ctx, devices: &[&str]) -> Result<&'static str> {
    let vg = ctx.vg();
    ctx.ok(&format!("vgcreate --yes --setautoactivation n {vg} {}", devices.join(" ")))?;
    ctx.ok(&format!("lvcreate --yes --type thin-pool -L 64M -n data {vg} {}", devices[0]))?;
    ctx.thinvol_ok(&format!("alloc {vg}/data 100 vm-100-disk-0 8M"))?;
    ctx.ok("udevadm settle")?;
    Ok(vg)
}

fn names(ctx: &Ctx, vg: &str) -> Result<Vec<String>> {
    let names = ctx.ok(&format!("lvs --noheadings -o lv_name {vg}"))?;
    Ok(names.split_whitespace().map(str::to_owned).collect())
}

/// If the text cannot be written nothing changes; a snapshot that the pool cannot commit does not come to be.
fn disk_refuses_writes(ctx: &Ctx) -> Result<()> {
    let front = Front::new(ctx, "front", 128 << 20)?;
    let vg = group_on(ctx, &[&front.device()])?;
    let before = names(ctx, vg)?;
    front.refuse_writes()?;
    let ran = ctx.thinvol(&format!("alloc {vg}/data 100 vm-100-disk-1 8M"))?;
    ensure!(ran.status == 1 && ran.stderr.contains("nothing was changed"), "{ran:?}");
    ensure!(ran.stderr.contains("Input/output error"), "{}", ran.stderr);
    ctx.nothing_suspended()?;
    let ran = ctx.thinvol(&format!("snapshot {vg}/vm-100-disk-0@s"))?;
    ensure!(ran.status != 0 && ran.stderr.contains("error:"), "{ran:?}");
    ctx.nothing_suspended()?;
    front.heal()?;
    ensure!(names(ctx, vg)? == before, "the volumes are {:?}", names(ctx, vg)?);
    // The pool has stopped taking changes: it says so, and is as good as before when it has been checked.
    let ran = ctx.thinvol(&format!("alloc {vg}/data 100 vm-100-disk-1 8M"))?;
    ensure!(ran.status == 6 || ran.status == 1, "{ran:?}");
    ctx.ok(&format!("vgchange -an {vg}"))?;
    let check = "global/thin_check_options=[\"-q\",\"--clear-needs-check-flag\"]";
    let ran = ctx.run(&["vgchange", "-ay", "--config", check, vg])?;
    ensure!(ran.status == 0, "{ran:?}");
    ctx.thinvol_ok(&format!("recover {vg}"))?;
    ctx.thinvol_ok(&format!("alloc {vg}/data 100 vm-100-disk-1 8M"))?;
    ctx.thinvol_ok(&format!("snapshot {vg}/vm-100-disk-0@s"))?;
    ctx.ok("udevadm settle")?;
    ctx.oracle(vg)?;
    ctx.reactivate(vg)
}

/// One metadata area of two is enough, as for lvm2; the other is mended when it is back.
fn one_disk_of_two(ctx: &Ctx) -> Result<()> {
    let first = ctx.disk(128 << 20)?;
    let second = Front::new(ctx, "front", 32 << 20)?;
    let vg = group_on(ctx, &[&first.name(), &second.device()])?;
    second.refuse_writes()?;
    let ran = ctx.thinvol(&format!("alloc {vg}/data 100 vm-100-disk-1 8M"))?;
    // The text does not go to an area that takes no writes: nothing has pointed to it yet.
    ensure!(ran.status == 1 && ran.stderr.contains("nothing was changed"), "{ran:?}");
    ctx.nothing_suspended()?;
    second.die()?;
    let ran = ctx.thinvol(&format!("alloc {vg}/data 100 vm-100-disk-1 8M"))?;
    ensure!(ran.status != 0 && ran.stderr.contains("missing"), "{ran:?}");
    second.heal()?;
    ctx.thinvol_ok(&format!("recover {vg}"))?;
    ctx.thinvol_ok(&format!("alloc {vg}/data 100 vm-100-disk-1 8M"))?;
    ctx.ok("udevadm settle")?;
    ctx.oracle(vg)?;
    ctx.reactivate(vg)
}

/// Copies of the metadata that cannot be kept are no reason to fail a change: lvm2 warns, too.
fn copies_of_metadata(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.ok("mkdir -p /etc/lvm/archive /etc/lvm/backup")?;
    // A disk without room, and an /etc that takes no writes.
    let full = "mount -t tmpfs -o nr_inodes=1 tmpfs";
    let hindrances = [
        (
            format!("{full} /etc/lvm/archive && {full} /etc/lvm/backup"),
            "umount /etc/lvm/archive /etc/lvm/backup",
        ),
        ("mount --bind /etc /etc && mount -o remount,ro,bind /etc".to_owned(), "umount --lazy /etc"),
    ];
    for (number, (hinder, release)) in hindrances.iter().enumerate() {
        let hindered = ctx.sh(hinder)?;
        let ran = ctx.thinvol(&format!("alloc {vg}/data 100 vm-100-disk-{number} 8M"));
        // A case that fails must not leave the mounts to the next.
        ctx.ok(release)?;
        let ran = ran?;
        ensure!(hindered.status == 0, "`{hinder}` failed");
        ensure!(ran.status == 0 && ran.stderr.contains("warning:"), "{hinder}: {ran:?}");
        ensure!(ran.stderr.contains("no copy of the metadata was kept"), "{hinder}: {}", ran.stderr);
    }
    ctx.ok("udevadm settle")?;
    ctx.oracle(vg)?;
    ctx.reactivate(vg)
}

/// A metadata area that takes no more: refused before anything is done, by lvm2 as well.
fn metadata_area_is_full(ctx: &Ctx) -> Result<()> {
    let disk = ctx.disk(256 << 20)?;
    let vg = ctx.vg();
    ctx.ok(&format!("pvcreate --yes --metadatasize 60k --dataalignment 64k {}", disk.name()))?;
    ctx.ok(&format!("vgcreate --yes --setautoactivation n {vg} {}", disk.name()))?;
    ctx.ok(&format!("lvcreate --yes --type thin-pool -L 64M --poolmetadatasize 32M -n data {vg}"))?;
    let batch = ctx.dir().join("batch");
    let mut made = 0;
    let refused = loop {
        let line = |number: usize| {
            let rest = "\"size\":\"4M\",\"activate\":false";
            format!("{{\"request\":\"create\",\"pool\":\"{vg}/data\",\"name\":\"n{number}\",{rest}}}\n")
        };
        let lines: String = (made..made + 20).map(line).collect();
        std::fs::write(&batch, lines)?;
        let ran = ctx.thinvol(&format!("batch {}", batch.display()))?;
        if ran.status != 0 {
            break ran;
        }
        made += 20;
        ensure!(made < 2000, "a small metadata area takes any number of volumes");
    };
    ensure!(refused.status == 1, "{refused:?}");
    for word in ["bytes", "metadata area", "hint:"] {
        ensure!(refused.stderr.contains(word), "it does not say '{word}': {}", refused.stderr);
    }
    ensure!(
        names(ctx, vg)?.len() == made + 1,
        "{made} volumes were made, there are {:?}",
        names(ctx, vg)?.len()
    );
    // What is there can be removed still.
    ctx.thinvol_ok(&format!("free {vg}/n0 {vg}/n1"))?;
    ctx.oracle(vg)?;
    ctx.reactivate(vg)
}

/// thin_check as lvm.conf names it: one that is missing is said, one that fails keeps the pool down.
fn check_of_the_pool(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.thinvol_ok(&format!("alloc {vg}/data 100 vm-100-disk-0 8M"))?;
    ctx.ok("udevadm settle")?;
    ctx.lvm(&format!("vgchange -an {vg}"))?;
    let conf = Conf::new(ctx)?;
    let activate = |program: &str| -> Result<Ran> {
        conf.set(&format!("global {{\n thin_check_executable = \"{program}\"\n}}\n"))?;
        conf.run(ctx, &format!("thinvol activate {vg}/vm-100-disk-0"))
    };
    let ran = activate("/bin/false")?;
    ensure!(ran.status == 6 && ran.stderr.contains("did not pass its check"), "{ran:?}");
    ensure!(ran.stderr.contains("thinvol pool repair"), "{}", ran.stderr);
    let left = ctx.ok("dmsetup ls")?;
    ensure!(!left.contains(vg), "devices stay of a pool that did not pass: {left}");
    let ran = activate("/nonexistent/thin_check")?;
    ensure!(ran.status == 0 && ran.stderr.contains("was not checked"), "{ran:?}");
    ctx.ok("udevadm settle")?;
    ctx.oracle(vg)?;
    ctx.reactivate(vg)
}
