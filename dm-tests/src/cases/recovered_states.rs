//! What recovery makes of crashed changes, judged by stock lvm2: the states are enumerated in simulation, here in the
//! machine, and each is put on a disk as text and as pool metadata. lvm2 must start it and go on without a word.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, ensure};

use crate::case::{Case, Tier};
use crate::ctx::{Ctx, Disk};
use crate::world::changes::{
    Change, activations, alterations, altering_batches, batches, creates, removals, snapshots,
};
use crate::world::crashes::recovered;
use crate::world::recovered::{Recovered, xml};
use crate::world::text::{EXTENT, PV_SECTORS, pv_uuid};

/// The cases of this file: they take long.
pub const LONG: &[Case] = &[
    case("recovered_states::some", 600, |ctx| judge(ctx, &few(), 4)),
    case("recovered_states::of_single_requests", 7200, |ctx| judge(ctx, &singles(), usize::MAX)),
    case("recovered_states::of_batches", 7200, |ctx| judge(ctx, &batched(), usize::MAX)),
];

const fn case(name: &'static str, limit_s: u64, run: fn(&Ctx) -> Result<()>) -> Case {
    Case { name, tier: Tier::Full, limit_s, run }
}

/// A change of each of the two orders.
fn few() -> Vec<Change> {
    let wanted = ["first volume, active", "snapshot, create, remove"];
    [creates(), batches()].into_iter().flatten().filter(|(name, ..)| wanted.contains(name)).collect()
}

fn singles() -> Vec<Change> {
    [creates(), snapshots(), removals(), alterations(), activations()].into_iter().flatten().collect()
}

fn batched() -> Vec<Change> {
    [batches(), altering_batches()].into_iter().flatten().collect()
}

/// Shows lvm2 at most `most` of the distinct states that these changes lead to, crashed or not, spread over all.
fn judge(ctx: &Ctx, changes: &[Change], most: usize) -> Result<()> {
    let mut states: BTreeMap<String, Recovered> = BTreeMap::new();
    for (name, start, requests) in changes {
        let found = recovered(&start.world(1), requests).map_err(|why| anyhow!("{name}: {why:?}"))?;
        for mut state in found {
            state.how = format!("{name}, {}", state.how);
            states.entry(state.key()).or_insert(state);
        }
    }
    ensure!(!states.is_empty(), "no states");
    println!("{} distinct states of {} changes", states.len(), changes.len());
    let disk = ctx.disk(PV_SECTORS * 512)?;
    // Where thin_restore writes: it opens files as only a disk lets it.
    let metadata = ctx.disk(EXTENT * 512)?;
    let step = states.len().div_ceil(most.min(states.len()));
    let mut judged = 0;
    for state in states.values().step_by(step) {
        println!("# {}", state.how);
        make(ctx, [&disk, &metadata], state).context("making it")?;
        goes_on(ctx).with_context(|| format!("{}\n{}\n{:?}", state.how, state.text, state.pool))?;
        judged += 1;
    }
    println!("{judged} states judged");
    Ok(())
}

/// Puts a state on the disk; where the pool never ran, zeros are in the place of its metadata. The text comes last: as
/// soon as it is there, a udev rule of lvm2's starts the group.
fn make(ctx: &Ctx, [disk, metadata]: [&Disk; 2], state: &Recovered) -> Result<()> {
    let [text, dump] = ["text", "dump.xml"].map(|name| ctx.dir().join(name));
    std::fs::write(&text, &state.text)?;
    let (disk, uuid, text) = (disk.name(), pv_uuid(0), text.display());
    ctx.ok(&format!("dd if=/dev/zero of={disk} bs=1M count=1 conv=notrunc,fsync status=none"))?;
    ctx.ok("udevadm settle")?;
    let running = ctx.ok("dmsetup ls")?;
    ensure!(running.contains("No devices"), "still there: {running}");
    let metadata = metadata.name();
    ctx.ok(&format!("dd if=/dev/zero of={metadata} bs=1M count=4 status=none"))?;
    if let Some(pool) = &state.pool {
        std::fs::write(&dump, xml(pool))?;
        ctx.ok(&format!("thin_restore -q -i {} -o {metadata}", dump.display()))?;
    }
    let at = state.at.get();
    ctx.ok(&format!("dd if={metadata} of={disk} bs=512 seek={at} conv=notrunc,fsync status=none"))?;
    ctx.ok(&format!("pvcreate --yes --uuid {uuid} --restorefile {text} {disk}"))?;
    ctx.ok(&format!("vgcfgrestore --yes --force --file {text} pve"))?;
    ctx.ok("udevadm settle").map(drop)
}

/// lvm2 starts everything, makes, snapshots, grows, renames and removes volumes, and stops everything, silently.
fn goes_on(ctx: &Ctx) -> Result<()> {
    ctx.lvm("vgck pve")?;
    ctx.lvm("vgchange -ay pve")?;
    let names = ctx.lvm("lvs --noheadings -o lv_name -S pool_lv=data pve")?;
    let first = names.split_whitespace().next().map(str::to_owned);
    ctx.lvm("lvcreate -qq --yes -V 4M -T pve/data -n judge")?;
    ctx.lvm(&format!("lvcreate -qq --yes -s -n judge_snap pve/{}", first.as_deref().unwrap_or("judge")))?;
    ctx.lvm("lvextend -qq -L +4M pve/judge")?;
    ctx.lvm("lvrename -qq pve judge judged")?;
    for name in names.split_whitespace().chain(["judge_snap", "judged"]) {
        ctx.lvm(&format!("lvremove -qq --yes pve/{name}"))?;
    }
    ctx.lvm("vgck pve")?;
    ctx.lvm("vgchange -an pve")?;
    ctx.ok("udevadm settle").map(drop)
}
