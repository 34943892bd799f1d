//! Volume groups of made-up thin volumes, for tests.

use base::ids::{LvName, LvmUuid, Seqno, ThinId, TransactionId, VgName};
use base::units::{Extents, Sectors};
use lvm2::format::model::{Lv, Segment, SegmentKind, Thin, Vg};

/// A name that is known to be good.
pub fn name(text: &str) -> LvName {
    LvName::new(text).expect("the fixture is valid")
}

/// The uuid with that number.
pub fn uuid(number: usize) -> LvmUuid {
    LvmUuid::from_compact(format!("{number:032}").as_bytes()).expect("the fixture is valid")
}

/// A thin LV of pool `data`, numbered by its uuid. What is named as a snapshot is flagged as one.
pub fn lv(number: usize, lv_name: &str, origin: Option<&str>, tags: Vec<String>) -> Lv {
    let thin = Thin {
        pool: name("data"),
        transaction_id: TransactionId(0),
        device_id: ThinId::new(u64::try_from(number).expect("the fixture is valid"))
            .expect("the fixture is valid"),
        external_origin: None,
        origin: origin.map(name),
        merge: None,
    };
    let mut status: Vec<String> = vec!["READ".into(), "VISIBLE".into()];
    let mut flags = Vec::new();
    if lv_name.starts_with("snap_") {
        flags.push("ACTIVATION_SKIP".into());
    } else {
        status.push("WRITE".into());
    }
    Lv {
        name: name(lv_name),
        id: uuid(number),
        status,
        flags,
        tags,
        creation_time: None,
        creation_host: None,
        profile: None,
        read_ahead: None,
        fixed_minor: None,
        segments: vec![Segment {
            start: Extents::ZERO,
            count: Extents::new(1),
            tags: vec![],
            kind: SegmentKind::Thin(thin),
        }],
    }
}

/// A VG `pve` of these volumes, with extents of 4 MiB.
pub fn vg(lvs: Vec<Lv>) -> Vg {
    Vg {
        name: VgName::new("pve").expect("the fixture is valid"),
        id: uuid(0),
        seqno: Seqno(1),
        status: vec![],
        flags: vec![],
        tags: vec![],
        system_id: None,
        lock_type: None,
        pr: vec![],
        extent_size: Sectors::new(8192),
        profile: None,
        max_lv: 0,
        metadata_copies: 0,
        pvs: vec![],
        lvs: lvs.into(),
        historical_lvs: vec![],
    }
}
