//! Hostile input: one function for each format that is read, which takes any bytes and panics if what is read is not
//! handled as it must be. `cargo test` drives them for a few seconds, `dm-tests/fuzz` for hours.

pub mod batch;
pub mod disk;
pub mod drive;
pub mod iscsi;
pub mod pool;
pub mod status;
pub mod targets;
pub mod text;
