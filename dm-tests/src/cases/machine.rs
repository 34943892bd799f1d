//! The machine itself is what the other cases rely on.

use anyhow::{Context, Result, ensure};
use devicemapper::{DM, DevId, DmFlags, DmName, DmOptions};

use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "machine::targets_are_there", tier: Tier::Fast, limit_s: 30, run: targets_are_there },
    Case { name: "machine::bare_pool", tier: Tier::Fast, limit_s: 60, run: bare_pool },
    Case { name: "machine::lvm2_pool", tier: Tier::Full, limit_s: 180, run: lvm2_pool },
    Case { name: "machine::udev_makes_nodes", tier: Tier::Full, limit_s: 90, run: udev_makes_nodes },
];

fn targets_are_there(_: &Ctx) -> Result<()> {
    let targets = DM::new()?.list_versions()?;
    for wanted in ["thin-pool", "thin", "linear", "flakey", "delay", "log-writes", "snapshot"] {
        ensure!(targets.iter().any(|(name, ..)| **name == *wanted), "no target {wanted}");
    }
    Ok(())
}

/// A pool and a thin device without lvm2 or udev, straight on loop devices.
fn bare_pool(ctx: &Ctx) -> Result<()> {
    let metadata = ctx.disk(4 << 20)?;
    let data = ctx.disk(64 << 20)?;
    let dm = DM::new()?;
    let create = |name: &str, sectors: u64, target: &str, params: &str| -> Result<()> {
        let name = DmName::new(name)?;
        dm.device_create(name, None, DmOptions::default())?;
        let id = DevId::Name(name);
        dm.table_load(&id, &[(0, sectors, target.into(), params.into())], DmOptions::default())?;
        dm.device_suspend(&id, DmOptions::default())?;
        Ok(())
    };
    let params = format!("{} {} 128 0 1 skip_block_zeroing", metadata.number()?, data.number()?);
    create("bare-pool", (64 << 20) / 512, "thin-pool", &params)?;
    let pool = DmName::new("bare-pool")?;
    dm.target_msg(&DevId::Name(pool), None, "create_thin 0")?;
    let number = dm.device_info(&DevId::Name(pool))?.device();
    create("bare-thin", (1 << 30) / 512, "thin", &format!("{}:{} 0", number.major, number.minor))?;
    let (_, status) = dm.table_status(&DevId::Name(pool), DmOptions::default())?;
    let line = &status.first().context("a pool has one status line")?.3;
    ensure!(line.contains(" rw "), "the pool is not writable: {line}");
    let flags = dm.device_info(&DevId::Name(DmName::new("bare-thin")?))?.flags();
    ensure!(flags.contains(DmFlags::DM_ACTIVE_PRESENT) && !flags.contains(DmFlags::DM_SUSPEND));
    Ok(())
}

/// A pool made by the commands users know, with a volume and a snapshot; lvm2 has no complaint.
fn lvm2_pool(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.ok(&format!("lvcreate --yes -V 256M -T {vg}/data -n vm-100-disk-0"))?;
    ctx.ok(&format!("lvcreate --yes -s -n snap_vm-100-disk-0_s {vg}/vm-100-disk-0"))?;
    ctx.oracle(vg)?;
    ctx.reactivate(vg)?;
    let names = ctx.lvm(&format!("lvs --noheadings -o lv_name {vg}"))?;
    ensure!(names.contains("snap_vm-100-disk-0_s"), "{names}");
    Ok(())
}

fn udev_makes_nodes(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[64 << 20, 64 << 20], 512)?;
    ctx.lvm(&format!("lvcreate --yes -L 8M -n thick {vg}"))?;
    ensure!(ctx.dev(vg, "thick").exists(), "no node of an active volume");
    ctx.lvm(&format!("lvchange -an {vg}/thick"))?;
    ensure!(!ctx.dev(vg, "thick").exists(), "the node of an inactive volume stayed");
    ctx.oracle(vg)
}
