//! The ports of the work on sessions: the kernel, the network, sysfs, the registry.

use std::path::Path;
use std::sync::Arc;

use super::error::SessionError;
use super::usage::Claim;
use crate::host::chap_file::{self, Credentials};
use crate::host::netlink::control::{Control, ControlError};
use crate::host::registry::Registry;
use crate::host::sysfs::Disk;
use crate::host::transport::Transport;
use crate::protocol::name::IscsiName;
use sys::io::events::Subscribe;
use sys::io::roots::Roots;

/// Opens a conversation with the kernel that also hears of events.
pub type OpenControl = dyn Fn() -> Result<Box<dyn Control>, ControlError> + Sync;

/// Gives the users and secrets of a CHAP file.
pub type ReadSecrets = dyn Fn(&Path) -> Result<Credentials, SessionError> + Send + Sync;

/// Claims a disk for its removal, as [`super::usage::claim`] does.
pub type ClaimDisk = fn(&Roots, &Disk) -> Claim;

/// The surroundings of sessions.
pub struct Env<'a> {
    /// The way to the kernel.
    pub open: &'a OpenControl,
    /// The way to targets.
    pub transport: &'a dyn Transport,
    /// sysfs and udev's database.
    pub roots: Roots,
    /// Which sessions are ours.
    pub registry: Registry,
    /// This machine's name as an initiator.
    pub initiator: IscsiName,
    /// How to hear of block devices.
    pub events: Subscribe,
    /// How to come by secrets.
    pub secrets: Arc<ReadSecrets>,
    /// How to have a disk alone.
    pub claim: ClaimDisk,
}

/// Reads the file each time.
///
/// # Errors
/// If it cannot be used.
pub fn from_file(path: &Path) -> Result<Credentials, SessionError> {
    Ok(chap_file::read(path)?)
}
