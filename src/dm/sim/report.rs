//! Table and status lines, word for word as the kernel writes them.
//!
//! Source: Linux `drivers/md/dm-thin.c` (`pool_status`, `emit_flags`, `thin_status`),
//! `drivers/md/dm-linear.c`,
//! `drivers/md/dm-stripe.c`.

use nix::errno::Errno;

use super::devices::{Device, World};
use super::pool::Mode;
use super::targets::Row;
use crate::kernel::{DeviceInfo, ListedDevice, StatusFlush};
use crate::table::{DmTarget, PoolParams, TargetLine, ThinParams};
use base::ids::DevNo;
use base::units::Sectors;

impl World {
    pub(super) fn info(&self, minor: u32) -> Result<DeviceInfo, Errno> {
        let device = self.device(minor)?;
        Ok(DeviceInfo {
            name: device.name.clone(),
            uuid: device.uuid.clone(),
            dev: super::devices::dm_dev(minor),
            open_count: self.open_count(minor)?,
            suspended: device.suspended,
            read_only: device.live.is_some() && device.read_only,
            live_table: device.live.is_some(),
            inactive_table: device.inactive.is_some(),
            event_nr: device.event_nr,
        })
    }

    pub(super) fn list(&self) -> Vec<ListedDevice> {
        let mut all: Vec<ListedDevice> = self
            .devices
            .iter()
            .map(|(minor, device)| ListedDevice {
                name: device.name.clone(),
                uuid: device.uuid.clone(),
                dev: super::devices::dm_dev(*minor),
                event_nr: device.event_nr,
            })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    pub(super) fn deps(&self, minor: u32) -> Result<Vec<DevNo>, Errno> {
        let live = self.device(minor)?.live.iter();
        let mut below: Vec<DevNo> = live.flat_map(super::targets::Loaded::devices).collect();
        below.sort_unstable();
        below.dedup();
        Ok(below)
    }

    pub(super) fn table(&self, minor: u32) -> Result<Vec<TargetLine>, Errno> {
        Ok(rows(self.device(minor)?).map(|row| line(row, table_params(&row.target))).collect())
    }

    pub(super) fn status(&mut self, minor: u32, flush: StatusFlush) -> Result<Vec<TargetLine>, Errno> {
        let running = !self.device(minor)?.suspended && self.live_pool(minor).is_some();
        if running && flush == StatusFlush::Flush {
            self.commit(minor);
        }
        Ok(rows(self.device(minor)?).map(|row| line(row, self.status_params(minor, &row.target))).collect())
    }

    fn status_params(&self, minor: u32, target: &DmTarget) -> String {
        match target {
            DmTarget::Linear(_) | DmTarget::Other { .. } => String::new(),
            DmTarget::Striped(striped) => {
                let names: Vec<String> = striped.stripes.iter().map(|s| s.device.to_string()).collect();
                format!("{} {} 1 {}", names.len(), names.join(" "), "A".repeat(names.len()))
            }
            DmTarget::ThinPool(params) => self.pool_status(minor, params).unwrap_or_else(|| "Error".into()),
            DmTarget::Thin(thin) => self.thin_status(thin).unwrap_or_else(|| "Fail".into()),
        }
    }

    fn pool_status(&self, minor: u32, params: &PoolParams) -> Option<String> {
        let pool = self.pools.get(&minor)?;
        if pool.mode == Mode::Fail {
            return Some("Fail".into());
        }
        let store = self.stores.get(&pool.store)?;
        let superblock = &store.working.superblock;
        let held = superblock.held.as_ref().map_or_else(|| "-".into(), |held| held.root.to_string());
        let mode = match pool.mode {
            Mode::OutOfDataSpace => "out_of_data_space",
            Mode::OutOfMetadataSpace | Mode::ReadOnly | Mode::Fail => "ro",
            Mode::Write => "rw",
        };
        let features = pool.params.as_ref().unwrap_or(params);
        let passdown = !features.no_discard_passdown && self.understands_discard(pool.data);
        let discards = match (features.ignore_discard, passdown) {
            (true, _) => "ignore_discard",
            (false, true) => "discard_passdown",
            (false, false) => "no_discard_passdown",
        };
        let space = if features.error_if_no_space { "error_if_no_space" } else { "queue_if_no_space" };
        let check = if store.needs_check { "needs_check" } else { "-" };
        let low = (self.metadata_blocks(pool.metadata) / 4).min(1024);
        Some(format!(
            "{} {}/{} {}/{} {held} {mode} {discards} {space} {check} {low} ",
            superblock.transaction_id,
            store.metadata_used(),
            superblock.metadata_blocks,
            store.allocated(),
            superblock.data_blocks,
        ))
    }

    fn thin_status(&self, thin: &ThinParams) -> Option<String> {
        let pool = self.pools.get(&Self::minor_of(thin.pool)?)?;
        if pool.mode == Mode::Fail {
            return None;
        }
        let store = self.stores.get(&pool.store)?;
        let mappings = &store.working.devices.get(&thin.id.get())?.mappings;
        let count = pool.aborted.get(&thin.id.get()).copied().unwrap_or(mappings.len());
        let mapped = u64::try_from(count).ok()? * store.chunk_size;
        Some(match mappings.last_key_value() {
            Some((highest, _)) => format!("{mapped} {}", (highest + 1) * store.chunk_size - 1),
            None => format!("{mapped} -"),
        })
    }

    pub(super) fn understands_discard(&self, dev: DevNo) -> bool {
        match Self::minor_of(dev) {
            None => self.discard_disks.contains(&dev),
            Some(minor) => self
                .devices
                .get(&minor)
                .and_then(|d| d.live.as_ref())
                .is_some_and(|live| live.devices().all(|below| self.understands_discard(below))),
        }
    }
}

fn rows(device: &Device) -> impl Iterator<Item = &Row> {
    device.live.iter().flat_map(|live| &live.rows)
}

/// What the kernel calls a kind of target.
pub(super) fn kind(target: &DmTarget) -> &str {
    match target {
        DmTarget::Linear(_) => "linear",
        DmTarget::Striped(_) => "striped",
        DmTarget::ThinPool(_) => "thin-pool",
        DmTarget::Thin(_) => "thin",
        DmTarget::Other { kind, .. } => kind,
    }
}

fn line(row: &Row, params: String) -> TargetLine {
    let target = kind(&row.target);
    TargetLine {
        start: Sectors::new(row.start),
        length: Sectors::new(row.length),
        target: target.into(),
        params,
    }
}

fn table_params(target: &DmTarget) -> String {
    match target {
        DmTarget::Linear(linear) => linear.to_string(),
        DmTarget::Striped(striped) => striped.to_string(),
        DmTarget::Thin(thin) => thin.to_string(),
        DmTarget::Other { params, .. } => params.clone(),
        DmTarget::ThinPool(pool) => {
            // The kernel's order differs from lvm2's in the last two, and it ends in a space.
            let features = [
                (pool.skip_block_zeroing, "skip_block_zeroing "),
                (pool.ignore_discard, "ignore_discard "),
                (pool.no_discard_passdown, "no_discard_passdown "),
                (pool.read_only, "read_only "),
                (pool.error_if_no_space, "error_if_no_space "),
            ];
            let on: Vec<&str> = features.iter().filter(|(set, _)| *set).map(|(_, word)| *word).collect();
            let PoolParams { metadata, data, chunk_size, low_water, .. } = pool;
            format!("{metadata} {data} {chunk_size} {low_water} {} {}", on.len(), on.concat())
        }
    }
}
