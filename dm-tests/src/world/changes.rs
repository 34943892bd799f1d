//! The changes that are crashed and made to fail at every point: each kind of request by itself, and batches.

use std::collections::BTreeSet;

use thin::changes::{Change as AnyChange, Written};
use thin::internals::request::Request;

use super::asks::Start::{self, Fresh, FreshRunning, Named, SecondFresh, Stopped, TwoPools, Used};
use super::asks::{
    SIZE, activate, activate_anyway, check_pool, clone, create, create_in, create_pool, deactivate,
    grow_pool, modify, remove, remove_pool, rename, repair_pool, resize, roll_back, set_pool, snapshot,
};
use super::lines::Lines;
use super::text::{POOL, POOL_2};

/// One change: its name, the machine it starts from, and its requests.
pub type Change = (&'static str, Start, Vec<Request>);

/// New empty volumes.
pub fn creates() -> Vec<Change> {
    vec![
        ("first volume, inactive", Fresh, vec![create("n", false)]),
        ("first volume, active", Fresh, vec![create("n", true)]),
        ("first volume of a running pool, inactive", FreshRunning, vec![create("n", false)]),
        ("first volume of a running pool, active", FreshRunning, vec![create("n", true)]),
        ("create, inactive", Used, vec![create("n", false)]),
        ("create, active", Used, vec![create("n", true)]),
        ("create in a stopped pool, inactive", Stopped, vec![create("n", false)]),
        ("create in a stopped pool, active", Stopped, vec![create("n", true)]),
    ]
}

/// Snapshots.
pub fn snapshots() -> Vec<Change> {
    vec![
        ("snapshot of an active volume", Used, vec![snapshot("a", "n")]),
        ("snapshot of an inactive volume", Used, vec![snapshot("b", "n")]),
        ("snapshot of a snapshot", Used, vec![snapshot("s", "n")]),
        ("snapshot in a stopped pool", Stopped, vec![snapshot("a", "n")]),
        ("clone of an active volume", Used, vec![clone("a", "n")]),
        ("clone of a snapshot in a stopped pool", Stopped, vec![clone("s", "n")]),
    ]
}

/// Removals.
pub fn removals() -> Vec<Change> {
    vec![
        ("remove an active volume with a snapshot", Used, vec![remove("a")]),
        ("remove an inactive volume", Used, vec![remove("b")]),
        ("remove a snapshot", Used, vec![remove("s")]),
        ("remove in a stopped pool", Stopped, vec![remove("a")]),
    ]
}

/// Sizes, names, flags and rollbacks.
pub fn alterations() -> Vec<Change> {
    vec![
        ("grow an active volume", Used, vec![resize("a", 5, false)]),
        ("grow an inactive volume", Used, vec![resize("b", 5, false)]),
        ("grow in a stopped pool", Stopped, vec![resize("a", 5, false)]),
        ("shrink an active volume", Used, vec![resize("a", 1, true)]),
        ("shrink an inactive volume", Used, vec![resize("b", 1, true)]),
        ("rename an active volume", Used, vec![rename("a", "z")]),
        ("rename an inactive volume", Used, vec![rename("b", "z")]),
        ("rename in a stopped pool", Stopped, vec![rename("a", "z")]),
        ("make an active volume read-only", Used, vec![modify("a", true)]),
        ("make a snapshot writable", Used, vec![modify("s", false)]),
        ("roll an active volume back", Used, vec![roll_back("a", "s")]),
        ("roll an inactive volume back", Used, vec![roll_back("b", "s")]),
        ("roll back in a stopped pool", Stopped, vec![roll_back("a", "s")]),
    ]
}

/// Pools that get more room, or work otherwise.
pub fn pools() -> Vec<Change> {
    vec![
        ("more data for a running pool", Used, vec![grow_pool(3, 0)]),
        ("more metadata for a running pool", Used, vec![grow_pool(0, 1)]),
        ("more of both for a running pool", Used, vec![grow_pool(3, 1)]),
        ("more data for a stopped pool", Stopped, vec![grow_pool(3, 0)]),
        ("more data for a fresh pool that runs", FreshRunning, vec![grow_pool(3, 1)]),
        ("another way for a running pool", Used, vec![set_pool()]),
        ("another way for a stopped pool", Stopped, vec![set_pool()]),
        ("another pool, active", Used, vec![create_pool("new", 3, true)]),
        ("another pool, inactive", Stopped, vec![create_pool("new", 3, false)]),
    ]
}

/// Pools that go, with all that is in them.
pub fn removed_pools() -> Vec<Change> {
    vec![
        ("a stopped pool is checked", Stopped, vec![check_pool()]),
        ("a stopped pool is repaired", Stopped, vec![repair_pool()]),
        ("a pool with volumes goes", Used, vec![remove_pool()]),
        ("a stopped pool with volumes goes", Stopped, vec![remove_pool()]),
        ("a fresh pool that runs goes", FreshRunning, vec![remove_pool()]),
        ("one of two pools goes", TwoPools, vec![remove_pool()]),
    ]
}

/// Batches with them.
pub fn altering_batches() -> Vec<Change> {
    vec![
        ("template", Used, vec![rename("a", "base"), modify("base", true), deactivate("base")]),
        ("rename and grow", Used, vec![rename("a", "z"), resize("z", 5, false)]),
        ("rename a volume and its snapshot", Used, vec![rename("a", "z"), rename("s", "snap_z")]),
        ("rename in a row", Used, vec![activate("b"), rename("b", "z"), rename("a", "b"), rename("s", "a")]),
        ("rename, and another takes the name", Used, vec![rename("a", "z"), create("a", true)]),
        ("remove, and another takes the name", Used, vec![remove("b"), rename("a", "b")]),
        ("keep, then roll back", Used, vec![snapshot("a", "n"), roll_back("a", "s")]),
        ("roll back, then snapshot", Used, vec![roll_back("a", "s"), snapshot("a", "n")]),
        ("roll back, then remove the snapshot", Used, vec![roll_back("a", "s"), remove("s")]),
        (
            "roll back, rename and grow",
            Used,
            vec![roll_back("a", "s"), rename("a", "z"), resize("z", 5, false)],
        ),
        ("grow, then snapshot", Used, vec![resize("a", 5, false), snapshot("a", "n")]),
        ("roll back and deactivate", Used, vec![roll_back("a", "s"), deactivate("a")]),
        (
            "a bit of everything",
            Used,
            vec![
                roll_back("a", "s"),
                create("n", true),
                snapshot("b", "m"),
                rename("b", "z"),
                resize("z", 4, false),
            ],
        ),
        ("shrink, activate another", Used, vec![resize("a", 1, true), activate("b")]),
    ]
}

/// Activations and deactivations.
pub fn activations() -> Vec<Change> {
    vec![
        ("activate a volume", Used, vec![activate("b")]),
        ("activate a snapshot in a stopped pool", Stopped, vec![activate_anyway("s")]),
        ("activate a fresh pool", Fresh, vec![activate(POOL)]),
        ("activate a pool", Stopped, vec![activate(POOL)]),
        ("activate all", Stopped, vec![Request::ActivateAll { auto: false }]),
        ("deactivate a volume", Used, vec![deactivate("a")]),
        ("deactivate a fresh pool", FreshRunning, vec![deactivate(POOL)]),
        ("deactivate all", Used, vec![Request::DeactivateAll]),
    ]
}

/// Batches.
pub fn batches() -> Vec<Change> {
    vec![
        ("two creates", Used, vec![create("n", false), create("m", true)]),
        ("two first volumes", Fresh, vec![create("n", false), create("m", true)]),
        ("first volumes of a running pool", FreshRunning, vec![create("n", true), create("m", true)]),
        ("snapshots at one instant", Used, vec![activate("b"), snapshot("a", "n"), snapshot("b", "m")]),
        ("snapshot and create", Used, vec![snapshot("a", "n"), create("m", true)]),
        ("snapshot, create, remove", Used, vec![snapshot("a", "n"), create("m", false), remove("b")]),
        ("snapshot, then remove the origin", Used, vec![snapshot("a", "n"), remove("a")]),
        ("clone, then remove the origin, stopped", Stopped, vec![clone("b", "n"), remove("b")]),
        ("remove and create again", Used, vec![remove("a"), create("a", true)]),
        ("snapshot, remove, create again", Used, vec![snapshot("a", "n"), remove("a"), create("a", true)]),
        ("remove everything", Used, vec![remove("s"), remove("a"), remove("b")]),
        ("remove everything, stopped", Stopped, vec![remove("a"), remove("b"), remove("s")]),
        ("snapshot of a new snapshot", Used, vec![clone("a", "n"), snapshot("n", "m")]),
        ("deactivate one, create another", Used, vec![deactivate("a"), create("n", true)]),
        ("create, deactivate all", Used, vec![create("n", true), Request::DeactivateAll]),
        (
            "replace a snapshot and a volume",
            Used,
            vec![remove("s"), snapshot("a", "s"), remove("b"), create("b", false)],
        ),
    ]
}

/// Batches that change two pools in one transaction.
pub fn across_pools() -> Vec<Change> {
    let there = |name, active| create_in(POOL_2, name, SIZE, active);
    vec![
        ("create in both", TwoPools, vec![create("n", true), there("m", true)]),
        ("snapshots of both", TwoPools, vec![snapshot("a", "n"), snapshot("c", "m")]),
        ("remove in both", TwoPools, vec![remove("b"), remove("c")]),
        ("a snapshot here, a create there", TwoPools, vec![snapshot("a", "n"), there("m", false)]),
        ("a first volume there", SecondFresh, vec![remove("a"), there("m", true)]),
        ("roll back here, grow there", TwoPools, vec![roll_back("a", "s"), resize("c", 5, false)]),
        ("rename here, remove there", TwoPools, vec![rename("a", "z"), remove("d")]),
    ]
}

/// A few that show what a second physical volume adds.
pub fn on_two_disks() -> Vec<Change> {
    vec![
        ("create, active", Used, vec![create("n", true)]),
        ("snapshot of an active volume", Used, vec![snapshot("a", "n")]),
        ("roll an active volume back", Used, vec![roll_back("a", "s")]),
        ("rename and grow", Used, vec![rename("a", "z"), resize("z", 5, false)]),
        ("remove in a stopped pool", Stopped, vec![remove("a")]),
        ("first volume of a running pool", FreshRunning, vec![create("n", true)]),
        ("snapshot, create, remove", Used, vec![snapshot("a", "n"), create("m", false), remove("b")]),
    ]
}

/// A representative of every change.
pub fn written() -> Vec<(&'static str, Start, Lines)> {
    let one = |name, start, line| (name, start, Lines(vec![line]));
    vec![
        one("create", Used, r#"{"request":"create","pool":"pve/data","name":"n","size":"8M"}"#),
        one("snapshot", Used, r#"{"request":"snapshot","snapshot":"pve/a@t"}"#),
        one("clone", Used, r#"{"request":"clone","source":"pve/a","name":"n"}"#),
        one("remove", Named, r#"{"request":"remove","volume":"pve/vm-1-d","snapshots":true}"#),
        one("remove a snapshot", Named, r#"{"request":"remove","volume":"pve/vm-1-d@s"}"#),
        one("resize", Used, r#"{"request":"resize","volume":"pve/a","size":"+4M"}"#),
        one("rename", Named, r#"{"request":"rename","volume":"pve/vm-1-d","name":"vm-1-e"}"#),
        one("modify", Used, r#"{"request":"modify","volume":"pve/a","add_tags":["gold"]}"#),
        one("rollback", Named, r#"{"request":"rollback","snapshot":"pve/vm-1-d@s"}"#),
        one("template", Named, r#"{"request":"template","volume":"pve/vm-2-d"}"#),
        one("activate", Stopped, r#"{"request":"activate","volume":"pve/a"}"#),
        one("deactivate", Used, r#"{"request":"deactivate","volume":"pve/a"}"#),
        one("pool_create", Used, r#"{"request":"pool_create","pool":"pve/new","size":"12M"}"#),
        one("pool_extend", Used, r#"{"request":"pool_extend","pool":"pve/data","size":"+12M"}"#),
        one("pool_set", Used, r#"{"request":"pool_set","pool":"pve/data","zero":false,"reserve":"4M"}"#),
        one("pool_repair", Stopped, r#"{"request":"pool_repair","pool":"pve/data","force":true}"#),
        one("pool_remove", Used, r#"{"request":"pool_remove","pool":"pve/data","with_volumes":true}"#),
        (
            "several",
            Named,
            Lines(vec![
                r#"{"request":"snapshot","snapshot":"pve/vm-1-d@t"}"#,
                r#"{"request":"clone","source":"pve/vm-1-d@s","name":"n","activate":false}"#,
                r#"{"request":"remove","volume":"pve/vm-2-d"}"#,
            ]),
        ),
    ]
}

/// The words for changes of which there is no representative.
///
/// # Panics
/// If the error of an unknown word does not list those that there are.
pub fn unrepresented() -> Vec<String> {
    let error = serde_json::from_str::<AnyChange<Written>>(r#"{"request":"?"}"#);
    let error = error.expect_err("no such word").to_string();
    let (_, words) = error.split_once("expected one of ").expect("the words are listed");
    let words = words.split('`').skip(1).step_by(2);
    let lines = written().into_iter().flat_map(|(_, _, lines)| lines.0);
    let word = |line: &str| line.split('"').nth(3).unwrap_or_default().to_owned();
    let there: BTreeSet<String> = lines.map(word).collect();
    words.filter(|word| !there.contains(*word)).map(str::to_owned).collect()
}
