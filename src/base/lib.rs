//! What all crates share: names, sizes, bytes and errors. Pure.

pub mod bytes;
pub mod error_chain;
pub mod error_kind;
pub mod first_few;
pub mod ids;
pub mod units;
