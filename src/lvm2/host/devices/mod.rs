//! The block devices of this machine, as sysfs, `/proc/devices`, udev's database and `/dev` show them.
//!
//! Nothing here opens a device. All places are under [`sys::io::roots::Roots`], so that tests show a machine of their
//! own.

pub mod identity;
pub mod multipath;
pub mod names;
pub mod types;
pub mod used_file;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
