//! LVM2 on this host: its settings, devices, locks and metadata areas, found, read and written as lvm2 does.

pub mod backup;
pub mod conf;
pub mod devices;
pub mod dmeventd;
pub mod filter;
#[cfg(any(test, feature = "testing"))]
pub mod fixture;
pub mod hints;
pub mod lock;
pub mod scan;
pub mod store;
