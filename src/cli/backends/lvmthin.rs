//! Storages of type lvmthin: thin pools, whose volumes are the engine's.

use std::collections::HashMap;

use super::listing::{Listing, VolumeQuery};
use super::status::StatusScan;
use super::storage_row::StorageRow;
use super::volume_row::{VolumeRow, live_snapshot_of};
use super::{Apart, StorageBackend};
use crate::context::{Context, pending};
use crate::errors::CliError;
use crate::guests::Guests;
use crate::options::ChangeOptions;
use crate::resolve::{Resolver, Storage};
use base::error_kind::ErrorKind;
use base::ids::{LvmUuid, ThinId};
use base::units::{Bytes, Chunks, Sectors};
use config::storage;
use lvm2::format::model::{Lv, Vg};
use thin::internals::engine::ReadMetadata;
use thin::internals::lineage::Lineage;
use thin::internals::lookup;
use thin::internals::meta::Sharing;
use thin::{Detail, PoolView, VgView, VolumeView};

/// How long the lock of a volume group is waited for before a storage is added. The lock of the configuration is held
/// meanwhile, which Proxmox VE lets nobody do for longer than 60 seconds.
const VG_LOCK_SECONDS: u32 = 30;

/// A thin pool, or why there is none.
struct Lvmthin(Result<Storage, CliError>);

/// The storage of a section.
pub fn open(resolver: &Resolver, storage: &storage::Storage) -> Box<dyn StorageBackend> {
    Box::new(Lvmthin(resolver.pool_of(storage)))
}

/// A pool, be it a storage of the configuration or not.
pub fn of_pool(pool: Storage) -> Box<dyn StorageBackend> {
    Box::new(Lvmthin(Ok(pool)))
}

impl StorageBackend for Lvmthin {
    /// The words are those in which Proxmox VE misses a pool, or the volume group of one.
    fn check_exists(&self, context: &Context) -> Result<(), CliError> {
        let Storage { vg, pool, .. } = &self.0.clone()?;
        let reader = context.open(&ChangeOptions {
            beyond_rules: false,
            dry_run: true,
            no_udev_sync: false,
            lock_timeout: VG_LOCK_SECONDS,
        })?;
        let missing = || CliError::new(ErrorKind::NotFound, format!("no such logical volume {vg}/{pool}"));
        let pools = format!("'thinvol scan lvmthin {vg}' lists the thin pools of the volume group");
        let metadata = reader.metadata(vg).map_err(|error| {
            let error = CliError::from(error);
            if error.code == ErrorKind::NotFound {
                let hint = "'thinvol scan lvm' lists the volume groups";
                CliError { causes: vec![error.message], ..missing().hint(hint) }
            } else {
                error
            }
        })?;
        let lv = metadata.lv(pool).ok_or_else(|| missing().hint(pools.clone()))?;
        match lv.thin_pool() {
            Some(_) => Ok(()),
            None => {
                let message = format!("logical volume {vg}/{pool} is not a thin pool");
                Err(CliError::new(ErrorKind::Refused, message).hint(pools))
            }
        }
    }

    fn status(&self, scan: &mut StatusScan<'_>, row: StorageRow) -> Result<StorageRow, CliError> {
        let Storage { vg, pool, .. } = &self.0.clone()?;
        let pools = scan.pools(vg)?;
        let seen = pools.and_then(|pools| pools.iter().find(|seen| seen.name == *pool));
        if let Some(pool) = seen {
            return Ok(StorageRow { content: row.content, ..StorageRow::of_pool(row.storage, vg, pool) });
        }
        if pools.is_some() {
            scan.warnings.push(format!("storage '{}': no such logical volume {vg}/{pool}", row.storage));
        }
        Ok(StorageRow { active: Some(false), ..row })
    }

    fn list(&self, context: &Context, query: &VolumeQuery) -> Result<Listing, CliError> {
        let storage = &self.0.clone()?;
        let engine = context.reader()?;
        let (metadata, view) = engine.inspect_with_metadata(&storage.vg, Detail::Active)?;
        let vg = &metadata.vg;
        let Some(pool) = view.pools.iter().find(|pool| pool.name == storage.pool) else {
            return Err(lookup::no_pool(storage).into());
        };
        let guests = Guests::beside(context.resolver.file().path());
        let mut rows = rows(query, (vg, &view), storage, &guests);
        if query.exclusive {
            tell_shares(&mut rows, vg, pool, &engine.sharing(&storage.vg, &storage.pool)?);
        }
        let mut notes = pending(&vg.name, &view.pending);
        notes.extend(left_out(query, vg, storage));
        let warnings = [context.resolver.warnings(), view.warnings].concat();
        Ok(Listing { storage: storage.to_string(), rows, notes, warnings })
    }

    fn apart(&self) -> Option<&dyn Apart> {
        None
    }
}

/// Fills in what each volume maps, and what of it alone.
fn tell_shares(rows: &mut [VolumeRow], vg: &Vg, pool: &PoolView, sharing: &Sharing) {
    let ids: HashMap<LvmUuid, ThinId> =
        vg.glances_of(&pool.name).map(|(lv, thin)| (lv.id(), thin.device_id)).collect();
    let bytes = |chunks: Chunks| {
        let sectors = chunks.get().checked_mul(pool.chunk_size.get());
        sectors.and_then(|sectors| Sectors::new(sectors).to_bytes()).map(Bytes::get)
    };
    for row in rows {
        let id = row.uuid.as_ref().and_then(|uuid| ids.get(uuid));
        if let Some(held) = id.and_then(|id| sharing.devices.get(id)) {
            row.mapped = bytes(held.mapped);
            row.exclusive = bytes(held.exclusive);
        }
    }
}

/// What to say of volumes that have no volume id.
pub fn left_out(query: &VolumeQuery, group: &Vg, storage: &Storage) -> Option<String> {
    let Storage { vg, pool, .. } = storage;
    let in_pool = group.glances_of(pool).filter(|(lv, _)| !storage.lists(lv.name()));
    let others: Vec<&Lv> = in_pool.map(|(lv, _)| lv.lv()).collect();
    if others.is_empty() || query.tree || !query.filter.is_empty() {
        return None;
    }
    let lineage = Lineage::of(group);
    let count = others.iter().filter(|lv| live_snapshot_of(lineage.descent(lv)).is_none()).count();
    (count > 0).then(|| {
        format!("{count} volumes with other names are left out; 'thinvol list {vg}/{pool}' shows them")
    })
}

/// The volumes of a pool that are wanted.
pub fn rows(
    query: &VolumeQuery,
    (vg, view): (&Vg, &VgView),
    storage: &Storage,
    guests: &Guests,
) -> Vec<VolumeRow> {
    let lineage = Lineage::of(vg);
    let active: HashMap<LvmUuid, &VolumeView> =
        view.volumes.iter().map(|volume| (volume.uuid, volume)).collect();
    let mut rows = Vec::new();
    let filter = query.filter.filter();
    // The depth of the topmost kept ancestor: what hangs below it is kept with it.
    let mut kept_above: Option<usize> = None;
    for line in lineage.tree(&storage.pool).iter().filter(|line| line.lv.is_visible()) {
        let row = VolumeRow::of_volume(storage, vg, active.get(&line.lv.id()).copied(), line);
        let row = VolumeRow { content: guests.content_of(row.vmid).word(), ..row };
        // A snapshot is meant if its volume is.
        let of = live_snapshot_of(line.descent);
        let is_taken = filter.is_empty() || {
            let shown = of.unwrap_or_else(|| line.lv.lv());
            filter.takes(&shown.name, &shown.tags)
        };
        let wanted = is_taken && query.takes_content(row.content);
        let shown = of.map_or(line.lv.name(), |of| of.name.as_str());
        if query.tree {
            kept_above = kept_above.filter(|depth| line.depth > *depth);
            if wanted || kept_above.is_some() {
                let top = *kept_above.get_or_insert(line.depth);
                rows.push(VolumeRow { depth: line.depth - top, ..row });
            }
        } else if wanted && storage.lists(shown) && (query.snapshots || of.is_none()) {
            rows.push(row);
        }
    }
    if !query.tree {
        rows.sort_by_cached_key(|row| row.address.to_ascii_lowercase());
    }
    rows
}
