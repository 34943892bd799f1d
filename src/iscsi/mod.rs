//! iSCSI: login and discovery as pure state machines, and the transports that drive them.

pub mod chap;
pub mod chap_file;
pub mod connection;
pub mod discover;
pub mod initiator;
pub mod limit;
pub mod listing;
pub mod login;
pub mod name;
pub mod params;
pub mod pdu;
pub mod portal;
pub mod status;
pub mod targets;
pub mod text;
