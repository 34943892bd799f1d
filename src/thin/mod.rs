//! The thin engine: requests, the pure planner, recovery, and the executor.

pub mod request;
