//! A crash at any instant of a commit leaves the old text or the new one.

use super::rig::{Rig, on_images, open};
use base::bytes::shared::SharedBytes;
use sys::io::mem::image::Image;

/// Commits texts of these lengths one after the other and crashes each commit at every instant.
fn crash_commits(rig: &Rig, fillers: &[usize]) {
    let mut store = rig.store();
    let mut old = store.text().to_vec();
    for (seqno, filler) in (2..).zip(fillers) {
        let new = rig.text(seqno, *filler);
        let before = rig.timeline.now();
        let committed = store.commit(&new).unwrap();
        assert!(committed.failed.is_empty());
        let after = rig.timeline.now();
        let mut new_seen_at = None;
        for at in before..=after {
            for (number, (found, images)) in rig.texts_after_crash(at).enumerate() {
                assert!(found == old || found == new, "neither text after a crash at {at}");
                if found == new {
                    new_seen_at.get_or_insert(at);
                }
                if at == after {
                    assert!(found == new, "a commit that returned is lost");
                }
                if number % 16 == 0 {
                    goes_on(rig, &images, seqno + u32::from(found == new));
                }
            }
        }
        // The new text is not in force before the first header is written, which is behind all texts and
        // flushes.
        let headers = new_seen_at.unwrap();
        assert!(headers - before > 2 * rig.disks.len(), "{headers} of {before} to {after}");
        old = new;
    }
}

/// After the crash the next commit reaches every area, those too that the last one did not reach.
fn goes_on(rig: &Rig, images: &[Image], seqno: u32) {
    let disks = on_images(images);
    let mut store = open(&disks).unwrap();
    let next = rig.text(seqno, 30);
    store.commit(&next).unwrap();
    let store = open(&disks).unwrap();
    assert_eq!((store.text(), store.issues().len()), (&*next, 0));
}

/// Commits pairs of texts of these lengths, the second written ahead with the first, and crashes both commits at every
/// instant. With each pair, how often each device is flushed for it.
fn crash_pairs(rig: &Rig, pairs: &[([usize; 2], usize)]) {
    let mut store = rig.store();
    let mut old = store.text().to_vec();
    for (pair, (lengths, flushes)) in (0..).zip(pairs) {
        let seqno = 2 + 2 * pair;
        let texts = [rig.text(seqno, lengths[0]), rig.text(seqno + 1, lengths[1])].map(SharedBytes::from);
        let (before, flushed) = (rig.timeline.now(), rig.flushes());
        store.commit_text(texts[0].clone(), Some(&texts[1])).unwrap();
        let between = rig.timeline.now();
        store.commit_text(texts[1].clone(), None).unwrap();
        let after = rig.timeline.now();
        assert_eq!(rig.flushes() - flushed, flushes * rig.disks.len(), "{lengths:?}");
        for at in before..=after {
            for (number, (found, images)) in rig.texts_after_crash(at).enumerate() {
                let state = [&old[..], &texts[0], &texts[1]].iter().position(|text| *text == found);
                let state = state.unwrap_or_else(|| panic!("none of the texts after a crash at {at}"));
                let least = usize::from(at >= between) + usize::from(at == after);
                assert!(state >= least, "a commit that returned is lost at {at}");
                assert!(at > between || state < 2, "the second commit counts before it is made");
                if number % 16 == 0 {
                    goes_on(rig, &images, seqno + u32::try_from(state).unwrap());
                }
            }
        }
        old = texts[1].to_vec();
    }
}

#[test]
fn a_text_that_is_written_ahead() {
    // Rings of 63 sectors: room for three of these, then for no third, then again.
    crash_pairs(&Rig::small(1), &[([8_000, 9_000], 3), ([9_500, 9_000], 3), ([700, 700], 3)]);
    crash_pairs(&Rig::small(1), &[([13_000, 14_000], 3), ([14_000, 13_000], 4), ([900, 800], 3)]);
    crash_pairs(&Rig::small(2), &[([3_000, 3_100], 3)]);
    crash_pairs(&Rig::new(1, 4096, [64 << 10, 0]), &[([3_000, 9_000], 3), ([12_000, 100], 3)]);
    crash_pairs(&Rig::new(1, 512, [32 << 10, 32 << 10]), &[([100, 200], 3)]);
}

/// What is taken back is not what was written ahead, and what follows it is written anew.
#[test]
fn another_text_than_the_one_written_ahead() {
    let rig = Rig::small(2);
    let mut store = rig.store();
    let [first, ahead, other] = [(2, 100), (3, 200), (3, 300)].map(|(seqno, length)| rig.text(seqno, length));
    let ahead = SharedBytes::from(ahead);
    store.commit_text(SharedBytes::from(first), Some(&ahead)).unwrap();
    store.commit(&other).unwrap();
    assert_eq!(rig.store().text(), other);
    assert!(store.commit_text(ahead, None).is_err(), "its number is taken");
    let next = rig.text(4, 50);
    store.commit(&next).unwrap();
    assert_eq!((rig.store().text(), rig.store().issues().len()), (&*next, 0));
}

#[test]
fn one_pv() {
    // 32 KiB: a ring of 63 sectors and texts of up to 30, so that the third wraps.
    crash_commits(&Rig::small(1), &[14_000, 10_000, 12_000, 700, 5_000, 15_000]);
}

#[test]
fn two_pvs() {
    crash_commits(&Rig::small(2), &[100, 3_000, 9_000]);
}

#[test]
fn three_pvs() {
    crash_commits(&Rig::small(3), &[10, 1_200]);
}

#[test]
fn blocks_of_4096_bytes() {
    crash_commits(&Rig::new(1, 4096, [64 << 10, 0]), &[3_000, 20_000, 25_000, 28_000, 100, 100]);
    crash_commits(&Rig::new(2, 4096, [64 << 10, 0]), &[10_000, 8_000]);
}

#[test]
fn two_areas_on_one_pv() {
    crash_commits(&Rig::new(1, 512, [32 << 10, 32 << 10]), &[100, 5_000]);
    crash_commits(&Rig::new(2, 512, [32 << 10, 16 << 10]), &[50]);
}
