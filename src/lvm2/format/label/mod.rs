//! The label that makes a device a physical volume (PV): where it is, its header, and its lists of areas.

pub mod encode;
pub mod error;
pub mod layout;
pub mod parse;
#[cfg(test)]
mod tests;
