//! The cases, one file for each area. A case says what it shows in its name.

pub mod machine;
pub mod selftest;
