use super::*;

fn asked(vg: &Vg, volume: &str, to: &str) -> Result<Vec<Request>, Refusal> {
    let change = RenameVolume::new(Here::volume_of(volume), name(to));
    Ok(lower(vg, &[change.into()])?.requests)
}

#[test]
fn snapshots_follow_and_those_of_others_do_not() {
    let vg = vg(vec![
        lv(1, "vm-200-d", None, vec![]),
        lv(2, "vm-200-d_x", None, vec![]),
        lv(3, "snap_vm-200-d_x_y", Some("vm-200-d_x"), vec![]),
        lv(4, "snap_vm-200-d_b", Some("vm-200-d"), vec![]),
    ]);
    let renamed = |from: &str, to: &str| Request::Rename { name: name(from), to: name(to) };
    assert_eq!(
        asked(&vg, "pve/vm-200-d", "vm-200-e").unwrap(),
        [renamed("vm-200-d", "vm-200-e"), renamed("snap_vm-200-d_b", "snap_vm-200-e_b")]
    );
    let refused = asked(&vg, "pve/snap_vm-200-d_b", "x").unwrap_err();
    assert_eq!(refused.message, "rename_snapshot is not supported for 'pve/snap_vm-200-d_b'");
}

#[test]
fn the_owners_tag_changes_with_the_owner_only() {
    let mut volume = lv(1, "vm-100-disk-0", None, vec![]);
    volume.tags = vec!["pve-vm-100".into(), "mine".into()];
    let vg = vg(vec![volume, lv(2, "vm-102-disk-0", None, vec![])]);
    let tags = |to: &str| match asked(&vg, "pve/vm-100-disk-0", to).unwrap().as_slice() {
        [_] => None,
        [_, Request::Modify { attributes, .. }] => {
            Some((attributes.add_tags.join(" "), attributes.remove_tags.join(" ")))
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(tags("vm-100-disk-7"), None);
    assert_eq!(tags("vm-101-disk-0"), Some(("pve-vm-101".into(), "pve-vm-100".into())));
    assert_eq!(tags("archive"), Some((String::new(), "pve-vm-100".into())));
    let untagged = asked(&vg, "pve/vm-102-disk-0", "archive").unwrap();
    assert_eq!(untagged.len(), 2, "{untagged:?}");
}

#[test]
fn a_template_is_read_only_skipped_and_inactive_under_its_new_name() {
    let vg = vg(vec![
        lv(1, "vm-9000-disk-0", None, vec![]),
        lv(2, "vm-9001-disk-0", None, vec![]),
        lv(3, "snap_vm-9001-disk-0_a", Some("vm-9001-disk-0"), vec![]),
        lv(4, "base-9002-disk-0", None, vec![]),
        lv(5, "other", None, vec![]),
    ]);
    let asked = |volume: &str| lower(&vg, &[MakeTemplate::new(Here::volume_of(volume)).into()]);
    let made = asked("pve/vm-9000-disk-0").unwrap().requests;
    let base = || name("base-9000-disk-0");
    assert_eq!(made[0], Request::Rename { name: name("vm-9000-disk-0"), to: base() });
    assert!(matches!(&made[1], Request::Modify { name, attributes }
        if *name == base() && attributes.read_only == Some(true) && attributes.skip_activation == Some(true)));
    assert_eq!(made[2], Request::Deactivate { name: base() });
    for (volume, why) in [
        ("pve/vm-9001-disk-0", "'pve/vm-9001-disk-0' has snapshots: a"),
        ("pve/base-9002-disk-0", "'pve/base-9002-disk-0' is a template already"),
        ("pve/other", "'pve/other' is not named 'vm-<VMID>-…': whose template it would be is not known"),
    ] {
        assert_eq!(asked(volume).unwrap_err().message, why);
    }
}
