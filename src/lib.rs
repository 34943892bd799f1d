//! Thin volumes in LVM2 thin pools, driven by device-mapper ioctls and committed to LVM2's own metadata.
//!
//! `docs/architecture.md` is the map of the modules and of the invariants they keep.

pub mod bytes;
pub mod cli;
pub mod config;
pub mod dm;
pub mod error_chain;
pub mod ids;
pub mod io;
pub mod iscsi;
pub mod lvm;
pub mod sys;
pub mod thin;
pub mod units;
