//! Which devices stand on which others. Needed when something is suspended: a resume needs the devices below to run.

use std::collections::BTreeMap;

use super::{ObserveError, Observer, Scope};
use crate::observed::{Beneath, Observed};
use base::ids::{DevNo, LvName};
use dm::kernel::{DmError, ListedDevice};
use dm::name::{DmUuid, Layer};
use lvm2::format::model::{Lv, ThinPool};

impl Observer<'_> {
    /// Whether something in scope is suspended or has a name of before a rename: then more may be so.
    pub(super) fn is_astray(
        &self,
        scope: &Scope,
        by_uuid: &BTreeMap<&DmUuid, &ListedDevice>,
        observed: &Observed,
    ) -> bool {
        let misnamed = |lv: &Lv, layer: Layer| {
            let listed = by_uuid.get(&DmUuid::of_lv(&self.vg.id, &lv.id, layer));
            listed.is_some_and(|listed| {
                let has = listed.name.lvm_parts();
                !has.is_ok_and(|has| has.vg == self.vg.name && has.lv == lv.name)
            })
        };
        let part = |name: &LvName, layer| self.vg.lv(name).is_some_and(|lv| misnamed(lv, layer));
        let pool = |(lv, pool): (&Lv, &ThinPool)| {
            part(&pool.metadata, Layer::Tmeta)
                || part(&pool.data, Layer::Tdata)
                || misnamed(lv, Layer::Tpool)
                || misnamed(lv, Layer::Pool)
        };
        observed.devices.values().any(|device| device.suspended)
            || self.vg.pools().filter(|(lv, _)| scope.covers(&lv.name)).any(pool)
            || scope.lvs.iter().any(|name| part(name, Layer::Plain))
    }

    /// Looks at every device of the volume group, also at layers that no volume in scope accounts for.
    pub(super) fn look_at_all(
        &self,
        by_uuid: &BTreeMap<&DmUuid, &ListedDevice>,
        observed: &mut Observed,
    ) -> Result<(), ObserveError> {
        let ours = |uuid: &&&DmUuid| uuid.is_of_vg(&self.vg.id);
        by_uuid.keys().filter(ours).try_for_each(|uuid| self.look_at(by_uuid, uuid, observed))
    }

    /// Finds out what all devices stand on.
    pub(super) fn beneath(&self, listed: &[ListedDevice]) -> Result<BTreeMap<DevNo, Beneath>, DmError> {
        let mut beneath = BTreeMap::new();
        for device in listed {
            let Some(info) = self.kernel.info(&device.name)? else { continue };
            let on = match self.kernel.deps(&device.name) {
                Ok(on) => on,
                // Gone since it was looked at.
                Err(error) if error.errno == nix::errno::Errno::ENXIO => continue,
                Err(error) => return Err(error),
            };
            let found = Beneath { name: info.name, suspended: info.suspended && info.live_table, on };
            beneath.insert(device.dev, found);
        }
        Ok(beneath)
    }
}
