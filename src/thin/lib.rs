//! The thin engine: requests, the pure planner, recovery, and the executor.
//!
//! What is named here is for programs that call the engine: the engine itself, what it takes and returns, and in
//! [`changes`] what can be asked of it. All other modules are private; [`internals`] is their one door, for the command
//! and the tests of thinvol.
#![doc = include_str!("../../docs/engine.md")]

mod allocate;
mod backup_store;
pub mod changes;
mod condition;
mod effect;
mod engine;
mod error;
mod exec;
mod forecast;
mod groups;
mod host;
pub mod internals;
mod lineage;
mod making;
mod meta;
mod metadata_header;
mod monitor;
mod observe;
mod observed;
mod open_vg;
mod plan;
mod planner;
mod pool_check;
mod pool_health;
mod pool_reader;
mod pool_rules;
mod ports;
mod refusal;
mod report;
mod request;
mod session;
mod stack;
mod store;
mod suspended_window;
mod transfer;
mod udev_role;
mod view;
mod watch;
mod wipe;

pub use crate::changes::Change;
pub use crate::effect::{Already, Effect};
pub use crate::engine::{Engine, EnginePorts, Options, Settings};
pub use crate::error::{EngineError, RefusedChange};
pub use crate::groups::{EveryVg, VgSummary};
pub use crate::plan::Plan;
pub use crate::ports::ProgressObserver;
pub use crate::report::{Done, NotDone, Preview, Report};
pub use crate::view::{Detail, MadeAs, MadeFrom, ParentVolume, PoolView, VgView, VolumeView};
pub use base::error_kind::ErrorKind;
pub use base::ids::{LvName, VgName};
pub use base::units::{Bytes, Sectors};
