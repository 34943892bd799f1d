//! LVM2: on-disk formats, the typed model of a volume group, locks, discovery and backups.

pub mod backup;
pub mod check;
pub mod commit;
pub mod conf;
pub mod devices;
pub mod edit;
pub mod filter;
#[cfg(any(test, feature = "testing"))]
pub mod fixture;
pub mod hints;
pub mod label;
pub mod lock;
pub mod mda;
pub mod metadata;
pub mod model;
pub mod scan;
pub mod store;
pub mod text;
pub mod volume_list;
