use proptest::prelude::*;

use super::*;
use crate::portal;
use crate::storage::StorageKind;

const FILE: &str = "/etc/pve/storage.cfg";

fn parse(text: &str) -> StorageCfg {
    StorageCfg::parse(FILE, text.as_bytes())
}

fn said(text: &str) -> Vec<String> {
    parse(text).issues().iter().map(|issue| issue.to_string().replace(&format!("file {FILE} "), "")).collect()
}

fn usable(text: &str) -> String {
    let config = parse(text);
    let shown = config.storages().map(|storage| {
        let what = match (&storage.kind, &storage.pool) {
            (StorageKind::Other(name), _) => format!("({name})"),
            (_, Some(pool)) => format!("{}/{}", pool.vg, pool.pool),
            (_, None) => {
                let portal = portal::parse(&storage.own["portal"]).expect("it is checked");
                format!("{}@{portal}", storage.own["target"])
            }
        };
        format!("{}={what}", storage.id)
    });
    shown.collect::<Vec<_>>().join(" ")
}

const STOCK: &str = "\
dir: local
	path /var/lib/vz
	content iso,vztmpl,backup

lvmthin: local-lvm
	thinpool data
	vgname pve
	content rootdir,images

iscsi: san
	portal 10.0.0.1
	target iqn.2003-01.org.example:t1
	content none
	nodes pve1,pve2
";

#[test]
fn a_stock_file_has_nothing_wrong_with_it() {
    assert_eq!(said(STOCK), Vec::<String>::new());
    assert_eq!(usable(STOCK), "local=(dir) local-lvm=pve/data san=iqn.2003-01.org.example:t1@10.0.0.1:3260");
    let config = parse(STOCK);
    let san = config.storage(&StorageId::new("san").unwrap()).unwrap();
    assert!(san.content.is_empty());
    assert_eq!(san.enabled_on("pve1"), Ok(()));
    assert_eq!(san.enabled_on("pve3").unwrap_err(), "storage 'san' is not available on node 'pve3'");
}

#[test]
fn the_digest_is_the_sha1_of_the_file() {
    assert_eq!(parse("").digest(), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    assert_eq!(parse("abc").digest(), "a9993e364706816aba3e25717850c26c9cd0d89d");
}

const GOOD: &str = "\tthinpool data\n\tvgname pve\n";

type Verdict = (String, &'static str, Vec<String>);

/// Files that the real parser was run on, and what it made of them: the storages left, then what it said.
fn check(verdicts: Vec<Verdict>) {
    for (text, left, words) in verdicts {
        assert_eq!((usable(&text).as_str(), said(&text)), (left, words), "{text}");
    }
}

#[test]
fn verdicts_on_lines() {
    check(vec![
        (format!("lvmthin:ab\n{GOOD}"), "ab=pve/data", vec![]),
        ("LVMTHIN: ab\r\n\tthinpool data\r\n\tvgname pve\r\n".into(), "ab=pve/data", vec![]),
        (
            format!("lvmthin: ab\n{GOOD} \n"),
            "ab=pve/data",
            vec!["line 4 (section 'ab') - ignore config line:   (a line of blanks does not end the section)".into()],
        ),
        (format!("lvmthin: ab\n# c\n{GOOD}\tdisable\n"), "ab=pve/data", vec![]),
        (
            format!("lvmthin: ab\n{GOOD}\tdisable yes\n"),
            "ab=pve/data",
            vec![
                "line 4 (section 'ab') - unable to parse value of 'disable': \
                 type check ('boolean') failed - got 'yes'"
                    .into(),
            ],
        ),
        (
            format!("lvmthin: ab\n{GOOD}\tshared 1\n\tcomment x\n"),
            "ab=pve/data",
            vec![
                "line 4 (section 'ab') - unable to parse value of 'shared': unexpected property 'shared'".into(),
                "line 5 (section 'ab') - unable to parse value of 'comment': unknown property type".into(),
            ],
        ),
        (
            format!("lvmthin: ab\n{GOOD}lvmthin: cd\n{GOOD}"),
            "ab=pve/data",
            vec![
                "line 4 (section 'ab') - ignore config line: lvmthin: cd (a section ends at an empty line only)".into(),
                "line 5 (section 'ab') - unable to parse value of 'thinpool': duplicate attribute".into(),
                "line 6 (section 'ab') - unable to parse value of 'vgname': duplicate attribute".into(),
            ],
        ),
    ]);
}

#[test]
fn verdicts_on_sections() {
    let missing = "the section is skipped: missing value for required option";
    check(vec![
        ("lvmthin: ab\n\tvgname pve\n".into(), "", vec![format!("line 1 (section 'ab') - {missing} 'thinpool'")]),
        (
            "lvmthin: ab\n\tvgname pve\n\tthinpool d+\n".into(),
            "",
            vec![
                format!("line 1 (section 'ab') - {missing} 'thinpool'"),
                "line 3 (section 'ab') - unable to parse value of 'thinpool': \
                 invalid format - lvm name 'd+' contains illegal characters".into(),
            ],
        ),
        (
            format!("lvmthin: a\n{GOOD}"),
            "",
            vec![
                "line 1 (section 'a') - the section is skipped: \
                 storage ID 'a' cannot be shorter than 2 characters"
                    .into(),
            ],
        ),
        (
            format!("lvmthin: ab\n{GOOD}\tcontent images,iso\n"),
            "ab=pve/data",
            vec!["line 4 (section 'ab') - storage does not support content type 'iso'".into()],
        ),
        (
            format!("lvmthin: ab\n{GOOD}\tcontent iso\n"),
            "",
            vec!["line 1 (section 'ab') - the section is skipped: storage does not support content type 'none'".into()],
        ),
        ("iscsi: ab\n\tportal x_y\n\ttarget t\n".into(), "", vec![
            format!("line 1 (section 'ab') - {missing} 'portal'"),
            "line 2 (section 'ab') - unable to parse value of 'portal': \
             invalid format - value does not look like a valid portal address".into(),
        ]),
        (
            format!("vgname pve\n\nlvmthin: ab\n{GOOD}"),
            "ab=pve/data",
            vec!["line 1 - ignore config line: vgname pve".into()],
        ),
        (format!("lvmthin: local\n{GOOD}"), "", vec![
            "line 1 (section 'local') - the section is skipped: Proxmox VE takes 'local' for a directory, \
             whatever is written".into(),
        ]),
    ]);
}

#[test]
fn verdicts_on_types_that_nobody_knows() {
    check(vec![
        ("drbd: ab\n\tbar 1\n\nblock-bridge_2: cd\n\n".into(), "ab=(drbd) cd=(block-bridge_2)", vec![]),
        (
            "f.o: ab\n\tbar 1\n".into(),
            "",
            vec!["line 1 (section 'ab') - the section is skipped: unsupported type 'f.o'".into()],
        ),
        (
            format!("\u{feff}lvmthin: ab\n{GOOD}"),
            "",
            vec![
                "line 1 (section 'ab') - the section is skipped: the file starts with a byte order mark, \
                 which is read as a part of the type"
                    .into(),
            ],
        ),
        (
            format!("\u{feff}# c\n\nlvmthin: ab\n{GOOD}"),
            "ab=pve/data",
            vec!["line 1 - ignore config line: \\u{feff}# c (the file starts with a byte order mark)".into()],
        ),
    ]);
}

#[test]
fn an_id_that_two_sections_have_is_refused() {
    let text = "lvmthin: ab\n\tthinpool d1\n\tvgname pve\n\nlvmthin: ab\n\tthinpool d2\n\tvgname pve\n";
    let config = parse(text);
    let error = config.storage(&StorageId::new("ab").unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "storage 'ab' is defined more than once: /etc/pve/storage.cfg lines 1, 5");
    assert_eq!((config.storages().count(), config.issues().len()), (0, 2));
}

#[test]
fn a_skipped_section_says_so_when_it_is_asked_for() {
    let config = parse("\nlvmthin: ab\n\tvgname pve\n");
    let error = config.storage(&StorageId::new("ab").unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/etc/pve/storage.cfg line 2: section 'ab' cannot be used: missing value for required option 'thinpool'"
    );
}

proptest! {
    #[test]
    fn any_bytes_are_read_and_kept(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let config = StorageCfg::parse(FILE, &bytes);
        prop_assert_eq!(config.lines().text(), bytes.as_slice());
        prop_assert_eq!(config.digest().len(), 40);
    }

    #[test]
    fn lines_make_up_the_text(text in "[a:# \t\n0]{0,80}") {
        let config = parse(&text);
        let lines = config.lines();
        let joined: Vec<u8> = (0..lines.count()).flat_map(|at| lines.slice(at..at + 1).to_vec()).collect();
        prop_assert_eq!(joined, text.as_bytes());
        let mut end = 0;
        for section in config.sections() {
            prop_assert!(section.raw.lines.start >= end && section.raw.lines.end <= lines.count());
            end = section.raw.lines.end;
        }
    }
}

#[test]
fn a_section_that_another_one_swallowed_is_told_where_it_is() {
    let missing = |text: String| {
        let Err(LookupError::Missing { hidden, .. }) = parse(&text).section("cd").cloned() else {
            panic!("{text}")
        };
        hidden.map(|hidden| hidden.to_string())
    };
    let first = format!("lvmthin: ab\n{GOOD}");
    let inside = "looks like its header and is read as a part of section 'ab'";
    for (between, line, why) in [
        ("", 4, "no empty line stands before it"),
        ("\r\n", 5, "the file has line ends of CR LF: this line is not empty and does not end the section"),
        (" \t\n", 5, "a line of blanks does not end the section"),
    ] {
        let text = format!("{first}{between}lvmthin: cd\n{GOOD}");
        assert_eq!(missing(text), Some(format!("line {line} {inside}: {why}")));
    }
    assert_eq!(missing(first), None);
}

#[test]
fn what_holds_no_section_at_all_is_no_configuration() {
    let why = |bytes: &[u8]| StorageCfg::parse(FILE, bytes).is_no_configuration();
    for fine in ["", "# only a comment\n\n", STOCK, "junk\n\ndir: x\n"] {
        assert_eq!(why(fine.as_bytes()), None, "{fine:?}");
    }
    assert!(why(b"lvmthin local\n\tvgname pve\n").is_some_and(|why| why.contains("'<type>: <id>'")));
    assert_eq!(why(b"\xff\xfel\0v\0"), Some("it is a text of UTF-16"));
    assert_eq!(why(b"\x7fELF\0\0"), Some("it is no text"));
}

#[test]
fn many_sections_of_one_id_are_told_in_few_words_each() {
    let config = StorageCfg::parse("f", "dir: a\n\n".repeat(60_000).as_bytes());
    let longest = config.issues().iter().map(|issue| issue.to_string().len()).max().unwrap();
    assert!(longest < 200, "{longest}");
    let listed = config.issues().iter().find(|issue| issue.what.contains("more than once")).unwrap();
    assert!(
        listed.what.ends_with("lines 1, 3, 5, 7, 9, 11, 13, 15, 17, 19 and 59990 more"),
        "{}",
        listed.what
    );
}
