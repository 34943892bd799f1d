//! Configurations and volumes that do not fit together.

use config::guest::volumes;
use thin::internals::lineage::fixture::{lv, name, uuid};

use super::*;
use base::ids::ThinId;
use config::names::StorageId;
use thin::internals::view::fixture::view;

fn storage() -> Storage {
    let id = StorageId::new("st").unwrap();
    Storage { vg: VgName::new("pve").unwrap(), pool: name("data"), id: Some(id) }
}

fn guest(vmid: u64, text: &str) -> Guest {
    let named = volumes(text);
    let snapshots = named.iter().filter_map(|named| named.part.snapshot()).map(ToOwned::to_owned).collect();
    Guest { vmid, command: "qm", named, snapshots }
}

fn guests(guests: Vec<Guest>) -> Guests {
    Guests { guests: Some(guests), storages: BTreeMap::from([("st".to_owned(), storage())]) }
}

fn tags(of: usize, snap: &str) -> Vec<String> {
    vec![format!("thinvol.of={}", uuid(of)), format!("thinvol.snap={snap}")]
}

fn of_lvs(guests: &Guests, lvs: Vec<Lv>) -> Vec<Finding> {
    let (vg, view) = view(lvs);
    of_pool(guests, &storage(), (&vg, &view))
}

fn found(guests: &Guests, lvs: Vec<Lv>) -> Vec<(Kind, String)> {
    let mut found = of_lvs(guests, lvs);
    found.sort();
    found.into_iter().map(|finding| (finding.finding, finding.what)).collect()
}

fn one(kind: Kind, what: &str) -> (Kind, String) {
    (kind, what.to_owned())
}

#[test]
fn what_fits_together_is_not_told() {
    let config = "scsi0: st:vm-100-disk-0,size=4M\nunused0: st:vm-100-disk-1\nscsi1: /dev/pve/vm-100-raw\n\
                  ide2: st:vm-100-cloudinit,media=cdrom\nscsi5: other:vm-100-disk-8\n\
                  [s]\nscsi0: st:vm-100-disk-0\nide2: st:vm-100-cloudinit,media=cdrom\nvmstate: st:vm-100-state-s\n";
    let all = guests(vec![guest(100, config)]);
    let lvs = vec![
        lv(1, "vm-100-disk-0", None, vec![]),
        lv(2, "vm-100-disk-1", None, vec![]),
        lv(3, "vm-100-raw", None, vec![]),
        lv(4, "vm-100-cloudinit", None, vec![]),
        lv(5, "vm-100-state-s", None, vec![]),
        lv(6, "snap_vm-100-disk-0_s", Some("vm-100-disk-0"), tags(1, "s")),
        lv(7, "no-guests-volume", None, vec![]),
    ];
    assert_eq!(found(&all, lvs), []);
}

#[test]
fn volumes_that_nobody_names_and_that_are_not_there_are_told() {
    let all = guests(vec![guest(
        100,
        "scsi0: st:vm-100-disk-0\n[s]\nscsi0: st:vm-100-disk-1\nvmstate: st:vm-100-state-s\n",
    )]);
    let lvs = vec![lv(1, "vm-100-disk-1", None, vec![]), lv(2, "base-9000-disk-0", None, vec![])];
    assert_eq!(
        found(&all, lvs.clone()),
        [
            one(Kind::MissingVolume, "st:vm-100-disk-0"),
            one(Kind::MissingVolume, "st:vm-100-state-s"),
            one(Kind::MissingSnapshot, "st:vm-100-disk-1@s"),
            one(Kind::UnnamedVolume, "st:base-9000-disk-0"),
        ]
    );
    let advice = |lv: &str| {
        let found = of_lvs(&all, lvs.clone());
        found.into_iter().find(|finding| finding.what == format!("st:{lv}")).unwrap().advice
    };
    assert!(advice("base-9000-disk-0").contains("'thinvol free st:base-9000-disk-0' if nobody needs it"));
    let stray = vec![lv(1, "vm-100-disk-0", None, vec![]), lv(2, "vm-100-disk-7", None, vec![])];
    let stray = of_lvs(&all, stray).into_iter().find(|f| f.finding == Kind::UnnamedVolume).unwrap();
    assert_eq!(stray.advice, "'qm rescan --vmid 100' makes it an unused disk of the guest");
    // Without configurations nobody can say what is not named.
    assert_eq!(found(&Guests { guests: None, ..all }, lvs), []);
}

#[test]
fn snapshots_are_told_that_only_one_side_knows() {
    let all = guests(vec![guest(100, "scsi0: st:vm-100-disk-0\n")]);
    let lvs = vec![
        lv(1, "vm-100-disk-0", None, vec![]),
        lv(2, "snap_vm-100-disk-0_vzdump", Some("vm-100-disk-0"), tags(1, "vzdump")),
        lv(3, "snap_vm-200-disk-0_old", None, tags(77, "old")),
        lv(4, "snap_vm-201-disk-0_stock", None, vec![]),
        lv(5, "vm-300-disk-0", None, vec![IMPORTING.to_owned()]),
    ];
    assert_eq!(
        found(&all, lvs),
        [
            one(Kind::BrokenImport, "st:vm-300-disk-0"),
            one(Kind::UnnamedSnapshot, "st:vm-100-disk-0@vzdump"),
            one(Kind::LoneSnapshot, "pve/snap_vm-200-disk-0_old"),
            one(Kind::LoneSnapshot, "pve/snap_vm-201-disk-0_stock"),
        ]
    );
}

#[test]
fn ids_are_told_that_only_one_side_knows() {
    let (vg, _) = view(vec![lv(1, "vm-100-disk-0", None, vec![])]);
    let ids = PoolIds {
        pool: name("data"),
        unknown: vec![(ThinId::new(9).unwrap(), base::units::Bytes::new(65_536))],
        missing: vec![name("vm-100-disk-0")],
        unread: None,
    };
    let found = of_ids(&vg, &[ids]);
    assert_eq!(found[0].message, "the pool holds a thin device 9 of 64 KiB that no volume is");
    assert!(found[0].advice.ends_with("'dmsetup message pve-data-tpool 0 \"delete 9\"'"));
    assert_eq!((found[1].finding, found[1].what.as_str()), (Kind::MissingId, "pve/vm-100-disk-0"));
}
