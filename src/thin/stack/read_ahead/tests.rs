use std::collections::BTreeMap;

use super::ReadAhead::{AtLeast, Exactly};
use super::{ReadAhead, Stacks};
use base::units::Sectors;
use lvm2::format::metadata::Metadata;
use lvm2::format::model::Vg;

/// A linear volume on `pv0`, a striped one of two times 64 KiB, a pool with data on `pv0` and metadata on `pv1`.
fn vg() -> Vg {
    Metadata::parse(include_bytes!("../../../lvm2/format/testdata/thin.disk")).unwrap().vg
}

fn sectors(pvs: [u64; 2]) -> BTreeMap<String, Sectors> {
    (0..).zip(pvs).map(|(place, ahead)| (format!("pv{place}"), Sectors::new(ahead))).collect()
}

fn of(vg: &Vg, lv: &str, pvs: [u64; 2], none: bool) -> Option<ReadAhead> {
    let lv = vg.lvs.iter().find(|have| have.name.as_str() == lv).unwrap();
    Stacks::new(vg, 100).with_read_ahead(&sectors(pvs), none).volume(lv).unwrap().read_ahead
}

#[test]
fn a_volume_reads_ahead_what_the_disks_below_it_do() {
    let vg = vg();
    assert_eq!(of(&vg, "t1", [256, 256], false), None, "the kernel does that by itself");
    assert_eq!(of(&vg, "t1", [1024, 256], false), Some(AtLeast(Sectors::new(1024))));
    assert_eq!(
        of(&vg, "t1", [256, 4096], false),
        Some(AtLeast(Sectors::new(4096))),
        "the pool's metadata counts"
    );
    assert_eq!(of(&vg, "lin", [1024, 4096], false), Some(AtLeast(Sectors::new(1024))));
    assert_eq!(of(&vg, "str", [4096, 4096], false), Some(AtLeast(Sectors::new(512))), "two stripes, no more");
    let unknown = Stacks::new(&vg, 100);
    let lin = vg.lvs.iter().find(|lv| lv.name.as_str() == "lin").unwrap();
    assert_eq!(unknown.volume(lin).unwrap().read_ahead, None);
}

#[test]
fn what_the_text_says_goes_before_what_lvm_conf_says() {
    let mut vg = vg();
    assert_eq!(of(&vg, "t1", [1024, 256], true), Some(Exactly(Sectors::ZERO)));
    let t1 = vg.lvs.iter_mut().find(|lv| lv.name.as_str() == "t1").unwrap();
    t1.read_ahead = Some(2048);
    assert_eq!(of(&vg, "t1", [4096, 256], true), Some(Exactly(Sectors::new(2048))));
    let t1 = vg.lvs.iter_mut().find(|lv| lv.name.as_str() == "t1").unwrap();
    t1.read_ahead = Some(-1);
    assert_eq!(of(&vg, "t1", [4096, 256], false), Some(Exactly(Sectors::ZERO)));
}

#[test]
fn a_number_counts_only_with_its_status() {
    let mut vg = vg();
    let number = |vg: &Vg| {
        let t1 = vg.lvs.iter().find(|lv| lv.name.as_str() == "t1").unwrap();
        let spec = Stacks::new(vg, 100).volume(t1).unwrap();
        (spec.minor, spec.to_string().contains("number 200"))
    };
    let t1 = vg.lvs.iter_mut().find(|lv| lv.name.as_str() == "t1").unwrap();
    t1.fixed_minor = Some((253, 200));
    assert_eq!(number(&vg), (None, false));
    let t1 = vg.lvs.iter_mut().find(|lv| lv.name.as_str() == "t1").unwrap();
    t1.status.push("FIXED_MINOR".into());
    assert_eq!(number(&vg), (Some(200), true));
}
