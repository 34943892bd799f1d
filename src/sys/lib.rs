//! The only unsafe code: system calls that no safe crate wraps.
#![allow(unsafe_code)]

pub mod blkdev;
#[cfg(any(test, feature = "testing"))]
pub mod calls;
pub mod dm;
pub mod guard;
pub mod io;
pub mod memory;
pub mod notify;
pub mod scsi;
pub mod sem;
pub mod signals;
pub mod xattr;
