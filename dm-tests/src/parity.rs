//! Operations that are carried out both by the commands of Proxmox VE's lvmthin plugin and by thinvol, and the
//! comparison of the results.

pub mod operations;
pub mod twins;
