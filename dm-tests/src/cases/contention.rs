//! Several processes of thinvol and lvm2 at work at once, some of them killed: what was reported is so, nothing hangs,
//! everybody gets in.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use super::recovery::same_ids;
use crate::case::{Case, Tier};
use crate::ctx::Ctx;
use crate::worker::{Fate, Tool, Worker};

/// The cases of this file: they take minutes.
pub const LONG: &[Case] = &[
    Case { name: "contention::stuck_holder", tier: Tier::Full, limit_s: 180, run: stuck_holder },
    Case { name: "contention::one_group", tier: Tier::Full, limit_s: 900, run: |ctx| storm(ctx, 1, 120) },
    Case { name: "contention::two_groups", tier: Tier::Full, limit_s: 1500, run: |ctx| storm(ctx, 2, 300) },
];

/// Who is at work in each volume group.
const WORKERS: [(u32, Tool); 3] = [(101, Tool::Thinvol), (102, Tool::Thinvol), (103, Tool::Lvm2)];

/// `groups` volume groups, each with two workers of thinvol and one of lvm2, for that many seconds.
fn storm(ctx: &Ctx, groups: usize, seconds: u64) -> Result<()> {
    let mut vgs = vec![ctx.pool()?.to_owned()];
    if groups > 1 {
        vgs.push(second_group(ctx)?);
    }
    let end = Instant::now() + Duration::from_secs(seconds);
    let workers = std::thread::scope(|scope| -> Result<Vec<Worker>> {
        let mut running = Vec::new();
        for (vg, (owner, tool)) in vgs.iter().flat_map(|vg| WORKERS.map(|who| (vg, who))) {
            let mut worker = Worker::new(vg, owner, "", tool, false);
            running.push(scope.spawn(move || -> Result<Worker> {
                while Instant::now() < end {
                    worker.step()?;
                }
                Ok(worker)
            }));
        }
        let ended =
            running.into_iter().map(|worker| worker.join().map_err(|_| anyhow!("a worker panicked"))?);
        ended.collect()
    })?;
    for worker in &workers {
        tell(worker);
    }
    for vg in &vgs {
        settle(ctx, vg)?;
    }
    for worker in &workers {
        judge(ctx, worker)?;
    }
    Ok(())
}

/// A second group, `two`, with a pool `data`.
fn second_group(ctx: &Ctx) -> Result<String> {
    let disk = ctx.disk(1 << 30)?;
    ctx.ok(&format!("vgcreate --yes --setautoactivation n two {}", disk.name()))?;
    ctx.ok("lvcreate --yes --type thin-pool -L 512M -n data two")?;
    Ok("two".to_owned())
}

fn tell(worker: &Worker) {
    let diary = &worker.diary;
    println!(
        "{:?} in {}: done {:?}, {} failed, {} killed; the slowest took {} ms",
        worker.tool,
        worker.vg,
        diary.done,
        diary.failed.len(),
        diary.killed,
        diary.slowest.as_millis()
    );
    diary.failed.iter().for_each(|failure| println!("  {failure}"));
}

/// The remains of killed commands are finished or cleared, and lvm2 has no complaint.
fn settle(ctx: &Ctx, vg: &str) -> Result<()> {
    ctx.ok("udevadm settle")?;
    ctx.thinvol_ok(&format!("recover {vg}"))?;
    let again = ctx.thinvol_ok(&format!("recover {vg}"))?;
    ensure!(again.contains("nothing to recover"), "{again}");
    ctx.nothing_suspended()?;
    // A killed process cannot remove the semaphore it waited on, lvm2's as little as ours.
    ctx.ok("dmsetup udevcomplete_all --yes")?;
    ctx.ok("udevadm settle")?;
    ctx.oracle(vg)?;
    same_ids(ctx, vg)?;
    ctx.reactivate(vg)
}

/// What was reported is so; everybody got in; nobody was refused what only the kill of another could refuse.
fn judge(ctx: &Ctx, worker: &Worker) -> Result<()> {
    let Worker { vg, tool, diary, .. } = worker;
    ensure!(diary.successes() > 0, "{tool:?} never got in");
    ensure!(diary.failed.is_empty(), "{tool:?} was refused: {:#?}", diary.failed);
    let names = ctx.lvm(&format!("lvs --noheadings -o lv_name {vg}"))?;
    let names: Vec<&str> = names.split_whitespace().collect();
    let fates: &BTreeMap<String, Fate> = &diary.fates;
    for (name, fate) in fates {
        let there = names.contains(&name.as_str());
        ensure!(*fate != Fate::There || there, "{vg}/{name} was reported and is lost");
        ensure!(*fate != Fate::Gone || !there, "{vg}/{name} was removed and is back");
    }
    Ok(())
}

/// A process holds the lock and does nothing: others wait for their time limit, and name it.
fn stuck_holder(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    let lock = format!("/run/lock/lvm/V_{vg}");
    let mut holder =
        Command::new("flock").args(["--no-fork", "--exclusive", &lock, "sleep", "120"]).spawn()?;
    let held = format!("flock --nonblock --exclusive {lock} true");
    let deadline = Instant::now() + Duration::from_secs(20);
    while ctx.sh(&held)?.status == 0 {
        ensure!(Instant::now() < deadline, "the holder does not get the lock");
        std::thread::sleep(Duration::from_millis(50));
    }
    for seconds in [0_u64, 4] {
        let started = Instant::now();
        let ran = ctx.thinvol(&format!("alloc --lock-timeout {seconds} {vg}/data 100 vm-100-disk-0 8M"))?;
        let waited = started.elapsed();
        ensure!(ran.status == 4, "status {}: {}", ran.status, ran.stderr);
        ensure!(waited >= Duration::from_secs(seconds), "gave up after {waited:?}");
        ensure!(waited < Duration::from_secs(seconds + 30), "waited for {waited:?}");
        let named = format!("sleep 120 (pid {})", holder.id());
        ensure!(ran.stderr.contains(&named), "not named: {}", ran.stderr);
    }
    holder.kill()?;
    holder.wait()?;
    ctx.thinvol_ok(&format!("alloc {vg}/data 100 vm-100-disk-0 8M"))?;
    ctx.oracle(vg)
}
