//! What stock lvm2 2.03.16 takes (seen in a machine, groups of PVs of 255, 511 and 767 extents), and what must hold
//! whatever is free.

use proptest::prelude::*;

use super::{Free, NoRoom, Shape};
use crate::format::model::{Segment, SegmentKind, Vg};
use crate::format::text::Document;
use base::units::{Extents, Sectors};

/// A group with PVs of so many extents, and one LV of segments `(pv, start, count)`.
fn group(pvs: &[u64], used: &[(usize, u64, u64)]) -> Vg {
    let uuid = |kind: char, number: usize| format!("{kind}{number:05}-0000-0000-0000-0000-0000-000000");
    let mut text = format!(
        "vg {{\nid = \"{}\"\nseqno = 1\nstatus = [\"RESIZEABLE\", \"READ\", \"WRITE\"]\nextent_size = 8192\n\
         physical_volumes {{\n",
        uuid('v', 0)
    );
    for (place, count) in pvs.iter().enumerate() {
        text += &format!(
            "pv{place} {{\nid = \"{}\"\nstatus = [\"ALLOCATABLE\"]\npe_start = 2048\npe_count = {count}\n}}\n",
            uuid('p', place)
        );
    }
    text += "}\nlogical_volumes {\n";
    for (place, (pv, start, count)) in used.iter().enumerate() {
        text += &format!(
            "a{place} {{\nid = \"{}\"\nstatus = [\"READ\"]\nsegment_count = 1\nsegment1 {{\nstart_extent = 0\n\
             extent_count = {count}\ntype = \"striped\"\nstripe_count = 1\nstripes = [\"pv{pv}\", {start}]\n}}\n}}\n",
            uuid('l', place)
        );
    }
    text += "}\n}\ncontents = \"Text Format Volume Group\"\nversion = 1\n";
    Vg::from_document(&Document::parse(text.as_bytes()).unwrap()).unwrap()
}

fn free(pvs: &[u64], used: &[(usize, u64, u64)]) -> Free {
    Free::of(&group(pvs, used), |_| true)
}

/// As `lvs -o seg_pe_ranges` shows them.
fn shown(segments: &[Segment]) -> Vec<String> {
    let show = |segment: &Segment| {
        let SegmentKind::Striped(striped) = &segment.kind else { panic!("not striped") };
        let length = segment.count.get() / u64::try_from(striped.stripes.len()).unwrap();
        let range = |area: &str, start: u64| format!("{area}:{start}-{}", start + length - 1);
        let ranges: Vec<String> =
            striped.stripes.iter().map(|stripe| range(&stripe.area, stripe.start.get())).collect();
        ranges.join(" ")
    };
    segments.iter().map(show).collect()
}

const fn extents(count: u64) -> Extents {
    Extents::new(count)
}

fn striped(stripes: usize) -> Shape {
    Shape { stripes, stripe_size: Some(Sectors::new(128)) }
}

/// Makes a pool as `lvcreate -T` does: its spare, then data and metadata of one extent.
#[track_caller]
fn pool(free: &mut Free, data: u64, shape: Shape, spare: &str, tdata: &[&str], tmeta: &str) -> Vec<Segment> {
    let taken = free.take(extents(1), Shape::LINEAR).unwrap();
    assert_eq!(shown(&taken), [spare]);
    let (data, metadata) = free.take_pool((extents(data), shape), extents(1), false).unwrap();
    assert_eq!(
        (shown(&data), shown(&metadata)),
        (tdata.iter().map(ToString::to_string).collect(), vec![tmeta.into()])
    );
    data
}

#[test]
fn a_pool_on_one_disk_lies_where_lvm2_puts_it() {
    let linear = Shape::LINEAR;
    pool(&mut free(&[10_000], &[]), 25, linear, "pv0:0-0", &["pv0:1-25"], "pv0:26-26");
    // Beside a hole that is too small for it once it holds the spare, and in one that is not.
    let beside = &mut free(&[255], &[(0, 0, 10), (0, 20, 10)]);
    pool(beside, 10, linear, "pv0:10-10", &["pv0:30-39"], "pv0:40-40");
    let inside = &mut free(&[255], &[(0, 0, 10), (0, 22, 10)]);
    pool(inside, 10, linear, "pv0:10-10", &["pv0:11-20"], "pv0:32-32");
    // In pieces.
    let split = &mut free(&[255], &[(0, 0, 10), (0, 130, 10)]);
    pool(split, 125, linear, "pv0:140-140", &["pv0:10-129", "pv0:142-146"], "pv0:141-141");
}

#[test]
fn a_pool_on_several_disks_has_its_metadata_on_another_one() {
    let linear = Shape::LINEAR;
    pool(&mut free(&[255, 255], &[]), 25, linear, "pv0:0-0", &["pv0:1-25"], "pv1:0-0");
    let all = ["pv1:0-254", "pv0:2-121"];
    pool(&mut free(&[255, 255], &[]), 375, linear, "pv0:0-0", &all, "pv0:1-1");
    let three = || free(&[255, 511, 767], &[]);
    pool(&mut three(), 25, linear, "pv0:0-0", &["pv0:1-25"], "pv2:0-0");
    pool(&mut three(), 375, linear, "pv0:0-0", &["pv1:0-374"], "pv0:1-1");
}

#[test]
fn stripes_lie_on_different_disks() {
    pool(&mut free(&[255, 255], &[]), 26, striped(2), "pv0:0-0", &["pv0:1-13 pv1:0-12"], "pv1:13-13");
    let three = || free(&[255, 511, 767], &[]);
    pool(&mut three(), 26, striped(2), "pv0:0-0", &["pv0:1-13 pv1:0-12"], "pv2:0-0");
    pool(&mut three(), 27, striped(3), "pv0:0-0", &["pv0:1-9 pv1:0-8 pv2:0-8"], "pv2:9-9");
    let large = ["pv2:0-510 pv1:0-510", "pv0:2-2 pv2:511-511"];
    pool(&mut three(), 1024, striped(2), "pv0:0-0", &large, "pv0:1-1");
    let no_room = free(&[255, 255], &[]).take(extents(30), striped(3));
    assert_eq!(no_room, Err(NoRoom::Stripes { wanted: extents(30), stripes: 3 }));
}

#[test]
fn more_goes_behind_what_there_is_then_beside_it_then_elsewhere() {
    let linear = Shape::LINEAR;
    let grown = |free: &mut Free, data: &[Segment], more| shown(&free.extend(data, extents(more)).unwrap());
    let one = &mut free(&[255], &[]);
    let data = pool(one, 25, linear, "pv0:0-0", &["pv0:1-25"], "pv0:26-26");
    assert_eq!(grown(one, &data, 10), ["pv0:1-25", "pv0:27-36"]);
    let two = &mut free(&[255, 255], &[]);
    let data = pool(two, 25, linear, "pv0:0-0", &["pv0:1-25"], "pv1:0-0");
    assert_eq!(grown(two, &data, 275), ["pv0:1-254", "pv1:1-46"]);
    let both = &mut free(&[255, 255], &[]);
    let data = pool(both, 26, striped(2), "pv0:0-0", &["pv0:1-13 pv1:0-12"], "pv1:13-13");
    assert_eq!(grown(both, &data, 26), ["pv0:1-13 pv1:0-12", "pv0:14-26 pv1:14-26"]);
}

#[test]
fn metadata_needs_one_run_and_its_own_disk_if_asked_for() {
    // Holes of two extents.
    let holes = free(&[20], &[(0, 2, 2), (0, 6, 2), (0, 10, 10)]);
    let both = |free: &Free, apart| free.clone().take_pool((extents(3), Shape::LINEAR), extents(3), apart);
    assert_eq!(both(&holes, false), Err(NoRoom::Run { wanted: extents(3) }));
    assert!(both(&free(&[20], &[]), false).is_ok());
    assert_eq!(both(&free(&[20], &[]), true), Err(NoRoom::Run { wanted: extents(3) }));
    assert!(both(&free(&[20, 20], &[]), true).is_ok());
}

#[test]
fn only_what_may_be_allocated_on_counts() {
    let mut vg = group(&[10, 10, 10, 10], &[]);
    vg.pvs[0].status.clear();
    vg.pvs[1].flags.push("MISSING".into());
    let mut other = group(&[10], &[(0, 5, 1)]).lvs[0].clone();
    other.segments[0].kind = SegmentKind::Opaque {
        segtype: "mirror".into(),
        references: Vec::new(),
        pvs: vec!["pv2".into()],
        mirror: None,
    };
    vg.lvs.push(other);
    assert_eq!(Free::of(&vg, |_| true).total(), extents(10));
    assert_eq!(Free::of(&vg, |pv| pv.key != "pv3").total(), extents(0));
    let taken = Free::of(&vg, |_| true).take(extents(11), Shape::LINEAR);
    assert_eq!(taken, Err(NoRoom::Extents { wanted: extents(11), free: extents(10) }));
}

/// The extents of segments, one by one.
fn each(segments: &[Segment]) -> Vec<(String, u64)> {
    let mut all = Vec::new();
    for segment in segments {
        let SegmentKind::Striped(striped) = &segment.kind else { panic!("not striped") };
        let length = segment.count.get() / u64::try_from(striped.stripes.len()).unwrap();
        for stripe in &striped.stripes {
            all.extend((0..length).map(|at| (stripe.area.clone(), stripe.start.get() + at)));
        }
    }
    all
}

proptest! {
    /// Whatever is taken was free, none of it twice, as much as asked for; together with what is left it is all.
    #[test]
    fn what_is_taken_was_free(
        pvs in proptest::collection::vec(1_u64..40, 1..4),
        holes in proptest::collection::vec((0_usize..4, 0_u64..40, 1_u64..6), 0..8),
        data in 1_u64..40, metadata in 1_u64..6, more in 1_u64..30, stripes in 1_usize..4, apart: bool,
    ) {
        let used: Vec<(usize, u64, u64)> = holes.into_iter().filter(|(pv, _, _)| *pv < pvs.len()).collect();
        let before = free(&pvs, &used);
        let all: u64 = before.total().get();
        let mut now = before.clone();
        let shape = Shape { stripes, stripe_size: Some(Sectors::new(128)) };
        let data = shape.rounded(extents(data)).unwrap();
        let Ok((tdata, tmeta)) = now.take_pool((data, shape), extents(metadata), apart) else {
            prop_assert_eq!(now, before);
            return Ok(());
        };
        let more = shape.rounded(extents(more)).unwrap();
        let (tdata, count) = match now.extend(&tdata, more) {
            Ok(longer) => {
                let kept = each(&tdata[..tdata.len() - 1]);
                prop_assert_eq!(&each(&longer)[..kept.len()], &kept[..]);
                (longer, data.get() + more.get())
            }
            Err(_) => (tdata, data.get()),
        };
        let mut next = 0;
        for segment in &tdata {
            prop_assert_eq!(segment.start.get(), next);
            next += segment.count.get();
        }
        prop_assert_eq!(next, count);
        prop_assert_eq!(tmeta.len(), 1);
        let mut taken = each(&tdata);
        taken.extend(each(&tmeta));
        let number = taken.len();
        prop_assert_eq!(u64::try_from(number).unwrap() + now.total().get(), all);
        taken.sort();
        taken.dedup();
        prop_assert_eq!(taken.len(), number);
        for (area, at) in taken {
            let pv: usize = area[2..].parse().unwrap();
            prop_assert!(at < pvs[pv]);
            prop_assert!(!used.iter().any(|(on, start, count)| *on == pv && (*start..start + count).contains(&at)));
        }
    }
}
