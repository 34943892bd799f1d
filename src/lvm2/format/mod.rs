//! LVM2 on disk: a lossless text tree, labels and metadata areas, the typed volume group, its invariants, edits of it,
//! and where the next copy goes. Pure.

pub mod allocation;
pub mod check;
pub mod edit;
pub mod label;
pub mod mda;
pub mod metadata;
pub mod model;
pub mod monitoring;
pub mod placement;
pub mod pool_size;
pub mod text;
pub mod volume_list;
