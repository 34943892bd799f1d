//! Volumes resized, renamed, rolled back and made templates, in use and not, with lvm2 asked after every step.

use anyhow::{Result, ensure};

use super::snapshots::{sum, write};
use crate::case::{Case, Tier};
use crate::ctx::{Ctx, Ran};

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "altered::mixed_batch", tier: Tier::Full, limit_s: 400, run: mixed_batch },
    Case { name: "altered::freed_with_discard", tier: Tier::Full, limit_s: 400, run: freed_with_discard },
    Case { name: "altered::freed_with_snapshots", tier: Tier::Full, limit_s: 400, run: freed_with_snapshots },
];

/// Those that take longer.
pub const LONG: &[Case] = &[
    Case { name: "altered::templates", tier: Tier::Full, limit_s: 500, run: templates },
    Case { name: "altered::rolled_back", tier: Tier::Full, limit_s: 500, run: rolled_back },
    Case { name: "altered::shrunk", tier: Tier::Full, limit_s: 400, run: shrunk },
    Case { name: "altered::renamed_while_open", tier: Tier::Full, limit_s: 400, run: renamed_while_open },
    Case { name: "altered::cut_short", tier: Tier::Full, limit_s: 400, run: cut_short },
    Case { name: "altered::grown_while_mounted", tier: Tier::Full, limit_s: 400, run: grown_while_mounted },
];

const DISK: &str = "vm-100-disk-0";

/// The size of the device in bytes, as its users see it.
fn device_size(ctx: &Ctx, vg: &str, lv: &str) -> Result<String> {
    Ok(ctx.ok(&format!("blockdev --getsize64 {}", ctx.dev(vg, lv).display()))?.trim().to_owned())
}

/// Makes a file system on a volume, mounts it and puts a file on it. Returns where, and the file's sum.
fn mounted(ctx: &Ctx, vg: &str, lv: &str) -> Result<(String, String)> {
    let mount = ctx.dir().join("mnt");
    std::fs::create_dir_all(&mount)?;
    let (node, mount) = (ctx.dev(vg, lv).display().to_string(), mount.display().to_string());
    ctx.ok(&format!("mkfs.ext4 -q {node}"))?;
    ctx.ok(&format!("mount {node} {mount}"))?;
    ctx.ok(&format!("dd if=/dev/urandom of={mount}/file bs=1M count=8 conv=fsync"))?;
    let sum = ctx.sh(&format!("md5sum < {mount}/file"))?.stdout;
    Ok((mount, sum))
}

fn grown_while_mounted(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    let volume = format!("{vg}/{DISK}");
    ctx.thinvol_ok(&format!("alloc {vg}/data 100 {DISK} 64M"))?;
    let (mount, before) = mounted(ctx, vg, DISK)?;
    let said = ctx.thinvol_ok(&format!("resize {volume} 128M"))?;
    ensure!(said.contains(&format!("resized '{volume}'")), "{said}");
    ensure!(device_size(ctx, vg, DISK)? == "134217728");
    ensure!(ctx.fact(&volume, "lv_size,lv_active")? == "134217728 active");
    ctx.oracle(vg)?;
    ctx.ok(&format!("resize2fs {}", ctx.dev(vg, DISK).display()))?;
    ctx.ok(&format!("dd if=/dev/zero of={mount}/more bs=1M count=80 conv=fsync"))?;
    ensure!(ctx.sh(&format!("md5sum < {mount}/file"))?.stdout == before, "the file changed");
    let seqno = ctx.fact(vg, "vg_seqno")?;
    ctx.thinvol_ok(&format!("resize {volume} 131072"))?;
    ensure!(ctx.fact(vg, "vg_seqno")? == seqno, "the same size again has written metadata");
    ctx.thinvol_ok(&format!("resize {volume} +1M"))?;
    ensure!(device_size(ctx, vg, DISK)? == "138412032", "not one extent more");
    let warned = ctx.thinvol(&format!("resize {volume} 2G"))?;
    ensure!(warned.status == 0 && warned.stderr.contains("exceeds the size of thin pool"), "{warned:?}");
    ctx.oracle(vg)?;
    // lvm2 goes on from there.
    ctx.ok(&format!("lvextend -qq -L 2100M {volume}"))?;
    ensure!(device_size(ctx, vg, DISK)? == (2100_u64 << 20).to_string());
    ctx.ok(&format!("umount {mount}"))?;
    ctx.ok(&format!("e2fsck -fn {}", ctx.dev(vg, DISK).display()))?;
    ctx.agreed(vg)?;
    ensure!(device_size(ctx, vg, DISK)? == (2100_u64 << 20).to_string());
    ctx.ok("udevadm settle")?;
    ctx.thinvol_ok(&format!("deactivate {volume}"))?;
    ctx.thinvol_ok(&format!("resize {volume} 2200M"))?;
    ensure!(ctx.fact(&volume, "lv_size")? == (2200_u64 << 20).to_string());
    ctx.agreed(vg)
}

fn shrunk(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    let volume = format!("{vg}/{DISK}");
    ctx.thinvol_ok(&format!("alloc {vg}/data 100 {DISK} 64M"))?;
    let (mount, _) = mounted(ctx, vg, DISK)?;
    let once = ctx.thinvol(&format!("resize {volume} 32M"))?;
    ensure!(once.status == 1 && once.stderr.contains("more than 32 MiB"), "{once:?}");
    let half = ctx.thinvol(&format!("resize {volume} 32M --shrink"))?;
    ensure!(half.status == 2, "{half:?}");
    let used = ctx.thinvol(&format!("resize {volume} 32M --shrink --accept-data-loss"))?;
    ensure!(used.status == 4 && used.stderr.contains(&mount), "the mount is not named: {used:?}");
    ensure!(ctx.fact(&volume, "lv_size")? == "67108864");
    ctx.ok(&format!("umount {mount}"))?;
    write(ctx, vg, DISK, 7)?;
    ctx.ok(&format!(
        "dd if=/dev/urandom of={} bs=1M seek=40 count=4 conv=fsync",
        ctx.dev(vg, DISK).display()
    ))?;
    let kept = ctx.sh(&format!("head -c 33554432 {} | md5sum", ctx.dev(vg, DISK).display()))?.stdout;
    ctx.ok("udevadm settle")?;
    let ran = ctx.thinvol(&format!("resize {volume} 32M --shrink --accept-data-loss"))?;
    ensure!(ran.status == 0 && ran.stderr.contains("stays in the pool"), "{ran:?}");
    ensure!(device_size(ctx, vg, DISK)? == "33554432" && sum(ctx, vg, DISK)? == kept);
    ensure!(ctx.fact(&volume, "lv_size")? == "33554432");
    ctx.agreed(vg)?;
    ensure!(sum(ctx, vg, DISK)? == kept);
    ctx.thinvol_ok(&format!("snapshot {volume}@s"))?;
    let refused = ctx.thinvol(&format!("resize {vg}/snap_{DISK}_s 64M"))?;
    ensure!(
        refused.status == 1 && refused.stderr.contains("resizing a snapshot is not supported"),
        "{refused:?}"
    );
    ctx.agreed(vg)
}

fn renamed_while_open(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.thinvol_ok(&format!("alloc {vg}/data 100 {DISK} 64M"))?;
    ctx.thinvol_ok(&format!("alloc {vg}/data 100 vm-100-disk-0_x 16M"))?;
    let (mount, before) = mounted(ctx, vg, DISK)?;
    ctx.thinvol_ok(&format!("snapshot {vg}/{DISK}@s1 {vg}/vm-100-disk-0_x@y"))?;
    ctx.ok(&format!("lvcreate -qq -pr -s -n snap_{DISK}_lvm2 {vg}/{DISK}"))?;
    let uuid = ctx.fact(&format!("{vg}/{DISK}"), "lv_uuid")?;
    ctx.thinvol_ok(&format!("rename {vg}/{DISK} vm-101-disk-0"))?;
    let (old, new) = (ctx.dev(vg, DISK), ctx.dev(vg, "vm-101-disk-0"));
    ensure!(new.exists() && !old.exists(), "the nodes on return");
    ensure!(
        ctx.fact(&format!("{vg}/vm-101-disk-0"), "lv_uuid,lv_active,tags")?
            == format!("{uuid} active pve-vm-101")
    );
    let names = ctx.fact(vg, "lv_name")?;
    ensure!(
        names
            == "data snap_vm-100-disk-0_x_y snap_vm-101-disk-0_lvm2 snap_vm-101-disk-0_s1 vm-100-disk-0_x \
                vm-101-disk-0",
        "{names}"
    );
    ensure!(ctx.fact(&format!("{vg}/snap_vm-101-disk-0_s1"), "origin")? == "vm-101-disk-0");
    ctx.ok(&format!("dd if=/dev/zero of={mount}/more bs=1M count=4 conv=fsync"))?;
    ensure!(ctx.sh(&format!("md5sum < {mount}/file"))?.stdout == before, "the file changed");
    ctx.oracle(vg)?;
    ctx.ok(&format!("umount {mount}"))?;
    ctx.agreed(vg)?;
    ctx.thinvol_ok(&format!("rename {vg}/vm-101-disk-0 {DISK}"))?;
    ensure!(ctx.fact(&format!("{vg}/{DISK}"), "tags")? == "pve-vm-100");
    ctx.thinvol_ok(&format!("delete-snapshot {vg}/{DISK}@s1 {vg}/{DISK}@lvm2"))?;
    let taken = ctx.thinvol(&format!("rename {vg}/{DISK} vm-100-disk-0_x"))?;
    ensure!(taken.status == 1 && taken.stderr.contains("already exists"), "{taken:?}");
    ctx.agreed(vg)
}

fn rolled_back(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    let volume = format!("{vg}/{DISK}");
    ctx.thinvol_ok(&format!("alloc {vg}/data 100 {DISK} 32M"))?;
    ctx.lvm(&format!("lvchange --addtag mine {volume}"))?;
    let mut sums = Vec::new();
    for state in 1..=3 {
        write(ctx, vg, DISK, state)?;
        sums.push(sum(ctx, vg, DISK)?);
        ctx.thinvol_ok(&format!("snapshot {volume}@s{state}"))?;
    }
    ctx.thinvol_ok(&format!("resize {volume} 64M"))?;
    write(ctx, vg, DISK, 9)?;
    let identity = ctx.fact(&volume, "lv_uuid,tags,lv_permissions,lv_autoactivation,lv_time")?;
    for state in [1_usize, 3, 2] {
        ctx.ok("udevadm settle")?;
        let said = ctx.thinvol_ok(&format!("rollback {volume}@s{state}"))?;
        ensure!(said.contains(&format!("rolled back '{volume}' to snapshot 's{state}'")), "{said}");
        ctx.oracle(vg)?;
        ensure!(ctx.dev(vg, DISK).exists(), "the node on return");
        ensure!(sum(ctx, vg, DISK)? == sums[state - 1], "not what s{state} holds");
        ensure!(
            ctx.fact(&volume, "lv_uuid,tags,lv_permissions,lv_autoactivation,lv_time")? == identity,
            "identity, flags or tags changed"
        );
        ensure!(ctx.fact(&volume, "lv_size")? == "33554432", "not the snapshot's size");
        write(ctx, vg, DISK, 10)?;
        ctx.thinvol_ok(&format!("activate {volume}@s{state}"))?;
        ensure!(
            sum(ctx, vg, &format!("snap_{DISK}_s{state}"))? == sums[state - 1],
            "a write reached the snapshot"
        );
        ctx.ok("udevadm settle")?;
        ctx.agreed(vg)?;
    }
    let tree = ctx.thinvol_ok(&format!("list {vg}/data --tree"))?;
    ensure!((1..=3).all(|state| tree.contains(&format!("snapshot s{state}"))), "{tree}");
    // In use it is left alone; lvm2 makes snapshots of it and goes back to them, too.
    let (mount, _) = mounted(ctx, vg, DISK)?;
    let used = ctx.thinvol(&format!("rollback {volume}@s1"))?;
    ensure!(used.status == 4 && used.stderr.contains(&mount), "the mount is not named: {used:?}");
    ctx.ok(&format!("umount {mount}"))?;
    ctx.ok(&format!("lvcreate -qq -pr -s -n snap_{DISK}_lvm2 {volume}"))?;
    let then = sum(ctx, vg, DISK)?;
    write(ctx, vg, DISK, 11)?;
    ctx.ok("udevadm settle")?;
    ctx.thinvol_ok(&format!("deactivate {volume}"))?;
    ctx.thinvol_ok(&format!("rollback {volume}@lvm2"))?;
    ctx.thinvol_ok(&format!("activate {volume}"))?;
    ensure!(sum(ctx, vg, DISK)? == then);
    ctx.thinvol_ok(&format!("delete-snapshot {volume}@s1 {volume}@s2 {volume}@s3"))?;
    ctx.agreed(vg)?;
    ensure!(sum(ctx, vg, DISK)? == then);
    Ok(())
}

fn templates(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    let volume = format!("{vg}/vm-9000-disk-0");
    ctx.thinvol_ok(&format!("alloc {vg}/data 9000 vm-9000-disk-0 32M"))?;
    write(ctx, vg, "vm-9000-disk-0", 3)?;
    let golden = sum(ctx, vg, "vm-9000-disk-0")?;
    ctx.thinvol_ok(&format!("snapshot {volume}@s"))?;
    let refused = ctx.thinvol(&format!("template {volume}"))?;
    ensure!(refused.status == 1 && refused.stderr.contains("has snapshots: s"), "{refused:?}");
    ctx.thinvol_ok(&format!("delete-snapshot {volume}@s"))?;
    let holder = format!("exec sleep 30 < {}", ctx.dev(vg, "vm-9000-disk-0").display());
    let mut child = std::process::Command::new("sh").arg("-c").arg(&holder).spawn()?;
    std::thread::sleep(std::time::Duration::from_millis(500));
    let used = ctx.thinvol(&format!("template {volume}"))?;
    child.kill()?;
    child.wait()?;
    ensure!(used.status == 4 && used.stderr.contains("process"), "the holder is not named: {used:?}");
    ctx.ok("udevadm settle")?;
    ctx.thinvol_ok(&format!("template {volume}"))?;
    let base = format!("{vg}/base-9000-disk-0");
    // What lvrename, lvchange -pr -ky and lvchange -an leave behind.
    let facts = ctx.fact(&base, "lv_attr,lv_skip_activation,lv_autoactivation")?;
    ensure!(facts == "Vri---tz-k skip activation", "{facts}");
    ensure!(!ctx.sh("dmsetup ls")?.stdout.contains("9000"), "its device is still there");
    ctx.agreed(vg)?;
    ctx.thinvol_ok(&format!("clone {base} 101"))?;
    ctx.thinvol_ok(&format!("clone {base} 102"))?;
    ensure!(sum(ctx, vg, "vm-101-disk-0")? == golden && sum(ctx, vg, "vm-102-disk-0")? == golden);
    write(ctx, vg, "vm-101-disk-0", 4)?;
    ctx.thinvol_ok(&format!("activate {base}"))?;
    ensure!(sum(ctx, vg, "base-9000-disk-0")? == golden, "a write to a clone reached the template");
    let write =
        ctx.sh(&format!("dd if=/dev/zero of={} bs=4k count=1", ctx.dev(vg, "base-9000-disk-0").display()))?;
    ensure!(write.status != 0, "a template took a write");
    let uuid = ctx.fact(&base, "lv_uuid")?;
    ensure!(ctx.fact(&format!("{vg}/vm-101-disk-0"), "tags")?.contains(&uuid), "the clone does not name it");
    let info = ctx.thinvol_ok(&format!("info {base}"))?;
    ensure!(info.contains("vm-101-disk-0") && info.contains("vm-102-disk-0"), "{info}");
    let kept = ctx.thinvol(&format!("free {base}"))?;
    ensure!(kept.status == 1 && kept.stderr.contains("vm-101-disk-0, vm-102-disk-0"), "{kept:?}");
    ctx.oracle(vg)?;
    ctx.ok("udevadm settle")?;
    ctx.thinvol_ok(&format!("free --force {base}"))?;
    ensure!(sum(ctx, vg, "vm-102-disk-0")? == golden);
    ctx.agreed(vg)?;
    ensure!(sum(ctx, vg, "vm-102-disk-0")? == golden);
    Ok(())
}

/// Everything at once, in two commits.
fn mixed_batch(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    for disk in 0..3 {
        ctx.thinvol_ok(&format!("alloc {vg}/data 100 vm-100-disk-{disk} 16M"))?;
        write(ctx, vg, &format!("vm-100-disk-{disk}"), disk + 1)?;
    }
    let then = sum(ctx, vg, DISK)?;
    ctx.thinvol_ok(&format!("snapshot {vg}/{DISK}@then"))?;
    write(ctx, vg, DISK, 20)?;
    let now = sum(ctx, vg, DISK)?;
    let second = sum(ctx, vg, "vm-100-disk-1")?;
    let before: u32 = ctx.fact(vg, "vg_seqno")?.split(' ').next().unwrap_or_default().parse()?;
    let lines = [
        format!("{{\"request\":\"snapshot\",\"snapshot\":\"{vg}/{DISK}@now\"}}"),
        format!("{{\"request\":\"rollback\",\"snapshot\":\"{vg}/{DISK}@then\"}}"),
        format!("{{\"request\":\"rename\",\"volume\":\"{vg}/vm-100-disk-1\",\"name\":\"vm-101-disk-0\"}}"),
        format!("{{\"request\":\"resize\",\"volume\":\"{vg}/vm-101-disk-0\",\"size\":\"+16M\"}}"),
        format!("{{\"request\":\"clone\",\"source\":\"{vg}/{DISK}@now\",\"name\":\"vm-102-disk-0\"}}"),
        format!(
            "{{\"request\":\"create\",\"pool\":\"{vg}/data\",\"name\":\"vm-100-disk-1\",\"size\":\"8M\"}}"
        ),
        format!("{{\"request\":\"remove\",\"volume\":\"{vg}/vm-100-disk-2\"}}"),
    ];
    let file = ctx.dir().join("batch");
    std::fs::write(&file, lines.join("\n"))?;
    ctx.ok("udevadm settle")?;
    ctx.thinvol_ok(&format!("batch {}", file.display()))?;
    let after: u32 = ctx.fact(vg, "vg_seqno")?.split(' ').next().unwrap_or_default().parse()?;
    ensure!(after - before == 2, "{} commits", after - before);
    let check = |ctx: &Ctx| -> Result<()> {
        ensure!(sum(ctx, vg, DISK)? == then, "not rolled back");
        ensure!(sum(ctx, vg, "vm-102-disk-0")? == now, "the clone of the state before is not that");
        let renamed =
            ctx.sh(&format!("head -c 16777216 {} | md5sum", ctx.dev(vg, "vm-101-disk-0").display()))?;
        ensure!(renamed.stdout == second, "the renamed volume holds something else");
        ensure!(device_size(ctx, vg, "vm-101-disk-0")? == "33554432");
        let zeros = ctx.sh(&format!(
            "cmp -n 8388608 {} /dev/zero && echo same",
            ctx.dev(vg, "vm-100-disk-1").display()
        ))?;
        ensure!(zeros.stdout.contains("same"), "the new volume under the old name holds data");
        Ok(())
    };
    check(ctx)?;
    ctx.agreed(vg)?;
    check(ctx)
}

/// A discard tells the disks below; a volume in use is neither discarded nor removed.
fn freed_with_discard(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    let volume = format!("{vg}/{DISK}");
    ctx.thinvol_ok(&format!("alloc {vg}/data 100 {DISK} 64M"))?;
    ctx.ok(&format!("dd if=/dev/urandom of={} bs=1M count=48 conv=fsync", ctx.dev(vg, DISK).display()))?;
    let blocks = || -> Result<u64> {
        Ok(ctx.ok(&format!("stat -c %b {}", ctx.dir().join("disk0").display()))?.trim().parse()?)
    };
    let full = blocks()?;
    let (mount, _) = mounted(ctx, vg, DISK)?;
    let used = ctx.thinvol(&format!("free --discard {volume}"))?;
    ensure!(used.status == 4 && used.stderr.contains(&mount), "{used:?}");
    ctx.ok(&format!("umount {mount}"))?;
    // Whoever opens it without asking to be alone, as virtual machines do, is heeded too.
    let holder = format!("exec sleep 30 < {}", ctx.dev(vg, DISK).display());
    let mut child = std::process::Command::new("sh").arg("-c").arg(&holder).spawn()?;
    std::thread::sleep(std::time::Duration::from_millis(500));
    let used = ctx.thinvol(&format!("free --discard {volume}"))?;
    child.kill()?;
    child.wait()?;
    ensure!(used.status == 4 && used.stderr.contains("in use"), "{used:?}");
    ctx.ok(&format!("e2fsck -fn {}", ctx.dev(vg, DISK).display()))?;
    ctx.ok("udevadm settle")?;
    ctx.thinvol_ok(&format!("deactivate {volume}"))?;
    ctx.thinvol_ok(&format!("free --discard {volume}"))?;
    ensure!(ctx.fact(vg, "lv_name")? == "data");
    let left = blocks()?;
    ensure!(left + (40 << 11) < full, "the disk was not told: {full} blocks before, {left} after");
    ctx.agreed(vg)
}

/// The names of one volume's snapshots can look like another's, and be as short as they like.
fn freed_with_snapshots(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    for name in ["vm-200-d", "vm-200-d_x"] {
        ctx.thinvol_ok(&format!("alloc {vg}/data 200 {name} 16M"))?;
    }
    ctx.thinvol_ok(&format!("snapshot {vg}/vm-200-d_x@y {vg}/vm-200-d@b"))?;
    // As Proxmox VE makes them.
    ctx.ok(&format!("lvcreate -qq -n snap_vm-200-d_c -pr -s {vg}/vm-200-d"))?;
    ctx.ok(&format!("lvcreate -qq -n snap_vm-200-d_x_z -pr -s {vg}/vm-200-d_x"))?;
    ctx.ok("udevadm settle")?;
    ctx.thinvol_ok(&format!("free --snapshots {vg}/vm-200-d"))?;
    let left = ctx.fact(vg, "lv_name")?;
    ensure!(left == "data snap_vm-200-d_x_y snap_vm-200-d_x_z vm-200-d_x", "{left}");
    ctx.agreed(vg)
}

/// What a crash between text and device leaves: lvm2 warns of the size and goes on, and recovery mends it.
fn cut_short(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    let renamed = "vm-101-disk-0";
    ctx.thinvol_ok(&format!("alloc {vg}/data 100 {DISK} 32M"))?;
    ctx.ok("udevadm settle")?;
    let dm = |lv: &str| format!("{vg}-{}", lv.replace('-', "--"));
    let table = ctx.ok(&format!("dmsetup table {}", dm(DISK)))?;
    ctx.thinvol_ok(&format!("rename {vg}/{DISK} {renamed}"))?;
    ctx.thinvol_ok(&format!("resize {vg}/{renamed} 64M"))?;
    ctx.ok("udevadm settle")?;
    let shorten = format!("dmsetup load {0} --table '{1}' && dmsetup resume {0}", dm(renamed), table.trim());
    let rename = format!("dmsetup rename {} {}", dm(renamed), dm(DISK));
    // The text has the new name and size, the device the old ones.
    ensure!(ctx.sh(&shorten)?.status == 0);
    ctx.ok(&rename)?;
    ctx.ok("udevadm settle")?;
    let warns = |seen: &Ran| {
        let warning = format!("Cannot find matching thin segment for {vg}/{renamed}");
        seen.status == 0 && !seen.stderr.is_empty() && seen.stderr.lines().all(|line| line.contains(&warning))
    };
    ctx.lvm(&format!("vgck {vg}"))?;
    ensure!(ctx.fact(&format!("{vg}/{renamed}"), "lv_active,lv_size")? == "active 67108864");
    // Where the device's status is asked for.
    let seen = ctx.sh(&format!("lvs --noheadings -o all {vg}/{renamed}"))?;
    ensure!(warns(&seen), "{seen:?}");
    let listed = ctx.thinvol(&format!("list {vg}/data"))?;
    ensure!(listed.status == 0 && listed.stderr.contains("name of before a rename"), "{listed:?}");
    ctx.thinvol_ok(&format!("recover {vg}"))?;
    ensure!(ctx.dev(vg, renamed).exists() && !ctx.dev(vg, DISK).exists());
    ensure!(device_size(ctx, vg, renamed)? == "67108864");
    ctx.oracle(vg)?;
    // The same from lvm2's own resize: its warning is about the state, not about who left it.
    ctx.ok(&format!("lvextend -qq -L 96M {vg}/{renamed}"))?;
    ctx.ok("udevadm settle")?;
    ensure!(ctx.sh(&shorten)?.status == 0);
    let seen = ctx.sh(&format!("lvs --noheadings -o all {vg}/{renamed}"))?;
    ensure!(warns(&seen), "{seen:?}");
    ctx.thinvol_ok(&format!("recover {vg}"))?;
    ensure!(device_size(ctx, vg, renamed)? == "100663296");
    // lvm2 takes a snapshot of a volume whose device has an old name, and gives it the new one.
    ctx.ok(&rename)?;
    ctx.ok("udevadm settle")?;
    ctx.ok(&format!("lvcreate -qq -s -n after {vg}/{renamed}"))?;
    ctx.thinvol_ok(&format!("recover {vg}"))?;
    ensure!(ctx.sh("dmsetup ls")?.stdout.contains(&dm(renamed)));
    ctx.agreed(vg)
}
