//! Block devices: the port, the real one, and how to find them.

pub mod block;
pub mod holders;
