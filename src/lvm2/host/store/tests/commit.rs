use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::{Just, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::rig::{Rig, open, text_of};
use crate::format::placement::place::RoomError;
use crate::host::fixture::change_header;
use crate::host::store::error::{CommitError, NotCommitted};
use crate::host::store::issue::StoreIssue;
use crate::host::store::vg::Room;
use sys::io::block::BlockDev;
use sys::io::mem::disk::Logged;

fn refusal(result: Result<crate::host::store::error::Committed, CommitError>) -> NotCommitted {
    match result {
        Err(CommitError::NotCommitted(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn texts_then_flushes_then_headers_then_flushes() {
    let rig = Rig::small(2);
    let before = rig.timeline.now();
    assert_eq!(rig.store().commit(&rig.text(2, 2000)).unwrap().written, 2);
    let mut log = Vec::new();
    for (number, disk) in rig.disks.iter().enumerate() {
        log.extend(
            disk.log().into_iter().filter(|(time, _)| *time >= before).map(|(time, op)| (time, number, op)),
        );
    }
    log.sort_by_key(|(time, ..)| *time);
    let order: Vec<(usize, &str)> = log
        .iter()
        .map(|(_, disk, op)| match op {
            Logged::Write { block: 8, blocks: 1 } => (*disk, "header"),
            Logged::Write { .. } => (*disk, "text"),
            Logged::Flush => (*disk, "flush"),
            Logged::FailedFlush => (*disk, "failed flush"),
        })
        .collect();
    let phase = |what| [(0, what), (1, what)];
    assert_eq!(order, [phase("text"), phase("flush"), phase("header"), phase("flush")].concat());
}

#[test]
fn a_nul_is_added_where_there_is_none() {
    let rig = Rig::small(1);
    let mut text = rig.text(2, 0);
    text.pop();
    let mut store = rig.store();
    store.commit(&text).unwrap();
    text.push(0);
    assert_eq!((store.text(), rig.store().text()), (&*text, &*text));
}

#[test]
fn only_the_next_text_of_the_group_is_taken() {
    let rig = Rig::small(2);
    let mut store = rig.store();
    let mut refused = |text: &[u8]| refusal(store.commit(text)).to_string();
    assert!(refused(&text_of("vg0", 201, 2, 2, 0)).contains("it is of volume group vg0 with id"));
    assert!(refused(&rig.text(1, 0)).ends_with("its number is 1"));
    assert!(refused(&rig.text(3, 0)).ends_with("its number is 3"));
    assert!(refused(&text_of("vg0", 200, 2, 1, 0)).ends_with("it has other physical volumes"));
    assert!(refused(b"vg0 {").contains("not one of a volume group"));
    // A new name is a matter of the group itself.
    store.commit(&text_of("renamed", 200, 2, 2, 0)).unwrap();
    assert_eq!(store.summary().name.as_str(), "renamed");
}

#[test]
fn too_large_a_text_is_refused_with_the_device_and_nothing_is_written() {
    let rig = Rig::new(1, 512, [32 << 10, 16 << 10]);
    let mut store = rig.store();
    let limit = ((16 << 10) - 512) / 2 - 512;
    assert_eq!(store.room_for(limit / 2).unwrap(), Room { limit, percent_used: 50 });
    let before = rig.timeline.now();
    match refusal(store.commit(&rig.text(2, 10_000))) {
        NotCommitted::Room { device, source: RoomError::TooLarge { limit: found, .. } } => {
            assert_eq!((device.as_str(), found), ("/dev/sd0", limit));
        }
        other => panic!("{other:?}"),
    }
    assert!(store.room_for(limit + 1).is_err());
    assert_eq!(rig.timeline.now(), before);
}

#[test]
fn a_commit_of_somebody_else_is_noticed() {
    let rig = Rig::small(2);
    let (mut ours, mut theirs) = (rig.store(), rig.store());
    theirs.commit(&rig.text(2, 5)).unwrap();
    assert!(theirs.first_changed().is_none() && ours.first_changed().is_some());
    let why = refusal(ours.commit(&rig.text(2, 9)));
    assert!(matches!(why, NotCommitted::Changed { .. }));
    ours.reload().unwrap();
    assert_eq!(ours.text(), rig.text(2, 5));
    ours.commit(&rig.text(3, 9)).unwrap();
}

#[test]
fn ignored_areas_are_left_alone() {
    let rig = Rig::new(2, 512, [32 << 10, 32 << 10]);
    let second = rig.areas(0)[1];
    change_header(&*rig.disks[0], second, |header| Ok(header.with_ignored(true))).unwrap();
    let before = rig.disks[0].image().to_vec();
    let mut store = rig.store();
    assert_eq!(store.issues().len(), 1, "{:?}", store.issues());
    assert_eq!(store.commit(&rig.text(2, 5)).unwrap().written, 3);
    let after = rig.disks[0].image().to_vec();
    let ignored = usize::try_from(second.offset).unwrap()..usize::try_from(second.end().unwrap()).unwrap();
    assert!(before[ignored.clone()] == after[ignored], "not a byte of it");
    assert!(rig.store().issues()[0].to_string().contains("is set aside"));
}

#[test]
fn a_group_whose_areas_are_all_elsewhere_is_refused() {
    let rig = Rig::small(2);
    let mut store = open(&rig.disks[..1]).unwrap();
    let missing = super::rig::uuid(1);
    assert!(matches!(store.issues(), [StoreIssue::MissingPv { pv_id, .. }] if *pv_id == missing));
    let why = refusal(store.commit(&rig.text(2, 0)));
    assert!(matches!(why, NotCommitted::Forbidden { .. }), "{why:?}");
}

proptest! {
    /// Whatever the sizes, what was committed is read back, from every area.
    #[test]
    fn what_is_committed_is_read(
        block in prop_oneof![Just(512_usize), Just(4096_usize)],
        fillers in vec(0..12_000_usize, 1..12),
        pvs in 1..3_usize,
    ) {
        let rig = Rig::new(pvs, block, [32 << 10, 32 << 10]);
        let mut store = rig.store();
        let mut seqno = 1;
        for filler in fillers {
            let text = rig.text(seqno + 1, filler);
            match store.commit(&text) {
                Ok(committed) => {
                    seqno += 1;
                    prop_assert_eq!(committed.written, 2 * pvs);
                    prop_assert_eq!(store.text(), &*text);
                    for disk in &rig.disks {
                        // Each disk alone has it, in both areas.
                        let alone = open(&[Arc::clone(disk)]).unwrap();
                        prop_assert_eq!(alone.text(), &*text);
                        prop_assert_eq!(alone.issues().len(), pvs - 1);
                    }
                }
                Err(error) => {
                    let CommitError::NotCommitted(NotCommitted::Room { .. }) = error else {
                        panic!("{error:?}");
                    };
                    prop_assert!(block == 4096, "in sectors there is room for all of these");
                    let held = rig.store();
                    prop_assert_eq!(held.text(), store.text());
                }
            }
        }
        prop_assert!(rig.disks[0].block_size() == u32::try_from(block).unwrap());
    }
}
