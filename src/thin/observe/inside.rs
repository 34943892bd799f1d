//! Looks inside a pool: the thin devices that its own metadata holds, and who uses those that the text does not know.

use std::collections::{BTreeMap, BTreeSet};

use super::{LookInside, ObserveError, Observer, Scope};
use crate::observed::{Inventory, PoolState};
use crate::ports::{Host, RunningReadError};
use base::ids::{DevNo, PoolId, ThinId};
use dm::kernel::ListedDevice;
use dm::name::{DmName, DmUuid, Layer};
use dm::status::PoolStatus;
use dm::table::ThinParams;
use lvm2::format::model::{Lv, ThinPool};

/// Whether a metadata snapshot of a running pool may be taken: one that somebody else holds is left alone.
///
/// # Errors
/// Why not, in words.
pub(crate) fn may_be_read(status: &PoolStatus, tpool: &DmName) -> Result<(), String> {
    match status {
        PoolStatus::Working(working) if working.held_metadata_root.is_none() => Ok(()),
        PoolStatus::Working(_) => Err(format!(
            "a metadata snapshot of {tpool} is held, by a backup perhaps, or since a power failure; if nobody uses it, \
             'dmsetup message {tpool} 0 release_metadata_snap' releases it"
        )),
        PoolStatus::Failed | PoolStatus::Error => Err(format!("{tpool} has failed")),
    }
}

/// Reads the metadata of a running pool, which takes a metadata snapshot of it. The group is locked as for a change.
/// 1. [`may_be_read`] has been asked; if it says no, no mark is made.
/// 2. The mark is made before the snapshot, so that a crash at any time leaves it where it may be needed.
/// 3. It is taken away only when the snapshot is known to be gone.
///
/// Between 1 and the reader's own message somebody could take a snapshot: the reader's is refused then, and the mark
/// goes. Only a crash within that moment would make the next change release somebody else's.
pub(crate) fn while_marked<T>(
    host: &dyn Host,
    pool: &PoolId,
    read: impl FnOnce() -> Result<T, RunningReadError>,
) -> Result<T, RunningReadError> {
    if let Err(error) = host.mark_reading(pool) {
        tracing::debug!(%error, "a metadata snapshot that a crash leaves would go unnoticed");
    }
    let read = read();
    let still_held = read.as_ref().is_err_and(|error| error.still_held);
    if !still_held && let Err(error) = host.mark_read(pool) {
        tracing::debug!(%error, "the mark stays: the next change releases a snapshot that is not there");
    }
    read
}

impl Observer<'_> {
    /// A pool that is marked clean, with no message in its text and nobody asking, is believed to match.
    pub(super) fn inventory(
        &self,
        lv: &Lv,
        pool: &ThinPool,
        state: &PoolState,
        by_uuid: &BTreeMap<&DmUuid, &ListedDevice>,
        scope: &Scope,
    ) -> Inventory {
        let believed = match scope.inventory {
            LookInside::Never => true,
            LookInside::IfUnclean => pool.messages.is_empty() && self.host.is_clean(&self.vg.pool_id(lv)),
            LookInside::Always => false,
        };
        if believed {
            return Inventory::Clean;
        }
        match state {
            PoolState::Active(status) | PoolState::ActiveNew(status) => {
                self.of_running(lv, pool, status, by_uuid)
            }
            PoolState::Inactive(_) => {
                let read = self.reader.devices_of_stopped(self.vg, pool);
                read.map_or_else(|error| Inventory::Unknown(error.to_string()), Inventory::Read)
            }
            PoolState::Unreadable(why) => Inventory::Unknown(why.to_string()),
        }
    }

    /// A running pool is read through a metadata snapshot, which is seen to by [`may_be_read`] and [`while_marked`].
    fn of_running(
        &self,
        lv: &Lv,
        pool: &ThinPool,
        status: &PoolStatus,
        by_uuid: &BTreeMap<&DmUuid, &ListedDevice>,
    ) -> Inventory {
        let named = |id, layer| by_uuid.get(&DmUuid::of_lv(&self.vg.id, id, layer)).copied();
        let tmeta = self.vg.lv(&pool.metadata).and_then(|tmeta| named(&tmeta.id, Layer::Tmeta));
        let (Some(tpool), Some(tmeta)) = (named(&lv.id, Layer::Tpool), tmeta) else {
            return Inventory::Unknown("its metadata device is not active".into());
        };
        if let Err(why) = may_be_read(status, &tpool.name) {
            return Inventory::Unknown(why);
        }
        let read = while_marked(self.host, &self.vg.pool_id(lv), || {
            self.reader.devices_of_running(self.kernel, &tpool.name, tmeta.dev)
        });
        read.map_or_else(|error| Inventory::Unknown(error.why.to_string()), Inventory::Read)
    }

    /// Devices inside the pool that the text does not know and that are active all the same, under which name: somebody
    /// made them by hand. All devices are looked through only if there is one that the text does not know.
    pub(super) fn strangers(
        &self,
        lv: &Lv,
        by_uuid: &BTreeMap<&DmUuid, &ListedDevice>,
        inventory: &Inventory,
    ) -> Result<BTreeMap<ThinId, DmName>, ObserveError> {
        if inventory.devices().is_none() {
            return Ok(BTreeMap::new());
        }
        let known: BTreeSet<ThinId> = self.vg.glances_of(&lv.name).map(|(_, thin)| thin.device_id).collect();
        let unknown = |id: &&ThinId| !known.contains(id);
        let unknown: BTreeSet<&ThinId> =
            inventory.devices().into_iter().flat_map(BTreeMap::keys).filter(unknown).collect();
        let tpool = by_uuid.get(&DmUuid::of_lv(&self.vg.id, &lv.id, Layer::Tpool));
        let mut strangers = BTreeMap::new();
        let (false, Some(tpool)) = (unknown.is_empty(), tpool) else { return Ok(strangers) };
        for listed in self.kernel.list()? {
            if let Some(id) = self.thin_id(&listed, tpool.dev)?.filter(|id| unknown.contains(id)) {
                strangers.insert(id, listed.name);
            }
        }
        Ok(strangers)
    }

    /// The id of the thin device of that pool that a device stands for, if it is one.
    fn thin_id(&self, listed: &ListedDevice, pool: DevNo) -> Result<Option<ThinId>, ObserveError> {
        let table = match self.kernel.table(&listed.name) {
            Ok(table) => table,
            // Gone since it was listed.
            Err(error) if error.errno == nix::errno::Errno::ENXIO => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let thin = table.iter().filter(|line| line.target == "thin");
        let params = thin.filter_map(|line| ThinParams::parse(&line.params).ok());
        Ok(params.filter(|params| params.pool == pool).map(|params| params.id).next())
    }
}
