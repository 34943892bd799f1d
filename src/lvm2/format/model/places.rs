//! Where an LV of a name or an identity is, among thousands: a table by numbers made of them, filled once.

use base::ids::LvmUuid;

/// The places of LVs by numbers: an open table, at most half full. A slot holds the upper half of a number and the
/// place plus one, and is 0 if it is empty.
#[derive(Clone, Debug)]
pub(super) struct Places {
    slots: Vec<u64>,
    all_differ: bool,
}

/// The half of a slot that holds the place.
const PLACE: u64 = 0xffff_ffff;

impl Places {
    /// An index of the places 0, 1, … of items with these hashes. Of equal items the first is kept.
    pub(super) fn of(
        numbers: impl ExactSizeIterator<Item = u64>,
        is_same: impl Fn(usize, usize) -> bool,
    ) -> Self {
        let slots = vec![0; (2 * numbers.len()).next_power_of_two().max(2)];
        let mut places = Self { slots, all_differ: true };
        for (number, place) in numbers.zip(0..) {
            match places.slot(number, |other| is_same(other, index_of(place))) {
                (free, None) => places.slots[free] = (number & !PLACE) | (place + 1),
                (_, Some(_)) => places.all_differ = false,
            }
        }
        places
    }

    /// The place of the item that has this hash and satisfies the condition.
    pub(super) fn find(&self, number: u64, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        self.slot(number, is_it).1
    }

    /// Whether no two are the same.
    pub(super) fn all_differ(&self) -> bool {
        self.all_differ
    }

    /// The slot where the search for a hash ends, with the place in it if its item satisfies the condition.
    fn slot(&self, number: u64, is_it: impl Fn(usize) -> bool) -> (usize, Option<usize>) {
        let mask = self.slots.len() - 1;
        // The uppermost bits: there is at least one.
        let mut at = index_of(number >> (64 - self.slots.len().trailing_zeros()));
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return (at, None);
            }
            let place = index_of((slot & PLACE) - 1);
            if slot & !PLACE == number & !PLACE && is_it(place) {
                return (at, Some(place));
            }
            at = (at + 1) & mask;
        }
    }
}

/// A place or a part of a number as an index: both have 32 bits.
fn index_of(number: u64) -> usize {
    usize::try_from(number & PLACE).expect("32 bits fit the address space")
}

/// A number for an id.
pub(super) fn number_of_id(id: &LvmUuid) -> u64 {
    let (words, _) = id.as_bytes().as_chunks::<8>();
    last_step(words.iter().fold(START, |number, word| step(number, u64::from_le_bytes(*word))))
}

/// A number for a name.
pub(super) fn number_of(name: &[u8]) -> u64 {
    let (words, rest) = name.as_chunks::<8>();
    let number = words.iter().fold(START, |number, word| step(number, u64::from_le_bytes(*word)));
    let rest = rest.iter().fold(0, |rest, byte| rest << 8 | u64::from(*byte));
    last_step(step(number, rest))
}

/// Any number will do.
const START: u64 = 0xcbf2_9ce4_8422_2325;
/// An odd number whose bits are spread: 2^64 by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Takes eight bytes more into a number: what they differ in reaches the bits above, and then the lower half.
fn step(number: u64, word: u64) -> u64 {
    let number = (number ^ word).wrapping_mul(FACTOR);
    number ^ number >> 32
}

/// Has what differs anywhere reach the uppermost bits, which the table goes by.
fn last_step(number: u64) -> u64 {
    number.wrapping_mul(FACTOR)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn places(names: &[&str]) -> Places {
        Places::of(names.iter().map(|name| number_of(name.as_bytes())), |one, other| {
            names[one] == names[other]
        })
    }

    #[test]
    fn each_is_found_and_of_equal_ones_the_first() {
        let names: Vec<String> = (0..5000).map(|number| format!("vm-{number}-disk-0")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let all = places(&names);
        assert!(all.all_differ());
        for (place, name) in names.iter().enumerate() {
            assert_eq!(all.find(number_of(name.as_bytes()), |at| names[at] == *name), Some(place));
        }
        assert_eq!(all.find(number_of(b"vm-5000-disk-0"), |at| names[at] == "vm-5000-disk-0"), None);
        let twice = ["a", "b", "a"];
        assert!(!places(&twice).all_differ());
        assert_eq!(places(&twice).find(number_of(b"a"), |at| twice[at] == "a"), Some(0));
        assert_eq!(places(&[]).find(number_of(b"a"), |_| true), None);
    }

    /// If many items have the same hash, which an attacker could achieve, a search is slow, but correct.
    #[test]
    fn those_of_one_number_are_told_apart() {
        let same = Places::of((0..100).map(|_| 7).collect::<Vec<_>>().into_iter(), |one, other| one == other);
        assert!(same.all_differ());
        assert_eq!(same.find(7, |at| at == 99), Some(99));
    }

    /// Wherever they differ. Of 4096 in 8192 slots at random, 3223 would be used.
    #[test]
    fn names_and_ids_of_a_kind_are_spread() {
        let spread = |numbers: Vec<u64>| {
            let slots: BTreeSet<u64> = numbers.iter().map(|number| number >> (64 - 13)).collect();
            assert!(slots.len() > 2800, "{} slots of 8192 are used for {}", slots.len(), numbers.len());
        };
        for (before, behind) in
            [("vm-", "-disk-0"), ("", "-vm-disk-1"), ("vm-disk-", ""), ("snap-vm-1000", "")]
        {
            let name = |number: u32| number_of(format!("{before}{number:04}{behind}").as_bytes());
            spread((0..4096).map(name).collect());
        }
        for place in [0, 4, 8, 20, 28] {
            let id = |number: u32| {
                let mut text = *b"abcdefghijklmnopqrstuvwxyzABCDEF";
                text[place..place + 4].copy_from_slice(format!("{number:04}").as_bytes());
                number_of_id(&LvmUuid::from_compact(&text).unwrap())
            };
            spread((0..4096).map(id).collect());
        }
    }
}
