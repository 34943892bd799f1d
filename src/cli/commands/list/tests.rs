use super::*;
use crate::backends::lvmthin::{left_out, rows};
use crate::filter::Filter;
use crate::guests::Guests;
use lvm2::format::model::Lv;
use thin::internals::lineage::fixture::{lv, uuid};
use thin::internals::view::fixture::view;

fn of(number: usize) -> String {
    format!("thinvol.of={}", uuid(number))
}

fn shown(tree: bool, vmid: Option<u64>, lvs: Vec<Lv>) -> String {
    let filter = Filter { vmid, ..Filter::default() };
    listed(&VolumeQuery { tree, filter, ..VolumeQuery::default() }, &TableOptions::default(), lvs)
}

fn listed(query: &VolumeQuery, table: &TableOptions, lvs: Vec<Lv>) -> String {
    let (vg, view) = view(lvs);
    let storage = crate::resolve::Resolver::over("").storage("pve/data").unwrap();
    let rows = rows(query, (&vg, &view), &storage, &Guests::default());
    let mut out = Vec::new();
    let volumes = table.table(COLUMNS, USUAL, size::Unit::Byte, rows).unwrap();
    let answer =
        Volumes { storage: storage.to_string(), volumes, notes: vec![], warnings: vec![], tree: query.tree };
    answer.text(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn family() -> Vec<Lv> {
    vec![
        lv(1, "vm-100-disk-0", None, vec![]),
        lv(2, "snap_vm-100-disk-0_s", None, vec![of(1), "thinvol.snap=s".into()]),
        lv(3, "vm-101-disk-0", Some("snap_vm-100-disk-0_s"), vec![of(2)]),
        lv(4, "Scratch", None, vec![]),
        lv(5, "snap_vm-9-d_old", None, vec![of(99), "thinvol.snap=old".into()]),
        lv(6, "vm-100-disk-1", None, vec![]),
    ]
}

#[test]
fn the_columns_are_those_of_pvesm_and_nothing_but_snapshots_is_left_out() {
    assert_eq!(
        shown(false, None, family()),
        "Volid               Format  Type         Size VMID\n\
         pve/vm-100-disk-0   raw     images    4194304 100\n\
         pve/vm-100-disk-1   raw     images    4194304 100\n\
         pve/vm-101-disk-0   raw     images    4194304 101\n\
         pve/Scratch         raw     images    4194304\n\
         pve/snap_vm-9-d_old raw     images    4194304\n"
    );
    assert_eq!(shown(false, None, vec![]), "Volid Format  Type      Size VMID\n");
    assert_eq!(shown(false, Some(101), family()).lines().count(), 2);
}

#[test]
fn the_tree_shows_when_a_snapshot_was_taken() {
    let at = |lv: Lv, time| Lv { creation_time: Some(time), ..lv };
    let lvs = vec![
        at(lv(1, "vm-100-disk-0", None, vec![]), 1),
        at(lv(2, "snap_vm-100-disk-0_s", None, vec![of(1), "thinvol.snap=s".into()]), 86_400),
    ];
    let taken = moment(86_400);
    assert_eq!(
        shown(true, None, lvs),
        format!(
            "pve/vm-100-disk-0           4 MiB\n  \
               pve/snap_vm-100-disk-0_s  4 MiB  snapshot s  {taken}\n"
        )
    );
}

#[test]
fn the_tree_shows_what_was_made_from_what() {
    assert_eq!(
        shown(true, None, family()),
        "pve/Scratch                 4 MiB\n\
         pve/snap_vm-9-d_old         4 MiB  snapshot old of a volume that is gone\n\
         pve/vm-100-disk-0           4 MiB\n  \
           pve/snap_vm-100-disk-0_s  4 MiB  snapshot s\n    \
             pve/vm-101-disk-0       4 MiB  clone\n\
         pve/vm-100-disk-1           4 MiB\n"
    );
    assert_eq!(
        shown(true, Some(101), family()),
        "pve/vm-101-disk-0  4 MiB  clone\n",
        "the tree of a guest starts at its own volumes"
    );
    assert_eq!(shown(true, Some(100), family()).lines().count(), 4);
}

#[test]
fn a_storage_lists_what_has_a_volume_id() {
    let query = VolumeQuery::default();
    let (vg, view) = view(family());
    let config = "lvmthin: local-lvm\n\tvgname pve\n\tthinpool data\n";
    let storage = crate::resolve::Resolver::over(config).storage("local-lvm").unwrap();
    let found = rows(&query, (&vg, &view), &storage, &Guests::default());
    let volumes: Vec<&str> = found.iter().map(|row| row.volume.as_str()).collect();
    assert_eq!(volumes, ["local-lvm:vm-100-disk-0", "local-lvm:vm-100-disk-1", "local-lvm:vm-101-disk-0"]);
    assert_eq!(
        left_out(&query, &vg, &storage).unwrap(),
        "2 volumes with other names are left out; 'thinvol list pve/data' shows them"
    );
    let tree = rows(&VolumeQuery { tree: true, ..query }, (&vg, &view), &storage, &Guests::default());
    let parents: Vec<_> = tree.iter().filter_map(|row| row.parent.as_ref()?.volume.as_deref()).collect();
    assert_eq!(parents, ["local-lvm:vm-100-disk-0", "pve/snap_vm-100-disk-0_s"]);
    let images = VolumeQuery { content: Some("rootdir".into()), ..VolumeQuery::default() };
    assert!(rows(&images, (&vg, &view), &storage, &Guests::default()).is_empty());
}

#[test]
fn snapshots_are_listed_with_their_volumes_as_commands_call_them() {
    let table = TableOptions { noheadings: true, ..TableOptions::default() };
    let of_100 = Filter { vmid: Some(100), ..Filter::default() };
    assert_eq!(
        listed(&VolumeQuery { snapshots: true, filter: of_100, ..VolumeQuery::default() }, &table, family()),
        "pve/vm-100-disk-0   raw     images    4194304 100\n\
         pve/vm-100-disk-0@s raw     images    4194304 100\n\
         pve/vm-100-disk-1   raw     images    4194304 100\n"
    );
    let by_name = Filter { name: Some("*disk-0".into()), ..Filter::default() };
    let columns = TableOptions { columns: Some("address,parent,volume".into()), ..table };
    assert_eq!(
        listed(
            &VolumeQuery { snapshots: true, filter: by_name, ..VolumeQuery::default() },
            &columns,
            family()
        ),
        "pve/vm-100-disk-0    -                         pve/vm-100-disk-0\n\
         pve/vm-100-disk-0@s  pve/vm-100-disk-0         pve/snap_vm-100-disk-0_s\n\
         pve/vm-101-disk-0    pve/snap_vm-100-disk-0_s  pve/vm-101-disk-0\n"
    );
}

#[test]
fn the_order_is_the_one_asked_for() {
    let table = TableOptions { sort: Some("-address".into()), noheadings: true, ..TableOptions::default() };
    let shown = listed(&VolumeQuery::default(), &table, family());
    let names: Vec<&str> = shown.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names[..2], ["pve/vm-101-disk-0", "pve/vm-100-disk-1"]);
    assert_eq!(names[4], "pve/Scratch");
}
