//! Whatever fails, the outcome that is reported is the one that readers and crashes see.

use super::rig::Rig;
use crate::host::store::error::{CommitError, Committed, Resolution, ResolveError};
use crate::host::store::vg::VgStore;
use sys::io::mem::fault::{Effect, Fault, Operation};

fn any_fault(count: usize) -> Vec<Fault> {
    let mut faults = Vec::new();
    for after in 0..count {
        for lasting in [false, true] {
            for (operation, effect) in [
                (Operation::Flush, Effect::Nothing),
                (Operation::Write, Effect::Nothing),
                (Operation::Write, Effect::Blocks(1)),
                (Operation::Write, Effect::Everything),
            ] {
                faults.push(Fault { operation, after, lasting, effect });
            }
        }
    }
    faults
}

/// The distinct texts that may be in force after a crash now.
fn possible(rig: &Rig) -> Vec<Vec<u8>> {
    let mut texts: Vec<Vec<u8>> = rig.texts_after_crash(rig.timeline.now()).map(|(text, _)| text).collect();
    texts.sort();
    texts.dedup();
    texts
}

/// Commits with one fault on one disk; which kind of outcome it had.
fn commit_with(rig: &Rig, disk: usize, fault: Fault) -> &'static str {
    let mut store = rig.store();
    let (old, new) = (store.text().to_vec(), rig.text(2, 1500));
    rig.disks[disk].inject(fault);
    match store.commit(&new) {
        Ok(Committed { written, failed }) => {
            assert_eq!(written + failed.len(), rig.disks.len(), "{fault:?}");
            assert_eq!((store.text(), possible(rig)), (&*new, vec![new.clone()]), "{fault:?}");
            rig.disks[disk].heal();
            let next = rig.text(3, 10);
            store.commit(&next).unwrap();
            assert_eq!((rig.store().text(), rig.store().issues().len()), (&*next, 0), "healed: {fault:?}");
            if failed.is_empty() { "committed" } else { "degraded" }
        }
        Err(CommitError::NotCommitted(_)) => {
            assert_eq!((store.text(), possible(rig)), (&*old, vec![old.clone()]), "{fault:?}");
            rig.disks[disk].heal();
            store.commit(&new).unwrap();
            assert_eq!(possible(rig), [new], "{fault:?}");
            "not committed"
        }
        Err(CommitError::Unknown { failed }) => {
            assert_eq!(failed.len(), rig.disks.len());
            let texts = possible(rig);
            assert!(texts.iter().all(|text| *text == old || *text == new), "{fault:?}");
            let refused = store.commit(&new).unwrap_err().to_string();
            assert_eq!(refused, "the metadata was not changed");
            if fault.lasting {
                assert!(matches!(store.resolve(), Err(ResolveError::Write { .. })), "{fault:?}");
            }
            rig.disks[disk].heal();
            match store.resolve().unwrap() {
                Resolution::Committed(_) => {
                    assert_eq!((store.text(), possible(rig)), (&*new, vec![new.clone()]))
                }
                Resolution::NotCommitted => {
                    assert_eq!((store.text(), possible(rig)), (&*old, vec![old.clone()]))
                }
            }
            let seqno = store.summary().seqno.next().unwrap();
            store.commit(&rig.text(seqno.0, 10)).unwrap();
            "unknown"
        }
    }
}

#[test]
fn one_pv_fails() {
    let mut seen = Vec::new();
    for fault in any_fault(4) {
        seen.push(commit_with(&Rig::small(1), 0, fault));
    }
    for kind in ["committed", "not committed", "unknown"] {
        assert!(seen.contains(&kind), "{kind}");
    }
    assert!(!seen.contains(&"degraded"));
}

#[test]
fn one_of_two_pvs_fails() {
    for disk in 0..2 {
        let mut seen = Vec::new();
        for fault in any_fault(4) {
            seen.push(commit_with(&Rig::small(2), disk, fault));
        }
        for kind in ["committed", "not committed", "degraded"] {
            assert!(seen.contains(&kind), "{kind}");
        }
        assert!(!seen.contains(&"unknown"), "the other one is known");
    }
}

#[test]
fn all_pvs_fail_while_headers_are_written() {
    let rig = Rig::small(2);
    let mut store = rig.store();
    for disk in &rig.disks {
        disk.inject(Fault::lasting(Operation::Write, 1));
    }
    let error = store.commit(&rig.text(2, 0)).unwrap_err();
    assert!(matches!(&error, CommitError::Unknown { failed } if failed.len() == 2), "{error:?}");
    for disk in &rig.disks {
        disk.heal();
        disk.inject(Fault::lasting(Operation::Read, 0));
    }
    assert!(matches!(store.resolve(), Err(ResolveError::Read(_))));
    rig.disks[0].heal();
    assert!(matches!(store.resolve(), Err(ResolveError::Unreadable(_))), "the other may have the new text");
    rig.disks[1].heal();
    assert!(matches!(store.resolve(), Ok(Resolution::NotCommitted)));
    assert!(matches!(store.resolve(), Err(ResolveError::NothingInDoubt)));
}

/// A store whose commit ended without an answer: the first disk has the new text, if its write did take effect.
fn in_doubt(effect: Effect) -> (Rig, VgStore) {
    let rig = Rig::small(2);
    let mut store = rig.store();
    rig.disks[0].inject(Fault { operation: Operation::Write, after: 1, lasting: false, effect });
    rig.disks[1].inject(Fault::lasting(Operation::Write, 1));
    let error = store.commit(&rig.text(2, 0)).expect_err("no header was written for all that is known");
    assert!(matches!(&error, CommitError::Unknown { failed } if failed.len() == 2), "{error:?}");
    rig.disks[1].heal();
    (rig, store)
}

#[test]
fn what_took_effect_is_settled_by_the_areas_that_have_it() {
    let (rig, mut store) = in_doubt(Effect::Everything);
    // The other area is as it was: its header is not written again as if it were the new one.
    match store.resolve().unwrap() {
        Resolution::Committed(Committed { written: 1, failed }) => assert!(failed.is_empty(), "{failed:?}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.text(), &*rig.text(2, 0));
    // An area that cannot be read does not matter then: what it may hold is the new text, or an older one.
    let (rig, mut store) = in_doubt(Effect::Everything);
    rig.disks[1].inject(Fault::lasting(Operation::Read, 0));
    assert!(matches!(store.resolve(), Ok(Resolution::Committed(_))));
}

#[test]
fn what_took_no_effect_is_settled_when_all_areas_say_so() {
    let (rig, mut store) = in_doubt(Effect::Nothing);
    rig.disks[1].inject(Fault::lasting(Operation::Write, 0));
    assert!(matches!(store.resolve(), Err(ResolveError::Write { .. })), "the new header may come there yet");
    rig.disks[1].heal();
    assert!(matches!(store.resolve(), Ok(Resolution::NotCommitted)));
}
