//! The planner: `(metadata, what was observed, requests) -> plan`, pure.

mod admit;
mod alter;
mod altered;
mod change;
mod complete;
mod devices;
mod draft;
mod grounds;
mod index;
mod mismatch;
mod order;
mod pools;
mod repair;
mod wipe;

pub use order::plan;
pub use repair::{Repair, repair};
