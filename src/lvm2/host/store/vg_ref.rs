//! Which volume group is meant.

use std::fmt;

use super::summary::Summary;
use base::ids::{LvmUuid, VgName};

/// How a volume group is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VgRef {
    /// By name.
    Name(VgName),
    /// By identity.
    Id(LvmUuid),
}

impl VgRef {
    /// Whether it is the one of a text.
    pub fn is(&self, summary: &Summary) -> bool {
        match self {
            Self::Name(name) => summary.name == *name,
            Self::Id(id) => summary.id == *id,
        }
    }
}

impl fmt::Display for VgRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Id(id) => id.fmt(f),
        }
    }
}
