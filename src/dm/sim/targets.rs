//! Tables: what the kernel checks when one is loaded, and when it is put in place.
//!
//! Source: Linux `drivers/md/dm-table.c` (`dm_table_add_target`, `device_area_is_invalid`),
//! `drivers/md/dm-ioctl.c` (`table_load`), `drivers/md/dm-{linear,stripe,thin}.c` (`*_ctr`).

use nix::errno::Errno;

use super::devices::{World, dm_dev};
use super::pool::Mode;
use crate::table::{DmTarget, PoolParams, Table, ThinParams};
use base::ids::DevNo;

/// One target of a loaded table.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) start: u64,
    pub(super) length: u64,
    pub(super) target: DmTarget,
}

/// A table the kernel has taken.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    pub(super) rows: Vec<Row>,
    pub(super) read_only: bool,
}

impl Row {
    /// The devices below, and whether each is opened for writing.
    fn opened(&self, read_only: bool) -> Vec<(DevNo, bool)> {
        match &self.target {
            DmTarget::Linear(linear) => vec![(linear.device, !read_only)],
            DmTarget::Striped(striped) => striped.stripes.iter().map(|s| (s.device, !read_only)).collect(),
            DmTarget::ThinPool(pool) => vec![(pool.metadata, !pool.read_only), (pool.data, true)],
            DmTarget::Thin(thin) => {
                let origin = thin.external_origin.map(|origin| (origin, false));
                std::iter::once((thin.pool, !read_only)).chain(origin).collect()
            }
            DmTarget::Other { .. } => Vec::new(),
        }
    }
}

impl Loaded {
    pub(super) fn length(&self) -> u64 {
        self.rows.last().map_or(0, |row| row.start.saturating_add(row.length))
    }

    /// The devices below, in order.
    pub(super) fn devices(&self) -> impl Iterator<Item = DevNo> {
        self.rows.iter().flat_map(|row| row.opened(self.read_only)).map(|(dev, _)| dev)
    }

    /// Whether `dev` is opened, and if so whether for writing.
    pub(super) fn opens(&self, dev: DevNo) -> Option<bool> {
        let opened = self.rows.iter().flat_map(|row| row.opened(self.read_only));
        opened.filter(|(below, _)| *below == dev).map(|(_, write)| write).reduce(|a, b| a || b)
    }

    pub(super) fn thins(&self) -> impl Iterator<Item = ThinParams> {
        self.rows.iter().filter_map(|row| match &row.target {
            DmTarget::Thin(thin) => Some(*thin),
            _ => None,
        })
    }

    pub(super) fn pool(&self) -> Option<PoolParams> {
        match &self.rows.first()?.target {
            DmTarget::ThinPool(pool) => Some(*pool),
            _ => None,
        }
    }

    /// The row that sector is in.
    pub(super) fn row_at(&self, sector: u64) -> Option<&Row> {
        self.rows.iter().find(|row| row.start <= sector && sector - row.start < row.length)
    }
}

impl World {
    /// Takes a table into the inactive slot.
    pub(super) fn load(&mut self, minor: u32, table: &Table, read_only: bool) -> Result<(), Errno> {
        let loaded = self.build(minor, table, read_only);
        // A pool that this table made is dropped again if a later check failed.
        let result = loaded.and_then(|loaded| {
            let live = self.device(minor)?.live.as_ref();
            let was_pool = live.is_some_and(|live| live.pool().is_some());
            let wildcard = match &loaded.rows[..] {
                [Row { target: DmTarget::Other { kind, .. }, .. }] => kind == "error",
                _ => false,
            };
            if was_pool && loaded.pool().is_none() && !wildcard {
                return Err(Errno::EINVAL);
            }
            let device = self.device_mut(minor)?;
            device.announced = true;
            device.inactive = Some(loaded);
            Ok(())
        });
        self.drop_unused_pools();
        result
    }

    fn build(&mut self, minor: u32, table: &Table, read_only: bool) -> Result<Loaded, Errno> {
        self.device(minor)?;
        if table.0.is_empty() {
            return Err(Errno::EINVAL);
        }
        let mut rows: Vec<Row> = Vec::with_capacity(table.0.len());
        let mut next = 0;
        for line in &table.0 {
            let (start, length) = (line.start.get(), line.length.get());
            if length == 0 || start != next {
                return Err(Errno::EINVAL);
            }
            next = start.checked_add(length).ok_or(Errno::EINVAL)?;
            let target = line.parse().map_err(|_| Errno::EINVAL)?;
            let single = matches!(target, DmTarget::ThinPool(_));
            if single && (table.0.len() > 1 || read_only) {
                return Err(Errno::EINVAL);
            }
            self.construct(minor, &target, length)?;
            rows.push(Row { start, length, target });
        }
        Ok(Loaded { rows, read_only })
    }

    fn construct(&mut self, minor: u32, target: &DmTarget, length: u64) -> Result<(), Errno> {
        // That a device cannot stand on itself is checked by new kernels only; Linux 6.1 lets it.
        let open = |world: &Self, dev: DevNo| match world.exists(dev) {
            true if dev == dm_dev(minor) => Err(Errno::EINVAL),
            true => Ok(()),
            false => Err(Errno::ENXIO),
        };
        match target {
            DmTarget::Linear(linear) => open(self, linear.device),
            DmTarget::Striped(striped) => {
                let stripes = u64::try_from(striped.stripes.len()).map_err(|_| Errno::EINVAL)?;
                let chunk = striped.chunk_size.get();
                let even =
                    chunk != 0 && length.is_multiple_of(stripes) && (length / stripes).is_multiple_of(chunk);
                if !even {
                    return Err(Errno::EINVAL);
                }
                striped.stripes.iter().try_for_each(|stripe| open(self, stripe.device))
            }
            DmTarget::ThinPool(params) => {
                if params.metadata == params.data {
                    return Err(Errno::EINVAL);
                }
                open(self, params.metadata)?;
                open(self, params.data)?;
                self.open_pool(minor, params)
            }
            DmTarget::Thin(thin) => {
                if let Some(origin) = thin.external_origin {
                    if origin == thin.pool {
                        return Err(Errno::EINVAL);
                    }
                    open(self, origin)?;
                }
                open(self, thin.pool)?;
                self.open_thin(thin)
            }
            DmTarget::Other { kind, .. } if kind == "error" || kind == "zero" => Ok(()),
            DmTarget::Other { .. } => Err(Errno::EINVAL),
        }
    }

    /// Source: `thin_ctr`. Its checks in its order.
    fn open_thin(&self, thin: &ThinParams) -> Result<(), Errno> {
        let pool = Self::minor_of(thin.pool).and_then(|minor| self.pools.get(&minor)).ok_or(Errno::EINVAL)?;
        if pool.mode == Mode::Fail {
            return Err(Errno::EINVAL);
        }
        let store = self.stores.get(&pool.store).ok_or(Errno::EINVAL)?;
        if !store.working.devices.contains_key(&thin.id.get()) {
            return Err(Errno::ENODATA);
        }
        if pool.suspended { Err(Errno::EINVAL) } else { Ok(()) }
    }

    /// Whether every device below is large enough. A device without a table counts as large enough.
    pub(super) fn fits(&self, table: &Loaded) -> bool {
        let holds = |dev: DevNo, start: u64, length: u64| {
            let size = self.size_of(dev);
            size == 0 || start.checked_add(length).is_some_and(|end| start < size && end <= size)
        };
        table.rows.iter().all(|row| match &row.target {
            DmTarget::Linear(linear) => holds(linear.device, linear.offset.get(), row.length),
            DmTarget::Striped(striped) => {
                let width = row.length / u64::try_from(striped.stripes.len()).unwrap_or(1).max(1);
                striped.stripes.iter().all(|stripe| holds(stripe.device, stripe.offset.get(), width))
            }
            DmTarget::ThinPool(pool) => holds(pool.data, 0, row.length),
            DmTarget::Thin(_) | DmTarget::Other { .. } => true,
        })
    }
}
