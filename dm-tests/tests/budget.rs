//! What a command may cost among many volumes, counted where no machine is needed: volumes that are read, allocations,
//! peak of memory. The counts are the same each time. The rest is counted by the bench (docs/performance.md).

use allocation_counter::AllocationInfo;
use base::bytes::shared::SharedBytes;
use dm::sim::SimKernel;
use dm_tests::large;
use dm_tests::world::asks::{create, remove, snapshot};
use dm_tests::world::text::POOL;
use dm_tests::world::{World, lv, metadata_header};
use lvm2::format::metadata::{FileCopy, Metadata};
use lvm2::host::store::summary::summarize;
use sys::io::mem::disk::Logged;
use thin::Detail;
use thin::internals::lineage::Lineage;
use thin::internals::plan::Step;
use thin::internals::planner::plan;
use thin::internals::request::Request;
use thin::internals::view::view;

const FEW: u32 = 10;
const MANY: u32 = 5000;

/// Reads a text, checks it, and plans a change of it; says how many volumes of each text were read one by one.
fn change(text: &SharedBytes, request: &Request) -> Vec<usize> {
    let (parsed, _) = summarize(text).expect("a text of a group");
    let metadata = Metadata::of_parsed(&parsed).expect("a valid text");
    assert!(metadata.violations().is_empty() && metadata.flaws().is_empty());
    let plan = plan(&metadata, &large::observed_few(1), std::slice::from_ref(request)).expect("a plan");
    let commits = plan.steps.iter().filter_map(|planned| match &planned.step {
        Step::Commit(commit) => commit.metadata.as_ref(),
        _ => None,
    });
    let read = |metadata: &Metadata| metadata.vg.lvs.how_many_are_read();
    std::iter::once(read(&metadata)).chain(commits.map(|metadata| read(metadata))).collect()
}

fn requests() -> [(&'static str, Request); 3] {
    [
        ("create", create("new", true)),
        ("snapshot", snapshot(&large::name(0), "new")),
        ("remove", remove(&large::name(0))),
    ]
}

fn counted(work: impl FnOnce()) -> AllocationInfo {
    allocation_counter::measure(work)
}

#[test]
fn a_change_reads_the_volumes_it_concerns() {
    let text = large::metadata(MANY).disk_text();
    for (what, request) in requests() {
        let read = change(&text, &request);
        // The pool, its two parts, their spare, and the one or two volumes the request is about.
        assert!(read.iter().all(|read| *read <= 6), "{what}: {read:?} volumes are read");
    }
}

/// What grows with the number of volumes are some tables, each allocated as one, and the set of ids in use, in pieces
/// of eleven.
#[test]
fn a_change_allocates_as_often_among_many_volumes_as_among_few() {
    let [few, many] = [FEW, MANY].map(|volumes| large::metadata(volumes).disk_text());
    for (what, request) in requests() {
        let [few, many] = [&few, &many].map(|text| counted(|| drop(change(text, &request))));
        let (few, many) = (few.count_total, many.count_total);
        assert!(few < 1500, "{what}: {few} allocations among {FEW} volumes");
        assert!(
            many < few + u64::from(MANY) / 8,
            "{what}: {many} allocations among {MANY} volumes, {few} among {FEW}"
        );
    }
}

#[test]
fn a_change_among_many_volumes_stays_small() {
    let text = large::metadata(MANY).disk_text();
    for (what, request) in requests() {
        let peak = counted(|| drop(change(&text, &request))).bytes_max / 1024;
        assert!(peak < 9 * 1024, "{what}: {peak} KiB beside the text itself");
    }
}

/// In each group of a running pool: two commits, three flushes, and the bytes of two texts and two headers.
#[test]
fn a_change_takes_two_commits_and_three_flushes() {
    let world = World::new(1);
    world.run(&[create("first", true)]).expect("it can be made");
    for (what, request) in
        [("create", create("new", false)), ("snapshot", snapshot("first", "snap")), ("remove", remove("new"))]
    {
        let before = world.machine.disks[0].log().len();
        let ran = world.run(&[request]).expect("it can be made");
        assert_eq!(ran.plan.commits(), 2, "{what}");
        let log = world.machine.disks[0].log();
        let logged = |is: fn(&Logged) -> bool| log[before..].iter().filter(|(_, one)| is(one)).count();
        let flushes = logged(|one| matches!(one, Logged::Flush));
        let writes = logged(|one| matches!(one, Logged::Write { .. }));
        assert_eq!((flushes, writes), (3, 4), "{what}: {log:?}");
    }
}

/// A list goes by what shows of its volumes at a glance.
#[test]
fn a_list_reads_no_volume_that_is_not_active() {
    let text = large::metadata(MANY).disk_text();
    let metadata = Metadata::of_text(text).expect("a valid text");
    let (vg, kernel) = (&metadata.vg, SimKernel::new());
    let seen = view(vg, &large::observed_few(0), &kernel, Detail::Active, Vec::new(), Vec::new());
    assert!(seen.expect("the kernel answers").volumes.is_empty());
    let tree = Lineage::of(vg).tree(&lv(POOL));
    assert_eq!(tree.len(), usize::try_from(MANY).expect("32 bits fit"));
    let read = vg.lvs.how_many_are_read();
    assert!(read <= 6, "{read} volumes are read");
}

/// The copy before a change is the one after the change before with another header.
#[test]
fn a_copy_from_a_file_is_no_new_layout() {
    let metadata = large::metadata(MANY);
    let header = metadata_header();
    let new = || metadata.to_backup_file_beside("thinvol", &header, None);
    let file = new();
    let text = String::from_utf8(file.bytes().to_vec()).expect("a copy is text");
    let again = || {
        let found = FileCopy::found(&metadata, text.clone(), file.body()).expect("it is laid out as a copy");
        metadata.to_backup_file_from("thinvol", &header, found)
    };
    assert_eq!(again().bytes(), file.bytes());
    let [few, many] = [counted(|| drop(again())), counted(|| drop(new()))].map(|cost| cost.count_total);
    assert!(few < 80 && few < many, "{few} allocations instead of {many}");
}

#[test]
fn a_copy_for_a_file_allocates_for_what_is_no_plain_volume() {
    let copies = [FEW, MANY].map(|volumes| {
        let metadata = large::metadata(volumes);
        counted(|| drop(metadata.to_backup_file("thinvol", &metadata_header()))).count_total
    });
    let [few, many] = copies;
    assert!(many < few + u64::from(MANY), "{many} allocations among {MANY} volumes, {few} among {FEW}");
}
