use std::fs;
use sys::io::direct::DirectFile;

use super::*;
use crate::format::mda::header::MdaHeader;
use crate::host::conf::LvmConf;
use crate::host::devices::fake::FakeMachine;
use crate::host::fixture::{PvShape, change_header, put_text};
use crate::host::store::vg::VgStore;
use crate::host::store::vg_ref::VgRef;

fn uuid(number: u8) -> LvmUuid {
    LvmUuid::from_random([number; 32])
}

fn vg_name(name: &str) -> VgName {
    VgName::new(name).unwrap()
}

/// A text of a group with these PVs.
fn text(name: &str, id: u8, seqno: u32, pvs: &[u8]) -> Vec<u8> {
    let mut text = format!("{name} {{\nid = \"{}\"\nseqno = {seqno}\nphysical_volumes {{\n", uuid(id));
    for (index, pv) in pvs.iter().enumerate() {
        text += &format!("pv{index} {{\nid = \"{}\"\ndevice = \"/dev/sda\"\n}}\n", uuid(*pv));
    }
    text += "}\n}\n\0";
    text.into_bytes()
}

/// A machine whose disks can be PVs of 2 MiB and a bit.
struct Bench {
    machine: FakeMachine,
}

impl Bench {
    fn new() -> Self {
        Self { machine: FakeMachine::new() }
    }

    fn shape(pv: u8) -> PvShape {
        PvShape { device_size: 4 << 20, ..PvShape::default_with(uuid(pv)) }
    }

    fn file(&self, device: &str) -> DirectFile {
        DirectFile::open(&self.machine.roots.dev.join(device), Access::ReadWrite).unwrap()
    }

    /// A disk with a PV and, if given, a text.
    fn pv(&self, device: &str, number: &str, pv: u8, text: Option<Vec<u8>>) {
        self.machine.disk(device, number, 4);
        self.label(device, pv, text);
    }

    fn label(&self, device: &str, pv: u8, text: Option<Vec<u8>>) {
        let label = Self::shape(pv).label();
        self.machine.write(device, 512, &label.encode().unwrap());
        let area = label.metadata_areas[0];
        self.machine.write(device, area.offset, &MdaHeader::empty(area).encode());
        if let Some(text) = text {
            put_text(&self.file(device), area, &text).unwrap();
        }
    }

    fn scanner(&self, settings: &str) -> Scanner {
        let mut conf = LvmConf::load(Path::new("/nonexistent"), Some(settings)).unwrap().devices;
        conf.scan = vec![self.machine.roots.dev.clone()];
        conf.multipath_wwids_file = None;
        conf.devicesfile = self.machine.roots.etc.join("system.devices");
        Scanner::new(self.machine.roots.clone(), conf)
    }

    fn survey(&self) -> Survey {
        self.scanner("").survey(None).unwrap()
    }

    fn path(&self, device: &str) -> PathBuf {
        self.machine.roots.dev.join(device)
    }

    /// Writes hints that hold for the devices that are there now.
    fn hints(&self, pvs: &[(&str, u8, &str)]) {
        let mut out =
            "hints_version: 2.1\nglobal_filter:a|.*|\nfilter:a|.*|\nscan_lvs:0\ndevices_file:.\n".to_owned();
        for (device, pv, vg) in pvs {
            out += &format!(
                "scan:{} pvid:{} devn:8:0 vg:{vg}\n",
                self.path(device).display(),
                uuid(*pv).compact()
            );
        }
        let mut names: Vec<(u32, PathBuf)> = Vec::new();
        for name in self.machine.roots.block_names().unwrap() {
            let device = self.machine.roots.device(&name).unwrap();
            names.push((((device.no.minor) | (device.no.major << 8)).swap_bytes(), self.path(&name)));
        }
        names.sort();
        let all: String = names.iter().map(|(_, path)| path.display().to_string()).collect();
        out += &format!("devs_hash: {} {}\n", base::bytes::crc::lvm(all.as_bytes()), names.len());
        fs::write(self.machine.roots.run.join("lvm/hints"), out).unwrap();
    }
}

fn devices(vg: &FoundVg) -> Vec<String> {
    vg.devices().map(|pv| pv.path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

fn reasons(survey: &Survey) -> Vec<(String, String)> {
    let reason = |skip: &Skip| serde_json::to_value(skip).unwrap()["reason"].as_str().unwrap().to_owned();
    survey.skipped.iter().map(|skipped| (skipped.device.clone(), reason(&skipped.reason))).collect()
}

#[test]
fn groups_are_put_together_by_their_newest_text() {
    let bench = Bench::new();
    bench.pv("sda", "8:0", 1, Some(text("old_name", 100, 4, &[1, 9])));
    bench.pv("sdb", "8:16", 2, Some(text("vg", 100, 5, &[2, 1])));
    bench.pv("sdc", "8:32", 3, None);
    bench.pv("sdd", "8:48", 4, Some(text("other", 101, 1, &[4])));
    bench.machine.disk("sde", "8:64", 4);
    let survey = bench.survey();
    assert_eq!(survey.source, ScanSource::All);
    assert_eq!(survey.devices_read, 5);
    let names: Vec<(&str, u32, Vec<String>)> =
        survey.vgs.iter().map(|vg| (vg.name.as_str(), vg.seqno.0, devices(vg))).collect();
    assert_eq!(
        names,
        [("other", 1, vec!["sdd".to_owned()]), ("vg", 5, vec!["sdb".to_owned(), "sda".to_owned()])]
    );
    assert!(survey.vgs.iter().all(FoundVg::is_whole));
    assert_eq!(survey.orphans.iter().map(|pv| pv.id).collect::<Vec<_>>(), [uuid(3)]);
    assert_eq!(reasons(&survey), [("sde".to_owned(), "no-label".to_owned())]);
    assert!(bench.scanner("").find_vg(&vg_name("old_name")).is_err());
}

#[test]
fn what_was_found_opens_as_a_store() {
    let bench = Bench::new();
    bench.pv("sda", "8:0", 1, Some(text("vg", 100, 4, &[1, 2])));
    bench.pv("sdb", "8:16", 2, Some(text("vg", 100, 4, &[1, 2])));
    let scanner = bench.scanner("");
    let vg = scanner.find_vg(&vg_name("vg")).unwrap();
    let store = VgStore::open(scanner.open(&vg, Access::ReadOnly).unwrap(), &VgRef::Id(vg.id)).unwrap();
    assert_eq!(store.text(), text("vg", 100, 4, &[1, 2]));
    assert_eq!(store.members().count(), 2);
    assert!(store.issues().is_empty());
    // Another disk takes the name before the group is opened.
    fs::remove_file(bench.path("sdb")).unwrap();
    bench.machine.disk("sdz", "8:400", 4);
    bench.machine.link("sdb", "sdz");
    let Err(error) = scanner.open(&vg, Access::ReadOnly) else { panic!("opened the wrong disk") };
    assert!(matches!(error, ScanError::Changed { .. }), "{error}");
}

#[test]
fn missing_and_duplicate_pvs_are_part_of_the_answer() {
    let bench = Bench::new();
    let newest = text("vg", 100, 4, &[1, 2, 3]);
    bench.pv("sda", "8:0", 1, Some(newest.clone()));
    bench.pv("sdb", "8:16", 1, Some(newest.clone()));
    bench.pv("sdc", "8:32", 2, Some(newest));
    let uuid_of_lv = format!("LVM-{}", "x".repeat(64));
    bench.machine.dm(0, "vg-lv", &uuid_of_lv, 1, &["sdb"]);
    let vg = bench.scanner("").find_vg(&vg_name("vg")).unwrap();
    assert!(!vg.is_whole());
    assert_eq!(vg.missing, [MissingPv { id: uuid(3), device_hint: Some("/dev/sda".into()) }]);
    assert_eq!(vg.duplicates.len(), 1);
    assert_eq!(devices(&vg), ["sdb", "sdc", "sda"], "the one that LVs stand on is read from");
}

#[test]
fn groups_of_one_name_are_told_apart_or_refused() {
    let bench = Bench::new();
    bench.pv("sda", "8:0", 1, Some(text("vg", 100, 4, &[1])));
    bench.pv("sdb", "8:16", 2, Some(text("vg", 101, 9, &[2])));
    bench.pv("sdc", "8:32", 3, Some(text("solo", 102, 1, &[3])));
    let scanner = bench.scanner("");
    let error = scanner.find_vg(&vg_name("vg")).unwrap_err().to_string();
    for part in [&uuid(100).to_string(), &uuid(101).to_string(), "/sda", "/sdb", "vgrename"] {
        assert!(error.contains(part), "{part} in {error}");
    }
    let (all, _) = scanner.find_all().unwrap();
    assert_eq!(all.iter().map(|vg| vg.namesakes.len()).collect::<Vec<_>>(), [0, 1, 1]);
    assert!(scanner.find_vg(&vg_name("solo")).unwrap().is_whole());
}

#[test]
fn a_group_that_is_not_there_comes_with_clues() {
    let bench = Bench::new();
    bench.pv("sda", "8:0", 1, Some(text("vg", 100, 4, &[1])));
    let label = Bench::shape(1).label();
    let spoil = |header: MdaHeader| Ok(header.with_text(&header.text().unwrap().unwrap()));
    change_header(&bench.file("sda"), label.metadata_areas[0], spoil).unwrap();
    bench.machine.write("sda", 4096 + 512 + 5, b"spoilt");
    bench.pv("sdb", "8:16", 2, None);
    bench.machine.write("sdb", 512 + 100, b"spoilt");
    let error = bench.scanner("").find_vg(&vg_name("vg")).unwrap_err();
    let ScanError::NotFound { devices, clues, .. } = &error else { panic!("{error}") };
    assert_eq!((*devices, clues.len()), (2, 2), "{error}");
    assert!(clues[0].starts_with("sdb: its LVM label is damaged"), "{error}");
    assert!(clues[1].contains("/sda: "), "{error}");
    // Whoever asks for all groups hears that there may be others.
    let (all, lost) = bench.scanner("").find_all().unwrap();
    assert!(all.is_empty());
    let lost: Vec<&str> = lost.iter().map(String::as_str).collect();
    let [area, label] = lost.as_slice() else { panic!("{lost:?}") };
    assert!(
        area.starts_with("which volume group ") && area.contains("/sda belongs to cannot be read: "),
        "{area}"
    );
    assert!(label.starts_with("sdb: its LVM label is damaged"), "{label}");
}

#[test]
fn what_another_format_claims_is_left_alone() {
    let bench = Bench::new();
    for (number, name) in ["sda", "sdb", "sdc", "sdd"].into_iter().enumerate() {
        let pv = u8::try_from(number).unwrap();
        bench.pv(name, &format!("8:{}", number * 16), pv, Some(text("vg", 100 + pv, 1, &[pv])));
    }
    let mut table = [0_u8; 66];
    table[12] = 1;
    (table[64], table[65]) = (0x55, 0xaa);
    bench.machine.write("sda", 446, &table);
    let magic = 0xa92b_4efc_u32.to_le_bytes();
    bench.machine.write("sdb", 0, &magic);
    // At the end: looked at only where the text has another size.
    let end = (4 << 20) - 8192;
    bench.machine.write("sdc", end, &magic);
    bench.machine.write("sdd", end, &magic);
    let resized = String::from_utf8(text("vg", 103, 2, &[3])).unwrap();
    let resized = resized.replace("device = ", "dev_size = 6144\ndevice = ");
    bench.label("sdd", 3, Some(resized.into_bytes()));
    let found = reasons(&bench.survey());
    let expected = [("sda", "partitioned"), ("sdb", "md-member"), ("sdd", "md-member")];
    assert_eq!(found, expected.map(|(device, reason)| (device.to_owned(), reason.to_owned())));
    let full = bench.scanner("devices/md_component_checks=\"full\"").survey(None).unwrap();
    assert_eq!(full.skipped.len(), 4);
    let off = bench.scanner("devices/md_component_detection=0").survey(None).unwrap();
    assert_eq!(off.skipped.len(), 1);
}

#[test]
fn udev_spares_reads_until_a_group_is_incomplete() {
    let bench = Bench::new();
    bench.pv("sda", "8:0", 1, Some(text("vg", 100, 4, &[1])));
    bench.pv("sdb", "8:16", 2, Some(text("other", 101, 4, &[2, 3])));
    bench.pv("sdc", "8:32", 3, Some(text("other", 101, 4, &[2, 3])));
    bench.machine.udev("8:0", "E:ID_FS_TYPE=LVM2_member");
    bench.machine.udev("8:16", "E:ID_FS_TYPE=LVM2_member");
    bench.machine.udev("8:32", "E:ID_FS_TYPE=ext4");
    bench.machine.disk("sdd", "8:48", 4);
    bench.machine.udev("8:48", "E:ID_FS_TYPE=xfs");
    bench.machine.disk("sde", "8:64", 4);
    let scanner = bench.scanner("");
    let survey = scanner.survey(Some(&vg_name("vg"))).unwrap();
    assert_eq!(
        (survey.source, survey.devices_read),
        (ScanSource::Udev, 3),
        "what udev does not know is read"
    );
    let reason = |device: &str| reasons(&survey).into_iter().find(|(name, _)| name == device).unwrap().1;
    assert_eq!((reason("sdc"), reason("sdd")), ("holds-other".to_owned(), "holds-other".to_owned()));
    let survey = scanner.survey(Some(&vg_name("other"))).unwrap();
    assert_eq!((survey.source, survey.devices_read), (ScanSource::All, 5), "udev was wrong about sdc");
    assert!(survey.vgs.iter().all(FoundVg::is_whole));
    assert_eq!(scanner.survey(Some(&vg_name("none"))).unwrap().source, ScanSource::All);
}

#[test]
fn hints_spare_reads_while_they_hold() {
    let bench = Bench::new();
    bench.pv("sda", "8:0", 1, Some(text("vg", 100, 4, &[1])));
    bench.pv("sdb", "8:16", 2, Some(text("other", 101, 4, &[2])));
    bench.machine.disk("sdc", "8:32", 4);
    let scanner = bench.scanner("");
    let survey = |name: &str| scanner.survey(Some(&vg_name(name))).unwrap();
    bench.hints(&[("sda", 1, "vg"), ("sdb", 2, "other")]);
    assert_eq!((survey("vg").source, survey("vg").devices_read), (ScanSource::Hints, 1));
    let all = scanner.survey(None).unwrap();
    assert_eq!((all.source, all.devices_read), (ScanSource::Hints, 2));
    assert_eq!(bench.scanner("devices/hints=\"none\"").survey(None).unwrap().source, ScanSource::All);
    assert_eq!(bench.scanner("devices/filter=\"r|sdc|\"").survey(None).unwrap().source, ScanSource::All);

    bench.hints(&[("sda", 9, "vg"), ("sdb", 2, "other")]);
    assert_eq!(survey("vg").source, ScanSource::All, "another PV is there");
    bench.hints(&[("sdb", 2, "other")]);
    assert_eq!(survey("vg").source, ScanSource::All, "the group is not in the hints");
    bench.hints(&[("sda", 1, "vg"), ("gone", 3, "vg")]);
    assert_eq!(survey("vg").source, ScanSource::All, "a hinted device is gone");
    bench.hints(&[("sda", 1, "vg"), ("sdb", 2, "other")]);
    bench.machine.disk("sdd", "8:48", 4);
    assert_eq!(survey("vg").source, ScanSource::All, "a device is new");
}

#[test]
fn an_explicit_list_takes_the_place_of_everything_else() {
    let bench = Bench::new();
    bench.pv("sda", "8:0", 1, Some(text("vg", 100, 4, &[1])));
    bench.pv("sdb", "8:16", 2, Some(text("vg", 101, 4, &[2])));
    let scanner = bench.scanner("devices/filter=\"r|.*|\"");
    assert!(scanner.find_all().unwrap().0.is_empty());
    let only = scanner.clone().only(vec![bench.path("sda")]);
    assert_eq!(only.find_vg(&vg_name("vg")).unwrap().id, uuid(100));
    assert_eq!(only.survey(None).unwrap().source, ScanSource::Explicit);
    let error = scanner.only(vec![bench.path("none")]).find_all().unwrap_err();
    assert!(matches!(error, ScanError::NoDevice { .. }), "{error}");
}

#[test]
fn the_devices_file_decides_alone_and_checks_names() {
    let bench = Bench::new();
    bench.pv("sda", "8:0", 1, Some(text("vg", 100, 4, &[1])));
    bench.pv("sdb", "8:16", 2, Some(text("other", 101, 4, &[2])));
    bench.pv("sdc", "8:32", 3, Some(text("third", 102, 4, &[3])));
    let scanner = bench.scanner("devices/use_devicesfile=1");
    assert_eq!(scanner.find_all().unwrap().0.len(), 3, "without the file, as if it were off");
    let entry = |device: &str, pv: u8| {
        format!("IDTYPE=devname IDNAME={} PVID={}\n", bench.path(device).display(), uuid(pv).compact())
    };
    let file = entry("sda", 1) + &entry("sdb", 9) + "IDTYPE=unheard_of IDNAME=eui.1\n";
    fs::write(bench.machine.roots.etc.join("system.devices"), file).unwrap();
    let unsaid = bench.scanner("").find_all().unwrap_err();
    assert!(unsaid.to_string().contains("devices/use_devicesfile is not set"), "{unsaid}");
    assert_eq!(bench.scanner("devices/use_devicesfile=0").find_all().unwrap().0.len(), 3);
    let survey = scanner.survey(None).unwrap();
    assert_eq!(survey.source, ScanSource::DevicesFile);
    assert_eq!(survey.vgs.iter().map(|vg| vg.name.as_str()).collect::<Vec<_>>(), ["vg"]);
    let expected = [("sdc", "not-in-devices-file"), ("sdb", "other-pv")];
    assert_eq!(reasons(&survey), expected.map(|(device, reason)| (device.to_owned(), reason.to_owned())));
    assert!(
        survey.warnings[0].contains("line 3: IDTYPE=unheard_of is not supported"),
        "{:?}",
        survey.warnings
    );
}

#[test]
fn a_pv_that_the_devices_file_has_under_another_name_is_looked_for() {
    let bench = Bench::new();
    // Two that have changed places, one that has moved, and one with an identifier of its own.
    bench.pv("sda", "8:0", 2, Some(text("two", 101, 4, &[2])));
    bench.pv("sdb", "8:16", 1, Some(text("one", 100, 4, &[1])));
    bench.pv("sdc", "8:32", 3, Some(text("three", 102, 4, &[3])));
    bench.pv("sdd", "8:48", 4, Some(text("four", 103, 4, &[4])));
    bench.machine.set("sdd", "device/wwid", "naa.5000c500");
    bench.pv("sde", "8:64", 5, Some(text("nobody", 104, 4, &[5])));
    let entry = |device: &str, pv: u8| {
        format!("IDTYPE=devname IDNAME={} PVID={}\n", bench.path(device).display(), uuid(pv).compact())
    };
    let file = entry("sda", 1) + &entry("sdb", 2) + &entry("sdx", 3) + &entry("sdy", 4) + &entry("sdz", 9);
    fs::write(bench.machine.roots.etc.join("system.devices"), &file).unwrap();
    let survey = |search: &str| {
        let settings = format!("devices/use_devicesfile=1 devices/search_for_devnames=\"{search}\"");
        bench.scanner(&settings).survey(None).unwrap()
    };
    let names = |survey: &Survey| {
        let mut names: Vec<String> = survey.vgs.iter().map(|vg| vg.name.to_string()).collect();
        names.sort();
        names
    };
    assert!(names(&survey("none")).is_empty());
    let auto = survey("auto");
    assert_eq!(names(&auto), ["one", "three", "two"]);
    assert_eq!(auto.warnings.len(), 3, "{:?}", auto.warnings);
    assert!(auto.warnings[2].contains("line 3") && auto.warnings[2].contains("sdc"), "{:?}", auto.warnings);
    assert_eq!(names(&survey("all")), ["four", "one", "three", "two"]);
    // Two of one PV: none of them is used.
    bench.pv("sdf", "8:80", 3, Some(text("three", 102, 4, &[3])));
    let both = survey("auto");
    assert_eq!(names(&both), ["one", "two"]);
    assert!(both.warnings.iter().any(|it| it.contains("on several devices")), "{:?}", both.warnings);
}

#[test]
fn a_machine_without_sysfs_and_a_bad_pattern_are_errors() {
    let bench = Bench::new();
    let error = bench.scanner("devices/filter=\"x|.*|\"").find_all().unwrap_err();
    assert!(matches!(error, ScanError::Pattern(_)));
    fs::remove_dir(bench.machine.roots.sys.join("class/block")).unwrap();
    assert!(matches!(bench.scanner("").find_all().unwrap_err(), ScanError::Sysfs { .. }));
}

/// Of a PV with no text of its own nothing tells whose it is.
#[test]
fn a_pv_that_two_groups_name_is_told_of_both() {
    let bench = Bench::new();
    bench.pv("sda", "8:0", 1, Some(text("old", 100, 7, &[1, 2, 3])));
    bench.pv("sdb", "8:16", 2, Some(text("new", 101, 1, &[2, 3])));
    bench.pv("sdc", "8:32", 3, None);
    let claims = |name: &str| -> Vec<(LvmUuid, String)> {
        let vg = bench.scanner("").find_vg(&vg_name(name)).unwrap();
        assert!(!vg.is_whole());
        vg.claims.iter().map(|claim| (claim.pv, claim.vg.to_string())).collect()
    };
    assert_eq!(claims("old"), [(uuid(2), "new".into()), (uuid(3), "new".into())]);
    assert_eq!(claims("new"), [(uuid(3), "old".into())]);
}

/// Of several groups of one name this host takes its own, as lvm2 does.
#[test]
fn the_only_group_of_this_host_is_meant() {
    let owned = |owner: &str, id: u8, pv: u8| {
        let text = String::from_utf8(text("vg", id, 4, &[pv])).unwrap();
        text.replacen("seqno", &format!("system_id = \"{owner}\"\nseqno"), 1).into_bytes()
    };
    let bench = Bench::new();
    bench.pv("sda", "8:0", 1, Some(owned("there", 100, 1)));
    bench.pv("sdb", "8:16", 2, Some(owned("here", 101, 2)));
    bench.pv("sdc", "8:32", 3, Some(owned("elsewhere", 102, 3)));
    let on = |ids: &[&str]| {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        bench.scanner("").on_host(ids).find_vg(&vg_name("vg")).map(|vg| vg.id)
    };
    assert_eq!(on(&["here"]).unwrap(), uuid(101));
    assert_eq!(on(&["there"]).unwrap(), uuid(100));
    let foreign = on(&[]).unwrap_err().to_string();
    assert!(foreign.contains("of other hosts") && !foreign.contains("vgrename"), "{foreign}");
    let two = on(&["here", "there"]).unwrap_err().to_string();
    assert!(two.contains("vgrename") && !two.contains("sdc"), "{two}");
    // One without an owner is everybody's.
    bench.pv("sdd", "8:48", 4, Some(text("vg", 103, 4, &[4])));
    assert_eq!(on(&[]).unwrap(), uuid(103));
    assert!(on(&["here"]).is_err());
}
