//! How full something is, exactly, and as lvm2 shows it.

use std::fmt;

use serde::{Serialize, Serializer};

/// So much of so much, in any unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// What is used.
    pub used: u64,
    /// What there is.
    pub total: u64,
}

impl Usage {
    /// What is left; zero if more is used than there is.
    pub fn free(self) -> u64 {
        self.total.saturating_sub(self.used)
    }

    /// The share that is used, as lvm2 counts it.
    pub fn percent(self) -> Percent {
        Percent::of(self.used, self.total)
    }

    /// Whether at least `percent` per cent are used, exactly. Of nothing, everything is used.
    pub fn reaches(self, percent: u32) -> bool {
        u128::from(self.used) * 100 >= u128::from(self.total) * u128::from(percent)
    }
}

/// A percentage in millionths, as lvm2 counts it: exactly 0 and exactly 100 only where nothing or all is
/// used. Source: lvm2 `libdm/libdm-common.c`, `libdm/libdevmapper.h` (`dm_make_percent`, `DM_PERCENT_1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u32);

/// Millionths in one hundredth of a per cent.
const HUNDREDTH: u32 = 10_000;

impl Percent {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// Everything.
    pub const FULL: Self = Self(100_000_000);

    /// The share of `used` in `total`. Of nothing, everything is used; more than everything is everything.
    pub fn of(used: u64, total: u64) -> Self {
        if used >= total {
            return Self::FULL;
        }
        if used == 0 {
            return Self::ZERO;
        }
        let exact = u128::from(used) * u128::from(Self::FULL.0) / u128::from(total);
        Self(
            u32::try_from(exact).map_or(Self::FULL.0 - 1, |millionths| millionths.clamp(1, Self::FULL.0 - 1)),
        )
    }

    /// Millionths of a per cent.
    pub const fn millionths(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Percent {
    /// Two decimals; 0.00 and 100.00 only where they are exact.
    /// Source: lvm2 `libdm/libdm-report.c`, `libdm/libdm-common.c` (`dm_percent_to_round_float`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = (self.0 + HUNDREDTH / 2) / HUNDREDTH;
        let shown = match *self {
            Self::ZERO | Self::FULL => rounded,
            Self(_) => rounded.clamp(1, 9_999),
        };
        f.pad(&format!("{}.{:02}", shown / 100, shown % 100))
    }
}

impl Serialize for Percent {
    /// As a string with two decimals, as lvm2's JSON reports do.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
