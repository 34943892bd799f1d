//! Which thin ids new devices get.
//!
//! lvm2 always takes the largest id in the text plus one, and adopts whatever it finds under that id. So an id that a
//! crash could leave in the kernel without the text knowing it (a snapshot made before its commit) must stay out of
//! lvm2's way: far below the largest id, or far above it.

use std::collections::BTreeSet;

use base::ids::ThinId;

/// How many ids below an unconfirmed one stay unused, so that lvm2 cannot count up to it before recovery deletes it.
pub const ID_GAP: u32 = 64;

/// How far above the largest id the first unconfirmed id goes: it leaves this many ids below it for later ones.
pub const LEAP: u32 = 1024;

/// Ids for devices that are in the text before they are in the kernel: the largest in use plus one and on, as lvm2
/// does, skipping those in `taken`; holes once the numbers run out. `None` if there are not enough ids.
pub fn after_maximum(
    taken: &BTreeSet<ThinId>,
    in_text_max: Option<ThinId>,
    count: usize,
) -> Option<Vec<ThinId>> {
    let first = in_text_max.map_or(1, |id| id.get() + 1);
    let free = |id: &u32| ThinId::new(u64::from(*id)).is_ok_and(|id| !taken.contains(&id));
    let above = (first..=ThinId::MAX.get()).filter(free);
    let below = (1..first).rev().filter(free);
    let ids: Vec<ThinId> =
        above.chain(below).take(count).filter_map(|id| ThinId::new(u64::from(id)).ok()).collect();
    (ids.len() == count).then_some(ids)
}

/// Ids for devices that are in the kernel before they are in the text: at least [`ID_GAP`] free ids below each, in the
/// highest hole first; above the maximum by [`LEAP`] where no hole is wide enough. `None` if there are not enough ids.
pub fn out_of_reach(taken: &BTreeSet<ThinId>, count: usize) -> Option<Vec<ThinId>> {
    let mut ids = Vec::with_capacity(count);
    let mut upper: Option<u32> = None;
    for id in taken.iter().rev().map(|id| id.get()).chain([0]) {
        if let Some(upper) = upper {
            let lowest = id.saturating_add(ID_GAP + 1);
            ids.extend((lowest..upper).rev().take(count - ids.len()));
        }
        upper = Some(id);
        if ids.len() == count {
            break;
        }
    }
    let missing = u32::try_from(count - ids.len()).ok()?;
    if missing > 0 {
        let maximum = taken.last().map_or(0, |id| id.get());
        let top = maximum.checked_add(LEAP.max(missing.checked_add(ID_GAP)?))?;
        ids.extend((top - missing + 1..=top).rev());
    }
    ids.into_iter().map(|id| ThinId::new(u64::from(id)).ok()).collect()
}

/// An id whose deletion may be asked for without effect, to give a transaction a message lvm2 can replay: the highest
/// one not taken.
pub fn never_used(taken: &BTreeSet<ThinId>) -> Option<ThinId> {
    (1..=ThinId::MAX.get())
        .rev()
        .filter_map(|id| ThinId::new(u64::from(id)).ok())
        .find(|id| !taken.contains(id))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn set(ids: &[u64]) -> BTreeSet<ThinId> {
        ids.iter().map(|id| ThinId::new(*id).unwrap()).collect()
    }

    fn numbers(ids: Option<Vec<ThinId>>) -> Option<Vec<u32>> {
        ids.map(|ids| ids.into_iter().map(ThinId::get).collect())
    }

    #[test]
    fn canonical_ids_follow_the_maximum_and_skip_strangers() {
        assert_eq!(numbers(after_maximum(&set(&[]), None, 2)), Some(vec![1, 2]));
        let max = ThinId::new(3).ok();
        assert_eq!(numbers(after_maximum(&set(&[1, 3, 5]), max, 3)), Some(vec![4, 6, 7]));
    }

    #[test]
    fn canonical_ids_wrap_into_holes_at_the_end_of_the_numbers() {
        let max = ThinId::MAX;
        assert_eq!(
            numbers(after_maximum(&set(&[1, u64::from(max.get())]), Some(max), 1)),
            Some(vec![max.get() - 1])
        );
    }

    #[test]
    fn unconfirmed_ids_leap_over_the_maximum_then_fill_the_hole_downwards() {
        assert_eq!(numbers(out_of_reach(&set(&[1]), 1)), Some(vec![1025]));
        assert_eq!(numbers(out_of_reach(&set(&[1, 1025]), 2)), Some(vec![1024, 1023]));
        assert_eq!(numbers(out_of_reach(&set(&[1, 67]), 1)), Some(vec![66]));
        assert_eq!(numbers(out_of_reach(&set(&[1, 66]), 1)), Some(vec![66 + LEAP]));
    }

    #[test]
    fn running_out_of_ids_is_noticed() {
        assert_eq!(out_of_reach(&set(&[u64::from(ThinId::MAX.get())]), 20_000_000), None);
    }

    proptest! {
        #[test]
        fn unconfirmed_ids_are_fresh_distinct_and_guarded(raw in proptest::collection::btree_set(1u64..3000, 0..40),
                                                        count in 1usize..50, _seed in any::<u8>()) {
            let taken = set(&raw.into_iter().collect::<Vec<_>>());
            let ids = out_of_reach(&taken, count).unwrap();
            prop_assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), count);
            for id in &ids {
                for below in id.get().saturating_sub(ID_GAP)..=id.get() {
                    prop_assert!(!taken.contains(&ThinId::new(u64::from(below)).unwrap()));
                }
            }
        }
    }
}
