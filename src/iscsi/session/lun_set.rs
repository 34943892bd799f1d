//! Which LUNs of a session are attached.

use std::collections::BTreeSet;

/// A set of LUNs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LunSet {
    /// All that the target shows.
    All,
    /// These.
    Only(BTreeSet<u64>),
}

impl LunSet {
    /// Whether a LUN is one of them.
    pub fn includes(&self, lun: u64) -> bool {
        match self {
            Self::All => true,
            Self::Only(some) => some.contains(&lun),
        }
    }
}
