use std::os::unix::fs::PermissionsExt;

use proptest::prelude::{prop_assert_eq, proptest};

use super::*;
use crate::host::conf::LvmConf;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn vg(name: &str) -> VgName {
    VgName::new(name).unwrap()
}

fn backups(dir: &Path, settings: &str) -> Backups {
    let settings = format!("backup {{ {settings} }}");
    Backups::new(LvmConf::load(dir, Some(&settings)).unwrap().backup)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn path(copied: Copied) -> PathBuf {
    match copied {
        Copied::To(path) => path,
        Copied::NotWanted => panic!("no copy"),
    }
}

#[test]
fn a_backup_replaces_the_one_before_and_only_root_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let backups = backups(dir.path(), "");
    let first = path(backups.backup(&vg("vg"), b"one").unwrap());
    assert_eq!(first, dir.path().join("backup/vg"));
    path(backups.backup(&vg("vg"), b"two").unwrap());
    assert_eq!(fs::read(&first).unwrap(), b"two");
    assert_eq!(names(&dir.path().join("backup")), ["vg"]);
    assert_eq!((mode(&first), mode(&dir.path().join("backup"))), (0o600, 0o700));
}

#[test]
fn archives_are_numbered_for_each_vg() {
    let dir = tempfile::tempdir().unwrap();
    let backups = backups(dir.path(), "");
    let archive = dir.path().join("archive");
    let now = SystemTime::now();
    for name in ["vg", "vg", "vg_00007-1", "vg"] {
        let path = path(backups.archive(&vg(name), name.as_bytes(), now).unwrap());
        assert_eq!(fs::read(&path).unwrap(), name.as_bytes());
        assert_eq!(mode(&path), 0o600);
    }
    let shape: Vec<String> = names(&archive)
        .iter()
        .map(|name| format!("{}-", name.strip_suffix(".vg").unwrap().rsplit_once('-').unwrap().0))
        .collect();
    assert_eq!(shape, ["vg_00000-", "vg_00001-", "vg_00002-", "vg_00007-1_00000-"]);
    fs::write(archive.join("vg_123456-1.vg"), "").unwrap();
    let path = path(backups.archive(&vg("vg"), b"", now).unwrap());
    assert!(path.file_name().unwrap().to_str().unwrap().starts_with("vg_123457-"));
    assert_eq!(mode(&archive), 0o700);
}

#[test]
fn archives_expire_when_they_are_old_and_enough() {
    let dir = tempfile::tempdir().unwrap();
    let keep = backups(dir.path(), "retain_min=3 retain_days=2");
    let archive = dir.path().join("archive");
    let now = SystemTime::now();
    for _ in 0..6 {
        keep.archive(&vg("vg"), b"", now).unwrap();
    }
    keep.archive(&vg("other"), b"", now).unwrap();
    assert_eq!(names(&archive).len(), 7, "all are young");
    keep.archive(&vg("vg"), b"", now + DAY).unwrap();
    assert_eq!(names(&archive).len(), 8, "young still");
    keep.archive(&vg("vg"), b"", now + 3 * DAY).unwrap();
    let kept: Vec<String> =
        names(&archive).iter().map(|name| name[..name.find('-').unwrap()].to_owned()).collect();
    assert_eq!(kept, ["other_00000", "vg_00005", "vg_00006", "vg_00007"], "others' copies stay");
}

#[test]
fn what_is_not_wanted_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let backups = backups(dir.path(), "archive=0 backup=0");
    assert_eq!(backups.backup(&vg("vg"), b"").unwrap(), Copied::NotWanted);
    assert_eq!(backups.archive(&vg("vg"), b"", SystemTime::now()).unwrap(), Copied::NotWanted);
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error_that_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("backup"), "").unwrap();
    let backups = backups(dir.path(), "");
    let error = backups.backup(&vg("vg"), b"").unwrap_err();
    assert!(error.to_string().starts_with("no copy of the metadata was kept: cannot create the directory"));
    fs::create_dir_all(dir.path().join("backup2/vg/occupied")).unwrap();
    let other = self::backups(dir.path(), &format!("backup_dir=\"{}/backup2\"", dir.path().display()));
    assert_eq!(other.backup(&vg("vg"), b"").unwrap_err().action, "replace");
    assert_eq!(names(&dir.path().join("backup2")), ["vg"], "the temporary file is gone");
}

#[test]
fn the_description_is_lvm2s() {
    assert_eq!(description("thinvol free x", false), "Created *before* executing 'thinvol free x'");
    assert_eq!(description("thinvol free x", true), "Created *after* executing 'thinvol free x'");
}

proptest! {
    #[test]
    fn file_names_come_apart_as_they_were_put_together(vg in "[a-z_+.][a-z0-9_+.-]{0,20}", number: u32, random: u32) {
        let name = format!("{vg}_{number:05}-{random}.vg");
        prop_assert_eq!(split_name(&name), Some((vg.as_str(), number)));
    }
}

#[test]
fn after_the_largest_number_copies_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let backups = backups(dir.path(), "retain_min = 1 retain_days = 0");
    let archive = dir.path().join("archive");
    fs::create_dir(&archive).unwrap();
    fs::write(archive.join("vg_4294967295-1.vg"), "old").unwrap();
    for text in [b"one", b"two"] {
        let path = path(backups.archive(&vg("vg"), text, SystemTime::now()).unwrap());
        assert_eq!(fs::read(&path).unwrap(), text);
        assert!(path.file_name().unwrap().to_str().unwrap().starts_with("vg_4294967295-"), "{path:?}");
    }
}
