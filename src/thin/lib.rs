//! The thin engine: requests, the pure planner, recovery, and the executor.
//!
//! What is named here is for those who call the engine. Other modules are for the crates and tests of thinvol alone,
//! and change as they need.
#![doc = include_str!("../../docs/engine.md")]

#[doc(hidden)]
pub mod allocate;
#[doc(hidden)]
pub mod backup_store;
pub mod changes;
#[doc(hidden)]
pub mod condition;
#[doc(hidden)]
pub mod effect;
#[doc(hidden)]
pub mod engine;
#[doc(hidden)]
pub mod error;
#[doc(hidden)]
pub mod exec;
#[doc(hidden)]
pub mod groups;
#[doc(hidden)]
pub mod host;
#[doc(hidden)]
pub mod lineage;
#[doc(hidden)]
pub mod making;
#[doc(hidden)]
pub mod meta;
#[doc(hidden)]
pub mod metadata_header;
#[doc(hidden)]
pub mod monitor;
#[doc(hidden)]
pub mod observe;
#[doc(hidden)]
pub mod observed;
#[doc(hidden)]
pub mod open_vg;
#[doc(hidden)]
pub mod plan;
#[doc(hidden)]
pub mod planner;
#[doc(hidden)]
pub mod pool_check;
#[doc(hidden)]
pub mod pool_health;
#[doc(hidden)]
pub mod pool_reader;
#[doc(hidden)]
pub mod pool_rules;
#[doc(hidden)]
pub mod ports;
#[doc(hidden)]
pub mod refusal;
#[doc(hidden)]
pub mod report;
#[doc(hidden)]
pub mod request;
#[doc(hidden)]
pub mod session;
#[doc(hidden)]
pub mod stack;
#[doc(hidden)]
pub mod store;
#[doc(hidden)]
pub mod suspended_window;
#[doc(hidden)]
pub mod transfer;
#[doc(hidden)]
pub mod udev_role;
#[doc(hidden)]
pub mod view;
#[doc(hidden)]
pub mod watch;
#[doc(hidden)]
pub mod wipe;

pub use crate::changes::{Change, NewName, Note, Role, Snapshot, Storage, Volume, VolumeOrSnapshot};
pub use crate::effect::{Already, Effect, PoolPart, PoolWays};
pub use crate::engine::{Engine, EnginePorts, Options, Settings};
pub use crate::error::{EngineError, RefusedChange};
pub use crate::groups::{EveryVg, VgSummary};
pub use crate::lineage::SnapName;
pub use crate::plan::Plan;
pub use crate::ports::ProgressObserver;
pub use crate::report::{Done, NotDone, Preview, Report};
pub use crate::request::NewSize;
pub use crate::view::{Detail, PoolView, VgView, VolumeView};
pub use base::error_kind::ErrorKind;
pub use base::ids::{LvName, VgName};
pub use base::units::{Bytes, Sectors};
