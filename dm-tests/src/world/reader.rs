//! Pool metadata as the model's disks hold it. A running pool is read through a metadata snapshot, by the messages that
//! the real reader sends.

use std::collections::BTreeMap;

use base::ids::{DevNo, LvmUuid, ThinId, TransactionId};
use base::units::Sectors;
use dm::kernel::Kernel;
use dm::message::Message;
use dm::name::DmName;
use dm::sim::{SimKernel, SimThinDevice};
use lvm2::format::model::{SegmentKind, ThinPool, Vg};
use thin::meta::DeviceDetails;
use thin::observed::PoolReadError;
use thin::ports::{Devices, PoolReader, RunningReadError};

/// Reads pool metadata from the model.
pub struct SimReader<'a> {
    /// The model.
    pub kernel: &'a SimKernel,
    /// The physical volumes.
    pub pvs: &'a BTreeMap<LvmUuid, DevNo>,
}

/// A pool's transaction id and thin devices.
type OnDisk = (u64, BTreeMap<ThinId, SimThinDevice>);

/// The disk and the sector at which the pool's metadata starts.
pub fn metadata_place(vg: &Vg, pool: &ThinPool, pvs: &BTreeMap<LvmUuid, DevNo>) -> Option<(DevNo, Sectors)> {
    let SegmentKind::Striped(striped) = &vg.lv(&pool.metadata)?.segments.first()?.kind else { return None };
    let stripe = striped.stripes.first()?;
    let pv = vg.pv(&stripe.area)?;
    let start = stripe.start.to_sectors(vg.extent_size)?.checked_add(pv.pe_start)?;
    Some((*pvs.get(&pv.id)?, start))
}

fn details(devices: BTreeMap<ThinId, SimThinDevice>) -> Devices {
    let detail = |device: SimThinDevice| DeviceDetails {
        mapped_blocks: device.mapped_blocks,
        transaction_id: TransactionId(device.transaction_id),
        creation_time: device.creation_time,
        snapshotted_time: device.snapshotted_time,
    };
    devices.into_iter().map(|(id, device)| (id, detail(device))).collect()
}

fn failed(error: impl ToString) -> PoolReadError {
    PoolReadError::Failed(error.to_string())
}

impl SimReader<'_> {
    fn on_disk(&self, vg: &Vg, pool: &ThinPool) -> Result<Option<OnDisk>, PoolReadError> {
        let (disk, sector) = metadata_place(vg, pool, self.pvs)
            .ok_or_else(|| PoolReadError::OutOfReach("it lies elsewhere".into()))?;
        Ok(self.kernel.metadata_on_disk(disk, sector))
    }
}

impl PoolReader for SimReader<'_> {
    fn transaction_id(&self, vg: &Vg, pool: &ThinPool) -> Result<Option<TransactionId>, PoolReadError> {
        Ok(self.on_disk(vg, pool)?.map(|(id, _)| TransactionId(id)))
    }

    fn devices_of_stopped(&self, vg: &Vg, pool: &ThinPool) -> Result<Devices, PoolReadError> {
        Ok(self.on_disk(vg, pool)?.map(|(_, devices)| details(devices)).unwrap_or_default())
    }

    fn devices_of_running(
        &self,
        kernel: &dyn Kernel,
        tpool: &DmName,
        _: DevNo,
    ) -> Result<Devices, RunningReadError> {
        kernel
            .message(tpool, &Message::ReserveMetadataSnap.to_string())
            .map_err(|error| RunningReadError::of_reserve(&error))?;
        let devices = self.kernel.thin_devices(tpool);
        kernel
            .message(tpool, &Message::ReleaseMetadataSnap.to_string())
            .map_err(|error| RunningReadError { why: failed(error), still_held: true })?;
        devices.map(details).map_err(|error| RunningReadError { why: failed(error), still_held: false })
    }
}
