//! What may be done with groups that are not whole, not ours alone, or not sure of their disks: as much as lvm2 does.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use base::ids::VgName;
use lvm2::host::store::vg::VgStore;
use lvm2::host::store::vg_ref::VgRef;
use sys::io::block::BlockDev;
use sys::io::direct::{Access, DirectFile};

use super::refusals::says_no;
use crate::case::{Case, Tier};
use crate::ctx::{Conf, Ctx};

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "access::required_reservations", tier: Tier::Full, limit_s: 240, run: reservations },
    Case { name: "access::a_disk_of_two_groups", tier: Tier::Full, limit_s: 240, run: two_groups },
    Case { name: "access::a_disk_is_missing", tier: Tier::Full, limit_s: 240, run: missing },
];

/// The physical volumes of the group, by size: the smallest first.
fn disks(ctx: &Ctx, vg: &str) -> Result<Vec<String>> {
    let said =
        ctx.lvm(&format!("pvs --noheadings --units b --nosuffix -o dev_size,pv_name -S vg_name={vg}"))?;
    let mut disks = BTreeMap::new();
    for line in said.lines() {
        let (size, name) = line.trim().split_once(' ').context("no size of a disk")?;
        disks.insert(size.parse::<u64>()?, name.trim().to_owned());
    }
    Ok(disks.into_values().collect())
}

fn active(ctx: &Ctx, vg: &str, lv: &str) -> bool {
    ctx.dev(vg, lv).exists()
}

/// lvm2 2.03.34 and later do not touch such a group before the reservation is taken, but for its deactivation. The
/// lvm2 of this machine is older and does not write the word.
fn reservations(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-a 8M"))?;
    ctx.ok("udevadm settle")?;
    let disk: Box<dyn BlockDev> =
        Box::new(DirectFile::open(&PathBuf::from(&disks(ctx, vg)?[0]), Access::ReadWrite)?);
    let mut store = VgStore::open(vec![disk], &VgRef::Name(VgName::new(vg)?))?;
    let seqno = store.summary().seqno.0;
    let text = String::from_utf8(store.text().to_vec())?;
    let text = text.replacen(
        &format!("seqno = {seqno}\n"),
        &format!("seqno = {}\npr = [\"require\", \"autostart\"]\n", seqno + 1),
        1,
    );
    store.commit(text.as_bytes())?;
    drop(store);
    ctx.oracle(vg)?;
    let no = |line: &str| says_no(ctx, &format!("thinvol {line}"), 7, &["persistent reservations"]);
    no(&format!("alloc {vg}/data 100 vm-100-b 8M"))?;
    no(&format!("alloc {vg}/data 100 vm-100-b 8M --dry-run"))?;
    no(&format!("free {vg}/vm-100-a"))?;
    ctx.ok("udevadm settle")?;
    ctx.thinvol_ok(&format!("deactivate {vg}"))?;
    ensure!(!active(ctx, vg, "vm-100-a"), "the volume is active still");
    no(&format!("activate {vg}/vm-100-a"))?;
    no(&format!("activate {vg}"))?;
    ensure!(ctx.thinvol_ok(&format!("list {vg}/data"))?.contains("vm-100-a"), "it is not read");
    let recovered = ctx.thinvol(&format!("recover {vg}"))?;
    ensure!(recovered.stderr.contains("left alone"), "{recovered:?}");
    Ok(())
}

/// vgsplit, as it is when it is killed between its commits: the new group is exported and has its disks' metadata, the
/// old one names them still.
fn two_groups(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[128 << 20, 64 << 20], 512)?;
    let [small, large] = disks(ctx, vg)?.try_into().map_err(|_| anyhow::anyhow!("not two disks"))?;
    ctx.ok(&format!("lvcreate -y --type thin-pool -L 32M -n data {vg} {large}"))?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-a 8M"))?;
    ctx.ok(&format!("lvcreate -y -an -Zn -L 16M -n thick {vg} {small}"))?;
    let saved = ctx.dir().join("saved").display().to_string();
    ctx.ok("udevadm settle")?;
    ctx.lvm(&format!("vgchange -an {vg}"))?;
    ctx.ok(&format!("dd if={large} of={saved} bs=1M count=1 iflag=direct status=none"))?;
    ctx.ok(&format!("vgsplit -n thick {vg} split{vg}"))?;
    ctx.lvm(&format!("vgexport split{vg}"))?;
    ctx.ok(&format!("dd if={saved} of={large} bs=1M count=1 oflag=direct conv=notrunc status=none"))?;
    ctx.ok("udevadm settle")?;
    let no = |line: &str, word: &str| says_no(ctx, &format!("thinvol {line}"), 7, &[word]);
    for verb in [format!("alloc {vg}/data 100 vm-100-b 8M"), format!("activate {vg}")] {
        no(&verb, &format!("belongs to volume group split{vg}"))?;
    }
    no(&format!("activate {vg}/thick"), &format!("belongs to volume group split{vg}"))?;
    no(&format!("activate split{vg}"), "exported")?;
    ctx.thinvol_ok(&format!("deactivate {vg}"))?;
    // As the rest of vgsplit would have left it.
    ctx.ok(&format!("vgreduce -y --removemissing --force --config devices/filter=[\"r|{small}|\"] {vg}"))?;
    ctx.lvm(&format!("vgimport split{vg}"))?;
    ctx.thinvol_ok(&format!("activate split{vg}/thick"))?;
    ctx.ok("udevadm settle")?;
    ctx.lvm(&format!("vgremove -y split{vg}"))?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-b 8M"))?;
    Ok(())
}

/// Without one of its disks a group is not written. What stands on it goes, what does not stand on it comes.
fn missing(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[128 << 20, 64 << 20], 512)?;
    let [small, large] = disks(ctx, vg)?.try_into().map_err(|_| anyhow::anyhow!("not two disks"))?;
    ctx.ok(&format!("lvcreate -y --type thin-pool -L 32M -n data {vg} {large}"))?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-a 8M"))?;
    ctx.ok(&format!("lvcreate -y -Zn -L 16M -n thick {vg} {small}"))?;
    ctx.ok("udevadm settle")?;
    let conf = Conf::new(ctx)?;
    conf.set(&format!("devices {{ filter = [ \"r|^{small}$|\" ] }}\n"))?;
    let run = |line: &str| conf.run(ctx, &format!("thinvol {line}"));
    let down = run(&format!("deactivate {vg}"))?;
    ensure!(down.status == 0 && down.stderr.contains(&format!("was last on {small}")), "{down:?}");
    ensure!(!active(ctx, vg, "thick") && !active(ctx, vg, "vm-100-a"), "a volume is active still");
    let up = run(&format!("activate {vg}/thick"))?;
    ensure!(up.status == 7 && up.stderr.contains("thick is not whole"), "{up:?}");
    ensure!(conf.run(ctx, &format!("lvchange -ay {vg}/thick"))?.status != 0, "lvm2 activates it");
    let up = run(&format!("activate {vg}/vm-100-a"))?;
    ensure!(up.status == 0 && active(ctx, vg, "vm-100-a"), "{up:?}");
    ctx.ok("udevadm settle")?;
    ensure!(run(&format!("deactivate {vg}/vm-100-a"))?.status == 0);
    ensure!(conf.run(ctx, &format!("lvchange -ay {vg}/vm-100-a"))?.status == 0, "lvm2 does not activate it");
    ctx.ok("udevadm settle")?;
    ensure!(run(&format!("deactivate {vg}/vm-100-a"))?.status == 0);
    let all = run(&format!("activate {vg}"))?;
    ensure!(all.stderr.contains("thick is left as it is") && active(ctx, vg, "vm-100-a"), "{all:?}");
    let no = run(&format!("alloc {vg}/data 100 vm-100-b 8M"))?;
    ensure!(no.status == 7 && no.stderr.contains("cannot be changed"), "{no:?}");
    ctx.oracle(vg)
}
