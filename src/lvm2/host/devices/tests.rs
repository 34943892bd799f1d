use std::path::{Path, PathBuf};

use proptest::prelude::{any, prop_assert_eq, proptest};

use super::fake::FakeMachine;
use super::identity::Identity;
use super::multipath::MultipathWwids;
use super::names::NameSource;
use super::types::{DeviceTypes, is_lv};
use super::used_file::{IdType, UsedDevices};
use sys::io::udev_db::UdevRecord;

fn names(machine: &FakeMachine, source: &NameSource, device: &str) -> Vec<String> {
    let device = machine.roots.device(device).unwrap();
    let record = machine.roots.udev_record(device.no);
    let names = source.of(&machine.roots, &device, record.as_ref());
    assert_eq!(source.preferred(&machine.roots, &device, record.as_ref()), names.first().cloned());
    names.iter().map(|name| name.strip_prefix(&machine.roots.dev).unwrap().display().to_string()).collect()
}

#[test]
fn sysfs_tells_disks_partitions_and_dm_devices_apart() {
    let machine = FakeMachine::new();
    machine.disk("sda", "8:0", 64);
    machine.partition("sda", "sda2", "8:2", 32);
    machine.dm(3, "vg-lv", "LVM-abc", 16, &["sda2"]);
    let roots = &machine.roots;
    assert_eq!(roots.block_names().unwrap(), ["dm-3", "sda", "sda2"]);
    let part = roots.device("sda2").unwrap();
    assert_eq!(
        (part.partition, part.disk.as_deref(), part.no.to_string()),
        (Some(2), Some("sda"), "8:2".into())
    );
    assert_eq!(part.size.get(), 32 * 2048);
    let lv = roots.device_by_number("254:3".parse().unwrap()).unwrap();
    assert!(is_lv(&lv));
    assert_eq!(lv.dm.unwrap().name, "vg-lv");
    assert_eq!(
        (roots.holders("sda2"), roots.slaves("dm-3")),
        (vec!["dm-3".to_owned()], vec!["sda2".to_owned()])
    );
    assert_eq!(roots.device("sdz"), None);
}

#[test]
fn types_are_known_by_the_start_of_their_name() {
    let machine = FakeMachine::new();
    let types = DeviceTypes::read(&machine.roots, &[("zra".to_owned(), 4)]);
    assert!(types.is_known(8) && types.is_known(254) && types.is_known(259));
    assert!(types.is_known(253), "devices/types adds to the list");
    assert!(!types.is_known(11) && !types.is_known(1) && !types.is_known(77));
    machine.disk("sda", "8:0", 1);
    machine.partition("sda", "sda1", "8:1", 1);
    machine.disk("loop0", "7:0", 1);
    machine.disk("nvme0n1", "259:0", 1);
    let partitionable =
        |name: &str| types.is_partitionable(&machine.roots, &machine.roots.device(name).unwrap());
    assert!(partitionable("sda") && partitionable("nvme0n1"));
    assert!(!partitionable("sda1") && !partitionable("loop0"));
    machine.set("loop0", "loop/partscan", "1");
    assert!(partitionable("loop0"));
}

#[test]
fn without_udev_names_come_from_a_walk_in_lvm2s_order() {
    let machine = FakeMachine::new();
    machine.disk("sda", "8:0", 1);
    machine.dm(0, "crypt", "CRYPT-LUKS2-x", 1, &["sda"]);
    machine.link("disk/by-id/ata-1", "sda");
    machine.link("block/8:0", "sda");
    machine.link("aaa", "sda");
    machine.link("deep/er/link", "sda");
    let walked = NameSource::choose(&machine.roots, std::slice::from_ref(&machine.roots.dev));
    assert!(matches!(walked, NameSource::Walked(_)));
    let all = ["aaa", "sda", "deep/er/link", "disk/by-id/ata-1", "block/8:0"];
    assert_eq!(names(&machine, &walked, "sda"), all, "a link is preferred to a node of the same depth");
    assert_eq!(names(&machine, &walked, "dm-0"), ["mapper/crypt", "dm-0"]);
    let elsewhere = NameSource::choose(&machine.roots, &[machine.roots.dev.join("deep")]);
    assert_eq!(names(&machine, &elsewhere, "sda"), ["deep/er/link"]);
    assert!(names(&machine, &elsewhere, "dm-0").is_empty());
}

#[test]
fn with_udev_names_come_from_its_records_and_must_lead_to_the_device() {
    let machine = FakeMachine::new();
    machine.disk("sda", "8:0", 1);
    machine.disk("sdb", "8:16", 1);
    machine.link("disk/by-id/both", "sdb");
    machine.link("disk/by-path/a", "sda");
    machine.link("unrecorded", "sda");
    machine.udev(
        "8:0",
        "S:disk/by-id/both\nS:disk/by-path/a\nS:../etc/passwd\nS:gone\nI:17\nE:ID_FS_TYPE=ext4\n",
    );
    let source = NameSource::choose(&machine.roots, std::slice::from_ref(&machine.roots.dev));
    assert!(matches!(source, NameSource::Udev));
    assert_eq!(names(&machine, &source, "sda"), ["sda", "disk/by-path/a"]);
    let custom = NameSource::choose(&machine.roots, &[PathBuf::from("/elsewhere")]);
    assert!(matches!(custom, NameSource::Walked(_)), "udev knows nothing of other directories");
}

#[test]
fn udev_records_give_links_and_properties() {
    let record = UdevRecord::parse("S:a\nE:ID_FS_TYPE=LVM2_member\nE:X=a=b\nE:broken\nG:systemd\n\nQ:x\n");
    assert_eq!(record.links, [Path::new("a")]);
    assert_eq!(record.property("X"), Some("a=b"));
    assert_eq!(record.holds_other(), None);
    assert_eq!(UdevRecord::parse("E:ID_FS_TYPE=ext4").holds_other(), Some("ext4"));
    assert_eq!(UdevRecord::parse("E:ID_FS_TYPE=").holds_other(), None);
}

const FILE: &str = "# LVM uses devices listed in this file.\nSYSTEMID=x\nVERSION=1.1.3\n\
    IDTYPE=sys_wwid IDNAME=naa.5000c500 DEVNAME=/dev/sda PVID=zVIydeI4PZiQoM3JPDpOI3z0PeBelF5d PART=2\n\
    IDTYPE=devname IDNAME=DEV/sdb DEVNAME=DEV/sdb PVID=.\n\
    IDTYPE=loop_file IDNAME=/images/pv.img DEVNAME=/dev/loop0\n\
    IDTYPE=unheard_of IDNAME=uuid.1 DEVNAME=/dev/nvme0n1\n\
    IDTYPE=mpath_uuid IDNAME=mpath-3600 DEVNAME=/dev/dm-0\n\
    IDTYPE=sys_serial IDNAME=SER_1\nIDTYPE=md_uuid IDNAME=1:2\nIDTYPE=devname IDNAME=.\nDEVNAME=/dev/x\n";

#[test]
fn the_devices_file_is_read_line_by_line() {
    let used = UsedDevices::parse(FILE);
    let kinds: Vec<&IdType> = used.entries.iter().map(|entry| &entry.id_type).collect();
    let unknown = IdType::Unknown("unheard_of".to_owned());
    let expected = [
        &IdType::SysWwid,
        &IdType::DevName,
        &IdType::LoopFile,
        &unknown,
        &IdType::DmUuid,
        &IdType::SysSerial,
        &IdType::MdUuid,
        &IdType::DevName,
    ];
    assert_eq!(kinds, expected);
    let first = &used.entries[0];
    assert_eq!((first.partition, first.line), (2, 4));
    assert_eq!(first.pv_id.unwrap().compact(), "zVIydeI4PZiQoM3JPDpOI3z0PeBelF5d");
    assert_eq!(used.entries[1].pv_id, None);
    assert_eq!(used.entries[7].id_name, None);
}

#[test]
fn entries_of_the_devices_file_mean_the_devices_that_sysfs_identifies() {
    let machine = FakeMachine::new();
    machine.disk("sda", "8:0", 1);
    machine.set("sda", "device/wwid", "naa.5000c500");
    machine.partition("sda", "sda2", "8:2", 1);
    machine.partition("sda", "sda3", "8:3", 1);
    machine.disk("sdb", "8:16", 1);
    machine.disk("sdc", "8:32", 1);
    machine.set("sdc", "device/serial", "SER  1");
    machine.disk("sdd", "8:48", 1);
    machine.set("sdd", "device/wwid", "t10.ATA QEMU HARDDISK naa.5000c500");
    machine.disk("loop0", "7:0", 1);
    machine.set("loop0", "loop/backing_file", "/images/pv.img");
    machine.disk("loop1", "7:1", 1);
    machine.set("loop1", "loop/backing_file", "/images/pv.img (deleted)");
    machine.dm(0, "mp", "mpath-3600", 1, &[]);
    machine.dm(1, "other", "mpath-3601", 1, &[]);
    machine.disk("md0", "9:0", 1);
    machine.set("md0", "md/uuid", "1:2");
    let roots = &machine.roots;
    let used = UsedDevices::parse(
        &FILE
            .replace("DEV", &roots.dev.display().to_string())
            .replace(&format!("{}NAME", roots.dev.display()), "DEVNAME"),
    );
    let types = DeviceTypes::read(roots, &[]);
    let names = NameSource::choose(roots, std::slice::from_ref(&roots.dev));
    let listed: Vec<String> = roots
        .block_names()
        .unwrap()
        .into_iter()
        .filter(|name| {
            let device = roots.device(name).unwrap();
            let record = roots.udev_record(device.no);
            let identity = Identity::new(roots, &types, &names, &device, record.as_ref());
            used.entries.iter().any(|entry| entry.matches(&identity))
        })
        .collect();
    assert_eq!(listed, ["dm-0", "loop0", "md0", "sda2", "sdb", "sdc"]);
}

#[test]
fn newer_entries_mean_disks_by_what_they_say_of_themselves() {
    let machine = FakeMachine::new();
    machine.disk("nvme0n1", "259:0", 1);
    machine.partition("nvme0n1", "nvme0n1p2", "259:2", 1);
    machine.set("nvme0n1", "uuid", "0025384B-0000-0000-0000-000000000001");
    machine.set("nvme0n1", "nguid", "00253841-0102-0304-0506-0708090a0b0c");
    machine.set("nvme0n1", "eui", "00 25 38 4b 00 00 00 01");
    machine.disk("sda", "8:0", 1);
    machine.set("sda", "device/wwid", "t10.ATA     Disk\"  One ");
    let page = [&[0, 0x83, 0, 12, 1, 3, 0, 8][..], &[0x50, 0, 0xc5, 0, 1, 2, 3, 4]].concat();
    let pages = |name: &str| machine.roots.sys.join("class/block").join(name).join("device");
    std::fs::write(pages("sda").join("vpd_pg83"), page).unwrap();
    machine.disk("sdb", "8:16", 1);
    machine.set("sdb", "device/state", "running");
    std::fs::write(pages("sdb").join("vpd_pg80"), b"\x00\x80\x00\x06 SER2 ").unwrap();
    machine.disk("vda", "253:0", 1);
    machine.set("vda", "serial", "virtio1");
    machine.disk("sdc", "8:32", 1);
    let roots = &machine.roots;
    let types = DeviceTypes::read(roots, &[]);
    let names = NameSource::choose(roots, std::slice::from_ref(&roots.dev));
    let meant = |entry: &str| -> Vec<String> {
        let used = UsedDevices::parse(&format!("IDTYPE={entry}"));
        let is_meant = |name: &String| {
            let device = roots.device(name).unwrap();
            used.entries[0].matches(&Identity::new(roots, &types, &names, &device, None))
        };
        roots.block_names().unwrap().into_iter().filter(is_meant).collect()
    };
    for (entry, device) in [
        ("nvme_uuid IDNAME=uuid.0025384b-0000-0000-0000-000000000001", "nvme0n1"),
        ("nvme_nguid IDNAME=eui.002538410102030405060708090a0b0c PART=2", "nvme0n1p2"),
        ("nvme_eui64 IDNAME=eui.0025384b00000001", "nvme0n1"),
        ("sys_wwid IDNAME=eui.0025384b00000001", "nvme0n1"),
        ("wwid_naa IDNAME=naa.5000c50001020304", "sda"),
        ("sys_wwid IDNAME=naa.5000c50001020304", "sda"),
        ("sys_wwid IDNAME=t10.ATA_Disk_One", "sda"),
        ("sys_wwid IDNAME=t10.ATA_____Disk__One_", "sda"),
        ("sys_serial IDNAME=SER2", "sdb"),
        ("sys_serial IDNAME=virtio1", "vda"),
    ] {
        assert_eq!(meant(entry), [device], "{entry}");
    }
    for entry in ["wwid_eui IDNAME=naa.5000c50001020304", "nvme_nguid IDNAME=eui.0025384b00000001"] {
        assert!(meant(entry).is_empty(), "{entry}");
    }
    let stable =
        |name: &str| Identity::new(roots, &types, &names, &roots.device(name).unwrap(), None).is_stable();
    assert!(stable("sda") && stable("sdb") && stable("vda") && !stable("sdc"));
}

#[test]
fn a_missing_devices_file_is_not_in_use_and_an_unreadable_one_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(UsedDevices::read(&dir.path().join("none")).unwrap(), None);
    assert!(UsedDevices::read(dir.path()).is_err());
}

#[test]
fn multipath_claims_devices_by_wwid_unless_its_configuration_excludes_them() {
    let machine = FakeMachine::new();
    let etc = &machine.roots.etc;
    std::fs::create_dir_all(etc.join("multipath/conf.d")).unwrap();
    let wwids = "# Multipath wwids\n/3600aaaaaaaa/\n/3600bbbbbbbb/\n/3600cccccccc/\n";
    std::fs::write(etc.join("multipath/wwids"), wwids).unwrap();
    std::fs::write(
        etc.join("multipath.conf"),
        "defaults {\n wwid 3600aaaaaaaa\n}\nblacklist {\n  wwid \"3600bbbbbbbb\"\n  wwid 3600cccccccc\n}\n",
    )
    .unwrap();
    std::fs::write(etc.join("multipath/conf.d/a.conf"), "blacklist_exceptions {\n wwid 3600cccccccc\n}\n")
        .unwrap();
    let known = MultipathWwids::read(&machine.roots, &etc.join("multipath/wwids"));
    let mut claimed = Vec::new();
    for (minor, letter) in [(0, 'a'), (16, 'b'), (32, 'c'), (48, 'd')] {
        let name = format!("sd{letter}");
        machine.disk(&name, &format!("8:{minor}"), 1);
        machine.set(&name, "device/wwid", &format!("naa.600{}", letter.to_string().repeat(8)));
        if known.claim(&machine.roots, &machine.roots.device(&name).unwrap()) {
            claimed.push(letter);
        }
    }
    assert_eq!(claimed, ['a', 'c']);
}

proptest! {
    #[test]
    fn any_devices_file_and_udev_record_is_read(text in "(IDTYPE|IDNAME|DEVNAME|PVID|PART|=|[ -~]|\n|S:|E:){0,80}") {
        let _ = UsedDevices::parse(&text);
        let _ = UdevRecord::parse(&text);
    }

    #[test]
    fn entries_survive_their_own_format(part in any::<u16>(), name in "/[a-z0-9/_-]{1,20}") {
        let line = format!("IDTYPE=devname IDNAME={name} DEVNAME={name} PVID=. PART={part}");
        let used = UsedDevices::parse(&line);
        prop_assert_eq!(used.entries.len(), 1);
        prop_assert_eq!(used.entries[0].id_name.as_deref(), Some(name.as_str()));
        prop_assert_eq!(used.entries[0].partition, u32::from(part));
    }
}
