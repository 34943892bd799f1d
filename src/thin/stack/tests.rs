use super::StackError;
use base::ids::{FullName, LvName, VgName};

#[test]
fn every_error_names_its_volumes_with_their_group() {
    let full = |lv| VgName::new("pve").unwrap().volume(&LvName::new(lv).unwrap());
    let (lv, other): (FullName, FullName) = (full("a"), full("b"));
    let source = LvName::new("a b").unwrap_err();
    let table = [
        (
            StackError::Unsupported { lv: lv.clone(), segtype: "raid5".into() },
            "volume pve/a has a segment of type 'raid5', which thinvol does not activate",
        ),
        (
            StackError::BuiltUpon { lv: lv.clone(), user: other.clone() },
            "volume pve/b is built on volume pve/a, in a way thinvol does not know",
        ),
        (
            StackError::Merging { origin: lv.clone(), snapshot: other },
            "snapshot pve/b is being merged into volume pve/a",
        ),
        (StackError::Overflow { lv: lv.clone() }, "volume pve/a: a size in its metadata overflows"),
        (StackError::Name { lv: lv.clone(), source }, "volume pve/a cannot have a device"),
        (
            StackError::Dangling { lv, missing: "x_tdata".into() },
            "volume pve/a refers to 'x_tdata', which does not exist",
        ),
    ];
    for (error, said) in table {
        assert_eq!(error.to_string(), said);
    }
}
