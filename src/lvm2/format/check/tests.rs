//! Tests of the rules: each is broken once in a text that lvm2 wrote, and named.

use super::{Use, check, flaws, may_use};
use crate::format::model::Vg;
use crate::format::text::Document;

const DISK: &str = include_str!("../testdata/thin.disk");

fn vg(text: &str) -> Vg {
    Vg::from_document(&Document::parse(text.as_bytes()).unwrap()).unwrap()
}

fn changed(from: &str, to: &str) -> Vg {
    assert!(DISK.contains(from), "{from}");
    vg(&DISK.replacen(from, to, 1))
}

#[test]
fn what_lvm2_wrote_keeps_the_rules() {
    assert_eq!(check(&vg(DISK)), []);
    assert_eq!(may_use(&vg(DISK), Use::Change, &[]), Ok(()));
}

#[test]
fn each_broken_rule_is_named() {
    let cases = [
        ("extent_size = 8192", "extent_size = 0", "VG vgt: its extent size is zero"),
        ("pv1 {", "pv0 {", "PV pv0 of vgt: its key is used twice"),
        ("lin {", "str {", "vgt/str: its name is used twice"),
        (
            "03TMeQ-gzkk-z0cw-Rwpi-DdDB-1sru-ehx7l2",
            "16a7eP-6C9P-Yu6p-6F6V-aMIU-FkOx-4UcgFG",
            "VG vgt: LV UUID 16a7eP-6C9P-Yu6p-6F6V-aMIU-FkOx-4UcgFG is used twice",
        ),
        ("\"owner=vm-100\"", "\"-x\"", "vgt/t1: LVM does not take the tag '-x'"),
        ("start_extent = 6", "start_extent = 7", "vgt/pool_tdata: a segment starts at extent 7, not at 6"),
        (
            "stripes = [\n\"pv0\", 4,",
            "stripes = [\n\"pv0\", 3,",
            "PV pv0 of vgt: extent 3 is used by vgt/lin and by vgt/str",
        ),
        ("\"pv1\", 30", "\"pv1\", 46", "vgt/pool_tdata: extents 46 to 50 are beyond PV pv1 of 49"),
        (
            "\"pv1\", 30",
            "\"pv9\", 30",
            "vgt/pool_tdata: it lies on 'pv9', which is neither a PV nor an LV here",
        ),
        ("\"pv1\", 30", "\"lin\", 1", "vgt/pool_tdata: extents 1 to 5 are not all inside LV lin"),
        ("stripe_size = 128\n", "stripe_size = 0\n", "vgt/str: a striped segment has no stripe size"),
        ("pool = \"pool_tdata\"", "pool = \"gone\"", "vgt/pool: its data LV gone does not exist"),
        (
            "metadata = \"pool_tmeta\"",
            "metadata = \"pool_tdata\"",
            "vgt/pool_tdata: the metadata of pool pool is used by pool and by pool",
        ),
        ("extent_count = 10", "extent_count = 9", "vgt/pool: its data LV has 10 extents, the pool has 9"),
        (
            "chunk_size = 128",
            "chunk_size = 129",
            "vgt/pool: its chunk size of 129 sectors is not a multiple of 128 sectors up to 2097152",
        ),
        ("thin_pool = \"pool\"", "thin_pool = \"lin\"", "vgt/t1: its pool lin is no thin pool"),
        ("device_id = 2", "device_id = 0", "vgt/s1: it has device id 0, which means none"),
        ("origin = \"t1\"", "origin = \"gone\"", "vgt/s1: its origin gone is no thin volume here"),
        ("origin = \"t1\"", "merge = \"s1\"", "vgt/s1: it is its own merge target"),
        ("origin = \"t1\"", "external_origin = \"lin\"", "vgt/s1: its external origin lin is writable"),
        (
            "create = \"s1\"",
            "create = \"lin\"",
            "vgt/pool: a message creates lin, which is no thin volume of this pool",
        ),
        ("delete = 7", "create = \"s1\"", "vgt/pool: two messages create s1"),
        ("delete = 7", "delete = 2", "vgt/pool: a message deletes device 2, which is s1"),
    ];
    for (from, to, violation) in cases {
        let found: Vec<String> = check(&changed(from, to)).iter().map(ToString::to_string).collect();
        assert!(found.iter().any(|have| have == violation), "{from:?} -> {to:?}: {found:?}");
    }
}

#[test]
fn an_id_may_be_given_away_after_its_deletion() {
    let swapped = "message1 {\ndelete = 2\n}\nmessage2 {\ncreate = \"s1\"\n}";
    let vg = changed("message1 {\ncreate = \"s1\"\n}\nmessage2 {\ndelete = 7\n}", swapped);
    assert_eq!(check(&vg), []);
}

#[test]
fn volume_groups_that_are_not_ours_are_refused() {
    let status = "status = [\"RESIZEABLE\", \"READ\", \"WRITE\"]";
    let pv_status = "status = [\"ALLOCATABLE\"]\nflags = []";
    let cases = [
        (
            status,
            "status = [\"EXPORTED\", \"RESIZEABLE\", \"READ\", \"WRITE\"]",
            "volume group vgt is exported",
        ),
        (status, "status = [\"RESIZEABLE\", \"READ\"]", "volume group vgt is read-only"),
        (
            status,
            "status = [\"READ\", \"WRITE\", \"CLUSTERED\"]",
            "volume group vgt is for clusters (status CLUSTERED)",
        ),
        (
            status,
            "status = [\"READ\", \"WRITE\", \"NEWER\"]",
            "volume group vgt has the status word 'NEWER', which thinvol does not know",
        ),
        (
            "extent_size",
            "lock_type = \"sanlock\"\nextent_size",
            "volume group vgt is shared (lock type sanlock)",
        ),
        (
            "extent_size",
            "system_id = \"other\"\nextent_size",
            "volume group vgt belongs to the host with system id 'other' (this host has here)",
        ),
        (
            pv_status,
            "status = [\"ALLOCATABLE\"]\nflags = [\"MISSING\"]",
            "PV zVIyde-I4PZ-iQoM-3JPD-pOI3-z0Pe-BelF5d of volume group vgt is marked missing",
        ),
        (
            "extent_size",
            "pr = [\"require\", \"autostart\"]\nextent_size",
            "volume group vgt requires persistent reservations on its disks",
        ),
        (
            "status = [\"READ\", \"WRITE\", \"VISIBLE\"]",
            "status = [\"READ\", \"ODD\"]",
            "volume vgt/lin has the status word 'ODD', which thinvol does not know",
        ),
    ];
    for (from, to, message) in cases {
        let refusal = may_use(&changed(from, to), Use::Change, &["here".to_owned()]).unwrap_err();
        assert_eq!(refusal.to_string(), message);
        assert!(!refusal.hint.is_empty());
    }
    let ours = changed("extent_size", "system_id = \"here\"\nlock_type = \"none\"\nextent_size");
    assert_eq!(may_use(&ours, Use::Change, &["x".to_owned(), "here".to_owned()]), Ok(()));
}

/// What lvm2 lets be stopped is stopped; what it activates is activated.
#[test]
fn each_use_asks_more_than_the_one_before() {
    let here = ["here".to_owned()];
    let status = "status = [\"RESIZEABLE\", \"READ\", \"WRITE\"]";
    let missing = "status = [\"ALLOCATABLE\"]\nflags = [\"MISSING\"]";
    let cases = [
        (status, "status = [\"EXPORTED\", \"READ\", \"WRITE\"]", None),
        ("extent_size", "lock_type = \"dlm\"\nextent_size", None),
        ("extent_size", "system_id = \"other\"\nextent_size", Some(Use::Deactivate)),
        ("extent_size", "pr = [\"require\"]\nextent_size", Some(Use::Deactivate)),
        (status, "status = [\"RESIZEABLE\", \"READ\"]", Some(Use::Deactivate)),
        ("status = [\"ALLOCATABLE\"]\nflags = []", missing, Some(Use::Activate)),
        ("extent_size", "pr = [\"autostart\", \"ptpl\"]\nextent_size", Some(Use::Change)),
        ("metadata_copies = 0", "metadata_copies = 2", Some(Use::Change)),
    ];
    for (from, to, most) in cases {
        let vg = changed(from, to);
        for usage in [Use::Deactivate, Use::Activate, Use::Change] {
            let allowed = may_use(&vg, usage, &here).is_ok();
            assert_eq!(allowed, most.is_some_and(|most| usage <= most), "{to}: {usage:?}");
        }
    }
}

/// What makes one volume unusable leaves the group readable, as for lvm2.
#[test]
fn a_flaw_of_one_volume_is_its_own() {
    let long = format!("{} {{\nid = \"16a7eP", "n".repeat(123));
    let hyphens = format!("{} {{\nid = \"16a7eP", "n-".repeat(45));
    let too_long = "its name is too long for device-mapper together with the VG's";
    let (long_name, hyphens_name) = ("n".repeat(123), "n-".repeat(45));
    let cases = [
        ("lin {\nid = \"16a7eP", long.as_str(), vec![(long_name.as_str(), too_long)]),
        ("lin {\nid = \"16a7eP", hyphens.as_str(), vec![(hyphens_name.as_str(), too_long)]),
        (
            "device_id = 2",
            "device_id = 1",
            vec![
                ("t1", "it has device id 1 in pool vgt/pool, as has vgt/s1"),
                ("s1", "it has device id 1 in pool vgt/pool, as has vgt/t1"),
            ],
        ),
    ];
    for (from, to, expected) in cases {
        let vg = changed(from, to);
        assert_eq!(check(&vg), [], "{to}");
        let found = flaws(&vg);
        let found: Vec<(&str, &str)> =
            found.iter().map(|flaw| (flaw.lv.as_str(), flaw.problem.as_str())).collect();
        assert_eq!(found, expected, "{to}");
    }
    assert_eq!(flaws(&vg(DISK)), []);
}
