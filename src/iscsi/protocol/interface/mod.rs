//! What is said over the kernel's iSCSI interface, in bytes.

pub mod message;
pub mod params;
