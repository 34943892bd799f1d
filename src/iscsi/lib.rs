//! iSCSI: login and discovery as pure state machines, the transports that drive them, and sessions.

pub mod host;
pub mod initiator;
pub mod protocol;
pub mod session;
pub mod storage;
pub mod supervisor;
pub mod watch;
