//! What is done for a pool that fills up: when it is extended, by how much, and what is said of it. By lvm2's rules, so
//! that it does not matter who watches.
//!
//! Source: lvm2 `lib/metadata/lv_manip.c` (`_adjust_amount`, `lv_extend_policy_calculate_percent`).

use crate::condition::Condition;
use base::units::{Bytes, Extents, Sectors};
use dm::status::{Percent, PoolWorking, Usage};

/// How full data or metadata are when it is said, in per cent. Each is said once, until there is less again.
const LEVELS: [u32; 4] = [80, 90, 95, 100];

/// How far below a level the usage falls before it is said again, in per cent.
const SAID_AGAIN: u32 = 5;

/// Nothing is extended that is not fuller than that. Source: lvm2 `lib/metadata/lv_manip.c`.
const LEAST: u32 = 50;

/// Metadata that lvm2 keeps free, if a quarter of it is not less. Source: lvm2 `lib/metadata/thin_manip.c`
/// (`thin_pool_metadata_min_threshold`).
const METADATA_KEPT: u64 = 4 << 20;

/// When and by how much a pool is extended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension {
    /// How full it is then, in per cent; 100 for never.
    pub at: u32,
    /// By how much of its size, in per cent.
    pub by: u32,
}

/// How large a pool is by its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Its data.
    pub data: Extents,
    /// Its metadata.
    pub metadata: Extents,
    /// An extent.
    pub extent: Sectors,
}

/// The sizes a pool is to have; nothing where it has enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Its data.
    pub data: Option<Sectors>,
    /// Its metadata.
    pub metadata: Option<Sectors>,
}

impl Wanted {
    /// Whether it has enough of both.
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

impl Extension {
    /// Whether it is ever extended.
    pub const fn is_on(self) -> bool {
        self.at < 100
    }

    /// What a pool is to have that is so full.
    pub fn wanted(self, working: &PoolWorking, sizes: Sizes) -> Wanted {
        if !self.is_on() || working.needs_check {
            return Wanted::default();
        }
        let at = self.at.max(LEAST);
        let larger = |now: Extents, percent: Option<u64>| {
            let more = now.get().checked_mul(percent?)?.div_ceil(100);
            now.checked_add(Extents::new(more))?.to_sectors(sizes.extent)
        };
        let metadata_at = at.min(metadata_limit(sizes));
        Wanted {
            data: larger(sizes.data, self.need(working.data, at)),
            metadata: larger(sizes.metadata, self.need(working.metadata, metadata_at).map(|more| more + 1)),
        }
    }

    /// By how many per cent something is to grow that is so full and is to be less full than that.
    fn need(self, usage: Usage, at: u32) -> Option<u64> {
        /// Millionths of a per cent.
        const PERCENT: u64 = 1_000_000;
        let used = u64::from(Percent::of(usage.used, usage.total).millionths());
        let at = u64::from(at) * PERCENT;
        if used <= u64::from(LEAST) * PERCENT || used <= at {
            return None;
        }
        let to_limit = (used * 100).div_ceil(at).saturating_sub(100);
        Some(to_limit.max(u64::from(self.by)))
    }
}

/// How full metadata may be at most, in per cent: what lvm2 keeps free of it stays free.
fn metadata_limit(sizes: Sizes) -> u32 {
    let bytes = sizes.metadata.to_sectors(sizes.extent).and_then(Sectors::to_bytes).map_or(0, Bytes::get);
    let kept = (METADATA_KEPT * 100).checked_div(bytes).unwrap_or(25).min(25);
    100 - u32::try_from(kept).unwrap_or(25)
}

/// What was said of a pool last.
#[derive(Clone, Debug, Default)]
pub struct Said {
    data: Option<u32>,
    metadata: Option<u32>,
    condition: Option<Condition>,
}

/// Something to say of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// So much of it is taken, in per cent.
    Filled {
        /// What of it.
        what: &'static str,
        /// The level that is reached.
        percent: u32,
    },
    /// It is in another state.
    Condition(Condition),
}

impl Said {
    /// What is new since it was asked last.
    pub fn news(&mut self, working: Option<&PoolWorking>, condition: &Condition) -> Vec<News> {
        let mut news = Vec::new();
        if let Some(working) = working {
            let parts =
                [("data", working.data, &mut self.data), ("metadata", working.metadata, &mut self.metadata)];
            for (what, usage, said) in parts {
                let reached = LEVELS.into_iter().rev().find(|level| usage.reaches(*level));
                if let Some(percent) = reached.filter(|level| said.is_none_or(|said| said < *level)) {
                    news.push(News::Filled { what, percent });
                    *said = Some(percent);
                }
                if said.is_some_and(|said| !usage.reaches(said - SAID_AGAIN)) {
                    *said = reached;
                }
            }
        }
        // That a pool is in order is news only after it was not.
        let before = self.condition.replace(condition.clone());
        let was_fine = before.as_ref().is_none_or(Condition::is_fine);
        if before.as_ref() != Some(condition) && !(was_fine && condition.is_fine()) {
            news.push(News::Condition(condition.clone()));
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dm::status::PoolStatus;

    /// A pool with so much of 1000 chunks and of 1024 blocks of metadata in use.
    fn working(data: u64, metadata: u64) -> PoolWorking {
        let line = format!("1 {metadata}/1024 {data}/1000 - rw discard_passdown queue_if_no_space - 256");
        let PoolStatus::Working(working) = PoolStatus::parse(&line).unwrap() else { unreachable!() };
        working
    }

    const SIZES: Sizes =
        Sizes { data: Extents::new(100), metadata: Extents::new(1), extent: Sectors::new(8192) };

    fn wanted(extension: Extension, data: u64, metadata: u64) -> (Option<u64>, Option<u64>) {
        let extents = |size: Option<Sectors>| size.map(|size| size.get() / 8192);
        let wanted = extension.wanted(&working(data, metadata), SIZES);
        (extents(wanted.data), extents(wanted.metadata))
    }

    /// As lvm2 counts: at 85 % with a threshold of 70 it takes 22 % more to be below it.
    #[test]
    fn a_pool_grows_by_its_share_and_at_least_below_its_threshold() {
        let extension = Extension { at: 70, by: 20 };
        assert_eq!(wanted(extension, 700, 10), (None, None));
        assert_eq!(wanted(extension, 701, 10), (Some(120), None));
        assert_eq!(wanted(extension, 850, 10), (Some(122), None));
        assert_eq!(wanted(extension, 1000, 10), (Some(143), None));
        assert_eq!(wanted(Extension { at: 70, by: 50 }, 701, 10), (Some(150), None));
        assert_eq!(wanted(Extension { at: 100, by: 20 }, 1000, 1024), (None, None));
    }

    /// Of 4 MiB a quarter is kept free, whatever the threshold.
    #[test]
    fn metadata_grows_before_what_is_kept_free_is_used() {
        assert_eq!(wanted(Extension { at: 95, by: 20 }, 100, 768), (None, None));
        assert_eq!(wanted(Extension { at: 95, by: 20 }, 100, 769), (None, Some(2)));
        assert_eq!(wanted(Extension { at: 70, by: 20 }, 100, 720), (None, Some(2)));
    }

    #[test]
    fn each_level_is_said_once_until_there_is_less_again() {
        let mut said = Said::default();
        let mut news = |data| -> Vec<u32> {
            let level = |news: &News| match news {
                News::Filled { percent, .. } => *percent,
                News::Condition(condition) => panic!("{condition:?}"),
            };
            said.news(Some(&working(data, 10)), &Condition::Works).iter().map(level).collect()
        };
        for (data, levels) in [
            (790, &[][..]),
            (800, &[80]),
            (850, &[]),
            (790, &[]),
            (810, &[]),
            (960, &[95]),
            (700, &[]),
            (1000, &[100]),
            (1000, &[]),
        ] {
            assert_eq!(news(data), levels, "{data}");
        }
    }

    #[test]
    fn a_state_is_said_when_it_comes_and_when_it_goes() {
        let mut said = Said::default();
        let mut news = |condition: Condition| said.news(None, &condition);
        assert_eq!(news(Condition::Works), []);
        assert_eq!(news(Condition::NeedsCheck), [News::Condition(Condition::NeedsCheck)]);
        assert_eq!(news(Condition::NeedsCheck), []);
        assert_eq!(news(Condition::Works), [News::Condition(Condition::Works)]);
        assert_eq!(news(Condition::Inactive), []);
    }
}
