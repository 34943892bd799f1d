//! The planner: `(metadata, what was observed, requests) -> plan`, pure.

mod beneath;
mod commits;
mod compare;
mod complete;
mod device_drift;
mod devices;
mod draft;
mod external_origins;
mod index;
mod modify;
mod names;
mod pending;
mod pool_drift;
mod pools;
mod promises;
mod repair;
mod reshape;
mod reshaping;
mod sequence;
mod space;
mod strangers;
mod strays;
mod suspended_devices;
mod tags;
mod transaction;
mod validate;
mod whole_group;
mod wipe;

pub use repair::{LeftAlone, Repair, repair};
pub use transaction::plan;
