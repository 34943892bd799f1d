//! The cases, one file for each area. A case says what it shows in its name.

pub mod activation;
pub mod altered;
pub mod batch;
pub mod contention;
pub mod crashes;
pub mod dm_errno;
pub mod dm_guard;
pub mod dm_stack;
pub mod dm_udev;
pub mod failing;
pub mod generated;
pub mod iscsi_daemons;
pub mod iscsi_killed;
pub mod iscsi_luns;
pub mod iscsi_machine;
pub mod iscsi_sessions;
pub mod iscsi_storage;
pub mod lvm_backup;
pub mod lvm_locks;
pub mod lvm_scan;
pub mod machine;
pub mod parity;
pub mod pool_guards;
pub mod random_scripts;
pub mod recovery;
pub mod refusals;
pub mod replay;
pub mod scripts;
pub mod selftest;
pub mod snapshots;
pub mod storage_cfg;
pub mod store;
pub mod udev;

mod own_lvm;
pub mod together;
pub mod volumes;
