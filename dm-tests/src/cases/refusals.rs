//! Refusals have clear messages and the right exit code, and change nothing.

use std::os::fd::AsRawFd;

use anyhow::{Result, ensure};

use crate::case::{Case, Tier};
use crate::ctx::{Conf, Ctx};

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "refusals::bad_names_and_sizes", tier: Tier::Full, limit_s: 180, run: bad_names_and_sizes },
    Case { name: "refusals::groups_that_are_not_ours", tier: Tier::Full, limit_s: 240, run: not_ours },
    Case { name: "refusals::partial_and_doubled", tier: Tier::Full, limit_s: 240, run: partial_and_doubled },
    Case { name: "refusals::locked_by_somebody", tier: Tier::Full, limit_s: 180, run: locked },
    Case { name: "refusals::open_volume", tier: Tier::Full, limit_s: 180, run: open_volume },
    Case { name: "refusals::pool_without_room", tier: Tier::Full, limit_s: 240, run: pool_without_room },
    Case { name: "refusals::guests_disk", tier: Tier::Full, limit_s: 240, run: guests_disk },
];

fn seqno(ctx: &Ctx, vg: &str) -> Result<String> {
    Ok(ctx.sh(&format!("vgs --noheadings -o vg_seqno {vg} 2>/dev/null"))?.stdout.trim().to_owned())
}

/// The command fails with that code and those words, and the metadata is as before.
fn refused(ctx: &Ctx, vg: &str, line: &str, code: i32, words: &[&str]) -> Result<()> {
    let before = seqno(ctx, vg)?;
    says_no(ctx, &format!("thinvol {line}"), code, words)?;
    ensure!(seqno(ctx, vg)? == before, "`{line}` was refused and changed the metadata");
    Ok(())
}

/// The shell line fails with that code and those words.
pub(super) fn says_no(ctx: &Ctx, line: &str, code: i32, words: &[&str]) -> Result<()> {
    let ran = ctx.sh(line)?;
    ensure!(ran.status == code, "`{line}`: status {}, not {code}: {}", ran.status, ran.stderr);
    for word in words {
        ensure!(ran.stderr.contains(word), "`{line}` does not say '{word}': {}", ran.stderr);
    }
    ensure!(ran.stderr.contains("error:"), "{}", ran.stderr);
    Ok(())
}

fn bad_names_and_sizes(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 8M"))?;
    refused(ctx, vg, &format!("alloc {vg}/data 100 vm-100-disk-0 8M"), 1, &["already exists"])?;
    refused(ctx, vg, &format!("alloc {vg}/data 100 vm-101-x 8M"), 2, &["vm-100-"])?;
    refused(ctx, vg, &format!("alloc {vg}/data 100 vm-100-a_tdata 8M"), 2, &["reserves"])?;
    refused(ctx, vg, &format!("alloc {vg}/data 100 'vm-100-a b' 8M"), 2, &["illegal characters"])?;
    refused(ctx, vg, &format!("alloc {vg}/data 100 vm-100-{} 8M", "x".repeat(120)), 1, &["long"])?;
    refused(ctx, vg, &format!("alloc {vg}/nopool 100 vm-100-a 8M"), 3, &["nopool"])?;
    refused(ctx, vg, "alloc novg/data 100 vm-100-a 8M", 3, &["novg"])?;
    refused(ctx, vg, &format!("free {vg}/data"), 1, &[])?;
    refused(ctx, vg, &format!("snapshot {vg}/vm-9-x@s"), 3, &["does not exist"])?;
    ensure!(ctx.sh(&format!("thinvol alloc {vg}/data 100 vm-100-a 0"))?.status != 0);
    ensure!(ctx.sh(&format!("thinvol alloc {vg}/data 100 vm-100-a 1Q"))?.status == 2);
    ensure!(ctx.sh("thinvol nonsense")?.status == 2);
    let json = ctx.sh(&format!("thinvol alloc {vg}/nopool 100 vm-100-a 8M --json"))?;
    let error: serde_json::Value = serde_json::from_str(&json.stderr)?;
    ensure!(error["error"]["code"] == 3, "{error}");
    ctx.oracle(vg)
}

fn not_ours(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.ok(&format!("lvcreate -V 8M -T {vg}/data -n old"))?;
    let system = ctx.dir().join("lvm");
    std::fs::create_dir_all(&system)?;
    std::fs::write(system.join("lvm.conf"), "global {\n metadata_read_only = 1\n}\n")?;
    let ran = ctx.sh(&format!("LVM_SYSTEM_DIR={} thinvol free {vg}/old", system.display()))?;
    ensure!(ran.status == 1 && ran.stderr.contains("metadata_read_only"), "{ran:?}");
    ctx.ok("udevadm settle")?;
    ctx.lvm(&format!("vgchange -an {vg}"))?;
    ctx.ok("udevadm settle")?;
    ctx.lvm(&format!("vgchange -an {vg}"))?;
    ctx.lvm(&format!("vgexport {vg}"))?;
    refused(ctx, vg, &format!("alloc {vg}/data 100 vm-100-a 8M"), 7, &["exported"])?;
    ctx.lvm(&format!("vgimport {vg}"))?;
    ctx.ok(&format!(
        "vgchange -y --systemid elsewhere --config local/extra_system_ids=[\"elsewhere\"] {vg}"
    ))?;
    let ran = ctx.sh(&format!("thinvol alloc {vg}/data 100 vm-100-a 8M"))?;
    ensure!(ran.status == 7 && ran.stderr.contains("elsewhere"), "{ran:?}");
    // Ids of other hosts count for a host that has one of its own, as for lvm2.
    let conf = Conf::new(ctx)?;
    for (own, exit) in [("", 7), ("system_id = \"here\"", 0)] {
        conf.set(&format!(
            "global {{ system_id_source = \"lvmlocal\" }} local {{ {own} extra_system_ids = [ \"elsewhere\" ] }}\n"
        ))?;
        let lvm2 = conf.run(ctx, &format!("lvchange --addtag seen {vg}/data"))?;
        ensure!((lvm2.status == 0) == (exit == 0), "{lvm2:?}");
        let ran = conf.run(ctx, &format!("thinvol alloc {vg}/data 100 vm-100-a 8M"))?;
        ensure!(ran.status == exit, "{ran:?}");
        ensure!(ran.stderr.contains("no system id from") == own.is_empty(), "{ran:?}");
    }
    Ok(())
}

/// A group with a physical volume missing, or there twice, is read and not written.
fn partial_and_doubled(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[128 << 20, 32 << 20], 512)?;
    ctx.ok(&format!("lvcreate -y --type thin-pool -L 32M -n data {vg}"))?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-a 8M"))?;
    let disks = ctx.lvm(&format!("pvs --noheadings -o pv_name -S vg_name={vg}"))?;
    let second = disks.split_whitespace().last().unwrap_or_default().to_owned();
    let file = ctx.ok(&format!("losetup --noheadings -O BACK-FILE {second}"))?;
    let twin = ctx.dir().join("twin");
    ctx.ok(&format!("cp --sparse=always {} {}", file.trim(), twin.display()))?;
    ctx.ok("udevadm settle")?;
    ctx.lvm(&format!("vgchange -an {vg}"))?;
    ctx.ok(&format!("losetup -d {second}"))?;
    ctx.ok("udevadm settle")?;
    let partial = ctx.sh(&format!("thinvol alloc {vg}/data 100 vm-100-b 8M"))?;
    ensure!((1..=7).contains(&partial.status) && partial.stderr.contains("missing"), "{partial:?}");
    ensure!(ctx.thinvol_ok(&format!("list {vg}/data"))?.contains("vm-100-a"), "a partial group is not read");
    ctx.ok(&format!("losetup -f {}", file.trim()))?;
    let doubled = ctx.ok(&format!("losetup -f --show {}", twin.display()))?;
    ctx.ok("udevadm settle")?;
    let twice = ctx.sh(&format!("thinvol alloc {vg}/data 100 vm-100-b 8M"))?;
    ensure!((1..=7).contains(&twice.status) && twice.stderr.contains(doubled.trim()), "{twice:?}");
    ctx.ok(&format!("losetup -d {}", doubled.trim()))?;
    ctx.ok("udevadm settle")?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-b 8M"))?;
    Ok(())
}

fn locked(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    let path = format!("/run/lock/lvm/V_{vg}");
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path)?;
    let taken =
        ctx.run(&["true"]).map(|_| nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive));
    let Ok(Ok(lock)) = taken else { anyhow::bail!("cannot take {path}") };
    ensure!(lock.as_raw_fd() >= 0);
    let ran = ctx.thinvol(&format!("alloc {vg}/data 100 vm-100-a 8M --lock-timeout 1"))?;
    ensure!(ran.status == 4, "{ran:?}");
    ensure!(ran.stderr.contains(&std::process::id().to_string()), "the holder is not named: {}", ran.stderr);
    drop(lock);
    let _ = std::fs::remove_file(&path);
    ctx.change(&format!("alloc {vg}/data 100 vm-100-a 8M"))?;
    Ok(())
}

fn open_volume(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-a 8M"))?;
    let file = std::fs::File::open(ctx.dev(vg, "vm-100-a"))?;
    let holder = std::process::id().to_string();
    for verb in ["free", "deactivate"] {
        refused(ctx, vg, &format!("{verb} {vg}/vm-100-a"), 4, &["in use", &holder])?;
    }
    drop(file);
    let node = ctx.dev(vg, "vm-100-a").display().to_string();
    ctx.ok(&format!("mke2fs -q -t ext4 {node}"))?;
    let mounted = ctx.dir().join("mounted").display().to_string();
    std::fs::create_dir_all(&mounted)?;
    ctx.ok(&format!("mount {node} {mounted}"))?;
    refused(ctx, vg, &format!("free {vg}/vm-100-a"), 4, &["in use", &format!("mounted on {mounted}")])?;
    ctx.ok(&format!("umount {mounted}"))?;
    let stacked = ctx.sh(&format!("dmsetup create on-top --table '0 8192 linear {node} 0'"))?;
    ensure!(stacked.status == 0, "{stacked:?}");
    refused(ctx, vg, &format!("free {vg}/vm-100-a"), 4, &["in use", "device on-top"])?;
    ctx.ok("udevadm settle")?;
    ctx.ok("dmsetup remove on-top")?;
    ctx.change(&format!("free {vg}/vm-100-a"))?;
    Ok(())
}

fn pool_without_room(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[256 << 20], 512)?;
    ctx.ok(&format!("lvcreate -y --type thin-pool -L 32M -n data {vg}"))?;
    ctx.ok(&format!("lvchange --errorwhenfull y {vg}/data"))?;
    let ran = ctx.thinvol(&format!("alloc {vg}/data 100 vm-100-a 64M"))?;
    ensure!(ran.status == 0 && ran.stderr.contains("exceeds the size of thin pool"), "{ran:?}");
    let filled =
        ctx.sh(&format!("dd if=/dev/zero of={} bs=1M oflag=direct", ctx.dev(vg, "vm-100-a").display()))?;
    ensure!(filled.status != 0, "the pool took more than it holds");
    refused(ctx, vg, &format!("alloc {vg}/data 100 vm-100-b 4M"), 1, &["full", "pool extend"])?;
    refused(ctx, vg, &format!("snapshot {vg}/vm-100-a@s"), 1, &["full"])?;
    ctx.change(&format!("free {vg}/vm-100-a"))?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-b 4M"))?;
    Ok(())
}

/// A volume group that a guest has made inside one of our volumes is not ours.
fn guests_disk(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 64M"))?;
    let config = ["--config", "devices/scan_lvs=1"];
    let node = ctx.dev(vg, "vm-100-disk-0").display().to_string();
    let made = ctx.run(&["vgcreate", config[0], config[1], "guest", &node])?;
    ensure!(made.status == 0, "{made:?}");
    let scan = ctx.thinvol_ok("scan lvm")?;
    ensure!(scan.contains(vg) && !scan.contains("guest"), "{scan}");
    ensure!(ctx.thinvol("list guest/data")?.status == 3);
    let removed = ctx.run(&["vgremove", "-y", config[0], config[1], "guest"])?;
    ensure!(removed.status == 0, "{removed:?}");
    Ok(())
}
