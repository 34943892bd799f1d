//! What LVM records of a volume's device besides its table, a fixed number and what it reads ahead: as lvm2 applies it.

use anyhow::{Context as _, Result, ensure};

use crate::case::{Case, Tier};
use crate::ctx::{Conf, Ctx};

/// The cases of this file.
pub const CASES: &[Case] =
    &[Case { name: "attributes::applied_and_kept", tier: Tier::Full, limit_s: 180, run: applied_and_kept }];

/// Those that take longer.
pub const LONG: &[Case] =
    &[Case { name: "attributes::as_lvm2", tier: Tier::Full, limit_s: 300, run: as_lvm2 }];

/// A pool on disks that read far ahead: 4096 sectors.
fn pool_on_far_reading_disks(ctx: &Ctx) -> Result<&'static str> {
    let vg = ctx.pool()?;
    let disks = ctx.lvm(&format!("pvs --noheadings -o pv_name -S vg_name={vg}"))?;
    for disk in disks.split_whitespace() {
        ctx.ok(&format!("blockdev --setra 4096 {disk}"))?;
    }
    Ok(vg)
}

/// What the kernel reads ahead of each volume, in bytes, and the number of the last.
fn devices(ctx: &Ctx, vg: &str) -> Result<String> {
    ctx.ok("udevadm settle")?;
    let ahead = ctx.fact(vg, "lv_name,lv_kernel_read_ahead -S segtype=thin -O lv_name")?;
    Ok(format!("{ahead}; {}", ctx.fact(&format!("{vg}/numbered"), "lv_kernel_minor")?))
}

/// Volumes that say nothing of what they read ahead, or nothing, or so much, or have a number; by two lvm.confs.
fn as_lvm2(ctx: &Ctx) -> Result<()> {
    let vg = pool_on_far_reading_disks(ctx)?;
    let conf = Conf::new(ctx)?;
    ctx.ok(&format!("lvcreate -V 8M -T {vg}/data -n auto"))?;
    ctx.ok(&format!("lvcreate -V 8M -T {vg}/data -n nothing -r none"))?;
    ctx.ok(&format!("lvcreate -V 8M -T {vg}/data -n little -r 512"))?;
    ctx.ok(&format!("lvcreate -V 8M -T {vg}/data -n numbered -My --minor 222"))?;
    for setting in ["", "activation { readahead = \"none\" }\n"] {
        conf.set(setting)?;
        let by = |line: &str| -> Result<String> {
            ctx.lvm(&format!("vgchange -an {vg}"))?;
            ctx.ok("udevadm settle")?;
            let ran = conf.run(ctx, line)?;
            ensure!(ran.status == 0, "{line}: {ran:?}");
            devices(ctx, vg)
        };
        let expected = by(&format!("vgchange -ay {vg}"))?;
        ensure!(expected.ends_with("; 222"), "lvm2 gave no number: {expected}");
        ensure!(expected.contains("auto 2097152") == setting.is_empty(), "with '{setting}': {expected}");
        let volumes = ["auto", "nothing", "little", "numbered"].map(|lv| format!("{vg}/{lv}")).join(" ");
        let seen = by(&format!("thinvol activate {volumes}"))?;
        ensure!(seen == expected, "with '{setting}'\nlvm2:\n{expected}\nthinvol:\n{seen}");
    }
    ctx.oracle(vg)
}

/// A volume whose number another device has is not activated under another one, and what volumes read ahead is there
/// again after each new table, which makes the kernel forget it.
fn applied_and_kept(ctx: &Ctx) -> Result<()> {
    let vg = pool_on_far_reading_disks(ctx)?;
    ctx.ok(&format!("lvcreate -an -V 8M -T {vg}/data -n numbered -r 512 -My --minor 222"))?;
    let devices = std::fs::read_to_string("/proc/devices")?;
    let major = devices.lines().find_map(|line| line.trim().strip_suffix(" device-mapper"));
    let major = major.context("no device-mapper in /proc/devices")?;
    ctx.ok(&format!("dmsetup create --notable --major {major} --minor 222 taker"))?;
    let ran = ctx.thinvol(&format!("activate {vg}/numbered"))?;
    ctx.ok("dmsetup remove taker")?;
    ensure!(ran.status == 4 && ran.stderr.contains("222"), "{ran:?}");
    ensure!(!ctx.ok("dmsetup ls")?.contains("numbered"), "a device is left");
    ctx.change(&format!("activate {vg}/numbered"))?;
    ensure!(ctx.fact(&format!("{vg}/numbered"), "lv_kernel_minor")? == "222", "it has another number");
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 8M"))?;
    let ahead = || ctx.fact(vg, "lv_kernel_read_ahead -S segtype=thin -O lv_name");
    let expected = format!("{} {}", 512 * 512, 4096 * 512);
    ensure!(ahead()? == expected, "they read {} bytes ahead, not {expected}", ahead()?);
    ctx.change(&format!("resize {vg}/numbered +8M"))?;
    ctx.change(&format!("resize {vg}/vm-100-disk-0 +8M"))?;
    ensure!(ahead()? == expected, "resized, they read {} bytes ahead, not {expected}", ahead()?);
    ctx.oracle(vg)
}
