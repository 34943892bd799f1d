//! Block devices: the port, the real one, its double, who uses them, and news of them.
#![deny(unsafe_code)]

pub mod aligned;
pub mod block;
pub mod direct;
pub mod events;
pub mod holders;
pub mod lock_holders;
#[cfg(any(test, feature = "testing"))]
pub mod mem;
pub mod roots;
pub mod sysfs;
pub mod udev_db;
