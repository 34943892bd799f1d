//! What a script runs on, and the model as one such machine.

use std::collections::{BTreeMap, VecDeque};

use anyhow::Result;
use base::ids::{DevNo, ThinId, TransactionId};
use base::units::Sectors;
use dm::kernel::Kernel;
use dm::name::DmName;
use dm::sim::{Crash, SimKernel};
use nix::errno::Errno;
use thin::internals::meta::DeviceDetails;

/// A kernel, its disks, and I/O to its devices.
pub trait Machine {
    /// The kernel.
    fn kernel(&self) -> &dyn Kernel;

    /// Adds an empty disk.
    fn add_disk(&mut self, size: Sectors) -> Result<DevNo>;

    /// The number in the first eight bytes of a sector.
    fn read(&self, name: &DmName, sector: Sectors) -> Result<u64, Errno>;

    /// Writes a number to the first eight bytes of a sector and zeroes to the rest.
    fn write(&self, name: &DmName, sector: Sectors, value: u64) -> Result<(), Errno>;

    /// Makes what was written durable.
    fn sync(&self, name: &DmName) -> Result<(), Errno>;

    /// What the metadata snapshot of `pool` shows, read from the device `metadata`.
    fn held(&self, pool: &DmName, metadata: &DmName) -> Result<Vec<HeldDevice>, Errno>;

    /// Opens a device and keeps it open.
    fn hold(&mut self, name: &DmName) -> Result<(), Errno>;

    /// Closes a device that was held.
    fn release(&mut self, name: &DmName) -> Result<(), Errno>;

    /// Makes a device of linear targets fail all writes, or take them again.
    fn refuse_writes(&mut self, name: &DmName, refuse: bool) -> Result<(), Errno>;

    /// Takes all devices of scripts away as a crash does. The disks stay.
    fn crash(&mut self) -> Result<(), Errno>;
}

/// A thin device as a metadata snapshot shows it.
pub struct HeldDevice {
    /// Its id.
    pub id: ThinId,
    /// Its details.
    pub details: DeviceDetails,
    /// The chunks it maps, and the pool's time when each was mapped. Where they are is the kernel's affair.
    pub mapped: Vec<(u64, u32)>,
}

/// The model.
#[derive(Default)]
pub struct SimMachine {
    kernel: SimKernel,
    disks: BTreeMap<u32, Sectors>,
    kept: VecDeque<bool>,
}

impl SimMachine {
    /// A machine that keeps at each crash in turn what no commit has covered, or does not; at later ones it does not.
    pub fn with_crashes(kept: impl IntoIterator<Item = bool>) -> Self {
        Self { kept: kept.into_iter().collect(), ..Self::default() }
    }
}

impl Machine for SimMachine {
    fn kernel(&self) -> &dyn Kernel {
        &self.kernel
    }

    fn add_disk(&mut self, size: Sectors) -> Result<DevNo> {
        let minor = u32::try_from(self.disks.len())?;
        let disk = DevNo { major: 7, minor };
        // Loop devices pass discards on.
        self.kernel.add_disk_with_discard(disk, size);
        self.disks.insert(minor, size);
        Ok(disk)
    }

    fn read(&self, name: &DmName, sector: Sectors) -> Result<u64, Errno> {
        self.kernel.read(name, sector)
    }

    fn write(&self, name: &DmName, sector: Sectors, value: u64) -> Result<(), Errno> {
        self.kernel.write(name, sector, value)
    }

    fn sync(&self, name: &DmName) -> Result<(), Errno> {
        self.kernel.flush(name)
    }

    fn held(&self, pool: &DmName, _metadata: &DmName) -> Result<Vec<HeldDevice>, Errno> {
        let devices = self.kernel.held_devices(pool)?.into_iter();
        let held = devices.map(|(id, (device, mappings))| HeldDevice {
            id,
            details: DeviceDetails {
                mapped_blocks: device.mapped_blocks,
                transaction_id: TransactionId(device.transaction_id),
                creation_time: device.creation_time,
                snapshotted_time: device.snapshotted_time,
            },
            mapped: mappings.iter().map(|mapping| (mapping.chunk, mapping.time)).collect(),
        });
        Ok(held.collect())
    }

    fn hold(&mut self, name: &DmName) -> Result<(), Errno> {
        self.kernel.open(name)
    }

    fn release(&mut self, name: &DmName) -> Result<(), Errno> {
        self.kernel.close(name)
    }

    fn refuse_writes(&mut self, name: &DmName, refuse: bool) -> Result<(), Errno> {
        self.kernel.refuse_writes(name, refuse)
    }

    fn crash(&mut self) -> Result<(), Errno> {
        let keeps = self.kept.pop_front().unwrap_or(false);
        self.kernel.crash(if keeps { Crash::KeepUncommitted } else { Crash::LoseUncommitted });
        Ok(())
    }
}
