//! What pools hold against what the text says, for those who only look.

use std::collections::BTreeMap;

use super::{Engine, EngineError, Locked};
use crate::observe::Scope;
use crate::observed::{Inventory, PoolState};
use base::ids::{DevNo, LvName, ThinId, VgName};
use base::units::Bytes;
use dm::kernel::ListedDevice;
use dm::name::DmUuid;
use lvm2::format::model::{Lv, ThinPool};

/// How the ids of a pool and of the text differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolIds {
    /// The pool.
    pub pool: LvName,
    /// Thin devices that the text does not know, with what they map.
    pub unknown: Vec<(ThinId, Bytes)>,
    /// Volumes whose thin devices the pool does not have.
    pub missing: Vec<LvName>,
    /// Why that is not known, if it is not.
    pub unread: Option<String>,
}

impl Engine {
    /// The LVs that have a device, by its number.
    ///
    /// # Errors
    /// If device-mapper does not answer.
    pub fn volumes_by_device(&self) -> Result<BTreeMap<DevNo, (VgName, LvName)>, EngineError> {
        let named = |device: ListedDevice| {
            let is_lv = device.uuid.as_ref().is_some_and(DmUuid::is_lvms);
            let parts = device.name.lvm_parts().ok().filter(|parts| is_lv && parts.layer.is_none())?;
            Some((device.dev, (VgName::new(parts.vg.as_str()).ok()?, LvName::new(parts.lv.as_str()).ok()?)))
        };
        Ok(self.listed()?.into_iter().filter_map(named).collect())
    }

    /// Compares the thin devices of all pools of a volume group with its text. That takes the lock of a change, and of
    /// each running pool a metadata snapshot for a moment; nothing is changed.
    ///
    /// # Errors
    /// If the volume group cannot be read or locked.
    pub fn pool_ids(&self, vg: &VgName) -> Result<Vec<PoolIds>, EngineError> {
        let lock = self.lock(vg)?;
        let mut opened = self.read(Locked::ToChange(&lock))?;
        let (pools, _) = self.with_session(&mut opened, |session| {
            let observed = session.look(&Scope::all(true))?;
            let vg = &session.metadata.vg;
            let of_pool = |(lv, pool): (&Lv, &ThinPool)| {
                let seen = observed.pools.get(&lv.name);
                let chunk = pool.chunk_size.to_bytes().unwrap_or(Bytes::ZERO);
                let mut ids =
                    PoolIds { pool: lv.name.clone(), unknown: vec![], missing: vec![], unread: None };
                match seen.map(|seen| &seen.inventory) {
                    Some(Inventory::Read(devices)) => {
                        let known =
                            |id: &ThinId| vg.thins_of(&lv.name).any(|(_, thin)| thin.device_id == *id);
                        let unknown = devices.iter().filter(|(id, _)| !known(id));
                        let mapped = |mapped: u64| chunk.checked_mul(mapped).unwrap_or(Bytes::ZERO);
                        ids.unknown =
                            unknown.map(|(id, details)| (*id, mapped(details.mapped_blocks))).collect();
                        let missing =
                            vg.thins_of(&lv.name).filter(|(_, thin)| !devices.contains_key(&thin.device_id));
                        ids.missing = missing.map(|(lv, _)| lv.name.clone()).collect();
                    }
                    Some(Inventory::Unknown(why)) => ids.unread = Some(why.clone()),
                    Some(Inventory::Clean) | None => {}
                }
                // Of a pool that never ran there is nothing to be seen.
                if matches!(seen.map(|seen| &seen.state), Some(PoolState::Inactive(id)) if id.0 == 0) {
                    ids.missing.clear();
                }
                ids
            };
            Ok::<_, EngineError>(vg.pools().map(of_pool).collect())
        });
        pools
    }
}
