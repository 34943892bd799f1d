//! What Proxmox VE's lvmthin plugin and thinvol are both asked to do, and how the results are compared.

pub mod operations;
pub mod twins;
