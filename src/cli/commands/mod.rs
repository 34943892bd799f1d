//! The commands, one file each: what can be typed, its help, and what it does.

pub mod activate;
pub mod add;
pub mod alloc;
pub mod batch;
pub mod clone;
pub mod complete;
pub mod completions;
pub mod delete_snapshot;
pub mod free;
pub mod info;
pub mod iscsi;
pub mod list;
pub mod path;
pub mod pool;
pub mod recover;
pub mod remove;
pub mod rename;
pub mod resize;
pub mod rollback;
pub mod scan;
pub mod set;
pub mod snapshot;
pub mod snapshots;
pub mod status;
pub mod template;
