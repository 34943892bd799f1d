use super::*;
use crate::request::NewSize;

fn group() -> Vg {
    vg(vec![
        lv(1, "a", None, vec![]),
        lv(2, "a_b", None, vec![]),
        lv(3, "snap_a_b_c", Some("a_b"), vec![]),
        lv(4, "vm-100-disk-0", None, vec![]),
        lv(5, "snap_vm-100-disk-0_s", Some("vm-100-disk-0"), vec![]),
    ])
}

fn asked(text: &str) -> Result<Vec<Request>, Refusal> {
    lowered(&group(), text)
}

fn origin_of(request: &Request) -> Option<&str> {
    match request {
        Request::Snapshot { origin, .. } => Some(origin.as_str()),
        _ => None,
    }
}

#[test]
fn lines_may_build_on_what_earlier_lines_make() {
    let requests = asked(
        r#"{"request":"create","pool":"pve/data","name":"new","size":"1G"}
{"request":"snapshot","snapshot":"pve/a@now"}
{"request":"clone","source":"pve/a@now","name":"copy"}
{"request":"clone","source":"pve/a_b@c","name":"other"}
{"request":"remove","volume":"pve/a_b@c"}
{"request":"activate","volume":"pve/new"}"#,
    )
    .unwrap();
    assert_eq!(origin_of(&requests[1]), Some("a"));
    assert_eq!(origin_of(&requests[2]), Some("snap_a_now"));
    assert_eq!(origin_of(&requests[3]), Some("snap_a_b_c"));
    assert_eq!(requests[4], Request::Remove { name: name("snap_a_b_c") });
    assert!(matches!(&requests[5], Request::Activate { name, .. } if name.as_str() == "new"));
}

#[test]
fn a_snapshot_made_by_the_batch_is_not_taken_for_one_of_another_volume() {
    let error = asked(
        r#"{"request":"snapshot","snapshot":"pve/a_b@d"}
{"request":"clone","source":"pve/a@b_d","name":"copy"}"#,
    )
    .unwrap_err();
    assert_eq!(error.message, "2: volume 'pve/a' has no snapshot 'b_d'");
    let error = asked(r#"{"request":"remove","volume":"pve/a@b_c"}"#).unwrap_err();
    assert_eq!(error.message, "1: volume 'pve/a' has no snapshot 'b_c'");
    assert!(error.hint.unwrap().contains("'pve/snap_a_b_c' has the name of one"));
    assert_eq!(asked(r#"{"request":"remove","volume":"pve/x"}"#).unwrap_err().kind, ErrorKind::NotFound);
}

#[test]
fn a_name_means_what_has_it_by_then() {
    let requests = asked(
        r#"{"request":"rename","volume":"pve/a_b","name":"z"}
{"request":"rollback","snapshot":"pve/z@c"}
{"request":"rename","volume":"pve/a","name":"a_b"}
{"request":"resize","volume":"pve/a_b","size":"+1G"}
{"request":"clone","source":"pve/z@c","name":"a"}"#,
    )
    .unwrap();
    let renamed = |from: &str, to: &str| Request::Rename { name: name(from), to: name(to) };
    assert_eq!(requests[0], renamed("a_b", "z"));
    assert_eq!(requests[1], renamed("snap_a_b_c", "snap_z_c"));
    assert_eq!(requests[2], Request::Rollback { name: name("z"), to: name("snap_z_c") });
    assert_eq!(requests[3], renamed("a", "a_b"));
    assert!(matches!(&requests[4], Request::Resize { name, size: NewSize::By(_), shrink: false }
        if name.as_str() == "a_b"));
    assert_eq!(origin_of(&requests[5]), Some("snap_z_c"));
    let gone = asked(
        r#"{"request":"rename","volume":"pve/a","name":"z"}
{"request":"resize","volume":"pve/a","size":"1G"}"#,
    );
    assert_eq!(gone.unwrap_err().message, "2: volume 'pve/a' does not exist");
}

#[test]
fn snapshots_of_a_volume_that_a_storage_names_go_with_it_once() {
    let disk = || Request::Remove { name: name("vm-100-disk-0") };
    let snap = || Request::Remove { name: name("snap_vm-100-disk-0_s") };
    let removed = |volume: &str| format!(r#"{{"request":"remove","volume":"{volume}"}}"#);
    assert_eq!(asked(&removed("st:vm-100-disk-0")).unwrap(), [disk(), snap()]);
    assert_eq!(asked(&removed("pve/vm-100-disk-0")).unwrap(), [disk()]);
    let both = [removed("st:vm-100-disk-0@s"), removed("st:vm-100-disk-0")].join("\n");
    assert_eq!(asked(&both).unwrap(), [snap(), disk()]);
}

#[test]
fn all_changes_that_are_wrong_are_found() {
    let text = [
        r#"{"request":"resize","volume":"pve/x","size":"1G"}"#,
        r#"{"request":"rename","volume":"pve/a_b","name":"z"}"#,
        r#"{"request":"resize","volume":"pve/a_b","size":"1G"}"#,
        r#"{"request":"activate","volume":"pve/z"}"#,
    ];
    let changes = changes(&text.join("\n"));
    let refusal = lower(&group(), &changes).unwrap_err();
    let told = |refusal: &Refusal| (refusal.request, refusal.message.clone());
    assert_eq!(told(&refusal), (Some(0), "volume 'pve/x' does not exist".into()));
    let others: Vec<_> = refusal.others.iter().map(told).collect();
    assert_eq!(others, [(Some(2), "volume 'pve/a_b' does not exist".into())]);
    let good = [changes[1].clone(), changes[3].clone()];
    let places = lower(&group(), &good).unwrap().parts.into_iter().map(|part| part.change);
    assert_eq!(places.collect::<Vec<_>>(), [0, 0, 1], "the snapshot follows its volume's name");
}

#[test]
fn new_disks_of_one_guest_get_numbers_of_their_own() {
    let storage = Here.storage("pve/data").unwrap();
    let create = || CreateVolume::new(storage.clone(), NewName::NextDisk(100), Sectors::new(8193)).into();
    let lowered = lower(&group(), &[create(), create()]).unwrap();
    let names: Vec<_> = lowered.parts.iter().map(|part| part.display_name.as_str()).collect();
    assert_eq!(names, ["pve/vm-100-disk-1", "pve/vm-100-disk-2"]);
    let (asked, extent) = (Sectors::new(8193), Sectors::new(8192));
    assert_eq!(lowered.notes[0], Note::Rounded { asked, extents: 2, extent });
}

/// A volume that was chosen by its tag, and lost it before the lock was had.
#[test]
fn a_volume_that_was_changed_meanwhile_is_told() {
    let filter = VolumeFilter { tags: vec!["gold".into()], ..VolumeFilter::default() };
    let filter = std::sync::Arc::new(filter);
    let vg = vg(vec![lv(1, "scratch", None, vec!["gold".into()]), lv(2, "other", None, vec![])]);
    let remove = |name: &str| {
        let volume = Volume { chosen_by: Some(filter.clone()), ..Here::volume_of(&format!("pve/{name}")) };
        let removal = RemoveVolume::new(VolumeOrSnapshot::Volume(volume));
        lower(&vg, &[RemoveVolume { if_exists: true, ..removal }.into()])
    };
    assert!(remove("scratch").is_ok());
    for changed in ["other", "gone"] {
        assert_eq!(remove(changed).unwrap_err().kind, ErrorKind::Busy);
    }
}
