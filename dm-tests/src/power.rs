//! Work on a disk that outlives the machine: the harness cuts the power meanwhile, boots again, and checks that what
//! was reported is true. `vm-harness/src/cuts.rs` is the other half.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use vm_harness::power::{DISK, Journal, WORKING};

use crate::cases::crashes::recover;
use crate::cases::recovery::same_ids;
use crate::ctx::Ctx;
use crate::worker::{Tool, Worker};

const VG: &str = "pve";

/// How long it works at most: the power is cut long before.
const WORK: Duration = Duration::from_secs(120);

/// A volume that is written to only at the first boot, and the content that it gets.
const STEADY: &str = "vm-109-steady";
const CONTENT: &str = "/bin/bash";

/// Checks what an earlier run left against the file `journal`, then works until the power is cut.
///
/// # Errors
/// What was reported and is not true.
pub fn run(journal: &Path) -> Result<()> {
    let ctx = Ctx::new(Path::new("/tmp/power"))?;
    let journal: Journal = serde_json::from_str(&std::fs::read_to_string(journal)?)?;
    if journal.cuts == 0 {
        make(&ctx)?;
    } else {
        check(&ctx, &journal).with_context(|| format!("after cut {}", journal.cuts))?;
    }
    // What was done so far is not what is to be tried.
    ctx.ok(&format!("sync {DISK}"))?;
    let series = format!("r{}", journal.cuts);
    println!("{WORKING}");
    let end = Instant::now() + WORK;
    std::thread::scope(|scope| {
        // lvm2 does not flush what it commits, and so cannot be held to what it reports of a disk that loses that.
        let third = if journal.with_lvm2 { Tool::Lvm2 } else { Tool::Thinvol };
        for (owner, tool) in [(101, Tool::Thinvol), (102, Tool::Thinvol), (103, third)] {
            let mut worker = Worker::new(VG, owner, &series, tool, true);
            scope.spawn(move || {
                while Instant::now() < end {
                    if let Err(error) = worker.step() {
                        println!("worker {owner}: {error}");
                        return;
                    }
                }
            });
        }
    });
    Ok(())
}

fn make(ctx: &Ctx) -> Result<()> {
    ctx.ok(&format!("vgcreate --yes --setautoactivation n {VG} {DISK}"))?;
    ctx.ok(&format!("lvcreate --yes --type thin-pool -L 256M -n data {VG}"))?;
    ctx.thinvol_ok(&format!("alloc {VG}/data 109 {STEADY} 16M"))?;
    ctx.ok("udevadm settle")?;
    ctx.ok(&format!("dd if={CONTENT} of=/dev/{VG}/{STEADY} bs=4k conv=fsync,notrunc")).map(drop)
}

/// Whether lvm2 is the first to see what a cut left: at every second cut.
fn check(ctx: &Ctx, journal: &Journal) -> Result<()> {
    if journal.cuts.is_multiple_of(2) {
        // When it activates it does not send a message that is pending, not for itself either: a volume that is to be
        // created by one comes up after its next change of the pool.
        let up = ctx.sh(&format!("vgchange -ay {VG}"))?;
        ensure!(up.status == 0 || up.stderr.contains("No data available"), "{up:?}");
        ctx.ok(&format!("lvcreate --yes -V 4M -T {VG}/data -n after"))?;
        ctx.ok(&format!("lvremove --yes {VG}/after"))?;
    }
    ctx.thinvol_ok(&format!("activate {VG}/{STEADY}"))?;
    recover(ctx, VG)?;
    let again = ctx.thinvol_ok(&format!("recover {VG}"))?;
    ensure!(again.contains("nothing to recover"), "{again}");
    same_ids(ctx, VG)?;
    ctx.ok("udevadm settle")?;
    ctx.oracle(VG)?;
    ctx.reactivate(VG)?;
    let same = ctx.sh(&format!("cmp -n $(stat -c %s {CONTENT}) {CONTENT} /dev/{VG}/{STEADY}"))?;
    ensure!(same.status == 0, "a volume that nobody wrote to holds something else: {}", same.stdout);
    let names = ctx.lvm(&format!("lvs --noheadings -o lv_name {VG}"))?;
    let names: Vec<&str> = names.split_whitespace().collect();
    for name in &journal.there {
        ensure!(names.contains(&name.as_str()), "{name} was reported and is lost");
    }
    for name in &journal.gone {
        ensure!(!names.contains(&name.as_str()), "{name} was removed and is back");
    }
    println!("{} volumes are there that were reported, {} gone", journal.there.len(), journal.gone.len());
    // Room for the next round.
    let ours = names.iter().filter(|name| ![STEADY, "data"].contains(*name));
    let ours: Vec<String> = ours.map(|name| format!("{VG}/{name}")).collect();
    if !ours.is_empty() {
        ctx.thinvol_ok(&format!("free {}", ours.join(" ")))?;
    }
    Ok(())
}
