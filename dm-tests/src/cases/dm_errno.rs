//! The errnos of device-mapper and thin-pool, as the model of them assumes.

use std::fs::File;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base::ids::DevNo;
use base::units::Sectors;
use dm::ioctl::LinuxDm;
use dm::kernel::{Counting, DmError, Kernel, StatusFlush, Suspend};
use dm::name::{DmName, Layer};
use dm::table::{Table, TargetLine};
use dm::udev::{NoSync, UdevFlags};
use nix::errno::Errno;

use super::dm_stack::{Stack, identity, tpool, volume};
use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "dm_errno::messages", tier: Tier::Fast, limit_s: 120, run: messages },
    Case { name: "dm_errno::devices", tier: Tier::Fast, limit_s: 120, run: devices },
];

fn refused<T: std::fmt::Debug>(what: &str, result: Result<T, DmError>, expected: Errno) -> Result<()> {
    match result {
        Err(error) => {
            println!("{what}: {error}");
            ensure!(error.errno == expected, "{what}: {}, not {expected}", error.errno);
            Ok(())
        }
        Ok(value) => anyhow::bail!("{what} succeeded: {value:?}"),
    }
}

fn messages(ctx: &Ctx) -> Result<()> {
    let dm = Counting::new(LinuxDm::open()?);
    let stack = Stack { dm: &dm, udev: &NoSync };
    let pool = stack.pool(ctx)?;
    stack.message("create_thin 0")?;
    let refuse = |message: &str, errno| refused(message, stack.message(message), errno);
    refuse("create_thin 0", Errno::EEXIST)?;
    refuse("create_snap 0 0", Errno::EEXIST)?;
    refuse("create_snap 1 77", Errno::ENODATA)?;
    refuse("delete 77", Errno::ENODATA)?;
    refuse("create_thin 16777216", Errno::EINVAL)?;
    refuse("set_transaction_id 5 6", Errno::EINVAL)?;
    refuse("make_coffee", Errno::EINVAL)?;
    ensure!(stack.status()?.transaction_id.0 == 0, "a refused message changed the transaction id");
    stack.thin(pool, "a", 0)?;
    refuse("delete 0", Errno::EBUSY)?;
    // The kernel does not insist that the origin is suspended: whoever plans must.
    stack.message("create_snap 1 0")?;
    refused("message to nobody", dm.message(&volume("nobody")?, "create_thin 9"), Errno::ENXIO)?;
    refused("message to a thin volume", dm.message(&volume("a")?, "create_thin 9"), Errno::EINVAL)
}

fn devices(ctx: &Ctx) -> Result<()> {
    let dm = Counting::new(LinuxDm::open()?);
    let stack = Stack { dm: &dm, udev: &NoSync };
    let none = UdevFlags::default().unwatched();
    let nobody = volume("nobody")?;
    ensure!(dm.info(&nobody)?.is_none() && dm.info_by_uuid(&identity("nobody", Layer::Plain)?.1)?.is_none());
    refused("suspend of nobody", dm.suspend(&nobody, Suspend::HoldBack), Errno::ENXIO)?;
    refused("resume of nobody", dm.resume(&nobody, none), Errno::ENXIO)?;
    refused("remove of nobody", dm.remove(&nobody, none), Errno::ENXIO)?;
    refused("status of nobody", dm.status(&nobody, StatusFlush::NoFlush), Errno::ENXIO)?;
    refused("rename of nobody", dm.rename(&nobody, &volume("b")?, none), Errno::ENXIO)?;

    let pool = stack.pool(ctx)?;
    stack.message("create_thin 0")?;
    stack.message("create_thin 1")?;
    let thin = stack.thin(pool, "a", 0)?;
    stack.thin(pool, "b", 1)?;
    let ((a, uuid), (b, _)) = (identity("a", Layer::Plain)?, identity("b", Layer::Plain)?);
    refused("create of a taken name", dm.create(&a, &identity("c", Layer::Plain)?.1, None), Errno::EBUSY)?;
    refused("create of a taken uuid", dm.create(&DmName::new("other")?, &uuid, None), Errno::EBUSY)?;
    let (other, fresh) = (DmName::new("other")?, identity("c", Layer::Plain)?.1);
    refused("create with a taken number", dm.create(&other, &fresh, Some(thin.minor)), Errno::EBUSY)?;
    refused("create with no number", dm.create(&other, &fresh, Some(1 << 20)), Errno::EINVAL)?;
    refused("rename to a taken name", dm.rename(&a, &b, none), Errno::EBUSY)?;
    refused("remove of the pool's target", dm.remove(&tpool()?, none), Errno::EBUSY)?;

    let open = File::open(format!("/dev/dm-{}", thin.minor)).context("cannot open a thin volume")?;
    let start = Instant::now();
    refused("remove of an open volume", dm.remove(&a, none), Errno::EBUSY)?;
    // The crate would try five times, 200 ms apart.
    ensure!(start.elapsed() < Duration::from_millis(600), "busy took {:?}", start.elapsed());
    ensure!(dm.info(&a)?.is_some_and(|info| info.open_count == 1));
    drop(open);

    let target = |target: &str, params: &str| {
        Table::single(TargetLine {
            start: Sectors::ZERO,
            length: Sectors::new(2048),
            target: target.into(),
            params: params.into(),
        })
    };
    refused("a bad pool table", dm.load(&a, &target("thin-pool", "1:1 nonsense"), false), Errno::EINVAL)?;
    refused("an unknown target", dm.load(&a, &target("no-such-target", ""), false), Errno::EINVAL)?;
    refused(
        "a target name too long",
        dm.load(&a, &target("a-name-that-does-not-fit", ""), false),
        Errno::EINVAL,
    )?;
    loaded_and_cleared(&dm, &a, pool)?;
    dm.suspend(&a, Suspend::HoldBack)?;
    dm.suspend(&a, Suspend::HoldBack).context("a second suspend is no error")?;
    dm.resume(&a, none)?;
    dm.resume(&a, none).context("a second resume is no error")?;
    Ok(())
}

/// A table that was loaded by mistake can be dropped again.
fn loaded_and_cleared(dm: &Counting<LinuxDm>, name: &DmName, pool: DevNo) -> Result<()> {
    let line = TargetLine::linear(Sectors::ZERO, Sectors::new(2048), pool, Sectors::ZERO);
    dm.load(name, &Table::single(line), false)?;
    ensure!(dm.info(name)?.is_some_and(|info| info.inactive_table));
    dm.clear(name)?;
    ensure!(dm.info(name)?.is_some_and(|info| !info.inactive_table && info.live_table));
    Ok(())
}
