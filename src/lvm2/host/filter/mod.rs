//! Which devices may be PVs: the patterns of `lvm.conf`, and every other reason to leave a device alone.

pub mod chain;
pub mod content;
pub mod pattern;
pub mod reason;

#[cfg(test)]
mod tests;
