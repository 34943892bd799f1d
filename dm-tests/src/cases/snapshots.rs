//! Snapshots and clones: their content, their origin, and what stays when one of them goes.

use anyhow::{Result, ensure};

use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "snapshots::hold_the_moment", tier: Tier::Full, limit_s: 300, run: hold_the_moment },
    Case {
        name: "snapshots::of_several_at_one_instant",
        tier: Tier::Full,
        limit_s: 300,
        run: at_one_instant,
    },
    Case {
        name: "snapshots::of_a_mounted_file_system",
        tier: Tier::Full,
        limit_s: 300,
        run: of_a_mounted_one,
    },
    Case { name: "snapshots::belong_by_identity", tier: Tier::Full, limit_s: 300, run: belong_by_identity },
];

/// Those that take longer.
pub const LONG: &[Case] = &[Case {
    name: "snapshots::of_inactive_and_of_snapshots",
    tier: Tier::Full,
    limit_s: 300,
    run: of_inactive,
}];

/// Puts 8 MiB that only this seed gives at the start of a volume.
pub(super) fn write(ctx: &Ctx, vg: &str, lv: &str, seed: u32) -> Result<()> {
    let node = ctx.dev(vg, lv);
    let line = format!(
        "head -c 8388608 /dev/zero | tr '\\0' '\\{seed:03o}' | dd of={} bs=1M conv=fsync",
        node.display()
    );
    let ran = ctx.sh(&line)?;
    ensure!(ran.status == 0, "{}", ran.stderr);
    Ok(())
}

/// The checksum of a whole volume.
pub(super) fn sum(ctx: &Ctx, vg: &str, lv: &str) -> Result<String> {
    let ran = ctx.sh(&format!("md5sum < {}", ctx.dev(vg, lv).display()))?;
    ensure!(ran.status == 0, "{}", ran.stderr);
    Ok(ran.stdout)
}

fn hold_the_moment(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 12M"))?;
    write(ctx, vg, "vm-100-disk-0", 1)?;
    let then = sum(ctx, vg, "vm-100-disk-0")?;
    ctx.change(&format!("snapshot {vg}/vm-100-disk-0@s1"))?;
    write(ctx, vg, "vm-100-disk-0", 2)?;
    let snap = "snap_vm-100-disk-0_s1";
    let facts = ctx.lvm(&format!(
        "lvs --noheadings -o lv_permissions,lv_skip_activation,origin,lv_active {vg}/{snap}"
    ))?;
    let facts = facts.split_whitespace().collect::<Vec<_>>().join(" ");
    ensure!(facts == "read-only skip activation vm-100-disk-0", "{facts}");
    ctx.lvm(&format!("lvchange -ay -K {vg}/{snap}"))?;
    ensure!(sum(ctx, vg, snap)? == then, "the snapshot is not what the volume was");
    ensure!(sum(ctx, vg, "vm-100-disk-0")? != then);
    let refused =
        ctx.sh(&format!("dd if=/dev/zero of={} bs=4k count=1 oflag=direct", ctx.dev(vg, snap).display()))?;
    ensure!(refused.status != 0, "a read-only snapshot took a write");
    ctx.change(&format!("clone {vg}/vm-100-disk-0@s1 200"))?;
    ensure!(sum(ctx, vg, "vm-200-disk-0")? == then);
    write(ctx, vg, "vm-200-disk-0", 3)?;
    ensure!(sum(ctx, vg, snap)? == then, "a write to the clone reached the snapshot");
    ctx.agreed(vg)?;
    let ran = ctx.thinvol(&format!("free {vg}/vm-100-disk-0"))?;
    ensure!(ran.status == 0, "{}", ran.stderr);
    ctx.lvm(&format!("lvchange -ay -K {vg}/{snap}"))?;
    ensure!(sum(ctx, vg, snap)? == then, "a snapshot changed when its origin went");
    ctx.agreed(vg)
}

fn of_inactive(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 32M"))?;
    write(ctx, vg, "vm-100-disk-0", 5)?;
    let then = sum(ctx, vg, "vm-100-disk-0")?;
    ctx.ok("udevadm settle")?;
    ctx.change(&format!("deactivate {vg}/vm-100-disk-0"))?;
    ctx.change(&format!("snapshot {vg}/vm-100-disk-0@a"))?;
    ctx.change(&format!("clone {vg}/vm-100-disk-0@a 101 --name vm-101-first"))?;
    ctx.change(&format!("clone {vg}/vm-101-first 102"))?;
    ensure!(sum(ctx, vg, "vm-102-disk-0")? == then);
    ctx.agreed(vg)?;
    // lvm2 snapshots ours, and we snapshot lvm2's.
    ctx.ok(&format!("lvcreate -y -s -kn -n from-lvm2 {vg}/vm-101-first"))?;
    ctx.change(&format!("clone {vg}/from-lvm2 103"))?;
    ensure!(sum(ctx, vg, "vm-103-disk-0")? == then);
    ctx.change(&format!("delete-snapshot {vg}/vm-100-disk-0@a"))?;
    ensure!(sum(ctx, vg, "vm-103-disk-0")? == then);
    ctx.agreed(vg)
}

/// A writer puts one number to two volumes in turn: at one instant they differ by at most one.
fn at_one_instant(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 16M"))?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-1 16M"))?;
    let (a, b) = (ctx.dev(vg, "vm-100-disk-0"), ctx.dev(vg, "vm-100-disk-1"));
    let writer = format!(
        "i=0; while [ ! -e {stop} ]; do i=$((i+1)); printf '%-512s' $i | dd of={a} bs=512 oflag=direct conv=notrunc \
         2>/dev/null; printf '%-512s' $i | dd of={b} bs=512 oflag=direct conv=notrunc 2>/dev/null; done",
        stop = ctx.dir().join("stop").display(),
        a = a.display(),
        b = b.display()
    );
    let mut child = std::process::Command::new("sh").arg("-c").arg(&writer).spawn()?;
    for round in 0..5 {
        std::thread::sleep(std::time::Duration::from_millis(700));
        let both = format!("{vg}/vm-100-disk-0@r{round} {vg}/vm-100-disk-1@r{round}");
        let ran = ctx.thinvol(&format!("snapshot {both}"))?;
        ensure!(ran.status == 0 && ran.stderr.contains("were frozen together for"), "{ran:?}");
        ctx.oracle(vg)?;
    }
    std::fs::write(ctx.dir().join("stop"), "")?;
    child.wait()?;
    let snapshot = |disk, round| format!("snap_vm-100-disk-{disk}_r{round}");
    let all = (0..5).flat_map(|round| [0, 1].map(|disk| format!("{vg}/{}", snapshot(disk, round))));
    ctx.thinvol_ok(&format!("activate {}", all.collect::<Vec<_>>().join(" ")))?;
    for round in 0..5 {
        let mut numbers = Vec::new();
        for disk in 0..2 {
            let node = ctx.dev(vg, &snapshot(disk, round));
            let ran = ctx.sh(&format!("dd if={} bs=512 count=1 iflag=direct", node.display()))?;
            numbers.push(ran.stdout.trim_matches(|c: char| !c.is_ascii_digit()).parse::<i64>().unwrap_or(0));
        }
        ensure!(numbers[0] > 0, "the writer had not begun: {numbers:?}");
        ensure!((0..=1).contains(&(numbers[0] - numbers[1])), "not one instant: {numbers:?}");
    }
    ctx.agreed(vg)
}

/// The file system is frozen for the moment: the snapshot mounts clean, without a log to replay.
fn of_a_mounted_one(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 512M"))?;
    let node = ctx.dev(vg, "vm-100-disk-0");
    let mount = ctx.dir().join("mnt");
    std::fs::create_dir_all(&mount)?;
    ctx.ok(&format!("mkfs.ext4 -q {}", node.display()))?;
    ctx.ok(&format!("mount {} {}", node.display(), mount.display()))?;
    ctx.ok(&format!("cp -r /etc {}", mount.display()))?;
    let busy = ctx.thinvol(&format!("free {vg}/vm-100-disk-0"))?;
    ensure!(busy.status == 4, "freeing a mounted volume: {busy:?}");
    ensure!(busy.stderr.contains(&mount.display().to_string()), "the mount is not named: {}", busy.stderr);
    ctx.change(&format!("snapshot {vg}/vm-100-disk-0@live"))?;
    ctx.change(&format!("snapshot --writable --no-fsfreeze {vg}/vm-100-disk-0@raw"))?;
    ctx.ok(&format!("umount {}", mount.display()))?;
    // Frozen, the journal is empty; as it is, the journal is to be replayed first, as after a power failure.
    for (snap, is_frozen) in [("live", true), ("raw", false)] {
        let lv = format!("snap_vm-100-disk-0_{snap}");
        ctx.change(&format!("activate {vg}/{lv}"))?;
        let node = ctx.dev(vg, &lv).display().to_string();
        let features = ctx.ok(&format!("dumpe2fs -h {node}"))?;
        ensure!(features.contains("needs_recovery") != is_frozen, "{snap}: {features}");
        if !is_frozen {
            let replayed = ctx.sh(&format!("e2fsck -fy {node}"))?;
            ensure!(replayed.status <= 1, "{}{}", replayed.stdout, replayed.stderr);
        }
        let check = ctx.sh(&format!("e2fsck -fn {node}"))?;
        ensure!(check.status == 0, "{}{}", check.stdout, check.stderr);
    }
    ctx.oracle(vg)
}

/// Names that look like another volume's snapshots change nothing.
fn belong_by_identity(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 200 vm-200-d 16M"))?;
    ctx.change(&format!("alloc {vg}/data 200 vm-200-d_x 16M"))?;
    ctx.change(&format!("snapshot {vg}/vm-200-d_x@y {vg}/vm-200-d@b"))?;
    let tags = ctx.lvm(&format!("lvs --noheadings -o tags {vg}/snap_vm-200-d_x_y"))?;
    let uuid = ctx.lvm(&format!("lvs --noheadings -o lv_uuid {vg}/vm-200-d_x"))?;
    ensure!(tags.contains(uuid.trim()), "{tags} does not name {uuid}");
    let wrong = ctx.thinvol(&format!("delete-snapshot {vg}/vm-200-d@x_y"))?;
    ensure!(wrong.status == 3, "found by name alone: {wrong:?}");
    ctx.change(&format!("free {vg}/vm-200-d"))?;
    let left = ctx.lvm(&format!("lvs --noheadings -o lv_name {vg}"))?;
    ensure!(left.contains("snap_vm-200-d_x_y"), "another volume's snapshot went: {left}");
    ctx.agreed(vg)
}
