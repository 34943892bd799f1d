//! A device's table against the one that the text wants.

use dm::table::{PoolParams, TargetLine};

/// How a table differs from the one that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drift {
    /// It ends before the wanted one, and is the same up to there.
    Shorter,
    /// It goes on where the wanted one ends, and is the same up to there.
    Longer,
    /// In any other way.
    Other,
}

/// How a live table differs from the wanted one; nothing if it does not.
pub(super) fn difference(live: &[TargetLine], wanted: &[TargetLine]) -> Option<Drift> {
    match (is_start_of(live, wanted), is_start_of(wanted, live)) {
        (true, true) => None,
        (true, false) => Some(Drift::Shorter),
        (false, true) => Some(Drift::Longer),
        (false, false) => Some(Drift::Other),
    }
}

/// Whether a table is another one as far as it goes.
fn is_start_of(short: &[TargetLine], long: &[TargetLine]) -> bool {
    let Some((last, before)) = short.split_last() else { return false };
    let Some(in_place) = long.get(before.len()) else { return false };
    before.iter().zip(long).all(|(one, other)| is_same(one, other) && one.length == other.length)
        && is_same(last, in_place)
        && last.length <= in_place.length
}

/// Whether two lines map to the same place in the same way, however far.
fn is_same(one: &TargetLine, other: &TargetLine) -> bool {
    let params = |line: &TargetLine| PoolParams::parse(&line.params).ok();
    let is_same_target = (one.start, &one.target) == (other.start, &other.target);
    is_same_target
        && match one.target.as_str() {
            // What it does with discards, and when it tells that it is full, is no matter of what it lies on.
            "thin-pool" => params(one).zip(params(other)).is_some_and(|(one, other)| {
                (one.metadata, one.data, one.chunk_size) == (other.metadata, other.data, other.chunk_size)
            }),
            // The kernel shows its parameters in an order of its own.
            "raid" => true,
            _ => one.params == other.params,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::units::Sectors;

    /// `start length target params`, by semicolons.
    fn table(text: &str) -> Vec<TargetLine> {
        let line = |line: &str| {
            let words: Vec<&str> = line.trim().splitn(4, ' ').collect();
            let sectors = |word: &str| Sectors::new(word.parse().unwrap());
            TargetLine {
                start: sectors(words[0]),
                length: sectors(words[1]),
                target: words[2].into(),
                params: words[3].into(),
            }
        };
        text.split(';').map(line).collect()
    }

    #[test]
    fn tables_differ_in_length_or_otherwise() {
        use Drift::{Longer, Other, Shorter};
        let two = "0 8 linear 7:0 0; 8 8 linear 7:0 64";
        let pool = "0 64 thin-pool 254:0 254:1 128 0 0";
        for (live, wanted, is) in [
            (two, two, None),
            ("0 8 linear 7:0 0", two, Some(Shorter)),
            ("0 4 linear 7:0 0", two, Some(Shorter)),
            ("0 8 linear 7:0 0; 8 4 linear 7:0 64", two, Some(Shorter)),
            ("0 8 linear 7:0 0; 8 16 linear 7:0 64", two, Some(Longer)),
            ("0 8 linear 7:0 0; 8 8 linear 7:0 64; 16 8 linear 7:1 0", two, Some(Longer)),
            ("0 16 linear 7:0 0", two, Some(Other)),
            ("0 8 linear 7:0 8; 8 8 linear 7:0 64", two, Some(Other)),
            ("0 8 linear 7:1 0", two, Some(Other)),
            ("0 64 thin-pool 254:0 254:1 128 9 1 no_discard_passdown", pool, None),
            ("0 128 thin-pool 254:0 254:1 128 0 0", pool, Some(Longer)),
            ("0 64 thin-pool 254:2 254:1 128 0 0", pool, Some(Other)),
            ("0 64 raid raid1 3 0 region_size 4096 1 - -", "0 64 raid raid1 5 0", None),
        ] {
            assert_eq!(difference(&table(live), &table(wanted)), is, "{live} for {wanted}");
        }
        assert_eq!(difference(&[], &table(two)), Some(Other));
    }
}
