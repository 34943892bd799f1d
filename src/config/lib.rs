//! Proxmox VE's `storage.cfg`, and the names of volumes in it.

pub mod document;
pub mod edit;
pub mod features;
pub mod file;
pub mod grammar;
pub mod guest;
pub mod lun;
pub mod names;
pub mod portal;
pub mod schema;
pub mod storage;
pub mod types;
