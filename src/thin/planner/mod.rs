//! The planner: `(metadata, what was observed, requests) -> plan`, pure.

mod admit;
mod alter;
mod altered;
mod asleep;
mod change;
mod complete;
mod devices;
mod draft;
mod grounds;
mod index;
mod mismatch;
mod names;
mod order;
mod pools;
mod repair;
mod tags;
mod whole;
mod wipe;

pub use order::plan;
pub use repair::{Repair, repair};
