//! What commands of lvm2 that were killed leave in device-mapper: tables that wait, layers that are suspended, names of
//! before a rename. And file systems that somebody else keeps frozen.

use anyhow::{Result, ensure};

use super::snapshots::sum;
use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "left_behind::waiting_table", tier: Tier::Full, limit_s: 400, run: waiting_table },
    Case { name: "left_behind::longer_parts", tier: Tier::Full, limit_s: 500, run: longer_parts },
    Case { name: "left_behind::suspended_layers", tier: Tier::Full, limit_s: 500, run: suspended_layers },
    Case { name: "left_behind::old_names", tier: Tier::Full, limit_s: 500, run: old_names },
    Case { name: "left_behind::frozen_already", tier: Tier::Full, limit_s: 400, run: frozen_already },
];

const DISK: &str = "vm-100-disk-0";

/// A killed `lvextend` leaves a longer table in the inactive slot.
fn waiting_table(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.thinvol_ok(&format!("alloc {vg}/data 100 {DISK} 16M"))?;
    let node = ctx.dev(vg, DISK).display().to_string();
    let size = || ctx.shell(&format!("blockdev --getsz {node}"));
    ensure!(size()?.trim() == "32768");
    let dm = ctx.shell(&format!("dmsetup info -c --noheadings -o name {node}"))?.trim().to_owned();
    ctx.shell(&format!("dmsetup table {dm} | sed 's/^0 32768 /0 65536 /' | dmsetup load {dm}"))?;
    let waits = || ctx.shell(&format!("dmsetup info {dm}"));
    ensure!(waits()?.contains("INACTIVE"), "{}", waits()?);
    let ran = ctx.thinvol(&format!("snapshot {vg}/{DISK}@s1"))?;
    ensure!(ran.status == 0 && ran.stdout.contains("never put in place"), "{ran:?}");
    ensure!(size()?.trim() == "32768", "the device is longer than its volume");
    ensure!(!waits()?.contains("INACTIVE") && waits()?.contains("State:             ACTIVE"), "{}", waits()?);
    ctx.agreed(vg)
}

/// A killed extension of a pool's metadata leaves it longer than the text says; the next resume of the pool would use
/// it. One that was resumed so is given the place by lvm2, as thinvol says.
fn longer_parts(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.shell(&format!(
        "lvcreate -qq --yes -Wn -L 16M -n thick {vg}; lvcreate -qq -V 16M -T {vg}/data -n {DISK}; udevadm settle"
    ))?;
    // One extent more, where nothing lies.
    let place = 2048 + 400 * 8192;
    let lengthen = |name: &str| {
        ctx.shell(&format!(
            "set -- $(dmsetup table {name}); (dmsetup table {name}; echo $2 8192 linear $4 {place}) | \
             dmsetup load {name}; dmsetup resume {name}"
        ))
    };
    let size = |name: &str| ctx.shell(&format!("blockdev --getsz /dev/mapper/{name}"));
    let (metadata, thick) = (format!("{vg}-data_tmeta"), format!("{vg}-thick"));
    let whole = size(&metadata)?;
    lengthen(&metadata)?;
    lengthen(&thick)?;
    let ran = ctx.thinvol(&format!("alloc {vg}/data 101 vm-101-disk-0 4M"))?;
    ensure!(ran.status == 0 && ran.stdout.contains("is longer than the metadata says"), "{ran:?}");
    ensure!(size(&metadata)? == whole);
    let ran = ctx.thinvol(&format!("recover {vg}"))?;
    ensure!(ran.status == 0 && ran.stdout.contains("pve/thick is longer than the metadata says"), "{ran:?}");
    ensure!(size(&thick)?.trim() == "32768");
    ctx.agreed(vg)?;
    // What the kernel uses by now cannot be taken from it.
    lengthen(&metadata)?;
    ctx.shell(&format!("dmsetup suspend {vg}-data-tpool; dmsetup resume {vg}-data-tpool"))?;
    for arguments in [format!("recover {vg}"), format!("alloc {vg}/data 102 vm-102-disk-0 4M")] {
        let ran = ctx.thinvol(&arguments)?;
        ensure!(ran.status == 6 && ran.stderr.contains("KiB of metadata in pool pve/data"), "{ran:?}");
    }
    let said = ctx.thinvol(&format!("alloc {vg}/data 102 vm-102-disk-0 4M"))?.stderr;
    let command = said.split('\'').find(|part| part.starts_with("lvextend")).map(str::to_owned);
    ctx.shell(&command.unwrap_or_default())?;
    ctx.thinvol_ok(&format!("alloc {vg}/data 102 vm-102-disk-0 4M"))?;
    ctx.agreed(vg)
}

/// Origins of copy-on-write snapshots, mirrored volumes and pools, suspended at all layers.
fn suspended_layers(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[600 << 20, 600 << 20], 512)?;
    ctx.ok(&format!("lvcreate --yes -L 256M -n data {vg}"))?;
    ctx.ok(&format!("lvconvert --yes --type thin-pool {vg}/data"))?;
    ctx.thinvol_ok(&format!("alloc {vg}/data 100 {DISK} 16M"))?;
    ctx.shell(&format!(
        "lvcreate -qq --yes -L 16M -n thick {vg}; lvcreate -qq --yes -s -L 8M -n cow {vg}/thick; \
             lvcreate -qq --yes --type raid1 -m1 -L 16M --nosync -n mirror {vg}; udevadm settle"
    ))?;
    // From above, as lvm2 does; without a flush, for what is below may be suspended by then.
    let all = "dmsetup info -c --noheadings -o name,uuid | awk -F: '$2 ~ /^LVM-/ {print $1}'";
    let above = "thick$|cow$|mirror$|vm--100--disk--0$";
    ctx.shell(&format!(
            "names=$({all}); for n in $(echo \"$names\" | grep -E '{above}'; echo \"$names\" | grep -- '-tpool$'; \
             echo \"$names\" | grep -vE '{above}|-tpool$'); do dmsetup suspend --noflush --nolockfs $n; done"
        ),
    )?;
    let asleep =
        || ctx.shell("dmsetup info -c --noheadings -o name,suspended | grep -i ':suspended' || true");
    ensure!(asleep()?.lines().count() > 10, "{}", asleep()?);
    let ran = ctx.thinvol(&format!("recover {vg}"))?;
    ensure!(ran.status == 0, "{ran:?}");
    ensure!(asleep()?.is_empty(), "{}{ran:?}", asleep()?);
    ctx.shell("udevadm settle")?;
    let nodes = ctx.shell(&format!("ls /dev/{vg}"))?;
    ensure!(nodes.split_whitespace().all(|node| !node.contains("_t") && !node.contains("_r")), "{nodes}");
    ctx.oracle(vg)?;
    sum(ctx, vg, "thick")?;
    sum(ctx, vg, "mirror")?;
    ctx.ok(&format!("vgchange -qq -an {vg}"))?;
    ctx.oracle(vg)
}

/// `lvrename` of a pool, and `vgrename`, killed after the commit: the devices have the names of before.
fn old_names(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.thinvol_ok(&format!("alloc {vg}/data 100 {DISK} 16M"))?;
    let before = sum(ctx, vg, DISK)?;
    let names = |of: &str| ctx.shell(&format!("dmsetup info -c --noheadings -o name | grep '^{of}-' | sort"));
    ctx.ok(&format!("lvrename -qq {vg} data slow"))?;
    let renamed = names(vg)?;
    ensure!(renamed.contains(&format!("{vg}-slow-tpool")), "{renamed}");
    let back = |from: &str, to: &str| {
        format!(
            "for n in $(dmsetup info -c --noheadings -o name | grep '^{vg}-{from}'); do \
             dmsetup rename $n {vg}-{to}${{n#{vg}-{from}}}; done; udevadm settle"
        )
    };
    ctx.shell(&back("slow", "data"))?;
    let ran = ctx.thinvol(&format!("recover {vg}"))?;
    ensure!(ran.status == 0 && ran.stdout.contains("name of before a rename"), "{ran:?}");
    ensure!(names(vg)? == renamed, "{}", names(vg)?);
    ctx.oracle(vg)?;
    // A change mends the pool by itself; letting go leaves nothing.
    ctx.shell(&back("slow", "data"))?;
    ctx.thinvol_ok(&format!("alloc {vg}/slow 101 vm-101-disk-0 8M"))?;
    ensure!(names(vg)?.contains(&format!("{vg}-slow-tpool")), "{}", names(vg)?);
    ctx.shell(&back("slow", "data"))?;
    ctx.thinvol_ok(&format!("deactivate {vg}"))?;
    let left = ctx.shell("dmsetup ls --target thin-pool")?;
    ensure!(left.contains("No devices found"), "{left}");
    ctx.agreed(vg)?;
    ctx.thinvol_ok(&format!("activate {vg}/{DISK}"))?;
    ensure!(sum(ctx, vg, DISK)? == before);
    // The group's name: all its devices.
    ctx.shell(&format!(
        "udevadm settle; for n in $(dmsetup info -c --noheadings -o name | grep '^{vg}-'); do \
             dmsetup rename $n was-${{n#{vg}-}}; done; udevadm settle"
    ))?;
    ctx.thinvol_ok(&format!("recover {vg}"))?;
    ensure!(ctx.shell("dmsetup info -c --noheadings -o name | grep -c '^was-' || true")?.trim() == "0");
    ctx.shell("udevadm settle")?;
    ctx.oracle(vg)?;
    ensure!(sum(ctx, vg, DISK)? == before);
    ctx.agreed(vg)
}

/// A backup's hook froze the file system: lvm2 refuses, thinvol takes the snapshot and leaves it frozen.
/// Whether the kernel freezes for itself also what a program keeps frozen: then a snapshot need not tell.
/// Source: Linux `fs/super.c` (`freeze_super`, `FREEZE_HOLDER_KERNEL`), since 6.6.
fn freezes_by_holder() -> Result<bool> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    Ok((numbers.next(), numbers.next()) >= (Some(6), Some(6)))
}

fn frozen_already(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.thinvol_ok(&format!("alloc {vg}/data 100 {DISK} 32M"))?;
    let (node, mount) =
        (ctx.dev(vg, DISK).display().to_string(), ctx.dir().join("mnt").display().to_string());
    ctx.shell(&format!(
        "mkdir -p {mount}; mkfs.ext4 -q {node}; mount {node} {mount}; echo a > {mount}/file; sync; \
             fsfreeze -f {mount}"
    ))?;
    let ran = ctx.thinvol(&format!("snapshot {vg}/{DISK}@s1"));
    // Whoever writes to it waits, in the kernel, until it is thawed.
    let write =
        ctx.sh(&format!("(echo b > {mount}/other) > /dev/null 2>&1 & sleep 2; test -s {mount}/other"));
    ctx.shell(&format!("fsfreeze -u {mount}; sleep 1; umount {mount}"))?;
    let ran = ran?;
    let is_told = ran.stderr.contains("was frozen already");
    ensure!(ran.status == 0 && is_told != freezes_by_holder()?, "{ran:?}");
    ensure!(write?.status != 0, "the snapshot thawed what somebody else froze");
    ctx.shell("udevadm settle")?;
    ctx.thinvol_ok(&format!("clone {vg}/{DISK}@s1 101"))?;
    ctx.thinvol_ok(&format!("activate {vg}/vm-101-disk-0"))?;
    let clone = ctx.dev(vg, "vm-101-disk-0").display().to_string();
    let features = ctx.shell(&format!("dumpe2fs -h {clone} 2>/dev/null | grep features"))?;
    ensure!(!features.contains("needs_recovery"), "{features}");
    ctx.agreed(vg)
}
