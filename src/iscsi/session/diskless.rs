//! LUNs without a disk.

use thiserror::Error;

use crate::host::limit::GivenUp;

/// A LUN of type disk that has no disk to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diskless {
    /// The LUN.
    pub lun: u64,
    /// Why.
    pub why: WhyDiskless,
}

/// Why a LUN has no disk to be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WhyDiskless {
    /// Its peripheral qualifier: no driver is bound to it then.
    #[error("the target says that it is not connected at present")]
    NotConnected,
    /// No driver is bound to it, and none comes.
    #[error("no driver of the kernel has taken it")]
    NoDriver,
    /// It was not waited for any longer.
    #[error("{what} did not come to an end: {why}")]
    Unfinished {
        /// What it was waited for.
        what: String,
        /// Why it was given up.
        why: GivenUp,
    },
}
