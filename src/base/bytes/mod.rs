//! Bytes from disks: little-endian fields with bounds errors, the checksums of LVM and dm-persistent-data, and bytes
//! that several hold.

pub mod crc;
pub mod le;
pub mod shared;
