//! The kernel's iSCSI interface (NETLINK_ISCSI): the port, and the sockets behind it.

pub mod control;
pub mod socket;
