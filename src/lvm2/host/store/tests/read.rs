use std::cell::Cell;
use std::io;
use std::sync::Arc;

use super::rig::{Rig, boxed, open, text_of, uuid, vg_ref};
use crate::format::check::Use;
use crate::format::mda::header::RawLocn;
use crate::host::fixture::{change_header, put_text};
use crate::host::store::error::StoreError;
use crate::host::store::issue::StoreIssue;
use crate::host::store::vg::VgStore;
use crate::host::store::vg_ref::VgRef;
use base::ids::VgName;
use base::units::Bytes;
use sys::io::block::BlockDev;
use sys::io::mem::disk::MemDisk;
use sys::io::mem::fault::{Fault, Operation};

/// What a store says of these disks, and the number of the text it takes.
fn look(rig: &Rig) -> (u32, Vec<String>) {
    let store = rig.store();
    let with_causes = |issue: &StoreIssue| match std::error::Error::source(issue) {
        Some(cause) => format!("{issue}: {cause}"),
        None => issue.to_string(),
    };
    (store.summary().seqno.0, store.issues().iter().map(with_causes).collect())
}

fn flip(disk: &MemDisk, offset: u64) {
    let mut byte = [0];
    disk.read_at(offset, &mut byte).unwrap();
    disk.write_at(offset, &[byte[0] ^ 1]).unwrap();
}

#[test]
fn healthy_copies_have_no_issues() {
    let rig = Rig::new(3, 512, [32 << 10, 32 << 10]);
    assert_eq!(look(&rig), (1, vec![]));
    let store = rig.store();
    assert_eq!(store.text(), rig.text(1, 0));
    assert_eq!(store.members().map(|member| member.pv.label.pv_id).collect::<Vec<_>>(), [0, 1, 2].map(uuid));
    let by_id = VgStore::open(boxed(&rig.disks), &VgRef::Id(uuid(200))).unwrap();
    assert_eq!(by_id.summary(), store.summary());
}

#[test]
fn the_newest_text_counts_and_the_others_lag() {
    let rig = Rig::small(3);
    put_text(&*rig.disks[1], rig.areas(1)[0], &rig.text(7, 0)).unwrap();
    let (seqno, issues) = look(&rig);
    assert_eq!(seqno, 7);
    assert_eq!(issues.len(), 2);
    let expected =
        "the metadata area at byte 4096 of /dev/sd0 was not reached by the last commit (it holds text 1)";
    assert_eq!(issues[0], expected);
    rig.store().commit(&rig.text(8, 0)).unwrap();
    assert_eq!(look(&rig), (8, vec![]));
}

#[test]
fn an_area_without_text_gets_one() {
    let rig = Rig::empty(2, 512, [32 << 10, 0]);
    put_text(&*rig.disks[0], rig.areas(0)[0], &rig.text(1, 0)).unwrap();
    assert!(look(&rig).1[0].ends_with("(it holds no text)"));
    assert_eq!(rig.store().commit(&rig.text(2, 0)).unwrap().written, 2);
    assert_eq!(look(&rig), (2, vec![]));
}

#[test]
fn a_precommitted_text_is_not_used() {
    let rig = Rig::small(1);
    let slot = RawLocn { offset: 2048, size: 100, checksum: 1, flags: 0 };
    change_header(&*rig.disks[0], rig.areas(0)[0], |header| Ok(header.with_precommitted(slot))).unwrap();
    assert_eq!(look(&rig), (1, vec![]));
    rig.store().commit(&rig.text(2, 0)).unwrap();
}

#[test]
fn damaged_areas_are_left_alone() {
    let rig = Rig::small(3);
    flip(&rig.disks[0], 4096 + 100); // the header
    flip(&rig.disks[1], 4096 + 512 + 20); // the text
    let (seqno, issues) = look(&rig);
    assert_eq!((seqno, issues.len()), (1, 2));
    assert!(
        issues[0].contains("/dev/sd0") && issues[0].contains("header at byte 4096 has checksum"),
        "{issues:?}"
    );
    assert!(issues[1].contains("/dev/sd1") && issues[1].contains("the text at offset 512"), "{issues:?}");
    let before = rig.disks[1].image().to_vec();
    assert_eq!(rig.store().commit(&rig.text(2, 0)).unwrap().written, 1);
    assert!(rig.disks[1].image().to_vec() == before);
    assert_eq!(look(&rig).0, 2);
}

#[test]
fn contradicting_texts_forbid_commits() {
    let rig = Rig::small(2);
    put_text(&*rig.disks[1], rig.areas(1)[0], &text_of("vg0", 200, 1, 3, 0)).unwrap();
    let (seqno, issues) = look(&rig);
    assert_eq!(seqno, 1);
    assert!(issues[0].contains("holds another text with the same number 1"), "{issues:?}");
    assert!(rig.store().commit(&rig.text(2, 0)).is_err());
}

#[test]
fn a_pv_on_two_devices_forbids_commits() {
    let rig = Rig::small(1);
    let twin = [Arc::clone(&rig.disks[0]), Arc::clone(&rig.disks[0])];
    let mut store = open(&twin).unwrap();
    assert!(matches!(store.issues(), [StoreIssue::DuplicatePv { .. }]));
    assert!(store.commit(&rig.text(2, 0)).is_err());
}

#[test]
fn texts_of_other_groups_and_of_removed_pvs_are_told_apart() {
    let rig = Rig::small(3);
    put_text(&*rig.disks[1], rig.areas(1)[0], &text_of("other", 99, 5, 3, 0)).unwrap();
    put_text(&*rig.disks[0], rig.areas(0)[0], &text_of("vg0", 200, 6, 2, 0)).unwrap();
    let (seqno, issues) = look(&rig);
    assert_eq!((seqno, issues.len()), (6, 2), "{issues:?}");
    assert!(issues[0].ends_with("belongs to volume group other"), "{issues:?}");
    assert!(
        issues[1].starts_with("/dev/sd2 was removed from volume group vg0 while it was absent"),
        "{issues:?}"
    );
}

#[test]
fn a_name_for_two_groups_is_refused() {
    let rig = Rig::small(2);
    put_text(&*rig.disks[1], rig.areas(1)[0], &text_of("vg0", 99, 1, 2, 0)).unwrap();
    assert!(matches!(open(&rig.disks), Err(StoreError::Ambiguous { .. })));
    assert!(VgStore::open(boxed(&rig.disks), &VgRef::Id(uuid(99))).is_ok());
}

#[test]
fn a_change_of_name_that_did_not_reach_all_copies_counts() {
    let rig = Rig::small(2);
    put_text(&*rig.disks[1], rig.areas(1)[0], &text_of("renamed", 200, 2, 2, 0)).unwrap();
    assert!(matches!(open(&rig.disks), Err(StoreError::NotFound { .. })), "the old name is gone");
    let renamed = VgRef::Name(VgName::new("renamed").unwrap());
    let mut store = VgStore::open(boxed(&rig.disks), &renamed).unwrap();
    assert!(matches!(store.issues(), [StoreIssue::Lagging { .. }]));
    assert_eq!(store.commit(&text_of("renamed", 200, 3, 2, 0)).unwrap().written, 2);
}

#[test]
fn an_absent_group_is_not_found_and_says_what_could_hide_it() {
    let rig = Rig::small(2);
    flip(&rig.disks[0], 4096 + 600);
    rig.disks[1].inject(Fault::lasting(Operation::Read, 0));
    let error = open(&rig.disks).err().unwrap().to_string();
    let expected =
        "volume group vg0 is on none of the 2 devices; 2 of them or of their metadata areas cannot be used";
    assert!(error.starts_with(expected), "{error}");
    let blank = Arc::new(MemDisk::new("/dev/blank", 1 << 20, 512));
    let error = open(&[blank]).err().unwrap().to_string();
    assert_eq!(error, "volume group vg0 is on none of the 1 devices");
}

#[test]
fn a_device_that_fails_does_not_hide_the_others() {
    let rig = Rig::small(2);
    rig.disks[1].inject(Fault::lasting(Operation::Read, 0));
    let store = rig.store();
    assert!(matches!(store.issues(), [StoreIssue::Device { .. }, StoreIssue::MissingPv { .. }]));
}

/// A disk on which somebody commits just before certain reads.
struct Racing {
    disk: Arc<MemDisk>,
    reads: Cell<usize>,
    commit_before: Vec<usize>,
    writer: std::cell::RefCell<(VgStore, Vec<Vec<u8>>)>,
}

impl BlockDev for Racing {
    fn name(&self) -> String {
        self.disk.name()
    }

    fn size(&self) -> Bytes {
        self.disk.size()
    }

    fn block_size(&self) -> u32 {
        self.disk.block_size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.reads.set(self.reads.get() + 1);
        if self.commit_before.contains(&self.reads.get()) {
            let (store, texts) = &mut *self.writer.borrow_mut();
            // Twice round: the place of the text in use is overwritten.
            for _ in 0..3 {
                store.commit(&texts.remove(0)).unwrap();
            }
        }
        self.disk.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        self.disk.write_at(offset, buf)
    }

    fn flush(&self) -> io::Result<()> {
        self.disk.flush()
    }
}

#[test]
fn a_reader_without_lock_tries_again_when_a_writer_laps_it() {
    let rig = Rig::small(1);
    let texts = (2..20).map(|seqno| rig.text(seqno, 14_000)).collect();
    // Reads: label, header, text, header, text, ...
    let racing = Racing {
        disk: Arc::clone(&rig.disks[0]),
        reads: Cell::new(0),
        commit_before: vec![3, 5],
        writer: std::cell::RefCell::new((rig.store(), texts)),
    };
    let store = VgStore::open(vec![Box::new(racing)], &vg_ref()).unwrap();
    assert!(store.issues().is_empty(), "{:?}", store.issues());
    assert_eq!(store.text(), rig.store().text());
}

/// Two copies of one state, written at different times: which one is taken does not matter.
#[test]
fn equal_numbers_that_differ_in_their_header_only_are_one_text() {
    let rig = Rig::small(2);
    let mut again = rig.text(1, 33);
    assert_ne!(again, rig.text(1, 0));
    put_text(&*rig.disks[1], rig.areas(1)[0], &again).unwrap();
    assert_eq!(look(&rig), (1, vec![]));
    rig.store().commit(&rig.text(2, 0)).unwrap();
    assert_eq!(look(&rig), (2, vec![]));
    again = text_of("vg0", 200, 2, 3, 0);
    put_text(&*rig.disks[1], rig.areas(1)[0], &again).unwrap();
    let issues = rig.store().issues().to_vec();
    assert!(issues.iter().any(|issue| issue.forbids(Use::Activate)), "{issues:?}");
    assert!(!issues.iter().any(|issue| issue.forbids(Use::Deactivate)), "{issues:?}");
}

/// vgsplit, killed between its two commits: the group it split names a disk that has the new group's text.
#[test]
fn a_pv_with_the_text_of_another_group_forbids_all_but_stopping() {
    let rig = Rig::small(2);
    put_text(&*rig.disks[1], rig.areas(1)[0], &text_of("new", 99, 1, 2, 0)).unwrap();
    let store = rig.store();
    let forbid = |usage| store.issues().iter().any(|issue| issue.forbids(usage));
    assert!(forbid(Use::Change) && forbid(Use::Activate) && !forbid(Use::Deactivate), "{:?}", store.issues());
    assert!(rig.store().commit(&rig.text(2, 0)).is_err());
}
