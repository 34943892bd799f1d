use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> StorageCfg {
    StorageCfg::parse("storage.cfg", text.as_bytes())
}

fn id(text: &str) -> StorageId {
    StorageId::new(text).unwrap()
}

fn type_of(name: &str) -> Type {
    Type::named(name).expect("it is handled")
}

fn options(pairs: &[(&str, &str)]) -> Options {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn shown(result: Result<Vec<u8>, EditError>) -> String {
    match result {
        Ok(text) => String::from_utf8(text).unwrap(),
        Err(error) => format!("!{error}"),
    }
}

const POOL: [(&str, &str); 2] = [("vgname", "pve"), ("thinpool", "data")];

#[test]
fn a_new_section_is_written_as_proxmox_ve_writes_it() {
    let all = options(&[
        POOL[0],
        POOL[1],
        ("nodes", "b a;b"),
        ("content", "rootdir, images"),
        ("disable", "yes"),
        ("bwlimit", "clone=1"),
    ]);
    let new = "lvmthin: local-lvm\n\tdisable\n\tthinpool data\n\tvgname pve\n\tbwlimit clone=1\n\
               \tcontent rootdir,images\n\tnodes b,a\n\n";
    for (before, between) in [
        ("", ""),
        ("\n", ""),
        ("# c", "\n\n"),
        ("dir: ab\n\tpath /a", "\n\n"),
        ("# c\n", "\n"),
        ("dir: ab\n\n", ""),
    ] {
        let text = shown(parse(before).add(&id("local-lvm"), type_of("lvmthin"), &all));
        assert_eq!(text, format!("{before}{between}{new}"));
    }
    let iscsi = options(&[("target", "iqn.x"), ("portal", "10.0.0.1"), ("disable", "0")]);
    assert_eq!(
        shown(parse("").add(&id("san"), type_of("iscsi"), &iscsi)),
        "iscsi: san\n\tportal 10.0.0.1\n\ttarget iqn.x\n\n"
    );
}

#[test]
fn additions_that_are_refused() {
    let add = |text: &str, name: &str, pairs: &[(&str, &str)]| {
        shown(parse(text).add(&id(name), type_of("lvmthin"), &options(pairs)))
    };
    assert_eq!(add("dir: ab\n", "ab", &POOL), "!storage ID 'ab' already defined");
    assert_eq!(add("", "local", &POOL), "!storage ID 'local' already defined");
    assert_eq!(add("", "ab", &POOL[..1]), "!missing value for required option 'thinpool'");
    assert_eq!(
        add("", "ab", &[POOL[0], ("thinpool", "d")]),
        "!thinpool: invalid format - lvm name 'd' contains illegal characters"
    );
    assert_eq!(add("", "ab", &[POOL[0], POOL[1], ("shared", "1")]), "!shared: unexpected property 'shared'");
    assert_eq!(
        add("", "ab", &[POOL[0], POOL[1], ("content", "images,iso")]),
        "!content: storage does not support content type 'iso'"
    );
    assert_eq!(add("", "ab", &[POOL[0], POOL[1], ("nodes", " ")]), "!nodes: got undefined value");
    assert_eq!(
        add("dir: xy\n\tpath /\ndir: ab\n", "ab", &POOL),
        "!storage.cfg line 3, inside section 'xy', looks like the header of a section of its own: \
         what belongs to which cannot be told"
    );
    assert_eq!(
        add("dir: ab\n\ndir: ab\n", "ab", &POOL),
        "!storage 'ab' is defined more than once: storage.cfg lines 1, 3"
    );
}

const TEXT: &str = "\
# of the cluster
foo: keep
\twhatever  1

lvmthin: ab
    # the fast one
    thinpool  data\r
    vgname pve
    nodes a

# last words
dir: xy";

#[test]
fn set_changes_what_it_is_told_and_nothing_else() {
    let set = |pairs: &[(&str, &str)], delete: &[&str]| {
        let delete: Vec<String> = delete.iter().map(|key| (*key).to_owned()).collect();
        shown(parse(TEXT).set(&id("ab"), &options(pairs), &delete))
    };
    assert_eq!(set(&[], &[]), TEXT);
    assert_eq!(set(&[("nodes", "b c")], &[]), TEXT.replace("nodes a", "nodes b,c"));
    assert_eq!(set(&[], &["nodes"]), TEXT.replace("    nodes a\n", ""));
    assert_eq!(set(&[], &["content"]), TEXT);
    assert_eq!(
        set(&[("content", "images"), ("disable", "1")], &["nodes"]),
        TEXT.replace("    nodes a\n", "\tcontent images\n").replace("ab\n", "ab\n\tdisable\n")
    );
    assert_eq!(set(&[("disable", "off")], &[]), TEXT);
    assert_eq!(set(&[("vgname", "other")], &[]), "!can't change value of fixed parameter 'vgname'");
    assert_eq!(set(&[], &["thinpool"]), "!unable to delete required option 'thinpool'");
    assert_eq!(set(&[], &["portal"]), "!no such option 'portal'");
    assert_eq!(
        set(&[("nodes", "a")], &["nodes"]),
        "!cannot set and delete property 'nodes' at the same time!"
    );
    let at_the_end = "lvmthin: ab\n\tthinpool data\n\tvgname pve\n\tdisable";
    let set = |pairs: &[(&str, &str)]| shown(parse(at_the_end).set(&id("ab"), &options(pairs), &[]));
    assert_eq!(set(&[("nodes", "a")]), format!("{at_the_end}\n\tnodes a\n"));
    assert_eq!(set(&[("disable", "0")]), "lvmthin: ab\n\tthinpool data\n\tvgname pve\n");
}

#[test]
fn a_value_that_was_written_twice_is_written_once_after_it_is_set() {
    let twice = "lvmthin: ab\n\tthinpool data\n\tvgname pve\n\tnodes a\n\tnodes b\n";
    assert_eq!(
        shown(parse(twice).set(&id("ab"), &options(&[("nodes", "c")]), &[])),
        "lvmthin: ab\n\tthinpool data\n\tvgname pve\n\tnodes c\n"
    );
}

/// In time that grew with the square of the lines this would take minutes.
#[test]
fn a_property_that_is_written_as_often_as_a_file_can_hold_is_written_once_after_it_is_set() {
    let pool = "lvmthin: ab\n\tthinpool data\n\tvgname pve\n";
    let often = format!("{pool}{}", "\tnodes a\n".repeat(400_000));
    assert_eq!(
        shown(parse(&often).set(&id("ab"), &options(&[("nodes", "c")]), &[])),
        format!("{pool}\tnodes c\n")
    );
}

#[test]
fn remove_takes_the_section_and_the_empty_line_behind_it() {
    let remove = |text: &str, name: &str| shown(parse(text).remove(&id(name)));
    let section = TEXT.find("lvmthin").unwrap()..TEXT.find("# last").unwrap();
    assert_eq!(remove(TEXT, "ab"), TEXT.replace(&TEXT[section], ""));
    assert_eq!(remove(TEXT, "xy"), "!storage 'xy' is of type 'dir', which thinvol leaves as it is");
    assert_eq!(remove(TEXT, "me"), "!storage 'me' does not exist");
    assert_eq!(remove("lvmthin: ab\n\tvgname pve\n", "ab"), "");
    let based = "iscsi: san\n\tportal a\n\ttarget t\n\nlvm: vg\n\tvgname vgi\n\tbase san:0.0.1.scsi-36\n";
    assert_eq!(remove(based, "san"), "!can't remove storage - storage is used as base of another storage");
    assert!(
        remove("lvmthin: ab\n\tvgname pve\nlvmthin: cd\n", "ab").starts_with("!storage.cfg line 3, inside")
    );
}

#[test]
fn a_digest_guards_against_lost_updates() {
    let config = parse(TEXT);
    assert_eq!(config.expect(None), Ok(()));
    assert_eq!(config.expect(Some(&config.digest().to_uppercase())), Ok(()));
    assert_eq!(config.expect(Some("00")), Err(EditError::Modified));
}

/// Files of good, bad, foreign and broken sections between comments and junk.
fn files() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("\tthinpool data\n"),
        Just("\tvgname pve\n"),
        Just("  vgname  p+\n"),
        Just("\tnodes a,b\r\n"),
        Just("\tcontent images\n"),
        Just("\tdisable\n"),
        Just("\twhat ever\n"),
        Just(" # comment\n"),
        Just("junk\n"),
        Just(" \n"),
        Just("lvmthin: ab\n"),
    ];
    let header = prop_oneof![
        Just("lvmthin: ab\n"),
        Just("lvmthin:cd\n"),
        Just("dir: ef\n"),
        Just("foo: gh\n"),
        Just("# comment\n"),
        Just("0\n"),
        Just("\n"),
    ];
    let block =
        (header, proptest::collection::vec(line, 0..6), prop_oneof![Just("\n"), Just(""), Just("\n\n")]);
    proptest::collection::vec(block, 0..5).prop_map(|blocks| {
        blocks.into_iter().map(|(header, lines, end)| format!("{header}{}{end}", lines.concat())).collect()
    })
}

/// The lines of a text that are not of these sections.
fn outside(config: &StorageCfg, name: &str) -> Vec<u8> {
    let inside = |at: &usize| {
        config.sections().iter().any(|section| section.raw.id == name && section.raw.lines.contains(at))
    };
    let lines = (0..config.lines().count()).filter(|at| !inside(at));
    // Empty lines come and go with sections.
    lines
        .filter(|at| !config.lines().line(*at).is_empty())
        .flat_map(|at| config.lines().line(at).to_vec())
        .collect()
}

proptest! {
    #[test]
    fn edits_are_local_and_what_is_added_can_be_removed(text in files()) {
        let config = parse(&text);
        for name in ["ab", "cd", "ef", "new"] {
            let edits = [
                config.add(&id(name), type_of("lvmthin"), &options(&POOL)),
                config.set(&id(name), &options(&[("nodes", "n1"), ("disable", "1")]), &["content".to_owned()]),
                config.remove(&id(name)),
            ];
            for edited in edits.into_iter().flatten() {
                let edited = StorageCfg::parse("storage.cfg", &edited);
                prop_assert_eq!(outside(&config, name), outside(&edited, name));
            }
        }
        if let Ok(added) = config.add(&id("new"), type_of("lvmthin"), &options(&POOL)) {
            let removed = StorageCfg::parse("storage.cfg", &added).remove(&id("new")).unwrap();
            let removed = String::from_utf8(removed).unwrap();
            prop_assert_eq!(removed.trim_end_matches('\n'), text.trim_end_matches('\n'));
        }
    }

    #[test]
    fn no_edit_is_refused_as_unsound(text in files()) {
        let config = parse(&text);
        for name in ["ab", "cd"] {
            let set = config.set(&id(name), &options(&[("content", "rootdir")]), &[]);
            for edit in [set, config.remove(&id(name))] {
                prop_assert!(!matches!(edit, Err(EditError::Unsound(_))), "{edit:?}");
            }
        }
    }

    #[test]
    fn values_of_any_kind_never_break_a_file(value in "[a-z,:\n\r\t #0]{0,12}") {
        for key in ["nodes", "content", "target", "portal", "bwlimit"] {
            let pairs = options(&[("portal", "a"), ("target", "t"), (key, &value)]);
            if let Ok(text) = parse(TEXT).add(&id("san"), type_of("iscsi"), &pairs) {
                let config = StorageCfg::parse("storage.cfg", &text);
                prop_assert!(config.storage(&id("san")).is_ok());
                prop_assert_eq!(config.sections().len(), 4);
            }
        }
    }
}
