//! A change that is killed at a system call, on the real kernel: whatever is left, lvm2 goes on from it, thinvol
//! finishes or clears it, and nothing is lost.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::recovery::same_ids;
use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// The cases of this file: they take minutes.
pub const LONG: &[Case] = &[
    Case { name: "crashes::killed_at_some_calls", tier: Tier::Full, limit_s: 300, run: some },
    Case { name: "crashes::killed_at_every_call", tier: Tier::Full, limit_s: 3600, run: every::<Additions> },
    Case {
        name: "crashes::alterations_killed_at_every_call",
        tier: Tier::Full,
        limit_s: 3600,
        run: every::<Alterations>,
    },
];

/// The calls by which a change does something: device-mapper, the metadata areas, copies and marks.
const CALLS: [&str; 5] = ["ioctl", "pwrite64", "fdatasync", "rename", "unlink"];

/// More calls of one kind than any change makes.
const MANY: usize = 120;

/// A batch whose volumes are there afterwards, all of them, or none.
trait Change {
    /// What has to be there before.
    fn prepare(ctx: &Ctx, vg: &str, round: &str) -> Result<()>;
    /// Its lines.
    fn batch(vg: &str, round: &str) -> String;
    /// The volumes of the round (name and size in MiB) before it, and after it.
    fn volumes(round: &str) -> [Vec<(String, u32)>; 2];
}

/// Volumes and a snapshot.
struct Additions;

/// One of each of the other requests.
struct Alterations;

impl Change for Additions {
    fn prepare(_: &Ctx, _: &str, _: &str) -> Result<()> {
        Ok(())
    }

    fn batch(vg: &str, round: &str) -> String {
        format!(
            "{{\"request\":\"create\",\"pool\":\"{vg}/data\",\"name\":\"{round}-1\",\"size\":\"4M\"}}\n\
             {{\"request\":\"create\",\"pool\":\"{vg}/data\",\"name\":\"{round}-2\",\"size\":\"4M\",\
             \"activate\":false}}\n\
             {{\"request\":\"snapshot\",\"snapshot\":\"{vg}/vm-100-disk-0@{round}\"}}\n"
        )
    }

    fn volumes(round: &str) -> [Vec<(String, u32)>; 2] {
        let snapshot = format!("snap_vm-100-disk-0_{round}");
        [vec![], vec![(format!("{round}-1"), 4), (format!("{round}-2"), 4), (snapshot, 16)]]
    }
}

impl Change for Alterations {
    fn prepare(ctx: &Ctx, vg: &str, round: &str) -> Result<()> {
        let batch = format!(
            "{{\"request\":\"create\",\"pool\":\"{vg}/data\",\"name\":\"{round}-1\",\"size\":\"4M\"}}\n\
             {{\"request\":\"create\",\"pool\":\"{vg}/data\",\"name\":\"{round}-2\",\"size\":\"4M\"}}\n"
        );
        let file = ctx.dir().join("preparation");
        std::fs::write(&file, batch)?;
        ctx.thinvol_ok(&format!("batch {}", file.display()))?;
        ctx.thinvol_ok(&format!("snapshot {vg}/{round}-1@s")).map(drop)
    }

    fn batch(vg: &str, round: &str) -> String {
        format!(
            "{{\"request\":\"rollback\",\"snapshot\":\"{vg}/{round}-1@s\"}}\n\
             {{\"request\":\"rename\",\"volume\":\"{vg}/{round}-1\",\"name\":\"{round}-3\"}}\n\
             {{\"request\":\"resize\",\"volume\":\"{vg}/{round}-3\",\"size\":\"+4M\"}}\n\
             {{\"request\":\"remove\",\"volume\":\"{vg}/{round}-2\"}}\n"
        )
    }

    fn volumes(round: &str) -> [Vec<(String, u32)>; 2] {
        let snapshot = |number: u32| (format!("snap_{round}-{number}_s"), 4);
        [
            vec![(format!("{round}-1"), 4), (format!("{round}-2"), 4), snapshot(1)],
            vec![(format!("{round}-3"), 8), snapshot(3)],
        ]
    }
}

fn some(ctx: &Ctx) -> Result<()> {
    killed::<Additions>(ctx, 11)
}

fn every<C: Change>(ctx: &Ctx) -> Result<()> {
    killed::<C>(ctx, 1)
}

/// Kills the batch at every `step`th of each kind of call, from the first on, until it runs through.
fn killed<C: Change>(ctx: &Ctx, step: usize) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.thinvol_ok(&format!("alloc {vg}/data 100 vm-100-disk-0 16M"))?;
    let device = ctx.dev(vg, "vm-100-disk-0");
    ctx.ok(&format!("dd if=/dev/urandom of={} bs=1M count=4 oflag=direct", device.display()))?;
    let sum = |ctx: &Ctx| ctx.ok(&format!("sha256sum {}", device.display()));
    let content = sum(ctx)?;
    let (mut rounds, mut halfway) = (0, 0);
    for call in CALLS {
        for nth in (1..MANY).step_by(step) {
            rounds += 1;
            let round = format!("k{rounds}");
            C::prepare(ctx, vg, &round)?;
            let ran_through = run_killed::<C>(ctx, vg, call, nth, &round)?;
            if rounds % 2 == 0 {
                // lvm2 comes first.
                ctx.ok(&format!("lvcreate --yes -V 4M -T {vg}/data -n after"))?;
                ctx.ok(&format!("lvremove --yes {vg}/after"))?;
            }
            recover(ctx, vg)?;
            same_ids(ctx, vg)?;
            let is_new = all_or_nothing::<C>(ctx, vg, &round)?;
            ensure!(is_new || !ran_through, "{round}: reported, and not done");
            halfway += usize::from(is_new && !ran_through);
            if ran_through {
                println!("{call}: fewer than {nth}");
                ensure!(nth > 1 || call == "unlink", "the change makes no call {call}");
                break;
            }
            ensure!(nth + step < MANY, "the change makes more than {MANY} calls {call}");
        }
    }
    // A killed process cannot remove the semaphore it waited on.
    ctx.ok("dmsetup udevcomplete_all --yes")?;
    ctx.ok("udevadm settle")?;
    ensure!(sum(ctx)? == content, "a volume that nobody wrote to holds something else");
    ctx.oracle(vg)?;
    ctx.reactivate(vg)?;
    println!("{rounds} rounds; {halfway} that were killed were complete afterwards");
    Ok(())
}

/// Recovers. Where lvm2 came first and stepped the transaction, or the power failed, what the kernel made for the
/// killed change cannot be told from what somebody made by hand: it is not deleted, but named, with what to do about
/// it. That is done here.
pub(crate) fn recover(ctx: &Ctx, vg: &str) -> Result<()> {
    let ran = ctx.thinvol(&format!("recover {vg}"))?;
    ensure!(ran.status == 0, "{ran:?}");
    let named = ran.stderr.lines().filter_map(|line| line.split_once(": thin device "));
    for (_, rest) in named.filter(|(_, rest)| rest.contains("belongs to no volume")) {
        let id = rest.split(' ').next().unwrap_or_default();
        ctx.ok(&format!("dmsetup message {vg}-data-tpool 0 delete {id}"))?;
    }
    Ok(())
}

/// Runs the batch under strace, which kills it before its `nth` call. Says whether it ran through.
fn run_killed<C: Change>(ctx: &Ctx, vg: &str, call: &str, nth: usize, round: &str) -> Result<bool> {
    let file = ctx.dir().join("batch");
    std::fs::write(&file, C::batch(vg, round))?;
    // Without -f: the guard process lives on.
    let ran = ctx.sh(&format!(
        "strace -qq -o /dev/null -e trace={call} -e inject={call}:signal=KILL:when={nth} thinvol batch {}",
        file.display()
    ))?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while ctx.ok("dmsetup info -c --noheadings -o suspended")?.contains("Suspended") {
        ensure!(Instant::now() < deadline, "killed before {call} {nth}: a device stays suspended");
        std::thread::sleep(Duration::from_millis(100));
    }
    ensure!(
        [0, 137, -1].contains(&ran.status),
        "killed before {call} {nth}: status {}: {}",
        ran.status,
        ran.stderr
    );
    Ok(ran.status == 0)
}

/// The volumes of the round are those before the batch or those after it. Says which, and removes them.
fn all_or_nothing<C: Change>(ctx: &Ctx, vg: &str, round: &str) -> Result<bool> {
    let sizes = ctx.lvm(&format!("lvs --noheadings --nosuffix --units m -o lv_name,lv_size {vg}"))?;
    let mut now = Vec::new();
    for line in sizes.lines() {
        let Some((name, size)) = line.trim().split_once(char::is_whitespace) else { continue };
        let is_ours = name.split(['_', '-']).any(|part| part == round);
        if is_ours {
            now.push((name.to_owned(), size.trim().split('.').next().unwrap_or_default().parse()?));
        }
    }
    now.sort();
    let [mut old, mut new] = C::volumes(round);
    old.sort();
    new.sort();
    ensure!(now == old || now == new, "{round}: neither {old:?} nor {new:?}, but {now:?}");
    if !now.is_empty() {
        let names: Vec<String> = now.iter().map(|(name, _)| format!("{vg}/{name}")).collect();
        ctx.thinvol_ok(&format!("free {}", names.join(" ")))?;
    }
    Ok(now == new)
}
