//! The stack of a thin pool under LVM's names, made, changed and removed by thinvol's own ioctls.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base::ids::{DevNo, LvName, LvmUuid, ThinId, VgName};
use base::units::{Chunks, Sectors};
use dm::ioctl::LinuxDm;
use dm::kernel::{Counting, DmError, Kernel, StatusFlush, Suspend, Verb};
use dm::name::{DmName, DmUuid, Layer};
use dm::status::{PoolMode, PoolStatus, PoolWorking, ThinStatus};
use dm::table::{DmTarget, PoolParams, Table, TargetLine, ThinParams};
use dm::udev::{self, DeviceRole, Missing, SystemUdev, Udev as _, UdevSync, flags_for};

use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "dm_stack::life_without_udev", tier: Tier::Fast, limit_s: 120, run: life_without_udev },
    Case { name: "dm_stack::life_with_udev", tier: Tier::Full, limit_s: 180, run: life_with_udev },
    Case { name: "dm_stack::lvm2_takes_it_as_its_own", tier: Tier::Full, limit_s: 300, run: lvm2_takes_over },
];

/// Time udev gets on a slow machine.
pub const UDEV_LIMIT: Duration = Duration::from_secs(90);

const DATA_SECTORS: u64 = (64 << 20) / 512;
const METADATA_SECTORS: u64 = (4 << 20) / 512;
const THIN_SECTORS: u64 = (32 << 20) / 512;

/// A pool `tv-1/data` on two disks, and what is needed to drive it.
pub struct Stack<'a> {
    /// The kernel.
    pub dm: &'a Counting<LinuxDm>,
    /// Where uevents go.
    pub udev: &'a dyn UdevSync,
}

/// The name and uuid of a device. The uuid's LV part is made of the name, so that each LV has its own.
pub fn identity(lv: &str, layer: Layer) -> Result<(DmName, DmUuid)> {
    let name = DmName::of_lv(&VgName::new("tv-1")?, &LvName::new(lv)?, layer)?;
    let mut bytes = [7; 32];
    for (to, from) in bytes.iter_mut().zip(lv.bytes()) {
        *to = from;
    }
    Ok((name, DmUuid::of_lv(&LvmUuid::from_random([9; 32]), &LvmUuid::from_random(bytes), layer)))
}

/// The name of a thin volume's device.
pub fn volume(lv: &str) -> Result<DmName> {
    Ok(identity(lv, Layer::Plain)?.0)
}

/// The name of the device with the pool's target.
pub fn tpool() -> Result<DmName> {
    Ok(identity("data", Layer::Tpool)?.0)
}

impl Stack<'_> {
    /// Makes a device and puts its table in place.
    pub fn up(&self, lv: &str, layer: Layer, line: TargetLine, read_only: bool) -> Result<DevNo> {
        let (name, uuid) = identity(lv, layer)?;
        let dev = self.dm.create(&name, &uuid, None)?;
        self.dm.load(&name, &Table::single(line), read_only)?;
        udev::resume(self.dm, self.udev, &name, flags_for(DeviceRole::of_layer(layer)))?;
        Ok(dev)
    }

    /// Makes the whole pool on two fresh disks; returns the number of its target's device.
    pub fn pool(&self, ctx: &Ctx) -> Result<DevNo> {
        let linear = |disk: DevNo, sectors| {
            TargetLine::linear(Sectors::ZERO, Sectors::new(sectors), disk, Sectors::ZERO)
        };
        let metadata = ctx.disk(4 << 20)?.number()?.parse()?;
        let data = ctx.disk(64 << 20)?.number()?.parse()?;
        let metadata = self.up("data_tmeta", Layer::Tmeta, linear(metadata, METADATA_SECTORS), false)?;
        let data = self.up("data_tdata", Layer::Tdata, linear(data, DATA_SECTORS), false)?;
        self.wait()?;
        let params = PoolParams {
            metadata,
            data,
            chunk_size: Sectors::new(128),
            low_water: Chunks::new(10),
            skip_block_zeroing: true,
            ignore_discard: false,
            no_discard_passdown: true,
            error_if_no_space: true,
            read_only: false,
        };
        let line = TargetLine::thin_pool(Sectors::new(DATA_SECTORS), &params);
        let target = self.up("data", Layer::Tpool, line.clone(), false)?;
        let live = self.dm.table(&tpool()?)?;
        ensure!(Table::single(line).maps_like(&live), "the kernel reports another table: {live:?}");
        self.up("data", Layer::Pool, linear(target, DATA_SECTORS), true)?;
        Ok(target)
    }

    /// Makes a thin volume of an id that the pool has.
    pub fn thin(&self, pool: DevNo, lv: &str, id: u64) -> Result<DevNo> {
        let line = TargetLine::thin(Sectors::new(THIN_SECTORS), pool, ThinId::new(id)?, None);
        self.up(lv, Layer::Plain, line, false)
    }

    /// Waits for udev.
    pub fn wait(&self) -> Result<()> {
        Ok(self.udev.wait(UDEV_LIMIT)?)
    }

    /// Sends a message to the pool.
    pub fn message(&self, text: &str) -> Result<(), DmError> {
        self.dm.message(&tpool().map_err(|_| no_name())?, text)
    }

    /// The pool's numbers.
    pub fn status(&self) -> Result<PoolWorking> {
        let (_, lines) = self.dm.status(&tpool()?, StatusFlush::NoFlush)?;
        match PoolStatus::parse(&lines.first().context("no status line")?.params)? {
            PoolStatus::Working(working) => Ok(working),
            other => bail!("the pool is {other:?}"),
        }
    }

    /// Removes devices.
    pub fn down(&self, devices: &[(&str, Layer)]) -> Result<()> {
        for (lv, layer) in devices {
            let flags = flags_for(DeviceRole::of_layer(*layer));
            udev::remove(self.dm, self.udev, &identity(lv, *layer)?.0, flags)?;
        }
        self.wait()
    }
}

fn no_name() -> DmError {
    DmError {
        verb: Verb::Message,
        device: String::new(),
        detail: String::new(),
        errno: nix::errno::Errno::EINVAL,
    }
}

fn life_without_udev(ctx: &Ctx) -> Result<()> {
    let dm = Counting::new(LinuxDm::open()?);
    let (sync, missing) = (SystemUdev.sync(&dm), SystemUdev.missing());
    ensure!(matches!(missing, Some(Missing::Daemon { .. })), "a udevd on the small machine: {missing:?}");
    life(ctx, &Stack { dm: &dm, udev: &*sync })
}

fn life_with_udev(ctx: &Ctx) -> Result<()> {
    let dm = Counting::new(LinuxDm::open()?);
    let (sync, missing) = (SystemUdev.sync(&dm), SystemUdev.missing());
    ensure!(missing.is_none(), "udev is not complete: {missing:?}");
    life(ctx, &Stack { dm: &dm, udev: &*sync })
}

/// Whether `/dev/mapper/<name>` and `/dev/<vg>/<lv>` are there.
fn nodes(lv: &str, layer: Layer) -> Result<(bool, bool)> {
    let mapper = Path::new("/dev/mapper").join(identity(lv, layer)?.0.as_str());
    Ok((mapper.exists(), Path::new("/dev/tv-1").join(lv).exists()))
}

fn life(ctx: &Ctx, stack: &Stack<'_>) -> Result<()> {
    let pool = stack.pool(ctx)?;
    stack.message("create_thin 0")?;
    stack.message("set_transaction_id 0 1")?;
    let thin = stack.thin(pool, "vm-1-a", 0)?;
    stack.wait()?;
    ensure!(nodes("vm-1-a", Layer::Plain)? == (true, true), "a volume's nodes are missing");
    for (lv, layer) in [("data_tmeta", Layer::Tmeta), ("data_tdata", Layer::Tdata), ("data", Layer::Pool)] {
        ensure!(nodes(lv, layer)? == (true, false), "wrong nodes of {lv}");
    }
    looked_up(stack, pool, thin)?;
    snapshot(stack, pool)?;
    renamed(stack)?;
    stack.down(&[("vm-1-b", Layer::Plain), ("vm-1-s", Layer::Plain), ("data", Layer::Pool)])?;
    stack.down(&[("data", Layer::Tpool), ("data_tdata", Layer::Tdata), ("data_tmeta", Layer::Tmeta)])?;
    ensure!(stack.dm.list()?.is_empty(), "a device stayed");
    ensure!(nodes("vm-1-b", Layer::Plain)? == (false, false), "nodes stayed");
    ensure!(nodes("data_tdata", Layer::Tdata)? == (false, false), "nodes stayed");
    let semaphores = fs::read_to_string("/proc/sysvipc/sem")?;
    ensure!(semaphores.lines().count() == 1, "semaphores stayed: {semaphores}");
    println!("verbs: {:?}", stack.dm.counts());
    Ok(())
}

/// Every way to look at a device gives the same answer.
fn looked_up(stack: &Stack<'_>, pool: DevNo, thin: DevNo) -> Result<()> {
    let (name, uuid) = identity("vm-1-a", Layer::Plain)?;
    let info = stack.dm.info(&name)?.context("no device by name")?;
    ensure!(stack.dm.info_by_uuid(&uuid)?.as_ref() == Some(&info), "another device by uuid");
    ensure!((info.dev, info.uuid.as_ref(), info.open_count) == (thin, Some(&uuid), 0), "{info:?}");
    ensure!(info.live_table && !info.inactive_table && !info.suspended && !info.read_only, "{info:?}");
    let listed = stack.dm.list()?;
    ensure!(listed.len() == 5, "{listed:?}");
    let entry = listed.iter().find(|device| device.name == name).context("not in the list")?;
    ensure!((entry.dev, entry.uuid.as_ref()) == (thin, Some(&uuid)), "{entry:?}");
    ensure!(stack.dm.deps(&name)? == [pool]);
    let params = ThinParams { pool, id: ThinId::new(0)?, external_origin: None };
    let lines = stack.dm.table(&name)?;
    ensure!(lines.len() == 1 && lines[0].parse()? == DmTarget::Thin(params), "{lines:?}");
    let (same, lines) = stack.dm.status(&name, StatusFlush::Flush)?;
    ensure!(same == info);
    let empty = ThinStatus::Working { mapped: Sectors::ZERO, highest_mapped: None };
    ensure!(ThinStatus::parse(&lines[0].params)? == empty, "{lines:?}");
    let status = stack.status()?;
    ensure!((status.transaction_id.0, status.mode, status.data.used) == (1, PoolMode::ReadWrite, 0));
    ensure!(!status.needs_check && status.data.total == DATA_SECTORS / 128, "{status:?}");
    let (visible, _) = identity("data", Layer::Pool)?;
    ensure!(stack.dm.info(&visible)?.is_some_and(|info| info.read_only), "the pool's device takes writes");
    Ok(())
}

/// What is written before a snapshot is in it, and what is written after is not.
fn snapshot(stack: &Stack<'_>, pool: DevNo) -> Result<()> {
    let origin = volume("vm-1-a")?;
    let node = |name: &DmName| Path::new("/dev/mapper").join(name.as_str());
    fs::OpenOptions::new().write(true).open(node(&origin)).and_then(|file| write_all(&file, b"before"))?;
    stack.dm.suspend(&origin, Suspend::FlushAndFreeze)?;
    ensure!(stack.dm.info(&origin)?.is_some_and(|info| info.suspended), "not suspended");
    let sent = stack.message("create_snap 1 0");
    udev::resume(stack.dm, stack.udev, &origin, flags_for(DeviceRole::Volume))?;
    sent?;
    ensure!(stack.dm.info(&origin)?.is_some_and(|info| !info.suspended), "not resumed");
    fs::OpenOptions::new().write(true).open(node(&origin)).and_then(|file| write_all(&file, b"after!"))?;
    stack.thin(pool, "vm-1-s", 1)?;
    stack.wait()?;
    let start = |name: &DmName| -> Result<Vec<u8>> {
        let mut bytes = vec![0; 6];
        std::io::Read::read_exact(&mut fs::File::open(node(name))?, &mut bytes)?;
        Ok(bytes)
    };
    ensure!((start(&origin)?, start(&volume("vm-1-s")?)?) == (b"after!".to_vec(), b"before".to_vec()));
    Ok(())
}

fn write_all(file: &fs::File, bytes: &[u8]) -> std::io::Result<()> {
    let mut writer = file;
    std::io::Write::write_all(&mut writer, bytes)?;
    file.sync_all()
}

fn renamed(stack: &Stack<'_>) -> Result<()> {
    let (old, new) = (volume("vm-1-a")?, volume("vm-1-b")?);
    udev::rename(stack.dm, stack.udev, &old, &new, flags_for(DeviceRole::Volume))?;
    stack.wait()?;
    ensure!(stack.dm.info(&old)?.is_none() && stack.dm.info(&new)?.is_some());
    ensure!(nodes("vm-1-b", Layer::Plain)? == (true, true), "no nodes of the new name");
    ensure!(nodes("vm-1-a", Layer::Plain)? == (false, false), "nodes of the old name stayed");
    Ok(())
}

/// A stack that lvm2 made is taken down by lvm2 and made again here, device by device: lvm2 finds it active,
/// uses it and takes it down without a word.
fn lvm2_takes_over(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.ok(&format!("lvcreate --yes -V 64M -T {vg}/data -n vm-1-a"))?;
    let dm = Counting::new(LinuxDm::open()?);
    let sync = SystemUdev.sync(&dm);
    let mut recorded = Vec::new();
    for listed in dm.list()? {
        let info = dm.info(&listed.name)?.context("gone")?;
        recorded.push((listed.clone(), dm.table(&listed.name)?, info.read_only));
    }
    let before = ctx.ok("dmsetup table")?;
    // Not `vgchange -an`: it removes /run/lvm/vgs_online/<vg>, and then the next event of the disk activates
    // all again.
    ctx.lvm(&format!("lvchange -an {vg}/vm-1-a {vg}/data"))?;
    ensure!(dm.list()?.is_empty(), "lvm2 left a device");
    // The kernel gave numbers in the order of creation and gives the lowest free ones again.
    recorded.sort_by_key(|(listed, ..)| listed.dev);
    for (listed, ..) in &recorded {
        let uuid = listed.uuid.as_ref().context("no uuid")?;
        let parts = (listed.name.lvm_parts()?, uuid.lvm_parts()?);
        let layer = parts.1.layer().context("an unknown layer")?;
        ensure!(DmName::of_lv(&parts.0.vg, &parts.0.lv, layer)? == listed.name, "{parts:?}");
        let made = dm.create(&listed.name, uuid, None)?;
        ensure!(made == listed.dev, "{} got {made}, not {}", listed.name, listed.dev);
    }
    for (listed, table, read_only) in &recorded {
        let layer = listed.uuid.as_ref().context("no uuid")?.lvm_parts()?.layer().context("no layer")?;
        dm.load(&listed.name, &Table(table.clone()), *read_only)?;
        udev::resume(&dm, &*sync, &listed.name, flags_for(DeviceRole::of_layer(layer)))?;
    }
    sync.wait(UDEV_LIMIT)?;
    ensure!(ctx.ok("dmsetup table")? == before, "another table");
    ensure!(ctx.dev(vg, "vm-1-a").exists(), "no link");
    ensure!(!ctx.dev(vg, "data_tmeta").exists(), "a link of a hidden volume");
    let active = ctx.lvm(&format!("lvs --noheadings -o lv_active {vg}/vm-1-a"))?;
    ensure!(active.trim() == "active", "{active}");
    ctx.oracle(vg)?;
    ctx.ok(&format!("lvcreate --yes -s -n s {vg}/vm-1-a"))?;
    // The event of that write must not come after the deactivation, for the same reason.
    ctx.ok("udevadm settle --timeout=60")?;
    ctx.reactivate(vg)
}
