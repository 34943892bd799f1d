//! Messages of the kernel's iSCSI interface, as bytes.

pub mod message;
pub mod params;
