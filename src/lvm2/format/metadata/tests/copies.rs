//! What is made from another state of a group is what would be made from nothing.

use proptest::prelude::{ProptestConfig, prop, prop_assert_eq, proptest};

use super::{disk, edit, metadata_header, new_thin};
use crate::format::edit::{Edit, NewThin};
use crate::format::metadata::{FileCopy, Metadata};

/// A group with runs of volumes of the same kind, which are not taken apart.
fn with_runs() -> Metadata {
    let tagged = |id: u32| NewThin { tags: vec!["a".into()], ..new_thin(&format!("n{id}"), id) };
    let edits: Vec<Edit> = (20..40).map(|id| Edit::AddThin(tagged(id))).collect();
    disk().apply(&edits, &metadata_header()).unwrap()
}

fn copy(metadata: &Metadata, other: Option<&FileCopy>) -> FileCopy {
    metadata.to_backup_file_beside("x", &metadata_header(), other)
}

fn without(name: &str) -> Edit {
    Edit::RemoveLv(super::name(name))
}

#[test]
fn a_copy_beside_another_one_is_the_same_as_alone() {
    let before = with_runs();
    let tag = |lv: &str| Edit::AddTag { lv: super::name(lv), tag: "b".into() };
    for edits in [
        vec![],
        vec![without("n20")],
        vec![without("n25"), without("n26"), without("n39")],
        vec![tag("n20"), tag("n30"), tag("n39")],
        vec![Edit::AddThin(new_thin("last", 50))],
        vec![
            Edit::RenameLv { from: super::name("n25"), to: super::name("else") },
            tag("n26"),
            without("n27"),
        ],
    ] {
        let after = before.apply(&edits, &metadata_header()).unwrap();
        let (one, other) = (copy(&before, None), copy(&after, None));
        assert_eq!(copy(&after, Some(&one)).bytes(), other.bytes(), "{edits:?}");
        assert_eq!(copy(&before, Some(&other)).bytes(), one.bytes(), "back from {edits:?}");
        assert_eq!(copy(&after, Some(&copy(&after, Some(&one)))).bytes(), other.bytes(), "{edits:?}, twice");
    }
}

/// The copy after a change and the one before the next are of one state, and differ in their headers.
#[test]
fn a_copy_from_a_file_is_the_same_as_a_new_one() {
    let header = |description: &str| crate::format::edit::MetadataHeader {
        description: description.into(),
        ..metadata_header()
    };
    for state in [disk(), with_runs()] {
        let file = state.to_backup_file_beside("x", &header("after, with \"pve {\""), None);
        let text = || String::from_utf8(file.bytes().to_vec()).unwrap();
        let found = FileCopy::found(&state, text(), file.body()).unwrap();
        let again = state.to_backup_file_from("x", &metadata_header(), found);
        let alone = copy(&state, None);
        assert_eq!((again.bytes(), again.body()), (alone.bytes(), alone.body()));
        let next = state.apply(&[Edit::AddThin(new_thin("last", 50))], &metadata_header()).unwrap();
        assert_eq!(copy(&next, Some(&again)).bytes(), copy(&next, None).bytes());
        assert!(FileCopy::found(&next, text(), file.body()).is_none(), "a volume less");
        assert!(FileCopy::found(&state, text(), file.bytes().len() + 1).is_none());
        assert!(FileCopy::found(&state, text().replace("\t\tpool {", "\t\tpooh {"), file.body()).is_none());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_changes(
        edits in prop::collection::vec(edit(), 0..12),
        more in prop::collection::vec(20..40_u32, 0..6),
    ) {
        let (mut at, mut last) = (with_runs(), None);
        let removals = more.iter().map(|id| without(&format!("n{id}")));
        for edit in edits.into_iter().chain(removals) {
            let Ok(next) = at.apply(std::slice::from_ref(&edit), &metadata_header()) else { continue };
            prop_assert_eq!(&next.vg, &Metadata::parse(&next.to_disk()).unwrap().vg);
            let beside = copy(&next, last.as_ref());
            let alone = copy(&next, None);
            prop_assert_eq!(beside.bytes(), alone.bytes());
            let text = String::from_utf8(alone.bytes().to_vec()).unwrap();
            if let Some(found) = FileCopy::found(&next, text, alone.body()) {
                let again = next.to_backup_file_from("x", &metadata_header(), found);
                prop_assert_eq!(again.bytes(), alone.bytes());
            }
            let back = at.taking_back(&metadata_header()).unwrap();
            let text = back.text().unwrap();
            prop_assert_eq!(text.len(), back.length);
            let read = Metadata::parse(&text).unwrap();
            prop_assert_eq!((read.vg.seqno, read.vg.lvs), (back.seqno, at.vg.lvs.clone()));
            (at, last) = (next, Some(beside));
        }
    }
}
