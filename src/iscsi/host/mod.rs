//! The ports to the network, to the kernel's iSCSI and to iscsid, and the registry of the owners of sessions.

pub mod chap_file;
pub mod coexist;
pub mod connection;
pub mod discover;
pub mod initiator;
pub mod iscsiadm;
pub mod limit;
pub mod netlink;
pub mod registry;
pub mod sysfs;
pub mod transport;
