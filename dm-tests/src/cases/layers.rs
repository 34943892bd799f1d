//! Layers below volumes and pools that only lvm2 makes: caches that are suspended, mirrors that are longer than the
//! text says, metadata that grew, and deduplicated data.

use anyhow::{Result, ensure};

use super::snapshots::sum;
use crate::case::{Case, Skip, Tier};
use crate::ctx::Ctx;

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "layers::suspended_caches", tier: Tier::Full, limit_s: 400, run: suspended_caches },
    Case { name: "layers::longer_mirror", tier: Tier::Full, limit_s: 400, run: longer_mirror },
    Case { name: "layers::grown_metadata", tier: Tier::Full, limit_s: 400, run: grown_metadata },
    Case { name: "layers::pool_on_vdo", tier: Tier::Full, limit_s: 400, run: pool_on_vdo },
];

const DISK: &str = "vm-100-disk-0";

/// A cached volume and a pool with cached data, all their layers suspended: recovery resumes them from below, and what
/// is lvm2's is told to stay.
fn suspended_caches(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[256 << 20, 256 << 20], 512)?;
    ctx.shell(&format!(
        "lvcreate -qq --yes -T {vg}/data -L 64M; lvcreate -qq -V 16M -T {vg}/data -n {DISK}; \
         lvcreate -qq --yes -Wn -L 16M -n thick {vg}; \
         for lv in thick data; do lvcreate -qq --yes --type cache-pool -L 12M -n fast-$lv {vg}; \
         lvconvert -qq --yes --type cache --cachepool {vg}/fast-$lv {vg}/$lv; done; udevadm settle"
    ))?;
    ctx.shell(&format!("dd if=/dev/urandom of=/dev/{vg}/{DISK} bs=1M count=8 oflag=direct"))?;
    let (before, thick) = (sum(ctx, vg, DISK)?, sum(ctx, vg, "thick")?);
    let all = "dmsetup info -c --noheadings -o name,uuid | awk -F: '$2 ~ /^LVM-/ {print $1}'";
    let above = "thick$|vm--100--disk--0$|-data$";
    ctx.shell(&format!(
        "names=$({all}); for n in $(echo \"$names\" | grep -E '{above}'; echo \"$names\" | grep -- '-tpool$'; \
         echo \"$names\" | grep -- '_tdata$'; echo \"$names\" | grep -vE '{above}|-tpool$|_tdata$'); do \
         dmsetup suspend --noflush --nolockfs $n; done"
    ))?;
    let asleep =
        || ctx.shell("dmsetup info -c --noheadings -o name,suspended | grep -i ':suspended' || true");
    for layer in ["cdata", "cmeta", "corig", "tdata"] {
        ensure!(asleep()?.contains(layer), "no {layer} is suspended: {}", asleep()?);
    }
    let ran = ctx.thinvol(&format!("recover {vg}"))?;
    ensure!(ran.status == 0 && ran.stderr.is_empty(), "{ran:?}");
    ensure!(asleep()?.is_empty(), "{}{ran:?}", asleep()?);
    ensure!(sum(ctx, vg, DISK)? == before && sum(ctx, vg, "thick")? == thick);
    ctx.change(&format!("snapshot {vg}/{DISK}@s"))?;
    let ran = ctx.thinvol(&format!("deactivate {vg}"))?;
    ensure!(ran.status == 5 && ran.stderr.contains("_cdata"), "{ran:?}");
    ctx.ok("udevadm settle")?;
    ctx.lvm(&format!("vgchange -qq -an {vg}"))?;
    ctx.lvm(&format!("vgchange -qq -ay {vg}"))?;
    ensure!(sum(ctx, vg, DISK)? == before && sum(ctx, vg, "thick")? == thick);
    ctx.oracle(vg)
}

/// A killed extension of a pool on mirrors leaves the mirror longer than the text says. Changes are refused until what
/// is advised was done.
fn longer_mirror(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[256 << 20, 256 << 20], 512)?;
    ctx.shell(&format!(
        "lvcreate -qq --yes --type raid1 -m1 -L 32M -n data {vg}; \
         lvcreate -qq --yes --type raid1 -m1 -L 4M -n meta {vg}; \
         lvconvert -qq --yes --type thin-pool --poolmetadata {vg}/meta {vg}/data; \
         lvcreate -qq -V 8M -T {vg}/data -n {DISK}; udevadm settle; \
         dd if=/dev/urandom of=/dev/{vg}/{DISK} bs=1M count=8 oflag=direct"
    ))?;
    let before = sum(ctx, vg, DISK)?;
    // One extent more, where nothing lies: what lvm2 puts in place before it commits the text that says so.
    let place = 2048 + 50 * 8192;
    for (part, snap) in [("tdata", "s1"), ("tmeta", "s2")] {
        let top = format!("{vg}-data_{part}");
        let sectors = || ctx.shell(&format!("blockdev --getsz /dev/mapper/{top}"));
        let whole = sectors()?;
        for leg in 0..2 {
            let name = format!("{top}_rimage_{leg}");
            ctx.shell(&format!(
                "set -- $(dmsetup table {name}); (dmsetup table {name}; echo $2 8192 linear $4 {place}) | \
                 dmsetup load {name}; dmsetup resume {name}"
            ))?;
        }
        ctx.shell(&format!(
            "set -- $(dmsetup table {top}); dmsetup table {top} | sed \"s/^0 $2 /0 $(($2 + 8192)) /\" | \
             dmsetup load {top}; dmsetup resume {top}"
        ))?;
        ensure!(sectors()? != whole, "the mirror is not longer");
        for verb in [format!("alloc {vg}/data 101 vm-101-disk-0 4M"), format!("snapshot {vg}/{DISK}@{snap}")]
        {
            let ran = ctx.thinvol(&verb)?;
            ensure!(ran.status == 1 && ran.stderr.contains("is longer than"), "{ran:?}");
            ensure!(ran.stderr.contains(&format!("'lvchange --refresh {vg}/data'")), "{ran:?}");
        }
        ctx.lvm(&format!("lvchange --refresh {vg}/data"))?;
        ensure!(sectors()? == whole, "the refresh leaves it longer");
        ctx.change(&format!("snapshot {vg}/{DISK}@{snap}"))?;
        ensure!(sum(ctx, vg, DISK)? == before);
    }
    ctx.agreed(vg)?;
    ensure!(sum(ctx, vg, DISK)? == before);
    Ok(())
}

/// The kernel does not write down in a pool's superblock that its metadata grew. What lies in the new part is read all
/// the same, of the running pool and of the stopped one.
fn grown_metadata(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[256 << 20], 512)?;
    ctx.shell(&format!(
        "lvcreate -qq --yes -T {vg}/data -L 64M --poolmetadatasize 2M; lvcreate -qq -V 8M -T {vg}/data -n {DISK}; \
         udevadm settle; dd if=/dev/urandom of=/dev/{vg}/{DISK} bs=1M count=8 oflag=direct; \
         lvextend -qq --poolmetadatasize +6M {vg}/data"
    ))?;
    // The kernel goes on behind the block that it took last: after so many changes it has been through the new part.
    for round in 0..2 {
        let names: Vec<String> = (0..20).map(|number| format!("{}", 1000 + 100 * round + number)).collect();
        ctx.thinvol_ok(&format!("clone {vg}/{DISK} {}", names.join(" ")))?;
        let silent = |verb: &str| -> Result<()> {
            ctx.ok("rm -rf /run/thinvol")?;
            let ran = ctx.thinvol(verb)?;
            ensure!(ran.status == 0 && ran.stderr.is_empty(), "{ran:?}");
            Ok(())
        };
        silent(&format!("recover {vg}"))?;
        ctx.thinvol_ok(&format!("deactivate {vg}"))?;
        silent(&format!("recover {vg}"))?;
        silent(&format!("activate {vg}/{DISK}"))?;
    }
    ctx.agreed(vg)
}

/// A pool whose data lies on VDO is used while lvm2 runs it, and left to lvm2 to start and to stop.
fn pool_on_vdo(ctx: &Ctx) -> Result<()> {
    if ctx.run(&["modprobe", "dm-vdo"])?.status != 0 {
        return Err(Skip("this kernel has no module dm-vdo; Debian 13's has".into()).into());
    }
    // The smallest index and the smallest slabs still want a disk of some GiB, most of which stays a hole.
    let vg = ctx.volume_group(&[8 << 30], 512)?;
    ctx.shell(&format!(
        "lvcreate -qq --yes --type thin-pool --pooldatavdo y -L 5G -n data {vg} --config \
         'allocation {{ vdo_use_deduplication=0 vdo_slab_size_mb=128 }}'; \
         lvcreate -qq -V 16M -T {vg}/data -n {DISK}; udevadm settle; \
         dd if=/dev/urandom of=/dev/{vg}/{DISK} bs=1M count=8 oflag=direct"
    ))?;
    ensure!(ctx.ok("dmsetup table")?.contains(" vdo "), "the pool does not lie on VDO");
    let before = sum(ctx, vg, DISK)?;
    ctx.change(&format!("snapshot {vg}/{DISK}@s"))?;
    ctx.change(&format!("alloc {vg}/data 101 vm-101-disk-0 8M"))?;
    ctx.change(&format!("rollback {vg}/{DISK}@s"))?;
    ctx.change(&format!("free {vg}/vm-101-disk-0"))?;
    ctx.change(&format!("recover {vg}"))?;
    ctx.ok("udevadm settle")?;
    ctx.lvm(&format!("vgchange -qq -an {vg}"))?;
    let ran = ctx.thinvol(&format!("activate {vg}/{DISK}"))?;
    ensure!(ran.status == 7 && ran.stderr.contains("'vdo'") && !ran.stderr.contains("repair"), "{ran:?}");
    ctx.lvm(&format!("vgchange -qq -ay {vg}"))?;
    ctx.change(&format!("activate {vg}/{DISK}"))?;
    ensure!(sum(ctx, vg, DISK)? == before);
    ctx.agreed(vg)?;
    let ran = ctx.thinvol(&format!("deactivate {vg}"))?;
    ensure!(ran.status == 5 && ran.stderr.contains("data_vpool0-vpool"), "what stays is not said: {ran:?}");
    // lvm2 complains, with status 5, of layers whose pool is gone, and stops them all the same.
    ctx.run(&["vgchange", "-qq", "-an", vg])?;
    let left = ctx.ok("dmsetup ls")?;
    ensure!(left.contains("No devices"), "{left}");
    Ok(())
}
