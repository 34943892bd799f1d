//! The planner: `(metadata, what was observed, requests) -> plan`, pure.

mod admit;
mod change;
mod devices;
mod draft;
mod order;
mod pools;
mod repair;

pub use order::plan;
pub use repair::{Repair, repair};
