//! What a pool's own metadata says: what each volume holds alone, and whether all is as it must be.

use std::cell::{Cell, RefCell};
use std::io;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use super::transactions::Work;
use super::{Engine, EngineError, Locked, Options, Report};
use crate::meta::{AnyReader, BLOCK_BYTES, MetaError, ReadBlock, Sharing, ThinMeta};
use crate::observe::inside::{may_be_read, while_marked};
use crate::observed::PoolReadError;
use crate::open_vg::OpenVg;
use crate::pool_check::{Finding, findings};
use crate::pool_reader::{DiskReader, through_snapshot};
use crate::request::Request;
use crate::transfer::rate::Rate;
use base::error_kind::ErrorKind;
use base::ids::{LvName, VgName};
use dm::kernel::{Kernel, StatusFlush};
use dm::name::{DmUuid, Layer};
use dm::status::PoolStatus;
use lvm2::format::check::Use;
use lvm2::format::model::{Lv, ThinPool, Vg};
use nix::sys::signal::Signal;

/// How often it is asked, while the next block must wait, whether the user wants to stop.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

impl Engine {
    /// What the thin devices of a pool map, and what of it no other one does. A running pool is read through a metadata
    /// snapshot: two messages, and what is freed meanwhile becomes free after it. The volume group is locked for
    /// changes so long.
    ///
    /// # Errors
    /// If there is no such pool, somebody else holds a metadata snapshot of it, or its metadata cannot be read.
    pub fn sharing(&self, vg: &VgName, pool: &LvName) -> Result<Sharing, EngineError> {
        self.inside(vg, pool, None, &|_, _, _, meta| meta.sharing())
    }

    /// What is wrong with a pool's metadata in itself and beside the volume group's, the worst first; read as for
    /// [`Self::sharing`], of `limit` bytes a second at most if that is given: then all of it takes as much longer. The
    /// space maps are not looked at: of a running pool there are none to be read.
    ///
    /// # Errors
    /// As for [`Self::sharing`]; damage that lets the rest be read is no error.
    pub fn check_pool(
        &self,
        vg: &VgName,
        pool: &LvName,
        limit: Option<NonZeroU64>,
    ) -> Result<Vec<Finding>, EngineError> {
        self.inside(vg, pool, limit, &|vg, lv, pool, meta| Ok(findings(vg, lv, pool, &meta.survey())))
    }

    /// Has the metadata of a pool that does not run checked as its start would, space maps included; `clear_mark`: and
    /// has the kernel's mark that it needs a check taken away if it passes.
    ///
    /// # Errors
    /// If it is damaged, or the pool runs or cannot be checked.
    pub fn check_space_maps(
        &self,
        vg: &VgName,
        pool: &LvName,
        clear_mark: bool,
    ) -> Result<Report, EngineError> {
        let check = [Request::CheckPool { pool: pool.clone(), clear_mark }];
        self.apply_work(vg, Work::Requests(&check), &Options::default())
    }

    fn inside<T>(
        &self,
        vg: &VgName,
        pool: &LvName,
        limit: Option<NonZeroU64>,
        look: &Look<'_, T>,
    ) -> Result<T, EngineError> {
        let rate = RefCell::new(Rate::new(limit));
        let lock = self.lock(vg)?;
        let opened = self.read(Locked::ToChange(&lock))?;
        if let Some(refusal) = opened.refusal(Use::Change, &self.ids.ids) {
            return Err(refusal);
        }
        let found = opened.metadata.vg.lv(pool).and_then(|lv| Some((lv, lv.thin_pool()?)));
        let (lv, thin_pool) = found.ok_or_else(|| {
            EngineError::new(ErrorKind::NotFound, format!("{vg} has no thin pool '{pool}'"))
        })?;
        self.hold_off_signals()?;
        let disks = self.disks.as_ref();
        let reader = DiskReader { pvs: opened.pvs.clone(), paths: &opened.devices, disks };
        self.inside_by(&opened, &reader, (lv, thin_pool), (&rate, look)).map_err(|why| {
            let kind = match why {
                PoolReadError::OutOfReach(_) => ErrorKind::Unsupported,
                PoolReadError::Failed(_) => ErrorKind::Refused,
                PoolReadError::Damaged(_) => ErrorKind::Corrupt,
            };
            EngineError::new(kind, format!("the metadata of pool {vg}/{pool} cannot be read: {why}"))
        })
    }

    fn inside_by<T>(
        &self,
        opened: &OpenVg,
        reader: &DiskReader<'_>,
        (lv, pool): (&Lv, &ThinPool),
        (rate, look): (&RefCell<Rate>, &Look<'_, T>),
    ) -> Result<T, PoolReadError> {
        let vg = &opened.metadata.vg;
        let look = |meta: &mut ThinMeta<AnyReader<'_>>| look(vg, lv, pool, meta);
        let failed = |error: &dyn std::fmt::Display| PoolReadError::Failed(error.to_string());
        let device = |id, layer| {
            let found = self.kernel.info_by_uuid(&DmUuid::of_lv(&vg.id, id, layer));
            found.map_err(|error| failed(&error))
        };
        let Some(tpool) = device(&lv.id, Layer::Tpool)?.filter(|tpool| tpool.live_table) else {
            return reader.while_stopped(vg, pool, |meta| self.interruptible(meta, rate, &look));
        };
        let tmeta = vg.lv(&pool.metadata).map(|tmeta| device(&tmeta.id, Layer::Tmeta)).transpose()?.flatten();
        let tmeta = tmeta.ok_or_else(|| PoolReadError::Failed("its metadata device is not active".into()))?;
        let (_, lines) =
            self.kernel.status(&tpool.name, StatusFlush::NoFlush).map_err(|error| failed(&error))?;
        let status = lines.first().and_then(|line| PoolStatus::parse(&line.params).ok());
        let status = status.ok_or_else(|| PoolReadError::Failed("its status is not understood".into()))?;
        may_be_read(&status, &tpool.name).map_err(PoolReadError::Failed)?;
        let read = while_marked(self.host.as_ref(), &vg.pool_id(lv), || {
            let open = || reader.open(tmeta.dev);
            through_snapshot(&self.kernel, &tpool.name, open, |meta| self.interruptible(meta, rate, &look))
        });
        read.map_err(|error| error.why)
    }

    /// Whoever wants to stop need not wait for the end: the snapshot is released all the same.
    fn interruptible<R: ReadBlock, T>(
        &self,
        meta: &mut ThinMeta<R>,
        rate: &RefCell<Rate>,
        look: &dyn Fn(&mut ThinMeta<AnyReader<'_>>) -> Result<T, MetaError>,
    ) -> Result<T, MetaError> {
        let stopped = Cell::new(None);
        let looked = meta.before_each_block(&|| self.next_block(rate, &stopped), look);
        // Whoever goes on with what can be read takes the rest for damaged.
        stopped.get().map_or(looked, |signal| Err(MetaError::GivenUp(format!("stopped by {signal}"))))
    }

    /// Waits until the next block may be read; once a signal has come, none may be.
    fn next_block(&self, rate: &RefCell<Rate>, stopped: &Cell<Option<Signal>>) -> io::Result<()> {
        let bytes = u64::try_from(BLOCK_BYTES).map_err(io::Error::other)?;
        let mut left = rate.borrow_mut().wait(bytes, Instant::now());
        loop {
            stopped.set(stopped.get().or_else(|| self.host.stop_asked()));
            if let Some(signal) = stopped.get() {
                return Err(io::Error::other(format!("stopped by {signal}")));
            }
            if left.is_zero() {
                return Ok(());
            }
            let pause = left.min(LOOK_PAUSE);
            self.host.pause(pause);
            left -= pause;
        }
    }
}

/// What is read of a pool: by its group, its LV, and its segment.
type Look<'a, T> = dyn Fn(&Vg, &Lv, &ThinPool, &mut ThinMeta<AnyReader<'_>>) -> Result<T, MetaError> + 'a;
