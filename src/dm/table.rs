//! Device-mapper tables: what thinvol loads, and the lines the kernel reports.

use std::fmt;

use serde::Serialize;

pub use super::words::LineError;
use base::ids::{DevNo, ThinId};
use base::units::{Chunks, Sectors};

mod parse;
#[cfg(test)]
mod tests;

/// The smallest chunk of a thin pool, in sectors; every chunk is a multiple of it.
/// Source: Linux `drivers/md/dm-thin.c` (`DATA_DEV_BLOCK_SIZE_MIN_SECTORS`).
pub const CHUNK_MIN: u64 = 128;
/// The largest chunk of a thin pool, in sectors. Source: ibid. (`DATA_DEV_BLOCK_SIZE_MAX_SECTORS`).
pub const CHUNK_MAX: u64 = 2_097_152;

/// A table of targets, in order of their start, without gaps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Table(pub Vec<TargetLine>);

/// One target of a table, or one line of a status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetLine {
    /// First sector on the device.
    pub start: Sectors,
    /// Number of sectors.
    pub length: Sectors,
    /// Target type, such as `thin`.
    pub target: String,
    /// Parameters or status text.
    pub params: String,
}

/// The parameters of a `thin-pool` target. Source: Linux
/// `Documentation/admin-guide/device-mapper/thin-provisioning.rst`; the order of features is lvm2's
/// (`libdm/libdm-deptree.c`, `_thin_pool_emit_segment_line`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PoolParams {
    /// The metadata device.
    pub metadata: DevNo,
    /// The data device.
    pub data: DevNo,
    /// Size of a chunk.
    pub chunk_size: Sectors,
    /// Free chunks at which the kernel raises an event.
    pub low_water: Chunks,
    /// New chunks are not zeroed.
    pub skip_block_zeroing: bool,
    /// Discards are dropped.
    pub ignore_discard: bool,
    /// Discards are not told to the data device.
    pub no_discard_passdown: bool,
    /// A full pool fails writes at once instead of queueing them.
    pub error_if_no_space: bool,
    /// The pool takes no change.
    pub read_only: bool,
}

/// The parameters of a `linear` target. Source: Linux `drivers/md/dm-linear.c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LinearParams {
    /// The device below.
    pub device: DevNo,
    /// Its first sector.
    pub offset: Sectors,
}

/// The parameters of a `striped` target. Source: Linux `drivers/md/dm-stripe.c`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StripedParams {
    /// Size of a stripe's chunk.
    pub chunk_size: Sectors,
    /// The devices below, in order.
    pub stripes: Vec<LinearParams>,
}

/// The parameters of a `thin` target. Source: Linux `drivers/md/dm-thin.c` (`thin_status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ThinParams {
    /// The device with the `thin-pool` target.
    pub pool: DevNo,
    /// The device's id in the pool.
    pub id: ThinId,
    /// Where chunks that were never written are read from, if anywhere.
    pub external_origin: Option<DevNo>,
}

/// A target with its parameters understood. Two are equal if the kernel would map alike, however they are
/// spelt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "target", rename_all = "kebab-case")]
pub enum DmTarget {
    /// A stretch of one device.
    Linear(LinearParams),
    /// Stretches of several devices in turn.
    Striped(StripedParams),
    /// A thin device.
    Thin(ThinParams),
    /// A thin pool.
    ThinPool(PoolParams),
    /// A target that thinvol does not load.
    Other {
        /// Its type.
        kind: String,
        /// Its parameters.
        params: String,
    },
}

impl TargetLine {
    /// `striped` over `stripes`, each a device and its first sector.
    pub fn striped(start: Sectors, length: Sectors, params: &StripedParams) -> Self {
        Self { start, length, target: "striped".into(), params: params.to_string() }
    }

    /// `linear` onto `device` from `offset` on.
    pub fn linear(start: Sectors, length: Sectors, device: DevNo, offset: Sectors) -> Self {
        Self { start, length, target: "linear".into(), params: LinearParams { device, offset }.to_string() }
    }

    /// `thin` device `id` of `pool`, reading unwritten chunks from `external_origin` if given.
    pub fn thin(length: Sectors, pool: DevNo, id: ThinId, external_origin: Option<DevNo>) -> Self {
        let params = ThinParams { pool, id, external_origin }.to_string();
        Self { start: Sectors::ZERO, length, target: "thin".into(), params }
    }

    /// `thin-pool` with these parameters.
    pub fn thin_pool(length: Sectors, params: &PoolParams) -> Self {
        Self { start: Sectors::ZERO, length, target: "thin-pool".into(), params: params.to_string() }
    }
}

impl Table {
    /// A table of one target.
    pub fn single(line: TargetLine) -> Self {
        Self(vec![line])
    }

    /// Sectors of the whole device, or `None` past 2^64 - 1.
    pub fn length(&self) -> Option<Sectors> {
        self.0.last().map_or(Some(Sectors::ZERO), |line| line.start.checked_add(line.length))
    }

    /// Whether the kernel's `live` table maps alike: same places, same targets, features in any order. A line
    /// that cannot be understood differs from every other.
    pub fn maps_like(&self, live: &[TargetLine]) -> bool {
        self.0.len() == live.len() && self.0.iter().zip(live).all(|(ours, theirs)| ours.maps_like(theirs))
    }
}

impl fmt::Display for LinearParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.device, self.offset)
    }
}

impl fmt::Display for StripedParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.stripes.len(), self.chunk_size)?;
        self.stripes.iter().try_for_each(|stripe| write!(f, " {stripe}"))
    }
}

impl fmt::Display for ThinParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pool, self.id)?;
        self.external_origin.iter().try_for_each(|origin| write!(f, " {origin}"))
    }
}

impl fmt::Display for PoolParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let features = [
            (self.skip_block_zeroing, "skip_block_zeroing"),
            (self.ignore_discard, "ignore_discard"),
            (self.no_discard_passdown, "no_discard_passdown"),
            (self.error_if_no_space, "error_if_no_space"),
            (self.read_only, "read_only"),
        ];
        let on: Vec<&str> = features.iter().filter(|(set, _)| *set).map(|(_, word)| *word).collect();
        write!(f, "{} {} {} {} {}", self.metadata, self.data, self.chunk_size, self.low_water, on.len())?;
        on.iter().try_for_each(|word| write!(f, " {word}"))
    }
}

impl fmt::Display for TargetLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.start, self.length, self.target, self.params)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.0.iter().enumerate() {
            write!(f, "{}{line}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}
