//! The protocols on the wire and with the kernel, as state machines without sockets: they take received bytes and
//! return the bytes to send. Pure.

pub mod chap;
pub mod interface;
pub mod listing;
pub mod login;
pub mod name;
pub mod net_interface;
pub mod params;
pub mod pdu;
pub mod portal;
pub mod settings;
pub mod status;
pub mod targets;
pub mod text;
pub mod wwid;
