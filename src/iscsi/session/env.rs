//! What the work on sessions rests on: the kernel, the network, sysfs, the registry.

use crate::io::events::Subscribe;
use crate::io::roots::Roots;
use crate::iscsi::name::IscsiName;
use crate::iscsi::netlink::control::{Control, ControlError};
use crate::iscsi::registry::Registry;
use crate::iscsi::wire::Wire;

/// Opens a conversation with the kernel that also hears of events.
pub type OpenControl = dyn Fn() -> Result<Box<dyn Control>, ControlError> + Sync;

/// The surroundings of sessions.
pub struct Env<'a> {
    /// The way to the kernel.
    pub open: &'a OpenControl,
    /// The way to targets.
    pub wire: &'a dyn Wire,
    /// sysfs and udev's database.
    pub roots: Roots,
    /// Which sessions are ours.
    pub registry: Registry,
    /// This machine's name as an initiator.
    pub initiator: IscsiName,
    /// How to hear of block devices.
    pub events: Subscribe,
}
