//! A target as a storage: the paths to it, and its LUNs whatever path they are reached by.

pub mod paths;
pub mod units;
