//! Block devices: the port, the real one, its double, and how to find them.

pub mod aligned;
pub mod block;
pub mod direct;
pub mod holders;
#[cfg(any(test, feature = "testing"))]
pub mod mem;
