//! Which devices of altered volumes change, and how far that has come.

use std::collections::{BTreeMap, BTreeSet};

use crate::stack::DeviceSpec;
use base::ids::LvName;

/// The active devices of altered volumes, by the name the volumes have before.
#[derive(Default)]
pub(super) struct Reshaping {
    /// As they are, and as the text wants them afterwards.
    pub devices: BTreeMap<LvName, (DeviceSpec, DeviceSpec)>,
    /// Altered volumes that are to be active and are not.
    pub inactive: BTreeMap<LvName, DeviceSpec>,
    /// Those that the plan has taken down.
    pub down: BTreeSet<LvName>,
}

impl Reshaping {
    /// Whether the device of that volume is taken care of here.
    pub(super) fn covers(&self, lv: &LvName) -> bool {
        self.devices.contains_key(lv)
    }

    pub(super) fn staying(&self, lv: &LvName) -> Option<&(DeviceSpec, DeviceSpec)> {
        self.devices.get(lv).filter(|_| !self.down.contains(lv))
    }

    /// The device an altered volume is to have, if it has none yet.
    pub(super) fn wanted(&self, lv: &LvName) -> Option<&DeviceSpec> {
        self.inactive.get(lv)
    }
}
