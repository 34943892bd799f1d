//! A model of the kernel's device-mapper that runs: devices, tables, thin pools with their metadata and their
//! data.
//!
//! It answers with the kernel's errnos, commits where the kernel commits, and forgets in a crash what the
//! kernel would forget. Data is one number per sector, kept at its place on a disk, so that sharing,
//! copy-on-write, zeroing and a stale mapping show in what a read returns. Facts are from Linux 6.x
//! `drivers/md/{dm,dm-ioctl,dm-table,dm-thin, dm-thin-metadata}.c`.
//!
//! It is hostile on purpose: any ioctl can be made to fail before or after it took effect, the process can be
//! made to die between two ioctls, and what no kernel forbids but no caller may do is recorded as a
//! [`Violation`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;

use crate::name::{DmName, DmUuid};
use crate::table::DmTarget;
use base::ids::{DevNo, ThinId};
use base::units::Sectors;

mod devices;
mod faults;
mod io;
mod metadata;
mod pool;
mod port;
mod report;
mod targets;
#[cfg(test)]
mod tests;

pub use faults::{Call, Fault, FaultKind, Violation, When};
pub use metadata::{SimMapping, SimPoolDump, SimThinDevice};

use devices::{World, dm_dev};
use targets::Row;

/// The major number of the model's devices.
pub const DM_MAJOR: u32 = 253;

/// What a crash of the machine does to metadata that no commit has covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// It is lost.
    LoseUncommitted,
    /// The pool's worker committed it just before.
    KeepUncommitted,
}

/// The thin devices of a pool.
pub type SimThinDevices = BTreeMap<ThinId, SimThinDevice>;

/// The model of one machine's device-mapper. A clone is a machine of its own, with all disks and devices as
/// they are.
#[derive(Debug, Default)]
pub struct SimKernel {
    world: Mutex<World>,
}

impl Clone for SimKernel {
    fn clone(&self) -> Self {
        Self { world: Mutex::new(self.lock().clone()) }
    }
}

impl SimKernel {
    /// A machine without disks and devices.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        // A test that panicked while it held the lock has failed already.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an empty disk.
    pub fn add_disk(&self, disk: DevNo, size: Sectors) {
        self.lock().disks.insert(disk, size.get());
    }

    /// Adds a disk that understands discards, as SSDs and sparse loop devices do.
    pub fn add_disk_with_discard(&self, disk: DevNo, size: Sectors) {
        self.add_disk(disk, size);
        self.lock().discard_disks.insert(disk);
    }

    /// Opens a device, as a mount does: it cannot be removed until [`SimKernel::close`].
    ///
    /// # Errors
    /// ENXIO if there is none, ENOENT before a table was loaded.
    pub fn open(&self, name: &DmName) -> Result<(), Errno> {
        let mut world = self.lock();
        let minor = world.node(name)?;
        world.device_mut(minor)?.openers += 1;
        Ok(())
    }

    /// Undoes one [`SimKernel::open`].
    ///
    /// # Errors
    /// ENXIO if there is no such device, EBADF if nobody has it open.
    pub fn close(&self, name: &DmName) -> Result<(), Errno> {
        let mut world = self.lock();
        let minor = world.find(name)?;
        let device = world.device_mut(minor)?;
        device.openers = device.openers.checked_sub(1).ok_or(Errno::EBADF)?;
        Ok(())
    }

    /// What one sector of a device holds; 0 if it was never written.
    ///
    /// # Errors
    /// ENXIO, ENOENT before a table was loaded, EIO, or EAGAIN where the kernel would hold the read back (which is
    /// recorded as a violation).
    pub fn read(&self, name: &DmName, sector: Sectors) -> Result<u64, Errno> {
        let mut world = self.lock();
        let dev = dm_dev(world.node(name)?);
        world.read_at(dev, sector.get())
    }

    /// Writes one sector of a device; the rest of the sector is zeroed. Chunks it needs are mapped, but no
    /// metadata is committed: see [`SimKernel::flush`].
    ///
    /// # Errors
    /// ENXIO, ENOENT before a table was loaded, EIO, EPERM if it is read-only, ENOSPC, or EAGAIN where the kernel
    /// would hold the write back: a suspended device (recorded as a violation) or a full pool that queues.
    pub fn write(&self, name: &DmName, sector: Sectors, value: u64) -> Result<(), Errno> {
        let mut world = self.lock();
        let dev = dm_dev(world.node(name)?);
        world.write_at(dev, sector.get(), value)
    }

    /// Discards sectors of a thin device, as `BLKDISCARD` does: whole chunks among them are unmapped. Where the pool
    /// passes discards down, and nobody else maps a chunk, the disk below forgets what was in it.
    ///
    /// # Errors
    /// ENXIO, ENOENT before a table was loaded, EPERM if it is read-only, EOPNOTSUPP if it takes no discards, EAGAIN
    /// where the kernel would hold it back (recorded as a violation).
    pub fn discard(&self, name: &DmName, start: Sectors, length: Sectors) -> Result<(), Errno> {
        let mut world = self.lock();
        let minor = world.node(name)?;
        world.discard_at(minor, start.get(), length.get())
    }

    /// The name of the device with that number.
    pub fn name_of(&self, dev: DevNo) -> Option<DmName> {
        let world = self.lock();
        World::minor_of(dev).and_then(|minor| world.device(minor).ok().map(|device| device.name.clone()))
    }

    /// The size of the device with that number, as its live table makes it.
    pub fn size_of(&self, dev: DevNo) -> Option<Sectors> {
        let world = self.lock();
        let table = World::minor_of(dev).and_then(|minor| world.table(minor).ok())?;
        Some(Sectors::new(table.iter().map(|line| line.length.get()).sum()))
    }

    /// Flushes a device, as `fsync` does: commits the metadata of the pools below it.
    ///
    /// # Errors
    /// ENXIO if there is no such device, ENOENT before a table was loaded.
    pub fn flush(&self, name: &DmName) -> Result<(), Errno> {
        let mut world = self.lock();
        let minor = world.node(name)?;
        world.flush(minor)
    }

    /// What one sector of a disk holds, and writing it: what a process that opened the disk itself sees and
    /// does.
    pub fn read_disk(&self, disk: DevNo, sector: Sectors) -> u64 {
        self.lock().disk_sector(disk, sector.get())
    }

    /// Makes a range of a disk read as zeros: a pool's metadata that starts in it is no more.
    pub fn zero_disk(&self, disk: DevNo, start: Sectors, length: Sectors) {
        let mut world = self.lock();
        let range = start.get()..start.get().saturating_add(length.get());
        let is_in = |(at, sector): &(DevNo, u64)| *at == disk && range.contains(sector);
        world.stores.retain(|place, _| !is_in(place));
        world.content.retain(|place, _| !is_in(place));
    }

    /// The machine crashes and starts again: no devices, no faults, disks as they were.
    pub fn crash(&self, how: Crash) {
        self.lock().crash(how);
    }

    /// Plans a fault.
    pub fn inject(&self, fault: Fault) {
        self.lock().trace.faults.push(fault);
    }

    /// Makes the next `times` commits of the pool on device `pool` fail: the kernel swallows the error, drops
    /// what was not committed, sets `needs_check` and goes read-only.
    ///
    /// # Errors
    /// ENXIO if there is no such pool.
    pub fn fail_commits(&self, pool: &DmName, times: u32) -> Result<(), Errno> {
        let mut world = self.lock();
        let minor = world.find(pool)?;
        world.pools.get_mut(&minor).ok_or(Errno::ENXIO)?.failing_commits = times;
        Ok(())
    }

    /// Makes a device fail what is written to it, or take it again: a disk that lets go.
    ///
    /// # Errors
    /// ENXIO if there is no such device.
    pub fn refuse_writes(&self, name: &DmName, refuse: bool) -> Result<(), Errno> {
        let mut world = self.lock();
        let minor = world.find(name)?;
        if refuse {
            world.refusing.insert(minor)
        } else {
            world.refusing.remove(&minor)
        };
        Ok(())
    }

    /// Makes the pool on device `pool` give up, as it does when not even an abort works.
    ///
    /// # Errors
    /// ENXIO if there is no such pool.
    pub fn fail_pool(&self, pool: &DmName) -> Result<(), Errno> {
        let mut world = self.lock();
        let minor = world.find(pool)?;
        world.set_mode(minor, pool::Mode::Fail)
    }

    /// Whether a [`FaultKind::Stop`] has struck: the process is dead and no ioctl does anything.
    pub fn stopped(&self) -> bool {
        self.lock().trace.stopped
    }

    /// A new process takes over after a [`FaultKind::Stop`]; the kernel is as it was left. Faults are
    /// forgotten.
    pub fn revive(&self) {
        self.lock().trace.revive();
    }

    /// All ioctls since the last [`SimKernel::clear_log`], also those that failed.
    pub fn log(&self) -> Vec<Call> {
        self.lock().trace.log.clone()
    }

    /// Forgets the ioctls so far.
    pub fn clear_log(&self) {
        self.lock().trace.log.clear();
    }

    /// Tells the model that its caller waits for something else now (a lock, udev, a disk): a violation if
    /// anything is suspended. For the doubles of those ports.
    pub fn waits_for(&self, what: &str) {
        self.lock().waits_for(what);
    }

    /// Records what a double of another port saw that no caller may do.
    pub fn violated(&self, device: &DmName, what: &'static str) {
        self.lock().trace.violations.push(Violation::Other { device: device.clone(), what });
    }

    /// What a bystander knows of a device: its uuid, and the kinds of the targets in its tables.
    pub fn known_of(&self, name: &DmName) -> Option<(DmUuid, Vec<String>)> {
        let world = self.lock();
        let device = world.find(name).and_then(|minor| world.device(minor)).ok()?;
        let rows = device.tables().flat_map(|table| &table.rows);
        Some((device.uuid.clone()?, rows.map(|row| report::kind(&row.target).to_owned()).collect()))
    }

    /// The disk and the sector at which a device begins that lies on one disk in one piece, and runs.
    pub fn place_of(&self, dev: DevNo) -> Option<(DevNo, Sectors)> {
        let world = self.lock();
        let live = world.device(World::minor_of(dev)?).ok()?.live.as_ref()?;
        match live.rows.as_slice() {
            [Row { target: DmTarget::Linear(linear), .. }] => Some((linear.device, linear.offset)),
            _ => None,
        }
    }

    /// What the caller did that no caller may do, and the devices that are suspended now.
    pub fn violations(&self) -> Vec<Violation> {
        self.lock().violations()
    }

    /// The names of the devices that are suspended.
    pub fn suspended(&self) -> Vec<DmName> {
        self.lock().suspended()
    }

    /// The thin devices that are committed in the pool on device `pool`.
    ///
    /// # Errors
    /// ENXIO if there is no such pool.
    pub fn thin_devices(&self, pool: &DmName) -> Result<BTreeMap<ThinId, SimThinDevice>, Errno> {
        let world = self.lock();
        let minor = world.find(pool)?;
        let key = world.pools.get(&minor).ok_or(Errno::ENXIO)?.store;
        Ok(world.committed_devices(key))
    }

    /// The thin devices that the metadata snapshot of the pool on device `pool` shows, with what they map:
    /// what reading the held root shows.
    ///
    /// # Errors
    /// ENXIO if there is no such pool, ENODATA if it holds no metadata snapshot.
    pub fn held_devices(
        &self,
        pool: &DmName,
    ) -> Result<BTreeMap<ThinId, (SimThinDevice, Vec<SimMapping>)>, Errno> {
        let world = self.lock();
        let minor = world.find(pool)?;
        let key = world.pools.get(&minor).ok_or(Errno::ENXIO)?.store;
        let held = world.stores.get(&key).and_then(|store| store.committed.superblock.held.as_ref());
        let devices = held.ok_or(Errno::ENODATA)?.devices.iter();
        let known = devices.filter_map(|(id, device)| {
            Some((ThinId::new(u64::from(*id)).ok()?, (device.into(), device.mapped())))
        });
        Ok(known.collect())
    }

    /// All that the metadata holds that starts at `sector` of `disk`. `None` if no pool was ever made there.
    pub fn pool_dump(&self, disk: DevNo, sector: Sectors) -> Option<SimPoolDump> {
        let world = self.lock();
        let store = world.stores.get(&(disk, sector.get()))?;
        let committed = &store.committed;
        let devices = committed.devices.iter().map(|(id, device)| (*id, device.into(), device.mapped()));
        Some(SimPoolDump {
            transaction_id: committed.superblock.transaction_id,
            time: committed.superblock.time,
            chunk_size: store.chunk_size,
            data_blocks: committed.superblock.data_blocks,
            devices: devices.collect(),
        })
    }

    /// The last place at which a pool's metadata starts on `disk`, `sector` or before it, with all that it holds, and
    /// the devices that its metadata snapshot shows, if it holds one.
    pub fn pool_dump_around(
        &self,
        disk: DevNo,
        sector: Sectors,
    ) -> Option<(Sectors, SimPoolDump, Option<SimThinDevices>)> {
        let start = {
            let world = self.lock();
            let ((_, start), _) = world.stores.range((disk, 0)..=(disk, sector.get())).next_back()?;
            Sectors::new(*start)
        };
        let dump = self.pool_dump(disk, start)?;
        let world = self.lock();
        let held = world.stores.get(&(disk, start.get()))?.committed.superblock.held.as_ref();
        let device =
            |(id, device): (&u32, _)| Some((ThinId::new(u64::from(*id)).ok()?, SimThinDevice::from(device)));
        Some((start, dump, held.map(|held| held.devices.iter().filter_map(device).collect())))
    }

    /// Damages the metadata that starts at `sector` of `disk`, where no pool runs: what it holds can still be read, but
    /// the kernel starts no pool on it.
    pub fn damage_metadata(&self, disk: DevNo, sector: Sectors) {
        if let Some(store) = self.lock().stores.get_mut(&(disk, sector.get())) {
            store.corrupt = true;
        }
    }

    /// Whether the metadata on a device is damaged, or there is none.
    pub fn is_damaged(&self, dev: DevNo) -> bool {
        let world = self.lock();
        let place = world.place(dev, 0).ok();
        place.and_then(|key| world.stores.get(&key)).is_none_or(|store| store.corrupt)
    }

    /// What `thin_repair` does: all that the metadata on one device holds, whole, on another one. `lost` is a thin
    /// device that it does not find.
    ///
    /// # Errors
    /// `EIO` if one of them is not there, or there is no metadata.
    pub fn repair_metadata(&self, from: DevNo, to: DevNo, lost: Option<ThinId>) -> Result<(), Errno> {
        let mut world = self.lock();
        let [from, to] = [world.place(from, 0)?, world.place(to, 0)?];
        let store = world.stores.get(&from).ok_or(Errno::EIO)?.repaired(lost.map(ThinId::get));
        world.stores.insert(to, store);
        Ok(())
    }

    /// The transaction id, and the thin devices, of the pool whose metadata starts at `sector` of `disk`,
    /// running or not: what reading the disk shows. `None` if no pool was ever made there.
    pub fn metadata_on_disk(
        &self,
        disk: DevNo,
        sector: Sectors,
    ) -> Option<(u64, BTreeMap<ThinId, SimThinDevice>)> {
        let world = self.lock();
        let key = (disk, sector.get());
        let transaction_id = world.stores.get(&key)?.committed.superblock.transaction_id;
        Some((transaction_id, world.committed_devices(key)))
    }
}

/// The distinct chunks of data that some mapping refers to.
type Blocks = BTreeSet<u64>;
