use super::{DevNo, LvName, LvmUuid, ThinId, VgName};

#[test]
fn uuid_is_shown_in_lvms_groups_and_read_back() {
    let uuid = LvmUuid::from_compact(b"abcdefGHIJklmnOPQRstuv0123456789").unwrap();
    assert_eq!(uuid.to_string(), "abcdef-GHIJ-klmn-OPQR-stuv-0123-456789");
    assert_eq!(uuid.to_string().parse::<LvmUuid>().unwrap(), uuid);
}

#[test]
fn uuid_with_wrong_groups_length_or_alphabet_is_refused() {
    assert!("abcdefG-HIJ-klmn-OPQR-stuv-0123-456789".parse::<LvmUuid>().is_err());
    assert!("abcdef-GHIJ-klmn-OPQR-stuv-0123-45678".parse::<LvmUuid>().is_err());
    assert!("abcdef-GHIJ-klmn-OPQR-stuv-0123-45678_".parse::<LvmUuid>().is_err());
}

#[test]
fn random_uuids_use_alphanumerics_only() {
    let uuid = LvmUuid::from_random(std::array::from_fn(|i| u8::try_from(i * 8 + 7).unwrap()));
    assert!(uuid.compact().chars().all(|c| c.is_ascii_alphanumeric()));
}

#[test]
fn names_follow_lvms_rules() {
    for good in ["pve", "vm-100-disk-0", "a.b", "x+y", "_", "..."] {
        assert!(VgName::new(good).is_ok(), "{good}");
    }
    for bad in ["", ".", "..", "-a", "a b", "a/b", "ä", "a\n"] {
        assert!(VgName::new(bad).is_err(), "{bad:?}");
    }
    assert!(LvName::new(&"x".repeat(128)).is_err());
}

#[test]
fn reserved_names_may_exist_but_not_be_created() {
    for reserved in ["pvmove0", "snapshot1", "data_tmeta", "lvol0_pmspare", "a_iorig"] {
        assert!(LvName::new(reserved).is_ok());
        assert!(LvName::for_new_volume(reserved).is_err(), "{reserved}");
    }
    assert!(LvName::for_new_volume("snap_vm-100-disk-0_s1").is_ok());
}

#[test]
fn thin_ids_have_24_bits() {
    assert_eq!(ThinId::new(16_777_215).unwrap(), ThinId::MAX);
    assert!(ThinId::new(16_777_216).is_err());
}

#[test]
fn device_numbers_read_back() {
    assert_eq!("253:7".parse::<DevNo>().unwrap(), DevNo { major: 253, minor: 7 });
    assert!("253".parse::<DevNo>().is_err());
}
