//! The configuration on disk: verbs that change it, byte for byte.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::terminal::{repository, run, text};

/// Runs the command over a configuration; what it printed, and its exit code.
fn over(config: &Path, line: &str) -> (String, Option<i32>) {
    let config = config.display().to_string();
    let arguments: Vec<&str> = line.split(' ').chain(["--config", &config]).collect();
    let output = run(&arguments, "");
    (format!("{}{}", text(&output.stdout), text(&output.stderr)), output.status.code())
}

#[test]
fn a_storage_lives_and_the_rest_of_the_file_is_as_it_was() {
    let dir = tempfile::tempdir().expect("there is room for a directory");
    let config = dir.path().join("storage.cfg");
    let original = fs::read_to_string(repository().join("dm-tests/cli/storage.cfg")).expect("it is there");
    fs::write(&config, &original).expect("it can be written");
    fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).expect("it is ours");
    let silent = |line: &str| assert_eq!(over(&config, line), (String::new(), Some(0)), "{line}");
    let now = || fs::read_to_string(&config).expect("it is there");

    silent("add lvmthin new --vgname pve --thinpool data --disable 1 --content rootdir");
    let added =
        format!("{original}\nlvmthin: new\n\tdisable\n\tthinpool data\n\tvgname pve\n\tcontent rootdir\n\n");
    assert_eq!(now(), added);
    silent("set new --nodes pve1,pve2 --delete content");
    assert_eq!(now(), added.replace("\tcontent rootdir\n", "\tnodes pve1,pve2\n"));
    let (said, code) =
        over(&config, "set new --nodes pve1 --digest da39a3ee5e6b4b0d3255bfef95601890afd80709");
    assert_eq!(code, Some(1));
    assert!(said.starts_with("error: update storage failed: detected modified configuration"), "{said}");
    let (shown, _) = over(&config, "set new --nodes pve1 --json --dry-run");
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("it is JSON");
    let digest = shown["digest"].as_str().expect("it is text");
    silent(&format!("set new --nodes pve1 --digest {digest}"));
    silent("remove new");
    assert_eq!(now(), format!("{original}\n"));
    assert_eq!(fs::metadata(&config).expect("it is there").permissions().mode() & 0o777, 0o644);
    assert_eq!(fs::read_dir(dir.path()).expect("it is there").count(), 1);
}

#[test]
fn a_configuration_that_is_missing_is_made() {
    let dir = tempfile::tempdir().expect("there is room for a directory");
    let config = dir.path().join("storage.cfg");
    let line = "add iscsi san --portal 10.0.0.1 --target iqn.x --content none --disable 1";
    assert_eq!(over(&config, line), (String::new(), Some(0)));
    let made = fs::read_to_string(&config).expect("it was made");
    assert_eq!(made, "iscsi: san\n\tdisable\n\tportal 10.0.0.1\n\ttarget iqn.x\n\tcontent none\n\n");
}
