use super::*;
use crate::format::check::{check, flaws};
use crate::format::edit::{Edit, MetadataHeader, NewThin};
use crate::format::metadata::Metadata;
use crate::format::metadata::tests::new_thin;
use base::ids::LvName;

const DISK: &str = include_str!("../../testdata/thin.disk");

fn name(text: &str) -> LvName {
    LvName::new(text).unwrap()
}

fn thin(lv: &str, number: u32, origin: Option<&str>) -> Edit {
    Edit::AddThin(NewThin { origin: origin.map(name), ..new_thin(lv, number) })
}

/// A group with three volumes that are records: `two` is a snapshot of `one`.
fn group() -> (Vg, String) {
    let edits = [thin("one", 51, None), thin("two", 52, Some("one")), thin("three", 53, None)];
    // A pending snapshot is unusual: the rules themselves decide.
    let text = DISK.replacen("message1 {\ncreate = \"s1\"\n}\nmessage2 {", "message1 {", 1);
    let before = Metadata::parse(text.as_bytes()).unwrap();
    let metadata = before.apply(&edits, &MetadataHeader::default()).unwrap();
    let text = String::from_utf8(metadata.doc.to_bytes()).unwrap();
    assert!(check(&metadata.vg).is_empty() && flaws(&metadata.vg).is_empty());
    (metadata.vg, text)
}

/// What is not the same in both.
fn carried(before: &Vg, next: &Vg) -> Carried {
    let missing = |one: &Lvs, other: &Lvs| {
        let is_there = |at: usize| (0..other.len()).any(|place| one[at] == other[place]);
        (0..one.len()).filter(|at| !is_there(*at)).collect()
    };
    Carried { fresh: missing(&next.lvs, &before.lvs), gone: missing(&before.lvs, &next.lvs) }
}

/// Whether the text with some parts replaced keeps all rules, and whether no LV is flawed, as it is found beside.
fn found(replaced: &[(&str, &str)]) -> (bool, bool) {
    let (before, mut text) = group();
    for (from, to) in replaced {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    let next = Metadata::parse(text.as_bytes()).unwrap().vg;
    let carried = carried(&before, &next);
    let keeps = keeps_all_rules_beside(&next, &before, &carried);
    let unflawed = flaws_beside(&next, &before, &carried);
    assert!(!keeps || check(&next).is_empty(), "{replaced:?}: {:?}", check(&next));
    assert!(!unflawed || flaws(&next).is_empty(), "{replaced:?}: {:?}", flaws(&next));
    (keeps, unflawed)
}

#[test]
fn what_keeps_the_rules_is_known_to() {
    for replaced in [
        &[][..],
        &[("device_id = 53", "device_id = 54")],
        &[("three {", "four {")],
        &[("one {", "uno {"), ("origin = \"one\"", "origin = \"uno\"")],
    ] {
        assert_eq!(found(replaced), (true, true), "{replaced:?}");
    }
}

#[test]
fn what_breaks_a_rule_by_what_is_new_or_gone_is_not() {
    let (before, _) = group();
    let [one, three] = ["one", "three"].map(|lv| before.lv(&name(lv)).unwrap().id.to_string());
    for replaced in [
        [("one {", "uno {")],
        [("three {", "two {")],
        [("three {", "pool {")],
        [(three.as_str(), one.as_str())],
        [("device_id = 51\n", "device_id = 51\norigin = \"gone\"\n")],
        [("origin = \"one\"", "origin = \"two\"")],
        [("origin = \"one\"", "origin = \"pool\"")],
        [("device_id = 53\n", "device_id = 53\norigin = \"lin\"\n")],
    ] {
        assert!(!found(&replaced).0, "{replaced:?}");
    }
    assert!(!found(&[("device_id = 53", "device_id = 51")]).1);
    assert!(!found(&[("device_id = 53", "device_id = 54"), ("device_id = 52", "device_id = 54")]).1);
    let long = format!("{} {{", "l".repeat(120));
    assert!(!found(&[("three {", long.as_str())]).1);
}

#[test]
fn of_much_that_is_new_nothing_is_said() {
    let (before, text) = group();
    let edits: Vec<Edit> = (100..100 + 17).map(|number| thin(&format!("n{number}"), number, None)).collect();
    let next = Metadata::parse(text.as_bytes()).unwrap();
    let next = next.apply(&edits, &MetadataHeader::default()).unwrap().vg;
    let carried = carried(&before, &next);
    assert_eq!((carried.fresh.len(), carried.gone.len()), (17, 0));
    assert!(!keeps_all_rules_beside(&next, &before, &carried));
    assert!(!flaws_beside(&next, &before, &carried));
}
