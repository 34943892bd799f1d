//! Active volumes as those see them who read or write them whole: their device, and what of it is mapped.

use std::path::PathBuf;
use std::time::Duration;

use super::{Engine, EngineError, ReadMetadata};
use crate::observe::inside::{may_be_read, while_marked};
use crate::pool_reader::{DiskReader, through_snapshot};
use crate::transfer::{Mapped, Window};
use base::error_chain::in_words;
use base::ids::{DevNo, LvName, PoolId, ThinId, VgName};
use base::units::{Bytes, Chunks};
use dm::kernel::{Kernel, StatusFlush, kernel_node};
use dm::name::{DmName, DmUuid, Layer};
use dm::status::PoolStatus;
use dm::table::{PoolParams, ThinParams};
use lvm2::format::model::{Lv, Vg};

/// How many chunks are looked at while the volume group is locked: a fraction of a second, and some MiB of memory.
const CHUNKS: u64 = 1 << 18;

/// How long the lock is waited for. Whoever cannot have it reads what is not mapped, too.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// An active volume.
#[derive(Clone, Debug)]
pub struct ActiveVolume {
    /// Its device, by the kernel's own name.
    pub path: PathBuf,
    /// Its number.
    pub dev: DevNo,
    /// How many have it open.
    pub open_count: u32,
    /// Where is told what of it is mapped, or why that cannot be known.
    mapping: Result<Mapping, String>,
}

/// A thin device in the metadata of its pool.
#[derive(Clone, Debug)]
struct Mapping {
    pool: PoolId,
    tpool: DmName,
    tmeta: DevNo,
    id: ThinId,
    chunk: Bytes,
}

impl Engine {
    /// A volume that is active; nothing if it is not. What its device is, the kernel says: a volume that is being
    /// merged, for one, is not what the text makes of it.
    ///
    /// # Errors
    /// If the volume group cannot be read, or device-mapper does not answer.
    pub fn active_volume(&self, vg: &VgName, lv: &LvName) -> Result<Option<ActiveVolume>, EngineError> {
        let vg = ReadMetadata::metadata(self, vg)?;
        let lv = vg.lv(lv).ok_or_else(|| {
            EngineError::new(
                base::error_kind::ErrorKind::NotFound,
                format!("volume {}/{lv} does not exist", vg.name),
            )
        })?;
        let uuid = DmUuid::of_lv(&vg.id, &lv.id, Layer::Plain);
        let Some(device) = self.kernel.info_by_uuid(&uuid).map_err(EngineError::unanswered)? else {
            return Ok(None);
        };
        let mapping = self.mapping(&vg, lv, &device.name)?;
        let path = kernel_node(device.dev);
        Ok(Some(ActiveVolume { path, dev: device.dev, open_count: device.open_count, mapping }))
    }

    fn mapping(&self, vg: &Vg, lv: &Lv, device: &DmName) -> Result<Result<Mapping, String>, EngineError> {
        let table = self.kernel.table(device).map_err(EngineError::unanswered)?;
        let [line] = table.as_slice() else { return Ok(Err("its device is of several parts".to_owned())) };
        let params = ThinParams::parse(&line.params).ok().filter(|_| line.target == "thin");
        let Some(params) = params else { return Ok(Err("its device is no thin device".to_owned())) };
        if params.external_origin.is_some() {
            return Ok(Err("what is not mapped of it is in its external origin".to_owned()));
        }
        let pool = lv.thin().and_then(|thin| vg.lv(&thin.pool));
        let Some(pool) = pool else { return Ok(Err("its pool is not in the text".to_owned())) };
        let uuid = DmUuid::of_lv(&vg.id, &pool.id, Layer::Tpool);
        let tpool = self.kernel.info_by_uuid(&uuid).map_err(EngineError::unanswered)?;
        let Some(tpool) = tpool.filter(|tpool| tpool.dev == params.pool) else {
            return Ok(Err("its device is not in the pool that the text says".to_owned()));
        };
        let table = self.kernel.table(&tpool.name).map_err(EngineError::unanswered)?;
        let params_of_pool = table.first().and_then(|line| PoolParams::parse(&line.params).ok());
        let known = params_of_pool.and_then(|found| Some((found.metadata, found.chunk_size.to_bytes()?)));
        Ok(known.filter(|(_, chunk)| chunk.get() > 0).map_or_else(
            || Err(format!("the table of {} is not understood", tpool.name)),
            |(tmeta, chunk)| {
                let pool = vg.pool_id(pool);
                Ok(Mapping { pool, tpool: tpool.name.clone(), tmeta, id: params.id, chunk })
            },
        ))
    }

    /// What of a volume is mapped from a byte on, up to where this is worth a look. What others wrote to it must have
    /// reached it (`DirectFile::write_back`): what only the page cache holds is mapped nowhere.
    ///
    /// # Errors
    /// Why it cannot be known, in words; then all of it counts.
    pub fn mapped_from(&self, vg: &VgName, volume: &ActiveVolume, from: u64) -> Result<Window, String> {
        let Mapping { pool, tpool, tmeta, id, chunk } = volume.mapping.as_ref().map_err(Clone::clone)?;
        let chunk = chunk.get();
        let first = from / chunk;
        let last = first.saturating_add(CHUNKS);
        // The lock of a change: no other reader takes a metadata snapshot, and no mark of one is made or removed.
        let wait = LOCK_WAIT.min(self.settings.lock_timeout);
        let lock = self.conf.locks(wait).vg_for_write(vg).map_err(|error| in_words(&error))?;
        let (_, lines) = self.kernel.status(tpool, StatusFlush::NoFlush).map_err(|error| in_words(&error))?;
        let status = lines.first().and_then(|line| PoolStatus::parse(&line.params).ok());
        may_be_read(&status.ok_or_else(|| format!("the status of {tpool} is not understood"))?, tpool)?;
        let reader = DiskReader { pvs: Default::default(), paths: &[], disks: self.disks.as_ref() };
        let runs = while_marked(self.host.as_ref(), pool, || {
            through_snapshot(
                &self.kernel,
                tpool,
                || reader.open(*tmeta),
                |meta| meta.mappings_within(*id, Chunks::new(first), Chunks::new(last)),
            )
        });
        drop(lock);
        let mut mapped: Vec<Mapped> = Vec::new();
        for run in runs.map_err(|error| error.to_string())? {
            let (start, length) =
                (run.chunk.get().saturating_mul(chunk), run.length.get().saturating_mul(chunk));
            match mapped.last_mut() {
                Some(last) if last.start.saturating_add(last.length) == start => {
                    last.length = last.length.saturating_add(length);
                }
                _ => mapped.push(Mapped { start, length }),
            }
        }
        Ok(Window { mapped, until: last.saturating_mul(chunk) })
    }
}
