//! What lvm.conf lets be activated and how pools are checked before: as lvm2 does it.

use anyhow::{Result, ensure};
use base::bytes::le;

use crate::case::{Case, Tier};
use crate::ctx::{Conf, Ctx, Ran};

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "activation::new_volumes_and_lists", tier: Tier::Full, limit_s: 240, run: new_volumes },
    Case {
        name: "activation::check_as_configured",
        tier: Tier::Full,
        limit_s: 300,
        run: check_as_configured,
    },
    Case { name: "activation::damaged_pool", tier: Tier::Full, limit_s: 300, run: damaged_pool },
];

/// Cases of this file that take minutes.
pub const LONG: &[Case] =
    &[Case { name: "activation::lists_as_lvm2", tier: Tier::Full, limit_s: 400, run: lists_as_lvm2 }];

/// The devices there are, with their permissions.
fn devices(ctx: &Ctx) -> Result<String> {
    ctx.ok("udevadm settle")?;
    Ok(ctx.sh("dmsetup info -c --noheadings --separator ' ' -o name,readonly --sort name")?.stdout)
}

/// The same devices appear by lvm2 and by thinvol, under each list.
fn lists_as_lvm2(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    let conf = Conf::new(ctx)?;
    ctx.ok(&format!("lvcreate -V 8M -T {vg}/data -n a --addtag fast"))?;
    ctx.ok(&format!("lvcreate -V 8M -T {vg}/data -n b"))?;
    ctx.ok(&format!("lvcreate -y -Wn -L 8M -n thick --setautoactivation n {vg}"))?;
    ctx.lvm(&format!("vgchange -an {vg}"))?;
    let settings = [
        ("-ay", "", format!("volume_list = [ \"other\", \"{vg}/a\", \"{vg}/thick\" ]")),
        ("-ay", "", "volume_list = [ \"@fast\" ]".to_owned()),
        ("-ay", "", "volume_list = [ \"@*\" ] } tags { fast { }".to_owned()),
        ("-ay", "", "} tags { slow { }".to_owned()),
        ("-ay", "", format!("read_only_volume_list = [ \"{vg}/thick\", \"@slow\" ]")),
        ("-aay", "--auto", format!("auto_activation_volume_list = [ \"{vg}/b\", \"{vg}/thick\" ]")),
    ];
    for (lvm2, ours, setting) in settings {
        conf.set(&format!("activation {{ {setting} }}\n"))?;
        let ran = conf.run(ctx, &format!("vgchange {lvm2} {vg}"))?;
        ensure!(ran.status == 0, "{ran:?}");
        let expected = devices(ctx)?;
        ctx.lvm(&format!("vgchange -an {vg}"))?;
        ctx.ok("udevadm settle")?;
        let ran = conf.run(ctx, &format!("thinvol activate {ours} {vg}"))?;
        ensure!(ran.status == 0, "{ran:?}");
        let seen = devices(ctx)?;
        ensure!(seen == expected, "with {setting}\nlvm2:\n{expected}\nthinvol:\n{seen}");
        ctx.lvm(&format!("vgchange -an {vg}"))?;
    }
    conf.set("activation { volume_list = [ \"other\" ] }\n")?;
    // Asked for by name lvm2 does nothing and says nothing; we do nothing and say so.
    let ran = conf.run(ctx, &format!("lvchange -ay {vg}/a"))?;
    ensure!(devices(ctx)?.contains("No devices"), "lvm2 activates what is not listed: {ran:?}");
    let ran = conf.run(ctx, &format!("thinvol activate {vg}/a"))?;
    ensure!(ran.status == 1 && ran.stderr.contains("activation/volume_list"), "{ran:?}");
    ensure!(devices(ctx)?.contains("No devices"), "a refused activation left devices");
    ctx.oracle(vg)
}

/// A new volume that is not listed exists and stays inactive; a pool that is not listed is not started for messages.
fn new_volumes(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    let conf = Conf::new(ctx)?;
    ctx.ok(&format!("lvcreate -V 8M -T {vg}/data -n a"))?;
    conf.set(&format!("activation {{ volume_list = [ \"{vg}/data\" ] }}\n"))?;
    let theirs = conf.run(ctx, &format!("lvcreate -V 8M -T {vg}/data -n by-lvm2"))?;
    let ran = conf.run(ctx, &format!("thinvol alloc {vg}/data 100 vm-100-disk-0 8M"))?;
    ensure!(ran.status == 0 && ran.stderr.contains("is left inactive"), "{ran:?}; lvm2: {theirs:?}");
    let active = ctx.lvm(&format!("lvs --noheadings -o lv_name -S lv_active=active {vg}"))?;
    ensure!(!active.contains("vm-100-disk-0") && !active.contains("by-lvm2"), "{active}");
    ctx.oracle(vg)?;
    ctx.change(&format!("activate {vg}/vm-100-disk-0"))?;
    ctx.ok("udevadm settle")?;
    ctx.lvm(&format!("vgchange -an {vg}"))?;
    ctx.ok("udevadm settle")?;
    conf.set("activation { volume_list = [ \"other\" ] }\n")?;
    let theirs = conf.run(ctx, &format!("lvcreate -an -V 8M -T {vg}/data -n refused"))?;
    let ours = conf.run(ctx, &format!("thinvol alloc {vg}/data 100 vm-100-disk-1 8M"))?;
    ensure!(theirs.status != 0 && ours.status == 1, "lvm2: {theirs:?}, thinvol: {ours:?}");
    ensure!(ours.stderr.contains("must not be activated on this host"), "{ours:?}");
    ensure!(devices(ctx)?.contains("No devices"), "a refused change left devices");
    Ok(())
}

/// A pool with data of one volume; everything stopped.
fn stopped_pool(ctx: &Ctx) -> Result<&'static str> {
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 32M"))?;
    let node = ctx.dev(vg, "vm-100-disk-0");
    ctx.ok(&format!("dd if=/dev/urandom of={} bs=1M count=2 oflag=direct", node.display()))?;
    ctx.ok("udevadm settle")?;
    ctx.lvm(&format!("vgchange -an {vg}"))?;
    ctx.ok("udevadm settle")?;
    Ok(vg)
}

/// Both activate the volume, or neither; returns what thinvol said.
fn both(ctx: &Ctx, conf: &Conf, vg: &str, works: bool) -> Result<Ran> {
    let theirs = conf.run(ctx, &format!("lvchange -ay {vg}/vm-100-disk-0"))?;
    // Since Debian 13 lvm2 goes on where the check could not be made, and says so.
    let unchecked = theirs.status == 0 && theirs.stderr.contains("Check is skipped");
    ensure!((theirs.status == 0) == works || unchecked, "lvm2: {theirs:?}");
    ctx.ok("udevadm settle")?;
    ctx.lvm(&format!("vgchange -an {vg}"))?;
    ctx.ok("udevadm settle")?;
    let ours = conf.run(ctx, &format!("thinvol activate {vg}/vm-100-disk-0"))?;
    ensure!((ours.status == 0) == works, "lvm2: {theirs:?}, thinvol: {ours:?}");
    let left = devices(ctx)?;
    if works {
        ensure!(left.contains("vm--100--disk--0"), "{left}");
    } else {
        ensure!(left.contains("No devices"), "a pool that failed its check left devices: {left}");
        ensure!(!ctx.dev(vg, "vm-100-disk-0").exists(), "a node is left");
    }
    ctx.lvm(&format!("vgchange -an {vg}"))?;
    ctx.ok("udevadm settle")?;
    Ok(ours)
}

/// The checker is missing, switched off, or told to do something it does not know.
fn check_as_configured(ctx: &Ctx) -> Result<()> {
    let vg = stopped_pool(ctx)?;
    let conf = Conf::new(ctx)?;
    conf.set("global { thin_check_executable = \"/nowhere/thin_check\" }\n")?;
    let missing = both(ctx, &conf, vg, true)?;
    ensure!(missing.stderr.contains("/nowhere/thin_check is missing"), "{missing:?}");
    conf.set("global { thin_check_executable = \"\" }\n")?;
    let off = both(ctx, &conf, vg, true)?;
    ensure!(off.stderr.is_empty(), "{off:?}");
    conf.set("global { thin_check_options = [ \"--no-such-option\" ] }\n")?;
    let wrong = both(ctx, &conf, vg, false)?;
    ensure!(wrong.status == 1 && wrong.stderr.contains("no-such-option"), "{wrong:?}");
    ensure!(
        wrong.stderr.contains("could not be checked") && !wrong.stderr.contains("lvconvert"),
        "{wrong:?}"
    );
    ctx.lvm(&format!("vgchange -ay {vg}"))?;
    ctx.oracle(vg)
}

/// A leaf of the volume's own tree in a pool's metadata is damaged: the check finds it, unless it is told not to look.
fn damaged_pool(ctx: &Ctx) -> Result<()> {
    let vg = stopped_pool(ctx)?;
    let conf = Conf::new(ctx)?;
    conf.set("")?;
    damage(ctx, vg)?;
    let ran = both(ctx, &conf, vg, false)?;
    ensure!(ran.status == 6, "{ran:?}");
    for word in ["did not pass its check", "nothing was changed", "thinvol pool repair"] {
        ensure!(ran.stderr.contains(word), "it does not say '{word}': {}", ran.stderr);
    }
    for line in [format!("alloc {vg}/data 100 vm-100-disk-1 8M"), format!("snapshot {vg}/vm-100-disk-0@s")] {
        let seqno = ctx.lvm(&format!("vgs --noheadings -o vg_seqno {vg}"))?;
        let ran = ctx.thinvol(&line)?;
        ensure!(ran.status == 6, "{ran:?}");
        ensure!(devices(ctx)?.contains("No devices"), "a refused change left devices");
        ensure!(ctx.lvm(&format!("vgs --noheadings -o vg_seqno {vg}"))? == seqno, "metadata was written");
    }
    conf.set("global { thin_check_options = [ \"-q\", \"--skip-mappings\" ] }\n")?;
    both(ctx, &conf, vg, true)?;
    Ok(())
}

/// Finds the leaf that maps the volume's chunks and spoils it.
fn damage(ctx: &Ctx, vg: &str) -> Result<()> {
    let metadata = ctx.pool_metadata(vg)?;
    let mut spoilt = 0;
    for number in 0..metadata.blocks() {
        let mut block = metadata.read(number)?;
        // Source: Linux drivers/md/persistent-data/dm-btree-internal.h (struct node_header).
        let (flags, place) = (le::u32(&block, 4)?, le::u32(&block, 8)?);
        let (entries, value_size) = (le::u32(&block, 16)?, le::u32(&block, 24)?);
        // Two megabytes in chunks of 64 KiB; the tree of volumes has one entry, those of space maps other values.
        if flags == 2 && entries >= 32 && value_size == 8 && place == u32::try_from(number)? {
            block[1000..1008].fill(0xa5);
            metadata.write(number, &block)?;
            spoilt += 1;
        }
    }
    ensure!(spoilt > 0, "no leaf with the volume's chunks was found");
    Ok(())
}
