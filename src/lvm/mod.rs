//! LVM2: on-disk formats, the typed model of a volume group, locks, discovery and backups.

pub mod check;
pub mod commit;
pub mod conf;
pub mod edit;
pub mod label;
pub mod lock;
pub mod mda;
pub mod metadata;
pub mod model;
pub mod text;
