use std::fs;

use proptest::prelude::proptest;

use super::*;
use crate::host::conf::LvmConf;

/// As lvm2 2.03.16 wrote it for two loop devices that its patterns let through.
const TEXT: &str = "# Created by lvs pid 28051 Mon Nov 23 06:11:44 2026\nhints_version: 2.1\n\
    global_filter:a|^/dev/loop0$|a|^/dev/loop1$|r|.*|\nfilter:a|^/dev/loop0$|a|^/dev/loop1$|r|.*|\nscan_lvs:0\n\
    devices_file:.\n\
    scan:/dev/loop0 pvid:zVIydeI4PZiQoM3JPDpOI3z0PeBelF5d devn:7:0 vg:vgt\n\
    scan:/dev/loop1 pvid:KxfGWEOTkohqhUK8PQ5KHD02jWrLFcZd devn:7:1 vg:-\n\
    devs_hash: 1360066962 2\n";

fn conf(more: &str) -> DevicesConf {
    let filter = "[\"a|^/dev/loop0$|\", \"a|^/dev/loop1$|\", \"r|.*|\"]";
    let text = format!("devices {{ filter={filter} global_filter={filter} {more} }}");
    LvmConf::load(Path::new("/nonexistent"), Some(&text)).unwrap().devices
}

fn devices(names: &[(&str, &'static str)]) -> Vec<(DevNo, &'static Path)> {
    names.iter().map(|(no, path)| (no.parse().unwrap(), Path::new(*path))).collect()
}

#[test]
fn a_file_of_lvm2_is_understood() {
    let hints = Hints::parse(TEXT).unwrap();
    let first = &hints.devices[0];
    assert_eq!(first.path, Path::new("/dev/loop0"));
    assert_eq!(first.pv_id.compact(), "zVIydeI4PZiQoM3JPDpOI3z0PeBelF5d");
    assert_eq!(first.no, Some("7:0".parse().unwrap()));
    assert_eq!(first.vg.as_ref().unwrap().as_str(), "vgt");
    assert_eq!(hints.devices[1].vg, None);
    let of = |name: &str| hints.of_vg(Some(&VgName::new(name).unwrap())).count();
    assert_eq!(
        (of("vgt"), of("other"), hints.of_vg(None).count()),
        (2, 1, 2),
        "a PV of an unknown VG is always asked"
    );
}

#[test]
fn hints_hold_only_for_the_settings_and_devices_they_were_written_for() {
    let hints = Hints::parse(TEXT).unwrap();
    let both = devices(&[("7:1", "/dev/loop1"), ("7:0", "/dev/loop0")]);
    assert!(hints.hold_for(&conf(""), false, both.clone()));
    assert!(!hints.hold_for(&conf(""), true, both.clone()), "written without a devices file");
    assert!(!hints.hold_for(&conf("scan_lvs=1"), false, both.clone()));
    let defaults = LvmConf::defaults(Path::new("/etc/lvm")).unwrap().devices;
    assert!(!hints.hold_for(&defaults, false, both.clone()), "other patterns");
    assert!(!hints.hold_for(&conf(""), false, both[..1].to_vec()), "a device is gone");
    let third = devices(&[("7:0", "/dev/loop0"), ("7:1", "/dev/loop1"), ("8:0", "/dev/sda")]);
    assert!(!hints.hold_for(&conf(""), false, third), "a device is new");
}

#[test]
fn devices_are_hashed_in_the_order_of_lvm2s_tree() {
    // The minor's low byte counts most: 253:1 comes after 8:0 and before 7:2.
    let hash_of = |names: &[(&str, &'static str)]| hash(devices(names));
    let crc = base::bytes::crc::lvm(b"/dev/sda/dev/dm-1/dev/loop2");
    assert_eq!(hash_of(&[("253:1", "/dev/dm-1"), ("7:2", "/dev/loop2"), ("8:0", "/dev/sda")]), crc);
    assert_eq!(encode("8:300".parse().unwrap()), 0x0010_082c);
}

#[test]
fn files_of_other_versions_or_without_devices_are_not_used() {
    assert!(Hints::parse(&TEXT.replace("2.1", "3.0")).is_none());
    assert!(Hints::parse("# Created empty by vgcreate pid 1\n").is_none());
    assert!(Hints::parse("hints_version: 2.1\n").is_none());
    assert!(Hints::parse(&TEXT.replace("devs_hash: 1", "devs_hash: x")).is_none());
    assert!(Hints::parse("").is_none());
}

#[test]
fn marker_files_and_a_writers_lock_void_the_hints() {
    let run = tempfile::tempdir().unwrap();
    assert!(Hints::read(run.path()).is_none());
    let dir = run.path().join("lvm");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("hints"), TEXT).unwrap();
    assert!(Hints::read(run.path()).is_some());
    for marker in ["nohints", "newhints"] {
        fs::write(dir.join(marker), "").unwrap();
        assert!(Hints::read(run.path()).is_none(), "{marker}");
        fs::remove_file(dir.join(marker)).unwrap();
    }
    let writer = Flock::lock(File::open(dir.join("hints")).unwrap(), FlockArg::LockExclusiveNonblock);
    assert!(Hints::read(run.path()).is_none());
    drop(writer.map_err(|(_, errno)| errno).unwrap());
    assert!(Hints::read(run.path()).is_some());
}

proptest! {
    #[test]
    fn any_text_is_hints_or_not(text in "(hints_version: 2|scan:|pvid:|devn:|vg:|devs_hash:|[ -~]|\n){0,60}") {
        if let Some(hints) = Hints::parse(&text) {
            hints.hold_for(&conf(""), false, []);
        }
    }
}
