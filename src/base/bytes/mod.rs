//! Bytes from disks: little-endian fields with bounds errors, and the checksums of LVM and
//! dm-persistent-data.

pub mod crc;
pub mod le;
