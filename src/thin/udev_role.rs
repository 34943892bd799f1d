//! What udev's rules are told of a device, by its place in a stack.

use crate::stack::Role;
use dm::udev::{DeviceRole, UdevFlags, flags_for};

/// The flags for udev's rules about a device.
pub fn udev_flags(role: Role) -> UdevFlags {
    flags_for(match role {
        Role::Visible => DeviceRole::Volume,
        Role::Internal => DeviceRole::PoolStack,
        Role::NewPool => DeviceRole::NewPool,
    })
}
