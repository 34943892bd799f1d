//! device-mapper: names and tables as LVM writes them, the port to the kernel and its implementations.

pub mod ioctl;
pub mod kernel;
pub mod message;
pub mod name;
#[cfg(any(test, feature = "testing"))]
pub mod sim;
pub mod status;
pub mod table;
pub mod udev;
mod words;
