use std::collections::HashSet;
use std::path::PathBuf;

use proptest::prelude::{prop_assert, proptest};

use super::chain::{Chain, Checked};
use super::content::{has_partition_table, md_at_end, md_at_start};
use super::pattern::{PatternError, Patterns, Verdict};
use super::reason::Skip;
use crate::host::conf::{DevicesConf, LvmConf};
use crate::host::devices::fake::FakeMachine;
use crate::host::devices::used_file::UsedDevices;
use sys::io::block::BlockDev;
use sys::io::direct::{Access, DirectFile};

fn parse(patterns: &[&str]) -> Result<Patterns, PatternError> {
    Patterns::parse(&patterns.iter().map(|&pattern| pattern.to_owned()).collect::<Vec<_>>())
}

fn accepts(patterns: &[&str], names: &[&str]) -> bool {
    let names: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
    matches!(parse(patterns).unwrap().verdict(&names), Verdict::Accepted(_))
}

#[test]
fn the_first_matching_pattern_decides_a_name_and_one_accepted_name_is_enough() {
    assert!(accepts(&[], &["/dev/sda"]));
    assert!(accepts(&["r|/dev/sdb|"], &["/dev/sda"]), "no match: accepted");
    assert!(!accepts(&["r|/dev/sda|", "a|.*|"], &["/dev/sda"]));
    assert!(accepts(&["a|^/dev/sda$|", "r|.*|"], &["/dev/sda"]));
    assert!(!accepts(&["a|^/dev/sda$|", "r|.*|"], &["/dev/sda1"]));
    assert!(accepts(&["a|by-id/x|", "r|.*|"], &["/dev/sda", "/dev/disk/by-id/x"]));
    assert!(
        !accepts(&["r|by-id/x|"], &["/dev/sda", "/dev/disk/by-id/x"]),
        "rejected by one, accepted by none"
    );
    assert!(!accepts(&["r|/dev/zd.*|", "r|/dev/rbd.*|"], &["/dev/zd16"]));
    let verdict = parse(&["a|by-id|", "r/.*/"]).unwrap().verdict(&["/dev/a".into(), "/dev/by-id/a".into()]);
    assert_eq!(verdict, Verdict::Accepted(Some("/dev/by-id/a".into())));
    let verdict = parse(&["r{sd[ab]}"]).unwrap().verdict(&["/dev/sdb".into()]);
    assert_eq!(verdict, Verdict::Rejected { name: "/dev/sdb".into(), pattern: "r{sd[ab]}".into() });
}

#[test]
fn the_dialect_is_lvm2s_and_not_perls() {
    let matches = |pattern: &str, name: &str| !accepts(&[&format!("r|{pattern}|")], &[name]);
    assert!(matches("dev.sda", "/dev/sda"));
    assert!(matches("sd[a-c]$", "/dev/sdb") && matches("sd[c-a]$", "/dev/sdb"), "a range may be backwards");
    assert!(matches("loop[^0-9]|dm", "/dev/dm-0") && !matches("loop[^0-9]x", "/dev/loop1x"));
    assert!(matches("(sd)+a", "/dev/sdsda") && matches("sd(a|b)?$", "/dev/sd"));
    assert!(matches(r"\d", "/dev/d0") && !matches(r"\d", "/x/0"), "no classes: a backslash only quotes");
    assert!(matches("a{2}", "/dev/a{2}"), "no counts");
    assert!(matches(r"a\.b", "/dev/a.b") && !matches(r"a\.b", "/dev/axb"));
    assert!(matches("/dev/sda.", "/dev/sda"), "a dot matches the mark at the end");
    assert!(!matches("[]", "/dev/sda") && !matches("x^/dev", "x/dev"));
    assert!(matches("a-z", "/dev/a-z") && matches("[-x]da", "/dev/-da"));
}

#[test]
fn every_delimiter_works_and_bad_patterns_are_named() {
    for pattern in ["r|sda|", "r/sda/", "r(sda)", "r[sda]", "r{sda}", "r,sda,", "r\"sda\"", "rxsdax"] {
        assert!(!accepts(&[pattern], &["/dev/sda"]), "{pattern}");
    }
    for pattern in
        ["", "a", "a|", "x|sda|", "a|sda", "a|sda/", "a|(|", "a|)|", "a|*|", "a||", "a|[a|", "a|a\\|"]
    {
        let error = parse(&["a|ok|", pattern]).unwrap_err();
        assert_eq!(error.pattern, pattern);
    }
    let text = parse(&["x|sda|"]).unwrap_err().to_string();
    assert_eq!(text, "the filter pattern \"x|sda|\" is not valid: it must begin with 'a' or 'r'");
}

proptest! {
    #[test]
    fn any_pattern_is_compiled_or_refused(
        pattern in "[ar]\\|([\\[\\]()*+?|^$.a-c-]|\\\\.){0,20}\\|",
        name in "/[ -~]{0,30}",
    ) {
        if let Ok(patterns) = parse(&[&pattern]) {
            let _ = patterns.verdict(&[name.into()]);
        }
    }

    #[test]
    fn a_quoted_name_matches_itself_only(name in "/[!-Z^-~]{1,20}", other in "/[!-Z^-~]{1,20}") {
        let quoted: String = name.chars().flat_map(|c| ['\\', c]).collect();
        // \n, \r and \t mean control characters: letters go unquoted.
        let quoted = quoted.replace("\\n", "n").replace("\\r", "r").replace("\\t", "t");
        let patterns = parse(&[&format!("r\u{7f}^{quoted}$\u{7f}")]).unwrap();
        let rejects = |name: &str| matches!(patterns.verdict(&[name.into()]), Verdict::Rejected { .. });
        prop_assert!(rejects(&name));
        prop_assert!(name == other || !rejects(&other));
    }
}

fn conf(text: &str) -> DevicesConf {
    LvmConf::load(std::path::Path::new("/nonexistent"), Some(text)).unwrap().devices
}

/// What the checks say of each device, by kernel name; an empty string for a candidate.
fn outcome(machine: &FakeMachine, text: &str, used: Option<UsedDevices>) -> Vec<(String, String)> {
    let mut conf = conf(text);
    conf.scan = vec![machine.roots.dev.clone()];
    conf.multipath_wwids_file = Some(machine.roots.etc.join("wwids"));
    let lvs = HashSet::new();
    let chain = Chain::new(&machine.roots, &conf, used, &lvs).unwrap();
    let show = |name: &String| match chain.check(name).unwrap() {
        Checked::Candidate(_) => String::new(),
        Checked::PassedOver(skip) | Checked::Skipped(_, skip) => {
            serde_json::to_value(skip).unwrap()["reason"].as_str().unwrap().to_owned()
        }
    };
    machine.roots.block_names().unwrap().into_iter().map(|name| (name.clone(), show(&name))).collect()
}

fn reason(machine: &FakeMachine, text: &str, device: &str) -> String {
    outcome(machine, text, None).into_iter().find(|(name, _)| name == device).unwrap().1
}

#[test]
fn every_device_left_alone_has_its_reason() {
    let machine = FakeMachine::new();
    machine.disk("sda", "8:0", 64);
    machine.disk("sr0", "11:0", 64);
    machine.disk("loop0", "7:0", 0);
    machine.disk("loop1", "7:1", 1);
    machine.disk("sdb", "8:16", 64);
    std::fs::remove_file(machine.roots.dev.join("sdb")).unwrap();
    machine.disk("sdc", "8:32", 64);
    machine.dm(0, "mp", "mpath-3600", 64, &["sdc"]);
    machine.disk("sdd", "8:48", 64);
    machine.disk("md0", "9:0", 64);
    machine.hold("md0", &["sdd"]);
    machine.dm(1, "stopped", "CRYPT-LUKS2-a", 64, &[]);
    machine.set("dm-1", "dm/suspended", "1");
    machine.dm(2, "temporary", "CRYPT-TEMP-a", 64, &[]);
    machine.dm(3, "plain", "", 64, &[]);
    let expected = [
        ("dm-0", ""),
        ("dm-1", "suspended"),
        ("dm-2", "reserved"),
        ("dm-3", ""),
        ("loop0", "no-medium"),
        ("loop1", "too-small"),
        ("md0", ""),
        ("sda", ""),
        ("sdb", "no-node"),
        ("sdc", "multipath-path"),
        ("sdd", "md-member"),
        ("sr0", "type"),
    ];
    let expected = expected.map(|(name, reason)| (name.to_owned(), reason.to_owned()));
    assert_eq!(outcome(&machine, "", None), expected);
    assert_eq!(reason(&machine, "devices/multipath_component_detection=0", "sdc"), "");
    assert_eq!(reason(&machine, "devices/md_component_detection=0", "sdd"), "");
    assert_eq!(reason(&machine, "devices/pv_min_size=512", "loop1"), "");
    assert_eq!(reason(&machine, "devices/types=[\"sr\", 1]", "sr0"), "");
}

#[test]
fn patterns_see_all_names_and_both_lists_must_agree() {
    let machine = FakeMachine::new();
    machine.disk("sda", "8:0", 64);
    machine.link("disk/by-id/guest", "sda");
    assert_eq!(reason(&machine, "devices/filter=\"r|by-id/guest|\"", "sda"), "filter");
    assert_eq!(reason(&machine, "devices/global_filter=\"r|by-id/guest|\"", "sda"), "global-filter");
    let accept = "devices/filter=[\"a|guest|\",\"r|.*|\"]";
    assert_eq!(reason(&machine, accept, "sda"), "");
    assert_eq!(
        reason(&machine, &format!("{accept} devices/global_filter=\"r|/sda$|\""), "sda"),
        "global-filter"
    );
}

#[test]
fn what_is_inside_an_lv_is_never_ours() {
    let machine = FakeMachine::new();
    let uuid = format!("LVM-{}", "v".repeat(64));
    machine.dm(0, "pve-vm--1", &uuid, 64, &[]);
    machine.dm(1, "pve-vm--1p1", &format!("part1-{uuid}"), 64, &["dm-0"]);
    machine.dm(2, "pve-data-tpool", &format!("{uuid}-tpool"), 64, &[]);
    machine.dm(3, "partly", "partition-LVM-x", 64, &[]);
    machine.disk("loop0", "7:0", 64);
    machine.set(
        "loop0",
        "loop/backing_file",
        &machine.roots.dev.join("mapper/pve-vm--1").display().to_string(),
    );
    machine.partition("loop0", "loop0p1", "259:0", 32);
    machine.disk("loop1", "7:1", 64);
    machine.set("loop1", "loop/backing_file", "/var/lib/image");
    let expected = [
        ("dm-0", "lv"),
        ("dm-1", "on-lv"),
        ("dm-2", "lv"),
        ("dm-3", ""),
        ("loop0", "on-lv"),
        ("loop0p1", "on-lv"),
        ("loop1", ""),
    ];
    let expected = expected.map(|(name, reason)| (name.to_owned(), reason.to_owned()));
    assert_eq!(outcome(&machine, "", None), expected);
    let nested = outcome(&machine, "devices/scan_lvs=1", None);
    let left: Vec<&(String, String)> = nested.iter().filter(|(_, reason)| !reason.is_empty()).collect();
    assert_eq!(left, [&("dm-2".to_owned(), "internal-lv".to_owned())]);
}

#[test]
fn the_devices_file_takes_the_place_of_the_patterns() {
    let machine = FakeMachine::new();
    machine.disk("sda", "8:0", 64);
    machine.disk("sdb", "8:16", 64);
    let text = format!("IDTYPE=devname IDNAME={}\n", machine.roots.dev.join("sda").display());
    let outcome = outcome(&machine, "devices/filter=\"r|.*|\"", Some(UsedDevices::parse(&text)));
    assert_eq!(outcome, [("sda".into(), String::new()), ("sdb".into(), "not-in-devices-file".into())]);
}

#[test]
fn udev_is_asked_if_so_configured() {
    let machine = FakeMachine::new();
    for (minor, name, record) in [
        (0, "sda", "E:ID_FS_TYPE=linux_raid_member"),
        (16, "sdb", "E:ID_FS_TYPE=isw_raid_member"),
        (32, "sdc", "E:DM_MULTIPATH_DEVICE_PATH=1"),
        (48, "sdd", "E:ID_PART_TABLE_TYPE=gpt"),
        (64, "sde", "E:ID_FS_TYPE=ext4"),
    ] {
        machine.disk(name, &format!("8:{minor}"), 64);
        machine.udev(&format!("8:{minor}"), record);
    }
    let reasons = |text: &str| -> Vec<String> {
        outcome(&machine, text, None).into_iter().map(|(_, reason)| reason).collect()
    };
    assert_eq!(reasons(""), ["", "", "", "", ""]);
    let udev = "devices/external_device_info_source=\"udev\"";
    assert_eq!(reasons(udev), ["md-member", "", "multipath-path", "partitioned", ""]);
    let more = format!("{udev} devices/fw_raid_component_detection=1");
    assert_eq!(reasons(&more), ["md-member", "firmware-raid", "multipath-path", "partitioned", ""]);
}

#[test]
fn partition_tables_are_told_from_boot_sectors_without_one() {
    let mut sector = [0; 512];
    assert!(!has_partition_table(&sector));
    (sector[510], sector[511]) = (0x55, 0xaa);
    assert!(!has_partition_table(&sector), "no partition in it");
    sector[446 + 16 + 12] = 1;
    assert!(has_partition_table(&sector));
    sector[446] = 0x80;
    assert!(has_partition_table(&sector));
    sector[446] = 0x01;
    assert!(!has_partition_table(&sector), "no boot flag has that value");
    assert!(!has_partition_table(&sector[..100]));
}

#[test]
fn md_superblocks_are_found_at_all_their_places() {
    let magic = 0xa92b_4efc_u32.to_le_bytes();
    for offset in [0, 4096] {
        let mut start = vec![0; 8192];
        assert_eq!(md_at_start(&start), Ok(()));
        start[offset..offset + 4].copy_from_slice(&magic);
        assert!(matches!(md_at_start(&start), Err(Skip::MdMember { .. })));
    }
    let size: u64 = 64 << 20;
    let places: [(u64, &[u8]); 5] = [
        (size - (64 << 10), &magic),
        (size - 8192, &0xa92b_4efc_u32.to_be_bytes()),
        (size - 1024, b"Intel Raid ISM Cfg Sig. 1.3.00"),
        (size - 512, &0xde11_de11_u32.to_be_bytes()),
        (size - 257 * 512, &0xde11_de11_u32.to_le_bytes()),
    ];
    for (offset, bytes) in places {
        let machine = FakeMachine::new();
        machine.disk("sda", "8:0", 64);
        let open = || DirectFile::open(&machine.roots.dev.join("sda"), Access::ReadOnly).unwrap();
        assert_eq!(open().size().get(), size);
        assert_eq!(md_at_end(&open()), Ok(()));
        machine.write("sda", offset, bytes);
        assert!(matches!(md_at_end(&open()), Err(Skip::MdMember { .. })), "at {offset}");
    }
}
