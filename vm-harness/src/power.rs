//! What the harness and the work it cuts the power of have in common.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The disk that outlives the machine, as the guest sees it.
pub const DISK: &str = "/dev/vdb";

/// Printed when the state is checked and the work begins.
pub const WORKING: &str = "working";

/// What was reported before the power was cut.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// How often the power was cut so far.
    pub cuts: u32,
    /// Volumes of the last round that are there.
    pub there: Vec<String>,
    /// Volumes of the last round that are gone.
    pub gone: Vec<String>,
    /// Whether lvm2 works, too.
    #[serde(default)]
    pub with_lvm2: bool,
}

/// Reads the output of a round: lines `There <volume>`, `Gone <volume>` and, while a command runs, `Unknown <volume>`.
/// An incomplete last line does not count.
pub fn reported(cuts: u32, printed: &str) -> Journal {
    let whole = printed.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let mut fates: BTreeMap<&str, &str> = BTreeMap::new();
    for line in whole.lines() {
        if let Some((fate @ ("There" | "Gone" | "Unknown"), name)) = line.split_once(' ') {
            fates.insert(name, fate);
        }
    }
    let of = |wanted: &str| {
        let names = fates.iter().filter(|(_, fate)| **fate == wanted);
        names.map(|(name, _)| (*name).to_owned()).collect()
    };
    Journal { cuts, there: of("There"), gone: of("Gone"), with_lvm2: false }
}

#[cfg(test)]
mod tests {
    use super::{Journal, reported};

    #[test]
    fn the_last_whole_word_about_a_volume_counts() {
        let printed = "working\nUnknown a\nThere a\nUnknown b\nThere b\nUnknown b\nGone c\nThere d";
        let journal = Journal { cuts: 3, there: vec!["a".into()], gone: vec!["c".into()], with_lvm2: false };
        assert_eq!(reported(3, printed), journal);
    }
}
