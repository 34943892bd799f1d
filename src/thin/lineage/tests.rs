use proptest::prelude::*;

use super::*;
use crate::lineage::fixture::{lv, name, uuid, vg};
use lvm2::format::model::SegmentKind;

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
                volume: vg.name.volume(&name("vm-200-d")),
                snap: snap("x_y"),
                namesake: Some(name("snap_vm-200-d_x_y")),
                former: None,
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
fn a_tag_outlives_a_rename_of_the_volume() {
    let vg = vg(vec![
        lv(1, "renamed", None, vec![]),
        lv(2, "snap_before_s", Some("renamed"), snapshot_tags(&uuid(1), &snap("s"))),
    ]);
    assert_eq!(names_of(Lineage::of(&vg).snapshots_of(&vg.lvs[0])), [("s", "snap_before_s")]);
}

/// `lvrename` and `lvchange` keep the tags; what has become a guest's disk is none of the volume's snapshots any more.
#[test]
fn a_snapshot_counts_only_while_it_is_named_and_flagged_as_one() {
    let tagged = |lv_name: &str| lv(2, lv_name, Some("a"), snapshot_tags(&uuid(1), &snap("s")));
    let with = |status: &[&str], flags: &[&str]| {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Lv { status: words(status), flags: words(flags), ..tagged("snap_a_s") }
    };
    let snapshots = [
        tagged("snap_a_s"),
        with(&["READ", "VISIBLE"], &[]),
        with(&["READ", "WRITE", "VISIBLE"], &["ACTIVATION_SKIP"]),
    ];
    let others = [
        tagged("vm-200-disk-0"),
        tagged("snap_a_t"),
        tagged("snap_s"),
        tagged("a_s"),
        with(&["READ", "WRITE", "VISIBLE"], &[]),
    ];
    for (lvs, counts) in [(&snapshots[..], true), (&others[..], false)] {
        for other in lvs {
            let vg = vg(vec![lv(1, "a", None, vec![]), other.clone()]);
            let lineage = Lineage::of(&vg);
            assert_eq!(lineage.snapshots_of(&vg.lvs[0]).count() == 1, counts, "{other:?}");
            assert_eq!(lineage.former_snapshots_of(&vg.lvs[0]).count() == 0, counts, "{other:?}");
            let found = lineage.find_snapshot(&vg.lvs[0], &snap("s"));
            let former = match found {
                Err(LineageError::NoSuchSnapshot { former, .. }) => former,
                _ => None,
            };
            assert_eq!(former, (!counts).then(|| other.name.clone()));
        }
    }
    // Without tags a name that fits is not enough either.
    let untagged = Lv { tags: vec![], ..with(&["READ", "WRITE", "VISIBLE"], &[]) };
    let vg = vg(vec![lv(1, "a", None, vec![]), untagged]);
    assert_eq!(Lineage::of(&vg).descent(&vg.lvs[1]).unwrap().relation, Relation::Clone);
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

fn created(at: u64, lv: Lv) -> Lv {
    Lv { creation_time: Some(at), ..lv }
}

/// Proxmox VE removes the volume (1) and makes another one (9) of its name: all its older snapshots and clones go on
/// to be its own, and their tags are to name it.
#[test]
fn a_rollback_done_by_proxmox_keeps_all_recorded_snapshots() {
    let of = |snap_name: &str| snapshot_tags(&uuid(1), &snap(snap_name));
    for went_back_to in ["snap_vm-1-d_s", "snap_vm-1-d_u"] {
        let vg = vg(vec![
            created(50, lv(9, "vm-1-d", Some(went_back_to), vec![])),
            created(10, lv(2, "snap_vm-1-d_s", None, of("s"))),
            created(20, lv(3, "snap_vm-1-d_t", None, of("t"))),
            created(30, lv(4, "snap_vm-1-d_u", None, vec![])),
            created(40, lv(5, "vm-2-d", None, clone_tags(&uuid(1)))),
            created(60, lv(6, "snap_vm-1-d_later", None, snapshot_tags(&uuid(8), &snap("later")))),
        ]);
        let lineage = Lineage::of(&vg);
        let mut found = vec![("s", "snap_vm-1-d_s"), ("t", "snap_vm-1-d_t")];
        found.extend((went_back_to == "snap_vm-1-d_u").then_some(("u", "snap_vm-1-d_u")));
        assert_eq!(names_of(lineage.snapshots_of(&vg.lvs[0])), found);
        assert_eq!(lineage.descent(&vg.lvs[0]), None);
        assert_eq!(lineage.descent(&vg.lvs[4]).unwrap().parent, Parent::Present(&vg.lvs[0]));
        assert_eq!(
            lineage.descent(&vg.lvs[5]).unwrap().parent,
            Parent::Gone(uuid(8)),
            "made after the rollback"
        );
        let outdated: Vec<_> =
            lineage.outdated_tags().map(|(lv, is, should)| (lv.name.as_str(), is, should)).collect();
        let tag = |number| format!("{OF_TAG}{}", uuid(number));
        assert_eq!(outdated, ["snap_vm-1-d_s", "snap_vm-1-d_t", "vm-2-d"].map(|name| (name, tag(1), tag(9))));
    }
}

/// Once the tags are mended the volume is no clone of its own snapshot.
#[test]
fn a_volume_whose_snapshots_were_mended_is_nobodys_child() {
    let vg = vg(vec![
        lv(9, "vm-1-d", Some("snap_vm-1-d_s"), vec![]),
        lv(2, "snap_vm-1-d_s", None, snapshot_tags(&uuid(9), &snap("s"))),
    ]);
    let lineage = Lineage::of(&vg);
    assert_eq!(lineage.descent(&vg.lvs[0]), None);
    assert_eq!(names_of(lineage.snapshots_of(&vg.lvs[0])), [("s", "snap_vm-1-d_s")]);
    assert_eq!(lineage.outdated_tags().count(), 0);
}

/// A new volume of a removed one's name that did not come from a snapshot of it, and one that came from a snapshot of a
/// volume that is there under another name, have none of its snapshots.
#[test]
fn only_a_volume_that_came_from_one_of_the_snapshots_takes_them_over() {
    let of = |snap_name: &str| snapshot_tags(&uuid(1), &snap(snap_name));
    let snapshot = || created(10, lv(2, "snap_a_s", None, of("s")));
    for lvs in [
        vec![created(50, lv(9, "a", None, vec![])), snapshot()],
        vec![created(50, lv(9, "a", Some("b"), vec![])), lv(3, "b", None, vec![]), snapshot()],
        vec![lv(9, "a", Some("snap_a_s"), vec![]), snapshot(), lv(1, "renamed", None, vec![])],
        vec![lv(9, "a", Some("snap_a_s"), clone_tags(&uuid(2))), snapshot()],
    ] {
        let vg = vg(lvs);
        let lineage = Lineage::of(&vg);
        assert_eq!(lineage.children_of(&vg.lvs[0]).count(), 0, "{:?}", vg.lvs);
        assert_eq!(lineage.outdated_tags().count(), 0);
    }
}

/// A copy of a group (`vgimportclone`) keeps the uuids of the volumes; `vgmerge` gives those that clash new ones.
#[test]
fn a_uuid_counts_within_a_pool() {
    let in_other = |lv: Lv| {
        let mut lv = lv;
        if let SegmentKind::Thin(thin) = &mut lv.segments[0].kind {
            thin.pool = name("other");
        }
        lv
    };
    let tags = |snap_name| snapshot_tags(&uuid(1), &snap(snap_name));
    let vg = vg(vec![
        lv(1, "vm-1-d", None, vec![]),
        lv(2, "snap_vm-1-d_s", Some("vm-1-d"), tags("s")),
        in_other(lv(11, "vm-2-d", None, vec![])),
        in_other(lv(12, "snap_vm-2-d_s", Some("vm-2-d"), tags("s"))),
        in_other(lv(13, "snap_vm-2-d_t", None, tags("t"))),
    ]);
    let lineage = Lineage::of(&vg);
    assert_eq!(names_of(lineage.snapshots_of(&vg.lvs[0])), [("s", "snap_vm-1-d_s")]);
    assert_eq!(names_of(lineage.snapshots_of(&vg.lvs[2])), [("s", "snap_vm-2-d_s")]);
    assert_eq!(
        lineage.descent(&vg.lvs[4]).unwrap().parent,
        Parent::Gone(uuid(1)),
        "nothing tells whose it is"
    );
    let outdated: Vec<_> = lineage.outdated_tags().map(|(lv, ..)| lv.name.as_str()).collect();
    assert_eq!(outdated, ["snap_vm-2-d_s"]);
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
    let vg = vg(vec![
        lv(1, "a", None, vec![]),
        lv(2, "snap_x_s", None, tags.clone()),
        lv(3, "snap_y_s", None, tags),
    ]);
    let error = Lineage::of(&vg).find_snapshot(&vg.lvs[0], &snap("s")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "snapshot 's' of volume 'pve/a' is recorded on several logical volumes: snap_x_s, snap_y_s"
    );
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
        Lineage::of(&vg).tree(&name("data")).iter().map(|line| (line.depth, line.lv.name())).collect();
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
            lineage.tree(&name("data")).iter().map(|line| line.lv.name()).collect();
        shown.sort_unstable();
        let mut all: Vec<&str> = vg.lvs.iter().map(|lv| lv.name.as_str()).collect();
        all.sort_unstable();
        prop_assert_eq!(shown, all);
    }
}
