//! Pools and the LVs under them: added, made longer, changed.

use super::{DISK, disk, file, metadata_header, name, records, text, without_header};
use crate::format::edit::{Edit, EditError, NewLv};
use crate::format::metadata::Metadata;
use crate::format::model::{Discards, Lv, Segment, SegmentKind, Stripe};
use base::units::Extents;

fn again(lv: &Lv) -> Edit {
    Edit::AddLv(NewLv {
        name: lv.name.clone(),
        id: lv.id,
        visible: lv.is_visible(),
        flags: lv.flags.clone(),
        creation_time: lv.creation_time.unwrap(),
        creation_host: lv.creation_host.clone().unwrap(),
        segments: lv.segments.clone(),
    })
}

fn removals(names: &[&str]) -> Vec<Edit> {
    let messages = Edit::SetPoolMessages { pool: name("pool"), messages: Vec::new() };
    [messages].into_iter().chain(names.iter().map(|lv| Edit::RemoveLv(name(lv)))).collect()
}

/// The text of the group, as it would be at another commit and header.
fn body(metadata: &Metadata) -> String {
    let text = text(&metadata.doc.to_bytes());
    let seqno = metadata.vg.seqno;
    without_header(&text.replacen(&format!("seqno = {seqno}"), "seqno = 6", 1))
}

/// The text of the group in a file, whatever header it has.
fn group(text: &str) -> String {
    text[text.find("vgt {").unwrap()..].to_owned()
}

/// That what was done to both layouts of one text comes to the same.
fn assert_alike(on_disk: &Metadata, in_file: &Metadata) {
    let relaid = text(&on_disk.to_backup_file("x", &metadata_header()));
    assert_eq!(group(&text(&in_file.doc.to_bytes())), group(&relaid));
}

#[test]
fn what_is_added_reads_as_lvm2_wrote_it() {
    let made = ["pool", "str", "lin"];
    let [on_disk, in_file] = [disk(), file()].map(|metadata| {
        let without_volumes = metadata.apply(&removals(&["t1", "s1"]), &metadata_header()).unwrap();
        let bare = without_volumes.apply(&removals(&made)[1..], &metadata_header()).unwrap();
        let lvs = made.iter().map(|lv| without_volumes.vg.lv(&name(lv)).unwrap());
        let edits: Vec<Edit> = lvs.map(again).collect();
        (without_volumes, bare.apply(&edits, &metadata_header()).unwrap())
    });
    let (old, new) = (records(&on_disk.0), records(&on_disk.1));
    assert_eq!(old.len(), new.len());
    for (lv, record) in old {
        assert!(new.contains(&(lv, record.clone())), "{record}\nis not in\n{new:#?}");
    }
    assert_alike(&on_disk.1, &in_file.1);
    // What users see comes first.
    let shown: Vec<bool> = on_disk.1.vg.lvs.iter().map(Lv::is_visible).collect();
    assert!(shown.is_sorted_by(|before, after| before >= after), "{shown:?}");
}

#[test]
fn the_first_lv_brings_its_section() {
    let all = ["t1", "s1", "pool", "pool_tmeta", "pool_tdata", "str", "lin"];
    for metadata in [disk(), file()] {
        let lin = metadata.vg.lv(&name("lin")).unwrap();
        let last = metadata.apply(&removals(&all[..6]), &metadata_header()).unwrap();
        let spare: Vec<Edit> = last.vg.lvs.iter().map(|lv| Edit::RemoveLv(lv.name.clone())).collect();
        let only_lin: Vec<Edit> =
            spare.iter().filter(|edit| **edit != Edit::RemoveLv(name("lin"))).cloned().collect();
        let last = last.apply(&only_lin, &metadata_header()).unwrap();
        let empty = last.apply(&[Edit::RemoveLv(name("lin"))], &metadata_header()).unwrap();
        assert!(!body(&empty).contains("logical_volumes"));
        let next = empty.apply(&[again(lin)], &metadata_header()).unwrap();
        assert_eq!(body(&next), body(&last));
        assert_eq!(body(&empty.apply(&[], &metadata_header()).unwrap()), body(&empty));
    }
}

#[test]
fn extents_are_added_behind_those_there_are() {
    let longer = |metadata: &Metadata| {
        let mut segments = metadata.vg.lv(&name("pool_tdata")).unwrap().segments.clone();
        let last = segments.last_mut().unwrap();
        last.count = Extents::new(last.count.get() + 2);
        let end = last.start.get() + last.count.get();
        let SegmentKind::Striped(mut striped) = last.kind.clone() else { panic!("not on extents") };
        striped.stripes = vec![Stripe { area: "pv0".into(), start: Extents::new(42) }];
        let kind = SegmentKind::Striped(striped);
        let more = Segment { start: Extents::new(end), count: Extents::new(3), tags: Vec::new(), kind };
        segments.push(more);
        let count = Extents::new(end + 3);
        vec![
            Edit::SetSegments { lv: name("pool_tdata"), segments },
            Edit::SetPoolExtents { pool: name("pool"), count },
        ]
    };
    let next = disk().apply(&longer(&disk()), &metadata_header()).unwrap();
    let wanted = "segment3 {\nstart_extent = 12\nextent_count = 3\n\ntype = \"striped\"\nstripe_count = 1\n\n\
                  stripes = [\n\"pv0\", 42\n]\n}\n}\n";
    assert!(body(&next).contains(wanted), "{}", body(&next));
    assert_eq!(next.vg.lv(&name("pool")).unwrap().extents(), Some(Extents::new(15)));
    // In a file it looks as if lvm2 had written it.
    let in_file = file().apply(&longer(&file()), &metadata_header()).unwrap();
    assert_alike(&next, &in_file);
    // Nothing is taken away, and nothing else is put in its place.
    let mut shorter = disk().vg.lv(&name("pool_tdata")).unwrap().segments.clone();
    shorter[0].count = Extents::new(1);
    let refused =
        disk().apply(&[Edit::SetSegments { lv: name("pool_tdata"), segments: shorter }], &metadata_header());
    assert!(matches!(refused, Err(EditError::WrongKind { .. })), "{refused:?}");
}

#[test]
fn the_ways_of_a_pool_change() {
    let pool = || name("pool");
    let edits = [
        Edit::SetPoolDiscards { pool: pool(), discards: Discards::NoPassdown },
        Edit::SetPoolZeroing { pool: pool(), on: false },
        Edit::SetLvFlag { lv: pool(), flag: "ERROR_WHEN_FULL".into(), on: false },
    ];
    let next = disk().apply(&edits, &metadata_header()).unwrap();
    let (lv, segment) = next.vg.pools().next().unwrap();
    assert_eq!((segment.discards, segment.zero_new_blocks), (Discards::NoPassdown, false));
    assert!(!lv.has_flag("ERROR_WHEN_FULL"));
    let back = [
        Edit::SetPoolDiscards { pool: pool(), discards: Discards::Passdown },
        Edit::SetPoolZeroing { pool: pool(), on: true },
        Edit::SetLvFlag { lv: pool(), flag: "ERROR_WHEN_FULL".into(), on: true },
    ];
    assert_eq!(body(&next.apply(&back, &metadata_header()).unwrap()), without_header(DISK));
}

/// The text of an LV, without its name and its id.
fn record_of(metadata: &Metadata, lv: &str) -> Lv {
    Lv { name: name("x"), ..metadata.vg.lv(&name(lv)).unwrap().clone() }
}

#[test]
fn the_spare_takes_the_place_of_a_pools_metadata() {
    let fresh = base::ids::LvmUuid::from_random([b'8'; 32]);
    let swap = |spare: &str, keep_id| Edit::SwapMetadata {
        pool: name("pool"),
        spare: name(spare),
        keep_as: name("pool_meta0"),
        keep_id,
    };
    for keep_id in [None, Some(fresh)] {
        let [on_disk, in_file] = [disk(), file()].map(|before| {
            let after = before.apply(&[swap("lvol0_pmspare", keep_id)], &metadata_header()).unwrap();
            (before, after)
        });
        let (before, after) = &on_disk;
        let (old, now) = (record_of(before, "pool_tmeta"), record_of(after, "pool_tmeta"));
        let (was, kept) = (record_of(before, "lvol0_pmspare"), record_of(after, "pool_meta0"));
        assert_eq!(now, Lv { id: old.id, ..was.clone() });
        let shown = Lv {
            id: keep_id.unwrap_or(was.id),
            status: vec!["READ".into(), "VISIBLE".into()],
            flags: vec!["ACTIVATION_SKIP".into()],
            ..old
        };
        assert_eq!(kept, shown);
        assert!(after.vg.lv(&name("lvol0_pmspare")).is_none());
        assert_eq!(after.vg.lvs.iter().last().map(|lv| lv.name.as_str()), Some("pool_tmeta"));
        assert_alike(after, &in_file.1);
    }
    let lacks = disk().apply(&[swap("lvol9_pmspare", None)], &metadata_header());
    assert!(matches!(lacks, Err(EditError::NoSuchLv(_))), "{lacks:?}");
}
