use std::fs;

use proptest::prelude::{any, prop_assert, proptest};

use super::*;

fn conf(text: &str) -> Result<LvmConf, ConfError> {
    LvmConf::load(Path::new("/nonexistent"), Some(text))
}

fn refused(text: &str) -> String {
    conf(text).unwrap_err().to_string()
}

#[test]
fn without_files_everything_has_lvm2s_default() {
    let conf = LvmConf::load(Path::new("/nonexistent"), None).unwrap();
    assert_eq!(conf, LvmConf::defaults(Path::new("/nonexistent")).unwrap());
    assert_eq!(conf.devices.scan, [PathBuf::from("/dev")]);
    assert_eq!(conf.devices.filter, None);
    assert_eq!(conf.devices.devicesfile, Path::new("/nonexistent/devices/system.devices"));
    assert!(conf.devices.hints && conf.devices.use_devicesfile.is_none() && !conf.devices.scan_lvs);
    assert_eq!(conf.global.locking_dir, Path::new("/run/lock/lvm"));
    assert_eq!(conf.global.thin_check_options, ["-q"]);
    assert_eq!(conf.backup.archive_dir, Path::new("/nonexistent/archive"));
    assert_eq!((conf.backup.retain_min, conf.backup.retain_days), (10, 30));
    assert_eq!(conf.activation.thin_pool_autoextend_threshold, 100);
    assert_eq!(conf.activation.thin_pool_autoextend_percent, 20);
    assert!(conf.activation.monitoring);
    assert_eq!(conf.activation.volume_list, None);
}

#[test]
fn the_override_goes_before_lvmlocal_and_that_before_lvm_conf() {
    let dir = tempfile::tempdir().unwrap();
    let main = "# comment\ndevices {\n  filter = [ \"a|^/dev/sda$|\", \"r|.*|\" ]\n  scan_lvs = 1\n}\n\
                local { system_id = \"main\" }\ndevices/pv_min_size = 010000\nbackup { retain_min = 1 }\n";
    fs::write(dir.path().join("lvm.conf"), main).unwrap();
    fs::write(
        dir.path().join("lvmlocal.conf"),
        "local { system_id = \"here\" extra_system_ids = \"x\" }\nbackup { retain_min = 2 }",
    )
    .unwrap();
    let conf = LvmConf::load(dir.path(), Some("backup/retain_min=3 activation { volume_list=[] }")).unwrap();
    assert_eq!(conf.devices.filter.unwrap(), ["a|^/dev/sda$|", "r|.*|"]);
    assert!(conf.devices.scan_lvs);
    assert_eq!(conf.local.system_id.as_deref(), Some("here"));
    assert_eq!(conf.local.extra_system_ids, ["x"]);
    assert_eq!(conf.devices.pv_min_size_kib, 0o10000);
    assert_eq!(conf.backup.retain_min, 3);
    assert_eq!(conf.activation.volume_list, Some(vec![]), "an empty list is not the same as none");
}

#[test]
fn empty_executables_are_switched_off_and_words_are_booleans() {
    let text = "global { thin_check_executable = \"\" thin_check_options = [ \"\" ] wait_for_locks = \"no\" }\
                devices { types = [ \"fd\", 16, \"nvme\", 64 ] external_device_info_source = \"udev\" \
                hints = \"none\" md_component_checks = \"full\" }";
    let conf = conf(text).unwrap();
    assert_eq!(conf.global.thin_check_executable, None);
    assert!(conf.global.thin_check_options.is_empty());
    assert!(!conf.global.wait_for_locks);
    assert_eq!(conf.devices.types, [("fd".to_owned(), 16), ("nvme".to_owned(), 64)]);
    assert!(conf.devices.info_from_udev && !conf.devices.hints);
    assert_eq!(conf.devices.md_component_checks, MdChecks::Full);
}

#[test]
fn wrong_values_are_refused_with_file_line_and_key() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lvm.conf");
    fs::write(&file, "global {\n  umask = 077\n  wait_for_locks = \"perhaps\"\n}\n").unwrap();
    let text = LvmConf::load(dir.path(), None).unwrap_err().to_string();
    assert_eq!(text, format!("{}, line 3: global/wait_for_locks must be 0 or 1", file.display()));

    let by_option = "the configuration given by option, line 1: ";
    assert_eq!(
        refused("devices/filter=[1]"),
        format!("{by_option}devices/filter must be a list of strings in quotes")
    );
    assert_eq!(
        refused("devices/hints=\"some\""),
        format!("{by_option}devices/hints must be one of: all, none")
    );
    assert_eq!(
        refused("global/locking_dir=\"\""),
        format!("{by_option}global/locking_dir must not be empty")
    );
    assert!(refused("backup/retain_min=-1").contains("a whole number from 0 on"));
    assert!(refused("devices/types=[\"fd\"]").contains("followed by a number"));
    assert!(refused("devices/types=[\"fd\",0]").contains("followed by a number"));
    assert!(refused("backup/backup_dir=7").contains("must be a string"));
}

#[test]
fn a_broken_file_is_an_error_with_its_place_and_an_unreadable_one_too() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("lvm.conf"), "devices {\n").unwrap();
    let error = LvmConf::load(dir.path(), None).unwrap_err();
    assert!(matches!(&error, ConfError::Syntax { source, .. } if source.line == 2), "{error:?}");
    fs::remove_file(dir.path().join("lvm.conf")).unwrap();
    fs::create_dir(dir.path().join("lvm.conf")).unwrap();
    assert!(matches!(LvmConf::load(dir.path(), None).unwrap_err(), ConfError::Read { .. }));
}

#[test]
fn no_waiting_for_locks_means_one_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("global {{ locking_dir = \"{}\" wait_for_locks = 0 }}", dir.path().display());
    let locks = conf(&text).unwrap().locks(Duration::from_secs(3600));
    let vg = base::ids::VgName::new("vg").unwrap();
    let _held = locks.vg_for_write(&vg).unwrap();
    assert!(locks.vg_for_write(&vg).is_err());
}

fn host(text: &str, hostname: &str) -> HostIds {
    HostIds::resolve(&conf(text).unwrap(), hostname)
}

#[test]
fn system_ids_come_from_every_source() {
    assert_eq!(host("", "node1"), HostIds::default());
    assert_eq!(host("global/system_id_source=\"uname\"", "node1.example").ids, ["node1.example"]);
    let local =
        "global/system_id_source=\"lvmlocal\" local/system_id=\"-a b:c\" local/extra_system_ids=[\"d\"]";
    let ids = host(local, "x");
    assert_eq!(ids.ids, ["abc", "d"], "its own as lvm2 cleans it");

    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("machine-id"), "# made at install\n\n  0123456789abcdef # mine\nsecond\n")
        .unwrap();
    let etc = format!("global/etc=\"{}\" global/system_id_source=\"machineid\"", dir.path().display());
    assert_eq!(host(&etc, "x").ids, ["0123456789abcdef"]);
    // As systemd-id128(1) derives it for lvm2's application id.
    let etc = etc.replace("\"machineid", "\"appmachineid");
    assert!(host(&etc, "x").ids.is_empty(), "no machine id");
    fs::write(dir.path().join("machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
    assert_eq!(host(&etc, "x").ids, ["e04dc1622fd546c992a77a2d2421761f"]);
    fs::write(dir.path().join("machine-id"), "0123456789abcdef\n").unwrap();
    let file = format!(
        "global/system_id_file=\"{}/machine-id\" global/system_id_source=\"file\"",
        dir.path().display()
    );
    assert_eq!(host(&file, "x").ids, ["0123456789abcdef"]);
}

#[test]
fn a_source_without_an_id_is_a_warning_and_foreign_vgs_stay_foreign() {
    let sources = [
        ("global/system_id_source=\"uname\"", "localhost"),
        ("global/system_id_source=\"uname\"", "--"),
        ("global/system_id_source=\"lvmlocal\" local/extra_system_ids=\"a\"", "x"),
        ("global/system_id_source=\"file\"", "x"),
        ("global/system_id_source=\"file\" global/system_id_file=\"/nonexistent\"", "x"),
        ("global/system_id_source=\"stars\"", "x"),
    ];
    for (text, hostname) in sources {
        let ids = host(text, hostname);
        assert!(ids.ids.is_empty(), "{text}");
        assert!(ids.warning.is_some(), "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_configuration_or_an_error(
        text in "(devices|global|backup|/|\\{|\\}|=|\\[|\\]|\"|,|[a-z0-9_ \n-]){0,60}",
    ) {
        let _ = conf(&text);
    }

    #[test]
    fn any_value_is_taken_or_refused_by_name(
        key in proptest::sample::select(
            vec!["devices/filter", "devices/types", "devices/pv_min_size", "backup/backup"]
        ),
        value in any::<i32>(),
        string in "[ -~]{0,8}",
    ) {
        for value in [value.to_string(), crate::format::text::quote(&string), format!("[{value}]")] {
            if let Err(error) = conf(&format!("{key}={value}")) {
                prop_assert!(error.to_string().contains(key), "{}", error);
            }
        }
    }
}

#[test]
fn tags_belong_to_all_hosts_or_to_those_listed() {
    let conf = conf(
        "tags { hosttags = 1 everywhere { } @some { host_list = [ \"node1\", \"node2\" ] } nobody { host_list = [] } }",
    );
    let tags = conf.unwrap().tags;
    assert_eq!(tags.of_host("node1"), ["node1", "everywhere", "some"]);
    assert_eq!(tags.of_host("node3"), ["node3", "everywhere"]);
    assert!(LvmConf::defaults(Path::new("/nonexistent")).unwrap().tags.of_host("node1").is_empty());
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(tag_file(dir.path(), &tags.of_host("node1")), None);
    fs::write(dir.path().join("lvm_some.conf"), "").unwrap();
    assert!(tag_file(dir.path(), &tags.of_host("node1")).is_some());
    assert_eq!(tag_file(dir.path(), &tags.of_host("node3")), None);
}

#[test]
fn a_profile_says_how_full_a_pool_may_be() {
    let dir = tempfile::tempdir().unwrap();
    let profiles = dir.path().join("profile");
    std::fs::create_dir(&profiles).unwrap();
    std::fs::write(
        profiles.join("careful.profile"),
        "activation {\n thin_pool_autoextend_threshold = 70\n thin_pool_autoextend_percent = 35\n}\n",
    )
    .unwrap();
    std::fs::write(profiles.join("fast.profile"), "allocation {\n thin_pool_zero = 0\n}\n").unwrap();
    std::fs::write(profiles.join("wrong.profile"), "activation/thin_pool_autoextend_threshold = \"x\"\n")
        .unwrap();
    std::fs::write(dir.path().join("out.profile"), "activation/thin_pool_autoextend_threshold = 1\n")
        .unwrap();
    let conf = LvmConf::load(dir.path(), None).unwrap();
    for (name, threshold) in [("careful", Some(70)), ("fast", None), ("none", None), ("../out", None)] {
        assert_eq!(conf.threshold_of_profile(name).unwrap(), threshold, "{name}");
    }
    assert_eq!(conf.percent_of_profile("careful").unwrap(), Some(35));
    assert!(conf.threshold_of_profile("wrong").unwrap_err().to_string().contains("whole number"));
}
