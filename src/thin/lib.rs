//! The thin engine: requests, the pure planner, recovery, and the executor.

pub mod allocate;
pub mod engine;
pub mod error;
pub mod exec;
pub mod frozen;
pub mod groups;
pub mod guards;
pub mod host;
pub mod inventory;
pub mod kept;
pub mod lineage;
pub mod meta;
pub mod observe;
pub mod observed;
pub mod opened;
pub mod plan;
pub mod planner;
pub mod ports;
pub mod refusal;
pub mod request;
pub mod session;
pub mod stack;
pub mod stamp;
pub mod store;
pub mod view;
pub mod wipe;
