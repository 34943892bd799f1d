//! Device-mapper tables: what thinvol loads, and the lines the kernel reports.

use std::fmt;

use serde::Serialize;

use crate::ids::{DevNo, ThinId};
use crate::units::{Chunks, Sectors};

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

/// The parameters of a `thin-pool` target. Source: Linux `Documentation/admin-guide/device-mapper/thin-provisioning.rst`;
/// the order of features is lvm2's (`libdm/libdm-deptree.c`, `_thin_pool_emit_segment_line`).
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

impl TargetLine {
    /// `linear` onto `device` from `offset` on.
    pub fn linear(start: Sectors, length: Sectors, device: DevNo, offset: Sectors) -> Self {
        Self { start, length, target: "linear".into(), params: format!("{device} {offset}") }
    }

    /// `thin` device `id` of `pool`, reading unwritten chunks from `external_origin` if given.
    pub fn thin(length: Sectors, pool: DevNo, id: ThinId, external_origin: Option<DevNo>) -> Self {
        let origin = external_origin.map(|dev| format!(" {dev}")).unwrap_or_default();
        Self { start: Sectors::ZERO, length, target: "thin".into(), params: format!("{pool} {id}{origin}") }
    }

    /// `thin-pool` with these parameters.
    pub fn thin_pool(length: Sectors, params: &PoolParams) -> Self {
        Self { start: Sectors::ZERO, length, target: "thin-pool".into(), params: params.to_string() }
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
