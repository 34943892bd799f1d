use super::*;

const CONFIG: &str = "\
lvmthin: local-lvm
	thinpool data
	vgname pve

lvmthin: off
	thinpool data
	vgname pve
	disable

lvmthin: elsewhere
	thinpool data
	vgname pve
	nodes there
	what 1

iscsi: san
	portal 10.0.0.1
	target iqn.x

dir: files
	path /var/lib/vz

lvmthin: bad
	vgname pve

dir: twice

dir: twice
";

#[test]
fn addresses_are_taken_apart() {
    let resolver = Resolver::over(CONFIG);
    assert_eq!(resolver.storage("pve/data").unwrap().to_string(), "pve/data");
    assert_eq!(resolver.volume("/dev/pve/vm-1-d").unwrap().to_string(), "pve/vm-1-d");
    assert_eq!(resolver.source("pve/a").unwrap().to_string(), "pve/a");
    let source = resolver.source("pve/a@s1").unwrap();
    assert_eq!((source.to_string().as_str(), source.volume().to_string().as_str()), ("pve/a@s1", "pve/a"));
    assert!(matches!(resolver.target("pve").unwrap(), NamedObject::Vg(_)));
    assert!(matches!(resolver.target("pve/a").unwrap(), NamedObject::Volume(_)));
    assert!(matches!(resolver.target("pve/a@s").unwrap(), NamedObject::Snapshot(_)));
    assert_eq!(resolver.warnings(), Vec::<String>::new());
}

#[test]
fn what_was_named_by_a_storage_is_shown_by_it() {
    let resolver = Resolver::over(CONFIG);
    let storage = resolver.storage("local-lvm").unwrap();
    assert_eq!((storage.to_string().as_str(), storage.vg.as_str()), ("local-lvm", "pve"));
    let snapshot = resolver.snapshot("local-lvm:vm-100-disk-0@s").unwrap();
    assert_eq!(snapshot.to_string(), "local-lvm:vm-100-disk-0@s");
    let volume = resolver.volume("local-lvm:vm-100-disk-0").unwrap();
    assert_eq!(volume, resolver.volume("pve/vm-100-disk-0").unwrap());
    assert_eq!(volume.sibling(LvName::new("vm-1-x").unwrap()).to_string(), "local-lvm:vm-1-x");
    let target = resolver.target("local-lvm").unwrap();
    assert!(target.is_same(&resolver.target("pve/data").unwrap()));
    assert!(!target.is_same(&resolver.target("pve").unwrap()));
    assert!(!target.is_same(&resolver.target("local-lvm:vm-100-disk-0").unwrap()));
}

fn told(error: CliError) -> String {
    format!("{} {} / {}", error.code.exit_code(), error.message, error.hint.unwrap_or_default())
}

#[test]
fn what_is_no_address_says_how_to_write_one() {
    let resolver = Resolver::over(CONFIG);
    let form = "write it as <storage>:<volume> or <vg>/<lv>";
    for (error, expected) in [
        (resolver.volume("pve").unwrap_err(), format!("2 'pve' is not a volume / {form}")),
        (resolver.volume("a/b/c").unwrap_err(), format!("2 'a/b/c' is not a volume / {form}")),
        (
            resolver.volume("/dev/mapper/pve-a").unwrap_err(),
            format!("2 '/dev/mapper/pve-a' is not a volume / {form}"),
        ),
        (
            resolver.storage("pve/da ta").unwrap_err(),
            "2 logical volume name 'da ta' is not valid: ' ' is not among a-z A-Z 0-9 . _ + - / ".into(),
        ),
        (
            resolver.snapshot("pve/a").unwrap_err(),
            "2 'pve/a' names no snapshot / write 'pve/a@<snapshot>'".into(),
        ),
        (resolver.snapshot("pve/a@").unwrap_err(), "2 snapshot name '' is not valid: it is empty / ".into()),
        (
            resolver.volume("pve/a@s").unwrap_err(),
            "2 'pve/a@s' is a snapshot, not a volume / the volume is 'pve/a'; snapshots are removed by \
             'thinvol delete-snapshot pve/a@s'"
                .into(),
        ),
        (
            resolver.storage("local-lvm:vm-1-d").unwrap_err(),
            "2 'local-lvm:vm-1-d' is a volume, not a storage / the storage is 'local-lvm'".into(),
        ),
        (
            resolver.volume("local-lvm:data").unwrap_err(),
            "2 unable to parse lvm volume name 'data' / volumes of a storage are named vm-<VMID>-<name> or \
             base-<VMID>-<name>; others are written as <vg>/<lv>"
                .into(),
        ),
        (
            resolver.volume(":x").unwrap_err(),
            "2 unable to parse volume ID ':x' / write it as <storage>:<volume>".into(),
        ),
    ] {
        assert_eq!(told(error), expected);
    }
}

#[test]
fn storages_that_cannot_be_used_say_so_in_the_words_of_proxmox_ve() {
    let resolver = Resolver::over(CONFIG);
    for (storage, expected) in [
        (
            "none",
            "3 storage 'none' does not exist / 'thinvol status' lists the storages of storage.cfg; a pool may \
             also be written as <vg>/<pool>",
        ),
        ("off", "1 storage 'off' is disabled / 'thinvol set off --disable 0' switches it on"),
        (
            "elsewhere",
            "1 storage 'elsewhere' is not available on node 'here' / 'thinvol set elsewhere --delete nodes' \
             takes the restriction away",
        ),
        ("san", "7 storage 'san' is of type iscsi, not a thin pool / "),
        (
            "files",
            &format!(
                "7 storage 'files' is of type 'dir', which thinvol does not handle / thinvol handles the types {}; \
                 use pvesm for others",
                Type::names("and")
            ),
        ),
        (
            "bad",
            "1 storage.cfg line 23: section 'bad' cannot be used: missing value for required option 'thinpool' \
             / correct the section",
        ),
        (
            "twice",
            "1 storage 'twice' is defined more than once: storage.cfg lines 26, 28 / give one of the sections \
             another id",
        ),
    ] {
        assert_eq!(told(resolver.storage(storage).unwrap_err()), expected);
        assert_eq!(told(resolver.volume(&format!("{storage}:vm-1-d")).unwrap_err()), expected);
    }
    assert!(resolver.source_anywhere("off:vm-100-disk-0").is_ok());
    assert!(resolver.warnings().iter().any(|warning| warning.contains("unknown property type")));
    let pool_words = Resolver { verb: Some(PoolVerb::Free), ..Resolver::over(CONFIG) };
    assert_eq!(
        told(pool_words.volume("san:0.0.1.x").unwrap_err()),
        "7 can't free space in iscsi storage / storage 'san' is of type iscsi"
    );
}

#[test]
fn what_is_no_block_device_is_refused() {
    let resolver = Resolver::over("");
    assert_eq!(resolver.devices(&["/dev/null".into()]).unwrap_err().code, ErrorKind::Usage);
    assert_eq!(resolver.devices(&["/nowhere".into()]).unwrap_err().code, ErrorKind::NotFound);
}
