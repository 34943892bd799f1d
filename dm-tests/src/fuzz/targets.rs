//! What is driven: each target with the inputs that mutation starts from.

use super::{batch, disk, iscsi, pool, status, text};

/// One format.
#[derive(Clone, Copy)]
pub struct FuzzTarget {
    /// Its name: that of its program and of its folder of findings.
    pub name: &'static str,
    /// Reads an input; panics if it is not handled as it must be.
    pub run: fn(&[u8]),
    /// Inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[FuzzTarget] = &[
    FuzzTarget { name: "text", run: text::metadata, seeds: text::seeds },
    FuzzTarget { name: "conf", run: text::conf, seeds: text::conf_seeds },
    FuzzTarget { name: "disk", run: disk::label_and_areas, seeds: disk::seeds },
    FuzzTarget { name: "status", run: status::lines, seeds: status::seeds },
    FuzzTarget { name: "batch", run: batch::requests, seeds: batch::seeds },
    FuzzTarget { name: "pool", run: pool::metadata, seeds: pool::seeds },
    FuzzTarget { name: "iscsi", run: iscsi::conversation, seeds: iscsi::seeds },
];
