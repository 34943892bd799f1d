use super::*;
use crate::lineage::fixture::uuid;
use crate::lineage::{complete_tags, snapshot_tags};

fn removal(volume: &str, snapshots: Option<bool>, force: bool) -> RemoveVolume {
    let volume = RemoveVolume::new(VolumeOrSnapshot::Volume(Here::volume_of(volume)));
    RemoveVolume { snapshots, force, if_exists: true, ..volume }
}

fn removed(vg: &Vg, volumes: &[&str], snapshots: Option<bool>, force: bool) -> Result<Vec<String>, Refusal> {
    let changes: Vec<Change> =
        volumes.iter().map(|volume| removal(volume, snapshots, force).into()).collect();
    let requests = lower(vg, &changes)?.requests.into_iter().map(|request| match request {
        Request::Remove { name } => name.to_string(),
        other => panic!("{other:?}"),
    });
    Ok(requests.collect())
}

#[test]
fn a_volumes_own_snapshots_go_with_it_and_no_others() {
    let vg = vg(vec![
        lv(1, "vm-200-d", None, vec![]),
        lv(2, "vm-200-d_x", None, vec![]),
        lv(3, "snap_vm-200-d_x_y", Some("vm-200-d_x"), vec![]),
        lv(4, "snap_vm-200-d_b", Some("vm-200-d"), vec![]),
    ]);
    let both = ["vm-200-d", "snap_vm-200-d_b"];
    assert_eq!(removed(&vg, &["pve/vm-200-d"], Some(true), false).unwrap(), both);
    assert_eq!(removed(&vg, &["pve/vm-200-d"], None, false).unwrap(), ["vm-200-d"]);
    assert_eq!(removed(&vg, &["st:vm-200-d"], None, false).unwrap(), both);
    assert_eq!(removed(&vg, &["st:vm-200-d"], Some(false), false).unwrap(), ["vm-200-d"]);
    let named = ["pve/snap_vm-200-d_b", "pve/vm-200-d"];
    assert_eq!(removed(&vg, &named, Some(true), false).unwrap(), ["snap_vm-200-d_b", "vm-200-d"]);
    let named = ["pve/vm-200-d", "pve/snap_vm-200-d_b"];
    assert_eq!(removed(&vg, &named, Some(true), false).unwrap(), both, "each once");
}

#[test]
fn what_is_discarded_comes_first_and_what_is_not_there_is_noted() {
    let vg = vg(vec![lv(1, "a", None, vec![]), lv(2, "b", None, vec![])]);
    let discarding = |volume| Change::from(RemoveVolume { discard: true, ..removal(volume, None, false) });
    let lowered = lower(&vg, &[discarding("pve/a"), discarding("pve/gone"), discarding("pve/b")]).unwrap();
    let (discard, remove) =
        (|lv| Request::Discard { name: name(lv) }, |lv| Request::Remove { name: name(lv) });
    assert_eq!(lowered.requests, [discard("a"), discard("b"), remove("a"), remove("b")]);
    assert_eq!(lowered.parts.iter().map(|part| part.change).collect::<Vec<_>>(), [0, 2, 0, 2]);
    assert_eq!(lowered.notes, [Note::Absent(Here::volume_of("pve/gone"))]);
    let strict = RemoveVolume { if_exists: false, ..removal("pve/gone", None, false) };
    assert_eq!(lower(&vg, &[strict.into()]).unwrap_err().kind, ErrorKind::NotFound);
}

#[test]
fn a_snapshot_that_was_not_asked_for_does_not_go() {
    let vg = vg(vec![lv(1, "vm-200-d", None, vec![]), lv(2, "snap_vm-200-d_b", Some("vm-200-d"), vec![])]);
    let asked = |confirmed: &[&str]| {
        let confirmed = Some(confirmed.iter().map(|shown| (*shown).to_owned()).collect());
        lower(&vg, &[RemoveVolume { confirmed, ..removal("st:vm-200-d", None, false) }.into()])
    };
    assert_eq!(asked(&["st:vm-200-d@b"]).unwrap().requests.len(), 2);
    assert_eq!(asked(&[]).unwrap_err().kind, ErrorKind::Busy);
}

/// `lvrename` and `lvchange --permission rw` keep the tags.
#[test]
fn a_snapshot_that_became_a_disk_stays_and_is_told() {
    let tags = |snap| complete_tags(&snapshot_tags(&SnapName::new(snap).unwrap()), &uuid(1));
    let mut writable = lv(4, "snap_vm-100-disk-0_s2", None, tags("s2"));
    (writable.status, writable.flags) = (vec!["READ".into(), "WRITE".into(), "VISIBLE".into()], vec![]);
    let vg = vg(vec![
        lv(1, "vm-100-disk-0", None, vec![]),
        lv(2, "vm-200-disk-0", Some("vm-100-disk-0"), tags("s1")),
        lv(3, "snap_vm-100-disk-0_s3", Some("vm-100-disk-0"), tags("s3")),
        writable,
    ]);
    assert_eq!(
        removed(&vg, &["st:vm-100-disk-0"], Some(true), false).unwrap(),
        ["vm-100-disk-0", "snap_vm-100-disk-0_s3"]
    );
    let volumes = ["pve/vm-100-disk-0", "pve/snap_vm-100-disk-0_s2"];
    let changes: Vec<Change> =
        volumes.iter().map(|volume| removal(volume, Some(true), false).into()).collect();
    let lowered = lower(&vg, &changes).unwrap();
    assert_eq!(lowered.requests.len(), 3, "what is asked for by name goes");
    let volume = Here::volume_of("pve/vm-100-disk-0");
    let stays = Note::FormerSnapshotStays { volume, snap: "s1".into(), former: name("vm-200-disk-0") };
    assert_eq!(lowered.notes, [stays]);
}

#[test]
fn a_template_with_clones_is_kept_unless_they_go_or_it_is_forced() {
    let vg = vg(vec![
        lv(1, "base-9000-disk-0", None, vec![]),
        lv(2, "vm-101-disk-0", Some("base-9000-disk-0"), vec![]),
        lv(3, "vm-102-disk-0", Some("base-9000-disk-0"), vec![]),
    ]);
    let refused = removed(&vg, &["pve/base-9000-disk-0", "pve/vm-101-disk-0"], Some(true), false);
    assert_eq!(
        refused.unwrap_err().message,
        "'pve/base-9000-disk-0' is the template of clones that exist: vm-102-disk-0"
    );
    assert_eq!(removed(&vg, &["pve/base-9000-disk-0"], Some(true), true).unwrap().len(), 1);
    let all = ["pve/vm-102-disk-0", "pve/base-9000-disk-0", "pve/vm-101-disk-0"];
    assert_eq!(removed(&vg, &all, Some(true), false).unwrap().len(), 3);
}
