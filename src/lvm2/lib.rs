//! LVM2: what it keeps on disk, and how a host finds, locks, reads and commits it.

pub mod format;
pub mod host;
