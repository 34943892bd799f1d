//! Why a label is refused.

use thiserror::Error;

use super::layout::Area;
use base::bytes::le::OutOfBounds;
use base::ids::IdError;

/// Why the start of a device is not a label that can be trusted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LabelError {
    /// The label was copied from elsewhere, or the device's start is not its own.
    #[error("the label in sector {found} says it belongs in sector {claimed}")]
    WrongSector {
        /// Where it is.
        found: u64,
        /// Where it says it is.
        claimed: u64,
    },
    /// The label is damaged.
    #[error(
        "the label in sector {sector} has checksum {found:#010x} where its content gives {expected:#010x}"
    )]
    Checksum {
        /// Where it is.
        sector: u64,
        /// The checksum in the label.
        found: u32,
        /// The checksum of the label's content.
        expected: u32,
    },
    /// The label is of another kind than LVM2's.
    #[error("the label in sector {sector} is of type '{kind}', not 'LVM2 001'")]
    Type {
        /// Where it is.
        sector: u64,
        /// Its type, escaped.
        kind: String,
    },
    /// A field or list reaches past the end of the label.
    #[error(
        "the {what} of the label in sector {sector} is not within its {size} bytes",
        size = super::layout::LABEL_BYTES
    )]
    Truncated {
        /// Where it is.
        sector: u64,
        /// The field or list.
        what: &'static str,
        /// What was wanted of how much.
        #[source]
        source: OutOfBounds,
    },
    /// The PV header would overlap the label header.
    #[error("the label in sector {sector} puts its PV header at byte {offset}, inside the label header")]
    HeaderOffset {
        /// Where it is.
        sector: u64,
        /// Where it puts the PV header.
        offset: u32,
    },
    /// The PV's UUID has characters that LVM does not use.
    #[error("the label in sector {sector} has no valid UUID")]
    Uuid {
        /// Where it is.
        sector: u64,
        /// The problem.
        #[source]
        source: IdError,
    },
    /// An area is not where it can be.
    #[error(
        "the label in sector {sector} has a {what} of {} bytes at byte {}, which {why}",
        area.size,
        area.offset
    )]
    Area {
        /// Where the label is.
        sector: u64,
        /// The list it is in.
        what: &'static str,
        /// The area.
        area: Area,
        /// The rule it breaks.
        why: String,
    },
}
