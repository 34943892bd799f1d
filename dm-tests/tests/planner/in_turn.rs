//! Batches with changes of pools, which are several transactions: all are planned before the first is begun, and what
//! is planned for what earlier ones will leave is what is done when its turn comes.

use std::collections::BTreeMap;

use base::error_chain::in_words;
use base::error_kind::ErrorKind;
use cli::resolve::Resolver;
use cli::transaction::lines::Lines;
use dm::kernel::Verb;
use dm::sim::{Fault, FaultKind, When};
use dm_tests::world::asks::Start;
use dm_tests::world::{World, vg_name};
use nix::errno::Errno;
use thin::EngineError;
use thin::changes::Change;
use thin::{Options, Report};

/// The changes that lines of a batch ask for.
fn changes(lines: &[&str]) -> Vec<Change> {
    let lines = Lines::read(&lines.join("\n"), &Resolver::over(""));
    assert!(lines.bad.is_empty(), "{:?}", lines.bad);
    lines.by_vg.into_values().flatten().map(|line| line.change).collect()
}

fn plan(world: &World, changes: &[Change]) -> Result<Vec<Report>, EngineError> {
    world.process(|engine| engine.plan(&vg_name(), changes)).map(Report::in_turn)
}

fn apply(world: &World, changes: &[Change]) -> Result<Vec<Report>, EngineError> {
    world.process(|engine| engine.apply(&vg_name(), changes, &Options::default())).map(Report::in_turn)
}

/// The plans, but for the identities of what is new.
fn shown(reports: &[Report]) -> Vec<String> {
    let words = |plan: String| -> String {
        plan.split(' ')
            .map(|word| if word.starts_with("nnnnnn-") { "<uuid>" } else { word })
            .collect::<Vec<_>>()
            .join(" ")
    };
    reports.iter().map(|report| words(report.plan.to_string())).collect()
}

const NEW_POOL: &str = r#"{"request":"pool_create","pool":"pve/new","size":"16M"}"#;
const IN_IT: &str = r#"{"request":"create","pool":"pve/new","name":"n","size":"8M"}"#;
const ANOTHER: &str = r#"{"request":"create","pool":"pve/new","name":"m","size":"8M","activate":false}"#;
const SNAPSHOT: &str = r#"{"request":"snapshot","snapshot":"pve/n@s"}"#;
const INACTIVE: &str = r#"{"request":"pool_create","pool":"pve/new","size":"16M","activate":false}"#;
const LARGER: &str = r#"{"request":"pool_extend","pool":"pve/new","size":"+8M","metadata_size":"+4M"}"#;
const OTHERWISE: &str = r#"{"request":"pool_set","pool":"pve/new","when_full":"error","extend_at":70}"#;
const STOPPED: &str = r#"{"request":"deactivate","volume":"pve/n"}"#;
const RENAMED: &str = r#"{"request":"rename","volume":"pve/n","name":"z"}"#;
const GONE: &str = r#"{"request":"pool_remove","pool":"pve/new","with_volumes":true}"#;

/// Batches, with the number of transactions of each.
const BATCHES: &[(&[&str], usize)] = &[
    (&[NEW_POOL, IN_IT], 2),
    (&[INACTIVE, IN_IT], 2),
    (&[INACTIVE, ANOTHER, LARGER], 3),
    (&[NEW_POOL, LARGER, OTHERWISE, IN_IT, ANOTHER], 4),
    (&[NEW_POOL, IN_IT, LARGER, SNAPSHOT, ANOTHER, OTHERWISE], 5),
    (&[NEW_POOL, IN_IT, OTHERWISE, RENAMED, LARGER, GONE], 6),
    (&[NEW_POOL, IN_IT, OTHERWISE, STOPPED, LARGER], 5),
    (&[NEW_POOL, IN_IT, GONE, NEW_POOL, IN_IT], 5),
];

/// The same of the pool and the volumes that are there.
const OF_USED: &[(&[&str], usize)] = &[
    (
        &[
            r#"{"request":"create","pool":"pve/data","name":"n","size":"8M"}"#,
            r#"{"request":"pool_extend","pool":"pve/data","size":"+8M"}"#,
            r#"{"request":"snapshot","snapshot":"pve/a@t"}"#,
            r#"{"request":"pool_set","pool":"pve/data","overcommit":2.5}"#,
            r#"{"request":"rollback","snapshot":"pve/a@t"}"#,
            r#"{"request":"remove","volume":"pve/b"}"#,
        ],
        5,
    ),
    (
        &[
            r#"{"request":"remove","volume":"pve/b"}"#,
            r#"{"request":"pool_set","pool":"pve/data","zero":false}"#,
            r#"{"request":"resize","volume":"pve/a","size":"+4M"}"#,
        ],
        3,
    ),
    (&[r#"{"request":"pool_remove","pool":"pve/data","with_volumes":true}"#, NEW_POOL, IN_IT], 3),
];

#[test]
fn what_is_planned_for_later_is_what_is_done_then() {
    let starts = [Start::Fresh, Start::FreshRunning, Start::Used, Start::Stopped, Start::TwoPools];
    let everywhere = BATCHES.iter().flat_map(|batch| starts.map(|start| (start, batch)));
    let of_used = OF_USED.iter().flat_map(|batch| [Start::Used, Start::Stopped].map(|start| (start, batch)));
    for (start, (lines, count)) in everywhere.chain(of_used) {
        let pvs = if start == Start::TwoPools { 2 } else { 1 };
        let (world, changes) = (start.world(pvs), changes(lines));
        world.machine.host.set(|host| host.watched = Some(BTreeMap::new()));
        let planned =
            plan(&world, &changes).unwrap_or_else(|error| panic!("{start:?}: {}", in_words(&error)));
        assert_eq!(planned.len(), *count, "{lines:?}");
        assert_eq!(world.metadata().vg.seqno, planned[0].plan.parent, "planning changes nothing");
        let done = apply(&world, &changes).unwrap_or_else(|error| panic!("{start:?}: {}", in_words(&error)));
        assert_eq!(shown(&planned), shown(&done), "{start:?} {lines:?}");
        assert!(done.iter().all(|report| report.executed && report.left.is_empty()));
        let places: Vec<usize> = done.iter().flat_map(|report| report.changes.clone()).collect();
        assert!(places.into_iter().eq(0..changes.len()), "each change is in one transaction");
        let of_done = done.iter().flat_map(|report| report.done.iter().map(|done| done.change));
        assert!(of_done.clone().is_sorted() && of_done.max() == Some(changes.len() - 1));
        assert_eq!(world.machine.kernel.violations(), []);
        assert!(world.recover().expect("the simulated machine has it").recovered.is_empty());
    }
}

#[test]
fn a_line_that_is_refused_keeps_all_from_being_begun() {
    let world = Start::Used.world(1);
    let too_large = r#"{"request":"pool_extend","pool":"pve/new","size":"+1G"}"#;
    let unknown = r#"{"request":"create","pool":"pve/old","name":"x","size":"8M"}"#;
    for (lines, place) in
        [(&[NEW_POOL, IN_IT, too_large][..], 2), (&[NEW_POOL, unknown], 1), (&[NEW_POOL, NEW_POOL], 1)]
    {
        let before = world.metadata().vg.seqno;
        let mut refused = apply(&world, &changes(lines)).unwrap_err();
        assert_ne!(refused.kind(), ErrorKind::Partial, "{}", in_words(&refused));
        assert_eq!(world.metadata().vg.seqno, before, "{}", in_words(&refused));
        let places: Vec<usize> = refused.aside().refused.iter().map(|refused| refused.change).collect();
        assert_eq!(places, [place], "{}", in_words(&refused));
        assert!(refused.take_done().is_empty());
    }
}

#[test]
fn what_was_done_before_a_failure_stays_and_is_told() {
    let world = Start::Used.world(1);
    // The first snapshot's message, in the second transaction.
    let kind = FaultKind::Errno(Errno::EIO);
    world.machine.kernel.inject(Fault { verb: Some(Verb::Message), nth: 1, when: When::Before, kind });
    let lines = [
        r#"{"request":"pool_set","pool":"pve/data","when_full":"error"}"#,
        r#"{"request":"snapshot","snapshot":"pve/a@t"}"#,
    ];
    let mut failed = apply(&world, &changes(&lines)).unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Partial);
    assert!(in_words(&failed).contains("; 1 transaction before it is done"), "{}", in_words(&failed));
    let done = failed.take_done();
    assert_eq!(done.len(), 1);
    assert_eq!(done[0].changes, 0..1);
    assert!(world.metadata().vg.lvs.iter().all(|lv| lv.name.as_str() != "snap_a_t"));
}
