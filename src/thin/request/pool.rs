//! What can be asked of pools themselves. Each is made by itself, not in a batch.

use serde::Serialize;

use crate::pool_rules::RuleChange;
use base::ids::{DevNo, LvName};
use base::units::Sectors;
use lvm2::format::model::Discards;

/// How large something is to be; rounded up to whole extents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Space {
    /// So large.
    To(Sectors),
    /// So much more than it is.
    By(Sectors),
    /// Larger by so many percent of the extents that are free; what else grows with it is left free.
    FreePercent(u32),
}

/// More room for a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrowPool {
    /// The pool.
    pub pool: LvName,
    /// Room for data.
    pub data: Option<Space>,
    /// Room for its metadata. If nothing is said of it, it grows with the data.
    pub metadata: Option<Space>,
    /// The physical volumes to take extents from; any if there are none.
    pub on: Vec<DevNo>,
}

/// How a pool works; what is not said stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SetPool {
    /// The pool.
    pub pool: LvName,
    /// What happens to discards.
    pub discards: Option<Discards>,
    /// Whether new chunks are zeroed.
    pub zero: Option<bool>,
    /// Whether writes fail at once when it is full, instead of waiting for room.
    pub error_when_full: Option<bool>,
    /// What is said of it beyond what LVM knows.
    pub rules: Vec<RuleChange>,
}

/// A new pool. What is not said follows lvm.conf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewPool {
    /// Its name.
    pub name: LvName,
    /// Room for data.
    pub data: Space,
    /// Room for its metadata.
    pub metadata: Option<Sectors>,
    /// The size of a chunk.
    pub chunk: Option<Sectors>,
    /// Over how many physical volumes its data is striped.
    pub stripes: u32,
    /// How much goes on one of them before the next comes.
    pub stripe_size: Option<Sectors>,
    /// What happens to discards.
    pub discards: Option<Discards>,
    /// Whether new chunks are zeroed.
    pub zero: Option<bool>,
    /// Whether writes fail at once when it is full, instead of waiting for room.
    pub error_when_full: Option<bool>,
    /// The physical volumes to take extents from; any if there are none.
    pub on: Vec<DevNo>,
    /// Whether its devices are to exist afterwards.
    pub activate: bool,
}

/// A pool that goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RemovePool {
    /// The pool.
    pub pool: LvName,
    /// Whether its volumes go with it. Else it must have none.
    pub with_volumes: bool,
}

/// The metadata of a pool that does not run, repaired onto the group's spare, which takes its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RepairPool {
    /// The pool.
    pub pool: LvName,
    /// Whether to do so where no damage is found, and to take a repaired copy that has lost something.
    pub force: bool,
    /// The physical volumes to take extents of a new spare from; any if there are none.
    pub on: Vec<DevNo>,
}
