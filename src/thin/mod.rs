//! The thin engine: requests, the pure planner, recovery, and the executor.

pub mod lineage;
pub mod meta;
pub mod request;
