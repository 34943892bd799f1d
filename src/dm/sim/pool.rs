//! A running thin pool: its modes, its messages, its commits.
//!
//! Source: Linux `drivers/md/dm-thin.c` (`__pool_find`, `pool_message`, `pool_preresume`, `set_pool_mode`,
//! `commit`).

use std::collections::BTreeMap;

use nix::errno::Errno;

use super::devices::{World, dm_dev};
use super::faults::Violation;
use super::metadata::{Store, StoreKey};
use crate::message::Message;
use crate::name::DmName;
use crate::status::{METADATA_BLOCK_SECTORS, METADATA_MAX_SECTORS};
use crate::table::{CHUNK_MAX, CHUNK_MIN, PoolParams};
use base::ids::{DevNo, ThinId};

/// What a pool still does, in order of decline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mode {
    Write,
    OutOfDataSpace,
    OutOfMetadataSpace,
    ReadOnly,
    Fail,
}

/// A pool that some table refers to.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub(super) store: StoreKey,
    pub(super) metadata: DevNo,
    pub(super) data: DevNo,
    pub(super) mode: Mode,
    pub(super) suspended: bool,
    /// The parameters in force: those of the table that was resumed last.
    pub(super) params: Option<PoolParams>,
    pub(super) failing_commits: u32,
    /// The chunks that thin devices had mapped whose changes were dropped: their status goes on to say so.
    pub(super) aborted: BTreeMap<u32, usize>,
}

impl Pool {
    /// What a write meets that needs a chunk where there is none.
    pub(super) fn no_space(&self) -> Errno {
        let eager = self.params.is_some_and(|params| params.error_if_no_space);
        if eager { Errno::ENOSPC } else { Errno::EAGAIN }
    }
}

impl World {
    /// The pool whose target is in the live table of `minor`.
    pub(super) fn live_pool(&mut self, minor: u32) -> Option<&mut Pool> {
        self.devices.get(&minor)?.live.as_ref()?.pool()?;
        self.pools.get_mut(&minor)
    }

    /// Blocks that the pool uses of a metadata device.
    pub(super) fn metadata_blocks(&self, dev: DevNo) -> u64 {
        self.size_of(dev).min(METADATA_MAX_SECTORS) / METADATA_BLOCK_SECTORS
    }

    /// Finds or makes the pool that a table on `minor` asks for.
    pub(super) fn open_pool(&mut self, minor: u32, params: &PoolParams) -> Result<(), Errno> {
        let chunk = params.chunk_size.get();
        if !(CHUNK_MIN..=CHUNK_MAX).contains(&chunk) || !chunk.is_multiple_of(CHUNK_MIN) {
            return Err(Errno::EINVAL);
        }
        let by_metadata = self.pools.iter().find(|(_, pool)| pool.metadata == params.metadata);
        if let Some((owner, pool)) = by_metadata {
            if *owner != minor || pool.data != params.data {
                return Err(Errno::EBUSY);
            }
            let discards = pool.params.is_none_or(|old| !old.ignore_discard);
            return if discards == params.ignore_discard { Err(Errno::EINVAL) } else { Ok(()) };
        }
        if self.pools.contains_key(&minor) {
            return Err(Errno::EINVAL);
        }
        let store = self.open_store(params)?;
        let pool = Pool {
            store,
            metadata: params.metadata,
            data: params.data,
            mode: Mode::Write,
            suspended: true,
            params: None,
            failing_commits: 0,
            aborted: BTreeMap::new(),
        };
        self.pools.insert(minor, pool);
        Ok(())
    }

    /// Finds the metadata on its disk, or formats it there.
    fn open_store(&mut self, params: &PoolParams) -> Result<StoreKey, Errno> {
        let key = self.place(params.metadata, 0).map_err(|_| Errno::EIO)?;
        let blocks = self.metadata_blocks(params.metadata);
        if blocks == 0 {
            return Err(Errno::EIO);
        }
        match self.stores.get(&key) {
            Some(store) if store.corrupt => Err(Errno::EILSEQ),
            Some(store) if store.chunk_size != params.chunk_size.get() => Err(Errno::EINVAL),
            Some(_) => Ok(key),
            None if self.disk_sector(key.0, key.1) != 0 => Err(Errno::EILSEQ),
            None if params.read_only => Err(Errno::EPERM),
            None => {
                self.stores.insert(key, Store::format(params.chunk_size.get(), blocks));
                Ok(key)
            }
        }
    }

    /// Closes pools that no table refers to any more: the kernel commits them.
    pub(super) fn drop_unused_pools(&mut self) {
        let unused: Vec<u32> = self.pools.keys().copied().filter(|minor| !self.pool_in_use(*minor)).collect();
        for minor in unused {
            self.commit(minor);
            let Some(pool) = self.pools.remove(&minor) else { continue };
            let refused = self.refuses_writes(pool.metadata);
            let Some(store) = self.stores.get_mut(&pool.store) else { continue };
            if refused { store.forget() } else { store.close() }
        }
    }

    fn pool_in_use(&self, minor: u32) -> bool {
        let own = self.devices.get(&minor).is_some_and(|d| d.tables().any(|table| table.pool().is_some()));
        own || self
            .devices
            .values()
            .any(|d| d.tables().any(|table| table.thins().any(|thin| thin.pool == dm_dev(minor))))
    }

    pub(super) fn set_mode(&mut self, minor: u32, wanted: Mode) -> Result<(), Errno> {
        let pool = self.pools.get_mut(&minor).ok_or(Errno::ENXIO)?;
        let needs_check = self.stores.get(&pool.store).is_some_and(|store| store.needs_check);
        let old = pool.mode;
        pool.mode = match wanted {
            _ if old == Mode::Fail => old,
            Mode::Write if needs_check && old != Mode::Write => old,
            Mode::Write if needs_check => Mode::ReadOnly,
            mode => mode,
        };
        if pool.mode != old
            && let Some(device) = self.devices.get_mut(&minor)
        {
            device.event_nr += 1;
        }
        Ok(())
    }

    /// Commits a pool's metadata as the kernel does: nobody learns of an error, but the pool becomes
    /// read-only.
    pub(super) fn commit(&mut self, minor: u32) {
        let below = self.suspended_below(minor);
        let refused = self.pools.get(&minor).is_some_and(|pool| self.refuses_writes(pool.metadata));
        let Some(pool) = self.pools.get_mut(&minor) else { return };
        let Some(store) = self.stores.get_mut(&pool.store) else { return };
        if pool.mode >= Mode::OutOfMetadataSpace {
            return;
        }
        if let Some(device) = below {
            // The kernel would wait here; the model goes on.
            self.trace.violations.push(Violation::IoToSuspended { device });
        }
        if refused || pool.failing_commits > 0 {
            pool.failing_commits = pool.failing_commits.saturating_sub(1);
            pool.aborted.append(&mut store.abort());
            store.needs_check = true;
            // The mode is there: the pool was found above.
            self.set_mode(minor, Mode::ReadOnly).unwrap_or_default();
            return;
        }
        store.commit();
        let full = store.metadata_used() >= store.working.superblock.metadata_blocks;
        let room = pool.mode == Mode::OutOfDataSpace && store.free_block().is_some();
        if full {
            self.set_mode(minor, Mode::OutOfMetadataSpace).unwrap_or_default();
        } else if room {
            self.set_mode(minor, Mode::Write).unwrap_or_default();
        }
    }

    /// What the pool target does before a resume: takes the new parameters and sizes.
    pub(super) fn pool_preresume(&mut self, minor: u32) -> Result<(), Errno> {
        let live = self.device(minor)?.live.as_ref();
        let Some((params, length)) = live.and_then(|live| Some((live.pool()?, live.length()))) else {
            return Ok(());
        };
        let wanted = if params.read_only { Mode::ReadOnly } else { Mode::Write };
        self.pools.get_mut(&minor).ok_or(Errno::ENXIO)?.params = Some(params);
        self.set_mode(minor, wanted)?;
        match self.pool_resize(minor, length / params.chunk_size.get()) {
            Err(_) if self.pools.get(&minor).is_some_and(|pool| pool.mode == Mode::Fail) => Ok(()),
            result => result,
        }
    }

    fn pool_resize(&mut self, minor: u32, data_blocks: u64) -> Result<(), Errno> {
        let pool = self.pools.get(&minor).ok_or(Errno::ENXIO)?;
        let (mode, metadata_blocks) = (pool.mode, self.metadata_blocks(pool.metadata));
        let store = self.stores.get_mut(&pool.store).ok_or(Errno::EIO)?;
        let (needs_check, superblock) = (store.needs_check, &mut store.working.superblock);
        if data_blocks < superblock.data_blocks || metadata_blocks < superblock.metadata_blocks {
            return Err(Errno::EINVAL);
        }
        let grows = data_blocks > superblock.data_blocks || metadata_blocks > superblock.metadata_blocks;
        if !grows || needs_check {
            return Ok(());
        }
        superblock.data_blocks = data_blocks;
        let more_metadata = metadata_blocks > superblock.metadata_blocks;
        superblock.metadata_blocks = metadata_blocks;
        if more_metadata && mode == Mode::OutOfMetadataSpace {
            self.set_mode(minor, Mode::Write)?;
        }
        self.commit(minor);
        Ok(())
    }

    /// A message to the target at sector 0 of `minor`.
    pub(super) fn message(&mut self, minor: u32, text: &str) -> Result<(), Errno> {
        let verb = text.split_ascii_whitespace().next().ok_or(Errno::EINVAL)?;
        self.device(minor)?;
        if verb.starts_with('@') || self.live_pool(minor).is_none() {
            return Err(Errno::EINVAL);
        }
        let pool = self.pools.get(&minor).ok_or(Errno::EINVAL)?;
        if pool.mode >= Mode::OutOfMetadataSpace {
            return Err(Errno::EOPNOTSUPP);
        }
        self.pool_message(minor, text.parse().map_err(|_| Errno::EINVAL)?)?;
        self.commit(minor);
        Ok(())
    }

    fn pool_message(&mut self, minor: u32, message: Message) -> Result<(), Errno> {
        let key = self.pools.get(&minor).ok_or(Errno::EINVAL)?.store;
        match message {
            Message::CreateThin(new) => self.store(key)?.create_thin(new.get()),
            Message::CreateSnap { id, origin } => {
                self.store(key)?.create_snap(id.get(), origin.get())?;
                self.note_live_origin(minor, origin.get());
                Ok(())
            }
            Message::Delete(old) => {
                let id = old.get();
                let store = self.store(key)?;
                if !store.working.devices.contains_key(&id) {
                    return Err(Errno::ENODATA);
                }
                if self.thin_in_use(minor, id) {
                    return Err(Errno::EBUSY);
                }
                self.store(key)?.delete(id)
            }
            Message::SetTransactionId { from, to } => self.store(key)?.set_transaction_id(from.0, to.0),
            Message::ReserveMetadataSnap => {
                self.commit(minor);
                self.store(key)?.reserve_snapshot()
            }
            Message::ReleaseMetadataSnap => self.store(key)?.release_snapshot(),
        }
    }

    fn store(&mut self, key: StoreKey) -> Result<&mut Store, Errno> {
        self.stores.get_mut(&key).ok_or(Errno::EINVAL)
    }

    /// Whether a table in either slot of any device refers to the thin device.
    fn thin_in_use(&self, pool: u32, id: u32) -> bool {
        let pool = dm_dev(pool);
        self.devices
            .values()
            .any(|d| d.tables().any(|t| t.thins().any(|thin| thin.pool == pool && thin.id.get() == id)))
    }

    /// Records the devices through which the origin of a snapshot was being written to.
    fn note_live_origin(&mut self, pool: u32, origin: u32) {
        if self.pools.get(&pool).is_none_or(|pool| pool.suspended) {
            return;
        }
        let writable = |d: &&super::devices::Device| !d.suspended && !d.read_only;
        let shows = |d: &super::devices::Device| {
            let mut thins = d.live.iter().flat_map(super::targets::Loaded::thins);
            thins.any(|thin| thin.pool == dm_dev(pool) && thin.id.get() == origin)
        };
        let live: Vec<DmName> =
            self.devices.values().filter(writable).filter(|d| shows(d)).map(|d| d.name.clone()).collect();
        for device in live {
            if let Ok(origin) = ThinId::new(u64::from(origin)) {
                self.trace.violations.push(Violation::SnapshotOfLiveOrigin { device, origin });
            }
        }
    }
}
