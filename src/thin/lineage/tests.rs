use proptest::prelude::*;

use super::*;
use crate::lineage::fixture::{lv, name, uuid, vg};

fn snap(text: &str) -> SnapName {
    SnapName::new(text).unwrap()
}

/// The recorded tags of a snapshot of the LV with that uuid.
fn snapshot_tags(origin: &LvmUuid, snap: &SnapName) -> Vec<String> {
    complete_tags(&super::snapshot_tags(snap), origin)
}

fn clone_tags(origin: &LvmUuid) -> Vec<String> {
    complete_tags(&super::clone_tags(), origin)
}

fn names_of<'a>(snapshots: impl Iterator<Item = (&'a str, &'a Lv)>) -> Vec<(&'a str, &'a str)> {
    snapshots.map(|(snap, lv)| (snap, lv.name.as_str())).collect()
}

/// Two volumes, one named like the other plus `_x`: Proxmox's name matching takes the snapshot of the second
/// for one of the first, and destroys it with the first.
#[test]
fn a_snapshot_is_not_taken_for_that_of_a_volume_with_a_similar_name() {
    for tagged in [true, false] {
        let tags = if tagged { snapshot_tags(&uuid(2), &snap("y")) } else { vec![] };
        let vg = vg(vec![
            lv(1, "vm-200-d", None, vec![]),
            lv(2, "vm-200-d_x", None, vec![]),
            lv(3, "snap_vm-200-d_x_y", Some("vm-200-d_x"), tags),
        ]);
        let lineage = Lineage::of(&vg);
        assert_eq!(names_of(lineage.snapshots_of(&vg.lvs[0])), []);
        assert_eq!(names_of(lineage.snapshots_of(&vg.lvs[1])), [("y", "snap_vm-200-d_x_y")]);
        assert_eq!(lineage.find_snapshot(&vg.lvs[1], &snap("y")).unwrap().name, name("snap_vm-200-d_x_y"));
        assert_eq!(
            lineage.find_snapshot(&vg.lvs[0], &snap("x_y")),
            Err(LineageError::NoSuchSnapshot {
                volume: name("vm-200-d"),
                snap: snap("x_y"),
                namesake: Some(name("snap_vm-200-d_x_y")),
            })
        );
    }
}

/// Proxmox overlooks snapshots whose name has one letter and leaves them behind.
#[test]
fn a_snapshot_with_a_one_letter_name_is_found() {
    let vg = vg(vec![lv(1, "vm-1-d", None, vec![]), lv(2, "snap_vm-1-d_b", Some("vm-1-d"), vec![])]);
    let lineage = Lineage::of(&vg);
    assert_eq!(names_of(lineage.snapshots_of(&vg.lvs[0])), [("b", "snap_vm-1-d_b")]);
}

#[test]
fn requested_tags_are_not_legal_before_they_are_completed() {
    assert!(!LVM_TAG_CHARACTERS.contains('@'));
    let other = "env=prod".to_owned();
    let tags = complete_tags(&[super::snapshot_tags(&snap("s")), vec![other.clone()]].concat(), &uuid(1));
    let of = "thinvol.of=000000-0000-0000-0000-0000-0000-000001".to_owned();
    assert_eq!(tags, [of, "thinvol.snap=s".to_owned(), other]);
    assert!(tags.iter().flat_map(|tag| tag.chars()).all(|c| LVM_TAG_CHARACTERS.contains(c)));
    assert!(OF_ORIGIN.starts_with(OF_TAG));
}

/// Source: lvm2 `lib/misc/lvm-string.c` (`validate_tag`).
const LVM_TAG_CHARACTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+.-/=!:&#";

#[test]
fn tags_outlive_renames_of_both_sides() {
    let vg = vg(vec![
        lv(1, "renamed", None, vec![]),
        lv(2, "anything", Some("renamed"), snapshot_tags(&uuid(1), &snap("s"))),
    ]);
    assert_eq!(names_of(Lineage::of(&vg).snapshots_of(&vg.lvs[0])), [("s", "anything")]);
}

#[test]
fn a_name_and_an_origin_that_do_not_fit_make_a_clone() {
    let vg = vg(vec![
        lv(1, "a", None, vec![]),
        lv(2, "b", Some("a"), vec![]),
        lv(3, "snap_a_", Some("a"), vec![]),
        lv(4, "snap_b_s", Some("a"), vec![]),
    ]);
    let lineage = Lineage::of(&vg);
    let relations: Vec<_> = lineage.children_of(&vg.lvs[0]).map(|(relation, _)| relation).collect();
    assert_eq!(relations, [Relation::Clone; 3]);
    assert_eq!(lineage.children_of(&vg.lvs[1]).count(), 0, "a name alone proves nothing");
}

#[test]
fn tags_win_over_the_origin_field() {
    let vg = vg(vec![
        lv(1, "a", None, vec![]),
        lv(2, "b", None, vec![]),
        lv(3, "snap_a_s", Some("a"), snapshot_tags(&uuid(2), &snap("s"))),
    ]);
    let lineage = Lineage::of(&vg);
    assert_eq!(names_of(lineage.snapshots_of(&vg.lvs[0])), []);
    assert_eq!(names_of(lineage.snapshots_of(&vg.lvs[1])), [("s", "snap_a_s")]);
}

#[test]
fn a_volume_that_took_the_name_of_a_removed_one_has_none_of_its_snapshots() {
    let vg = vg(vec![
        lv(9, "a", None, vec![]),
        lv(2, "snap_a_s", None, snapshot_tags(&uuid(1), &snap("s"))),
        lv(3, "snap_a_t", None, vec![]),
    ]);
    let lineage = Lineage::of(&vg);
    assert_eq!(names_of(lineage.snapshots_of(&vg.lvs[0])), []);
    let orphan = lineage.descent(&vg.lvs[1]).unwrap();
    assert_eq!(orphan, Descent { parent: Parent::Gone(uuid(1)), relation: Relation::Snapshot("s") });
    assert_eq!(lineage.descent(&vg.lvs[2]), None);
}

#[test]
fn a_rollback_done_by_proxmox_keeps_the_snapshot_it_went_back_to() {
    let vg = vg(vec![lv(9, "vm-1-d", Some("snap_vm-1-d_s"), vec![]), lv(2, "snap_vm-1-d_s", None, vec![])]);
    let lineage = Lineage::of(&vg);
    assert_eq!(names_of(lineage.snapshots_of(&vg.lvs[0])), [("s", "snap_vm-1-d_s")]);
    assert_eq!(lineage.descent(&vg.lvs[0]), None);
}

#[test]
fn tags_that_contradict_each_other_or_cannot_be_read_link_nothing() {
    for tags in [
        vec!["thinvol.of=junk".into()],
        vec!["thinvol.of=".into(), "thinvol.snap=s".into()],
        vec!["thinvol.snap=s".into()],
        [snapshot_tags(&uuid(1), &snap("s")), clone_tags(&uuid(2))].concat(),
        [snapshot_tags(&uuid(1), &snap("s")), snapshot_tags(&uuid(1), &snap("t"))].concat(),
    ] {
        let vg = vg(vec![
            lv(1, "a", None, vec![]),
            lv(2, "b", None, vec![]),
            lv(3, "snap_a_s", Some("a"), tags.clone()),
        ]);
        let lineage = Lineage::of(&vg);
        assert_eq!(lineage.descent(&vg.lvs[2]).unwrap().parent, Parent::Unreadable, "{tags:?}");
        assert_eq!(lineage.children_of(&vg.lvs[0]).count(), 0, "{tags:?}");
    }
}

#[test]
fn two_volumes_that_claim_to_be_one_snapshot_are_an_error() {
    let tags = snapshot_tags(&uuid(1), &snap("s"));
    let vg = vg(vec![lv(1, "a", None, vec![]), lv(2, "x", None, tags.clone()), lv(3, "y", None, tags)]);
    let error = Lineage::of(&vg).find_snapshot(&vg.lvs[0], &snap("s")).unwrap_err();
    assert_eq!(error.to_string(), "snapshot 's' of volume 'a' is recorded on several logical volumes: x, y");
}

#[test]
fn the_tree_shows_descent_and_hides_nothing_in_a_circle() {
    let vg = vg(vec![
        lv(5, "zebra", None, clone_tags(&uuid(1))),
        lv(1, "a", None, vec![]),
        lv(2, "snap_a_s", Some("a"), snapshot_tags(&uuid(1), &snap("s"))),
        lv(3, "clone", Some("snap_a_s"), clone_tags(&uuid(2))),
        lv(6, "loop1", None, clone_tags(&uuid(7))),
        lv(7, "loop2", None, clone_tags(&uuid(6))),
        lv(8, "own", None, clone_tags(&uuid(8))),
    ]);
    let shape: Vec<(usize, &str)> =
        Lineage::of(&vg).tree(&name("data")).iter().map(|line| (line.depth, line.lv.name.as_str())).collect();
    assert_eq!(
        shape,
        [(0, "a"), (1, "snap_a_s"), (2, "clone"), (1, "zebra"), (0, "loop1"), (1, "loop2"), (0, "own")]
    );
}

#[test]
fn snapshot_names_follow_proxmox_and_are_checked() {
    assert_eq!(snapshot_lv_name(&name("vm-1-disk-0"), &snap("now")).unwrap(), name("snap_vm-1-disk-0_now"));
    assert!(matches!(
        snapshot_lv_name(&name(&"v".repeat(100)), &snap(&"s".repeat(30))),
        Err(LineageError::Unnameable { .. })
    ));
    assert!(matches!(snapshot_lv_name(&name("vm"), &snap("tdata")), Err(LineageError::Unnameable { .. })));
    for bad in ["", "a b", "a@b", "a/b", "-a", ".."] {
        assert_eq!(SnapName::new(bad).unwrap_err().what, "snapshot name", "{bad:?}");
    }
}

fn any_lvs() -> impl Strategy<Value = Vec<Lv>> {
    let pool_of_names = ["a", "a_b", "b", "snap_a_b", "snap_a_b_c", "snap_a_b_b", "snap_b_b"];
    let any_tags = proptest::collection::vec(
        prop_oneof![
            (0..8usize).prop_map(|n| format!("{OF_TAG}{}", uuid(n))),
            "[abc]".prop_map(|snap| format!("{SNAP_TAG}{snap}")),
            Just(format!("{OF_TAG}junk")),
        ],
        0..3,
    );
    let details = proptest::collection::vec((proptest::option::of(0..7usize), any_tags), 7);
    details.prop_map(move |details| {
        details
            .into_iter()
            .enumerate()
            .map(|(at, (origin, tags))| lv(at, pool_of_names[at], origin.map(|o| pool_of_names[o]), tags))
            .collect()
    })
}

proptest! {
    #[test]
    fn every_link_is_backed_by_a_tag_or_an_origin_and_the_tree_is_complete(lvs in any_lvs()) {
        let vg = vg(lvs);
        let lineage = Lineage::of(&vg);
        for parent in &vg.lvs {
            for (_, child) in lineage.children_of(parent) {
                let by_tag = child.tags.contains(&format!("{OF_TAG}{}", parent.id));
                let by_origin = child.thin().unwrap().origin.as_ref() == Some(&parent.name);
                let turned_round = parent.thin().unwrap().origin.as_ref() == Some(&child.name);
                prop_assert!(by_tag || by_origin || turned_round);
            }
        }
        let mut shown: Vec<&str> =
            lineage.tree(&name("data")).iter().map(|line| line.lv.name.as_str()).collect();
        shown.sort_unstable();
        let mut all: Vec<&str> = vg.lvs.iter().map(|lv| lv.name.as_str()).collect();
        all.sort_unstable();
        prop_assert_eq!(shown, all);
    }
}
