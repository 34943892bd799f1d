use proptest::prelude::{Just, Strategy, prop_oneof, proptest};

use super::{DmName, DmUuid, Layer};
use base::ids::{LvName, LvmUuid, VgName};

#[test]
fn names_are_built_as_lvm_builds_them() {
    let name = |vg, lv, layer| {
        DmName::of_lv(&VgName::new(vg).unwrap(), &LvName::new(lv).unwrap(), layer).unwrap().to_string()
    };
    assert_eq!(name("pve", "vm-100-disk-0", Layer::Plain), "pve-vm--100--disk--0");
    assert_eq!(name("my-vg", "data", Layer::Tpool), "my--vg-data-tpool");
    assert_eq!(name("pve", "data_tdata", Layer::Tdata), "pve-data_tdata");
    assert_eq!(name("pve", "base-9", Layer::Real), "pve-base--9-real");
    assert_eq!(name("pve", "data", Layer::Pool), "pve-data");
}

#[test]
fn names_of_others_are_told_apart() {
    for text in ["luks", "a--b", "-a-b", "a-", "a--", "mpath a-b", "vg-lv\u{e9}"] {
        assert!(DmName::new(text).unwrap().lvm_parts().is_err(), "{text}");
    }
    let parts = DmName::new("vg-lv-real-more").unwrap().lvm_parts().unwrap();
    assert_eq!(parts.layer.as_deref(), Some("real-more"));
}

#[test]
fn uuids_of_others_are_told_apart() {
    let id = "0123456789abcdefghijklmnopqrstuv";
    for text in [
        "CRYPT-LUKS2-x".to_owned(),
        "LVM-".to_owned(),
        format!("LVM-{id}"),
        format!("LVM-{id}{}", &id[1..]),
        format!("LVM-{id}{id}x"),
        format!("LVM-{id}{id}-"),
        format!("LVM-{}\u{e9}{id}", &id[1..]),
        format!("LVM-{}-{id}", &id[1..]),
    ] {
        assert!(DmUuid::new(&text).unwrap().lvm_parts().is_err(), "{text}");
    }
    let cow = DmUuid::new(&format!("LVM-{id}{id}-cow")).unwrap().lvm_parts().unwrap();
    assert_eq!((cow.suffix.as_str(), cow.layer()), ("-cow", None));
}

fn a_layer() -> impl Strategy<Value = Layer> {
    prop_oneof![
        Just(Layer::Plain),
        Just(Layer::Pool),
        Just(Layer::Tpool),
        Just(Layer::Tdata),
        Just(Layer::Tmeta),
        Just(Layer::Real)
    ]
}

proptest! {
    #[test]
    fn a_built_name_comes_apart_again(
        vg in "[a-zA-Z0-9+_][-a-zA-Z0-9+._]{0,20}",
        lv in "[a-zA-Z0-9+_][-a-zA-Z0-9+._]{0,20}",
        layer in a_layer(),
    ) {
        let (vg, lv) = (VgName::new(&vg).unwrap(), LvName::new(&lv).unwrap());
        let parts = DmName::of_lv(&vg, &lv, layer).unwrap().lvm_parts().unwrap();
        let suffix = layer.name_suffix().strip_prefix('-');
        assert_eq!((parts.vg, parts.lv, parts.layer.as_deref()), (vg, lv, suffix));
    }

    #[test]
    fn a_built_uuid_comes_apart_again(vg: [u8; 32], lv: [u8; 32], layer in a_layer()) {
        let (vg, lv) = (LvmUuid::from_random(vg), LvmUuid::from_random(lv));
        let parts = DmUuid::of_lv(&vg, &lv, layer).lvm_parts().unwrap();
        assert_eq!((parts.vg, parts.lv, parts.layer()), (vg, lv, Some(layer)));
    }

    #[test]
    fn any_text_is_taken_or_refused(text in "\\PC{0,140}", hyphens in "[-a]{1,127}") {
        for text in [text, hyphens] {
            let _ = DmName::new(&text).map(|name| name.lvm_parts());
            let _ = DmUuid::new(&text).map(|uuid| uuid.lvm_parts());
            let _ = DmUuid::new(&format!("LVM-{text}")).map(|uuid| uuid.lvm_parts());
        }
    }
}
