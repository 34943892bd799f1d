//! The live tables of devices. Needed where they may differ from the text.

use std::collections::BTreeMap;

use nix::errno::Errno;

use super::{ObserveError, Observer};
use crate::observed::{Observed, PoolState};
use crate::stack::part_length;
use base::ids::LvName;
use dm::kernel::ListedDevice;
use dm::name::{DmUuid, Layer};
use lvm2::format::model::ThinPool;

impl Observer<'_> {
    /// The table of a device, if it has one.
    pub(super) fn table(&self, uuid: DmUuid, observed: &mut Observed) -> Result<(), ObserveError> {
        let Some(device) = observed.device(&uuid).filter(|device| device.live_table) else { return Ok(()) };
        match self.kernel.table(&device.name) {
            Ok(table) => {
                observed.tables.insert(uuid, table);
                Ok(())
            }
            // Gone since it was looked at.
            Err(error) if error.errno == Errno::ENXIO => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether what is seen of a running pool without another ioctl leaves open if its devices are those of the text: a
    /// table waits in its target, or data or metadata have another size than the text says.
    pub(super) fn may_differ(
        &self,
        pool: &ThinPool,
        state: &PoolState,
        tpool: &DmUuid,
        (by_uuid, observed): (&BTreeMap<&DmUuid, &ListedDevice>, &Observed),
    ) -> bool {
        let has_its_size = |(part, layer): (&LvName, Layer)| {
            let lv = self.vg.lv(part);
            let listed = lv.and_then(|lv| by_uuid.get(&DmUuid::of_lv(&self.vg.id, &lv.id, layer)));
            let size = listed.and_then(|listed| self.host.size(listed.dev));
            size.is_none_or(|size| lv.and_then(|lv| part_length(self.vg, pool, lv)) == Some(size))
        };
        let waits = observed.device(tpool).is_some_and(|device| device.inactive_table || device.suspended);
        state.runs()
            && (waits
                || ![(&pool.metadata, Layer::Tmeta), (&pool.data, Layer::Tdata)]
                    .map(has_its_size)
                    .iter()
                    .all(|is_so| *is_so))
    }

    /// The tables of a pool's target, data and metadata.
    pub(super) fn tables_of_pool(
        &self,
        pool: &ThinPool,
        tpool: &DmUuid,
        by_uuid: &BTreeMap<&DmUuid, &ListedDevice>,
        observed: &mut Observed,
    ) -> Result<(), ObserveError> {
        self.parts(pool, by_uuid, observed)?;
        let parts = [(&pool.metadata, Layer::Tmeta), (&pool.data, Layer::Tdata)].into_iter();
        let parts =
            parts.filter_map(|(part, layer)| Some(DmUuid::of_lv(&self.vg.id, &self.vg.lv(part)?.id, layer)));
        parts.chain([tpool.clone()]).try_for_each(|uuid| self.table(uuid, observed))
    }
}
