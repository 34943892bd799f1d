//! All that a pool's metadata says, as far as it can be read.

use std::collections::BTreeMap;

use super::{DeviceDetails, MetaError, ReadBlock, Sharing, Superblock, ThinMeta};
use base::ids::ThinId;

/// What was read, and what could not be.
#[derive(Debug)]
pub struct Survey {
    /// The superblock.
    pub superblock: Superblock,
    /// What is said of each device; nothing if that cannot be read.
    pub details: BTreeMap<ThinId, DeviceDetails>,
    /// What the devices map.
    pub sharing: Sharing,
    /// What could not be read: of one device, or of all.
    pub damaged: Vec<(Option<ThinId>, MetaError)>,
}

impl<R: ReadBlock> ThinMeta<R> {
    /// Reads all trees. The space maps are not read: in a metadata snapshot there are none.
    pub fn survey(&mut self) -> Survey {
        let mut damaged = Vec::new();
        let details = self.details().unwrap_or_else(|error| {
            damaged.push((None, error));
            BTreeMap::new()
        });
        let (sharing, of_devices) = self.all_trees().unwrap_or_else(|error| {
            damaged.push((None, error));
            Default::default()
        });
        damaged.extend(of_devices.into_iter().map(|(id, error)| (Some(id), error)));
        Survey { superblock: *self.superblock(), details, sharing, damaged }
    }
}
