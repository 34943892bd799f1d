//! Every state that a crash of a change can leave: the process killed or the machine stopped after each ioctl, each
//! write and each flush, with every content that the disks may then have. thinvol brings each to the old volumes or the
//! new ones, by `recover` and by any next change, crashed in turn or not; so does lvm2, by its own rules.

use dm_tests::world::asks::Start::{self, Stopped, Used};
use dm_tests::world::changes::{
    Change, across_pools, activations, alterations, altering_batches, batches, creates, on_two_disks, pools,
    removals, removed_pools, snapshots, unrepresented, written,
};
use dm_tests::world::crashes::{Count, explore};
use dm_tests::world::drawn;
use dm_tests::world::lines::Work;
use sys::io::mem::crash::seed;

/// Explores the changes on `pvs` physical volumes; recovery is crashed `depth` times in a row.
fn all<W: Work>(what: &str, changes: &[(&str, Start, W)], pvs: usize, depth: usize) {
    let mut sum = Count::default();
    let mut bad = Vec::new();
    for (name, start, work) in changes {
        match explore(&start.world(pvs), work, depth) {
            Ok(count) => {
                println!("{name}: {count}");
                sum += count;
            }
            Err(failures) => {
                let first = failures[..failures.len().min(3)].join("\n  ");
                bad.push(format!("{name}, {} states:\n  {first}", failures.len()));
            }
        }
    }
    println!("crashes of {} changes ({what}): {sum}", changes.len());
    assert!(bad.is_empty(), "with THINVOL_IMAGE_SEED={}: {}", seed(), bad.join("\n"));
}

#[test]
fn creates_survive_every_crash() {
    all("create", &creates(), 1, 2);
}

#[test]
fn snapshots_survive_every_crash() {
    all("snapshot", &snapshots(), 1, 2);
}

#[test]
fn removals_survive_every_crash() {
    all("remove", &removals(), 1, 2);
}

#[test]
fn activations_survive_every_crash() {
    all("activate, deactivate", &activations(), 1, 2);
}

#[test]
fn alterations_survive_every_crash() {
    all("resize, rename, modify, roll back", &alterations(), 1, 2);
}

#[test]
fn changes_of_pools_survive_every_crash() {
    all("pools", &pools(), 1, 2);
    all("pools on two disks", &pools(), 2, 1);
    all("pools that go", &removed_pools(), 1, 1);
}

/// As the command asks for them: from the line of a batch to the disk.
#[test]
fn every_change_survives_every_crash_from_its_line_on() {
    assert_eq!(unrepresented(), [""; 0], "changes that no line stands for");
    all("lines", &written(), 1, 0);
}

#[test]
fn altering_batches_survive_every_crash() {
    all("altering batches", &altering_batches(), 1, 1);
}

#[test]
fn batches_survive_every_crash() {
    let (first, _) = halves(batches());
    all("batches", &first, 1, 1);
}

#[test]
fn more_batches_survive_every_crash() {
    let (_, second) = halves(batches());
    all("more batches", &second, 1, 1);
}

#[test]
fn changes_on_two_disks_survive_every_crash() {
    all("two disks", &on_two_disks(), 2, 1);
}

#[test]
fn changes_of_two_pools_survive_every_crash() {
    all("two pools", &across_pools(), 1, 1);
}

fn halves(mut changes: Vec<Change>) -> (Vec<Change>, Vec<Change>) {
    let second = changes.split_off(changes.len() / 2);
    (changes, second)
}

/// How many batches are drawn unless `THINVOL_CRASH_BATCHES` says otherwise.
const DRAWN: usize = 40;

/// Batches of two to four requests of any kinds; one that is refused changes nothing, and another is drawn.
#[test]
fn drawn_batches_survive_every_crash() {
    let count = std::env::var("THINVOL_CRASH_BATCHES").ok();
    let count = count.map_or(DRAWN, |text| text.parse().expect("THINVOL_CRASH_BATCHES is a number"));
    let starts = [Used, Used, Stopped].into_iter().cycle();
    let drawn = (0..).zip(starts).map(|(seed, start)| (start, drawn::batch(seed)));
    let granted = drawn.filter(|(start, requests)| start.world(1).plan(requests).is_ok());
    let named = granted
        .map(|(start, requests)| -> Change { (format!("{start:?}: {requests:?}").leak(), start, requests) });
    all("drawn batches", &named.take(count).collect::<Vec<_>>(), 1, 1);
}
