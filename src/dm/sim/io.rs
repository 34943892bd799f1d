//! Reads and writes, down through the tables to a disk.
//!
//! Source: Linux `drivers/md/dm-thin.c` (`process_cell`, `process_bio_read_only`, `alloc_data_block`,
//! `break_sharing`,
//! `schedule_external_copy`), `drivers/md/dm-stripe.c` (`stripe_map_sector`).

use std::sync::Arc;

use nix::errno::Errno;

use super::devices::World;
use super::faults::Violation;
use super::metadata::Mapping;
use super::pool::Mode;
use crate::table::{DmTarget, ThinParams};
use base::ids::DevNo;

/// Where one sector of a device leads to.
enum IoRoute {
    /// A sector of the device below.
    Below(DevNo, u64),
    /// A thin device's own sector.
    Thin(ThinParams, u64),
    /// Zeroes.
    Zero,
}

/// A chunk of a thin device, all that I/O to it needs.
struct Chunk {
    pool: u32,
    id: u32,
    chunk: u64,
    offset: u64,
    size: u64,
    data: DevNo,
    origin: Option<DevNo>,
    found: Option<Mapping>,
    shared: bool,
}

impl World {
    /// What a disk holds.
    pub(super) fn disk_sector(&self, disk: DevNo, sector: u64) -> u64 {
        self.content.get(&(disk, sector)).copied().unwrap_or(0)
    }

    fn write_disk(&mut self, disk: DevNo, sector: u64, value: u64) -> Result<(), Errno> {
        if self.disks.get(&disk).is_none_or(|size| sector >= *size) {
            return Err(Errno::ENXIO);
        }
        let key = (disk, sector);
        let running = self.pools.values().any(|pool| pool.store == key);
        if !running && value == 0 {
            self.stores.remove(&key);
        } else if !running && let Some(store) = self.stores.get_mut(&key) {
            store.corrupt = true;
        }
        match value {
            0 => self.content.remove(&key),
            _ => self.content.insert(key, value),
        };
        Ok(())
    }

    /// One step down from a device of ours.
    fn step(&self, minor: u32, sector: u64) -> Result<IoRoute, Errno> {
        let row = self.device(minor)?.live.as_ref().and_then(|live| live.row_at(sector)).ok_or(Errno::EIO)?;
        let offset = sector - row.start;
        let below = |dev: DevNo, start: u64, at: u64| {
            start.checked_add(at).map(|sector| IoRoute::Below(dev, sector)).ok_or(Errno::EIO)
        };
        match &row.target {
            DmTarget::Linear(linear) => below(linear.device, linear.offset.get(), offset),
            DmTarget::Striped(striped) => {
                let size = striped.chunk_size.get().max(1);
                let count = u64::try_from(striped.stripes.len()).map_err(|_| Errno::EIO)?.max(1);
                let (chunk, within) = (offset / size, offset % size);
                let index = usize::try_from(chunk % count).map_err(|_| Errno::EIO)?;
                let stripe = striped.stripes.get(index).ok_or(Errno::EIO)?;
                below(stripe.device, stripe.offset.get(), chunk / count * size + within)
            }
            DmTarget::ThinPool(pool) => below(pool.data, 0, offset),
            DmTarget::Thin(thin) => Ok(IoRoute::Thin(*thin, offset)),
            DmTarget::Other { kind, .. } if kind == "zero" => Ok(IoRoute::Zero),
            DmTarget::Other { .. } => Err(Errno::EIO),
        }
    }

    /// The disk and sector behind a sector of a device that has no thin target below; suspended or not.
    pub(super) fn place(&self, dev: DevNo, sector: u64) -> Result<(DevNo, u64), Errno> {
        let (mut dev, mut sector) = (dev, sector);
        while let Some(minor) = Self::minor_of(dev) {
            match self.step(minor, sector)? {
                IoRoute::Below(below, at) => (dev, sector) = (below, at),
                IoRoute::Thin(..) | IoRoute::Zero => return Err(Errno::EIO),
            }
        }
        if self.disks.get(&dev).is_some_and(|size| sector < *size) {
            Ok((dev, sector))
        } else {
            Err(Errno::EIO)
        }
    }

    /// What the block layer looks at before a request gets to the device, suspended or not: that there is such a
    /// sector.
    fn must_exist(&self, dev: DevNo, sector: u64) -> Result<(), Errno> {
        if sector < self.size_of(dev) { Ok(()) } else { Err(Errno::EIO) }
    }

    /// I/O to a suspended device waits for ever as far as the model is concerned.
    fn must_flow(&mut self, minor: u32) -> Result<(), Errno> {
        let device = self.device(minor)?;
        if device.suspended || self.held_by_pool(minor)? {
            let device = device.name.clone();
            self.trace.violations.push(Violation::IoToSuspended { device });
            return Err(Errno::EAGAIN);
        }
        Ok(())
    }

    pub(super) fn read_at(&mut self, dev: DevNo, sector: u64) -> Result<u64, Errno> {
        self.must_exist(dev, sector)?;
        let (mut dev, mut sector) = (dev, sector);
        while let Some(minor) = Self::minor_of(dev) {
            self.must_flow(minor)?;
            (dev, sector) = match self.step(minor, sector)? {
                IoRoute::Below(below, at) => (below, at),
                IoRoute::Zero => return Ok(0),
                IoRoute::Thin(thin, at) => {
                    let chunk = self.chunk(&thin, at)?;
                    match (chunk.found, chunk.origin) {
                        (Some(mapping), _) => (chunk.data, chunk.sector(mapping.block)?),
                        (None, Some(origin)) if at < self.size_of(origin) => (origin, at),
                        (None, _) => return Ok(0),
                    }
                }
            };
        }
        Ok(self.disk_sector(dev, sector))
    }

    pub(super) fn write_at(&mut self, dev: DevNo, sector: u64, value: u64) -> Result<(), Errno> {
        // Whether it may be written comes before where to.
        if let Some(minor) = Self::minor_of(dev)
            && self.device(minor)?.read_only
        {
            return Err(Errno::EPERM);
        }
        self.must_exist(dev, sector)?;
        let (mut dev, mut sector) = (dev, sector);
        while let Some(minor) = Self::minor_of(dev) {
            self.must_flow(minor)?;
            if self.device(minor)?.read_only {
                return Err(Errno::EPERM);
            }
            if self.refusing.contains(&minor) {
                return Err(Errno::EIO);
            }
            (dev, sector) = match self.step(minor, sector)? {
                IoRoute::Below(below, at) => (below, at),
                IoRoute::Zero => return Ok(()),
                IoRoute::Thin(thin, at) => {
                    let chunk = self.chunk(&thin, at)?;
                    let block = match chunk.found {
                        Some(mapping) if !chunk.shared => mapping.block,
                        _ => self.provision(&chunk)?,
                    };
                    (chunk.data, chunk.sector(block)?)
                }
            };
        }
        self.write_disk(dev, sector, value)
    }

    pub(super) fn discard_at(&mut self, minor: u32, start: u64, length: u64) -> Result<(), Errno> {
        self.must_flow(minor)?;
        if self.device(minor)?.read_only {
            return Err(Errno::EPERM);
        }
        let IoRoute::Thin(thin, start) = self.step(minor, start)? else { return Err(Errno::EOPNOTSUPP) };
        let key = Self::minor_of(thin.pool).ok_or(Errno::EIO)?;
        let pool = self.pools.get(&key).ok_or(Errno::EIO)?;
        let (store, data, features) = (pool.store, pool.data, pool.params);
        if features.is_some_and(|features| features.ignore_discard) {
            return Err(Errno::EOPNOTSUPP);
        }
        let passes =
            features.is_none_or(|features| !features.no_discard_passdown) && self.understands_discard(data);
        let store = self.stores.get_mut(&store).ok_or(Errno::EIO)?;
        let size = store.chunk_size;
        let mut unmapped = Vec::new();
        let mappings = Arc::make_mut(&mut store.device_mut(thin.id.get())?.mappings);
        for chunk in start.div_ceil(size)..(start + length) / size {
            unmapped.extend(mappings.remove(&chunk).map(|mapping| mapping.block));
        }
        unmapped.retain(|block| passes && store.working.mapped().all(|other| other != *block));
        for sector in unmapped.iter().flat_map(|block| block * size..(block + 1) * size) {
            let (disk, at) = self.place(data, sector)?;
            self.write_disk(disk, at, 0)?;
        }
        Ok(())
    }

    fn chunk(&self, thin: &ThinParams, sector: u64) -> Result<Chunk, Errno> {
        let minor = Self::minor_of(thin.pool).ok_or(Errno::EIO)?;
        let pool = self.pools.get(&minor).ok_or(Errno::EIO)?;
        if pool.mode == Mode::Fail {
            return Err(Errno::EIO);
        }
        let store = self.stores.get(&pool.store).ok_or(Errno::EIO)?;
        // A device that an abort of the transaction took away answers nothing.
        let device = store.working.devices.get(&thin.id.get()).ok_or(Errno::EIO)?;
        let (size, number) = (store.chunk_size, sector / store.chunk_size);
        let found = device.mappings.get(&number).copied();
        Ok(Chunk {
            pool: minor,
            id: thin.id.get(),
            chunk: number,
            offset: sector % size,
            size,
            data: pool.data,
            origin: thin.external_origin,
            found,
            shared: found.is_some_and(|mapping| device.snapshotted_time > mapping.time),
        })
    }

    /// Gives a chunk a block of its own: with its old content if it shared one, with the external origin's,
    /// or zeroed.
    fn provision(&mut self, chunk: &Chunk) -> Result<u64, Errno> {
        let block = self.allocate(chunk.pool)?;
        let pool = self.pools.get(&chunk.pool).ok_or(Errno::EIO)?;
        let zero = pool.params.is_none_or(|params| !params.skip_block_zeroing);
        let key = pool.store;
        for offset in 0..chunk.size {
            let virtual_sector = chunk.chunk * chunk.size + offset;
            let value = match (chunk.found, chunk.origin) {
                (Some(old), _) => {
                    let (disk, at) = self.place(chunk.data, old.block * chunk.size + offset)?;
                    Some(self.disk_sector(disk, at))
                }
                (None, Some(origin)) if virtual_sector < self.size_of(origin) => {
                    Some(self.read_at(origin, virtual_sector)?)
                }
                (None, _) => zero.then_some(0),
            };
            if let Some(value) = value {
                let (disk, at) = self.place(chunk.data, block * chunk.size + offset)?;
                self.write_disk(disk, at, value)?;
            }
        }
        let store = self.stores.get_mut(&key).ok_or(Errno::EIO)?;
        let time = store.working.superblock.time;
        let device = store.device_mut(chunk.id)?;
        Arc::make_mut(&mut device.mappings).insert(chunk.chunk, Mapping { block, time });
        Ok(block)
    }

    fn allocate(&mut self, minor: u32) -> Result<u64, Errno> {
        for attempt in 0..2 {
            let pool = self.pools.get(&minor).ok_or(Errno::EIO)?;
            let full = pool.no_space();
            match pool.mode {
                Mode::Write => {}
                Mode::OutOfDataSpace => return Err(full),
                Mode::OutOfMetadataSpace | Mode::ReadOnly | Mode::Fail => return Err(Errno::EIO),
            }
            let store = self.stores.get(&pool.store).ok_or(Errno::EIO)?;
            match (store.free_block(), attempt) {
                (Some(block), _) => return Ok(block),
                // What this transaction freed can be used once it is committed.
                (None, 0) => self.commit(minor),
                (None, _) => {
                    self.set_mode(minor, Mode::OutOfDataSpace)?;
                    return Err(full);
                }
            }
        }
        Err(Errno::EIO)
    }

    /// A flush goes down to the disk; where it meets a thin device that has changed, the kernel commits the pool. One
    /// without a table has nowhere to send it. Source: `process_bio`'s `issue`, `bio_triggers_commit`.
    pub(super) fn flush(&mut self, minor: u32) -> Result<(), Errno> {
        let live = self.device(minor)?.live.as_ref().ok_or(Errno::EIO)?;
        let mut below: Vec<DevNo> = Vec::new();
        let mut thins: Vec<ThinParams> = Vec::new();
        for row in &live.rows {
            match &row.target {
                DmTarget::Linear(linear) => below.push(linear.device),
                DmTarget::Striped(striped) => {
                    below.extend(striped.stripes.iter().map(|stripe| stripe.device))
                }
                DmTarget::ThinPool(pool) => below.push(pool.data),
                DmTarget::Thin(thin) => thins.push(*thin),
                DmTarget::Other { .. } => {}
            }
        }
        for thin in thins {
            below.push(self.flush_thin(&thin)?);
        }
        for lower in below.into_iter().filter_map(Self::minor_of) {
            if self.refusing.contains(&lower) {
                return Err(Errno::EIO);
            }
            self.flush(lower)?;
        }
        Ok(())
    }

    /// Commits what a thin device has changed, and gives the device that its data is on. Only the flush whose commit
    /// fails learns of it: later ones find nothing changed. To a pool that gives out no chunks a flush is a write to
    /// the first one. Source: `process_bio_read_only`, `handle_unserviceable_bio`.
    fn flush_thin(&mut self, thin: &ThinParams) -> Result<DevNo, Errno> {
        let (minor, id) = (Self::minor_of(thin.pool).ok_or(Errno::EIO)?, thin.id.get());
        let pool = self.pools.get(&minor).ok_or(Errno::EIO)?;
        let first = self.chunk(thin, 0)?.found;
        match pool.mode {
            Mode::Write => {}
            Mode::OutOfDataSpace if first.is_none() => return Err(pool.no_space()),
            Mode::OutOfMetadataSpace | Mode::ReadOnly if first.is_none() => return Err(Errno::EIO),
            Mode::OutOfDataSpace | Mode::OutOfMetadataSpace | Mode::ReadOnly => {}
            Mode::Fail => return Err(Errno::EIO),
        }
        let data = pool.data;
        let changed = self.stores.get(&pool.store).is_some_and(|store| store.has_changed(id));
        if !changed {
            return Ok(data);
        }
        self.commit(minor);
        let failed = self.pools.get(&minor).is_none_or(|pool| pool.mode >= Mode::ReadOnly);
        if failed { Err(Errno::EIO) } else { Ok(data) }
    }
}

impl Chunk {
    /// The sector of the data device, if the chunk is at `block`.
    fn sector(&self, block: u64) -> Result<u64, Errno> {
        block.checked_mul(self.size).and_then(|start| start.checked_add(self.offset)).ok_or(Errno::EIO)
    }
}
