//! `thinvol metrics`: how pools are, in the text format of Prometheus.

mod family;

use std::collections::BTreeMap;
use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use self::family::Families;
use crate::backends;
use crate::backends::status::StatusScan;
use crate::backends::storage_row::StorageRow;
use crate::context::Context;
use crate::errors::CliError;
use crate::options::ChangeOptions;
use crate::output::Answer;
use base::error_kind::ErrorKind;
use base::units::Bytes;
use config::storage::PoolName;
use dm::name::{DmUuid, Layer};
use dm::status::{METADATA_BLOCK_SECTORS, PoolStatus};
use lvm2::host::dmeventd::Dmeventd;
use thin::{Detail, PoolView, VgView};

const HELP: &str = "\
Examples:
  thinvol metrics
  thinvol metrics --volumes
  thinvol metrics --textfile /var/lib/prometheus/node-exporter/thinvol.prom    for the textfile collector
  thinvol metrics --json | jq '.metrics[].name'

docs/thinvol-alerts.yml has rules for alerts.

JSON:
  {\"metrics\": [{\"name\", \"help\", \"samples\": [{\"labels\": {text: text}, \"value\": number}]}],
   \"warnings\": [text]}";

/// Print how full pools are, for Prometheus
///
/// Prints numbers of all thin pools of this machine in the text format of Prometheus: how large data and metadata are
/// and how much of them is taken, the chunk size, the sum of the volumes' sizes, the transaction id, the state, whether
/// dmeventd watches the pool, and whether something is left to recover; of storages of type iscsi, how many paths are
/// up. The kernel is asked once for each pool. A volume group that somebody else has locked just then is left out, and
/// thinvol_volume_group_read says so.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct MetricsArgs {
    /// Also the sizes of all volumes, and how much of the active ones is mapped: one more question each
    #[arg(long)]
    pub volumes: bool,

    /// Write them to this file instead, all at once
    #[arg(long, value_name = "FILE")]
    pub textfile: Option<PathBuf>,
}

#[derive(Debug, Default, Serialize)]
struct Metrics {
    metrics: Families,
    warnings: Vec<String>,
}

impl Answer for Metrics {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(self.metrics.text().as_bytes())
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl MetricsArgs {
    /// Prints or writes the numbers.
    ///
    /// # Errors
    /// If volume groups cannot be looked for, or the file cannot be written.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let options = ChangeOptions { dry_run: true, lock_timeout: 0, ..ChangeOptions::default() };
        let engine = context.open(&options)?;
        let mut metrics = Metrics::default();
        let storages = storages(context, &mut metrics);
        metrics.paths(context);
        for vg in &engine.groups()?.vgs {
            let detail = if self.volumes { Detail::Volumes } else { Detail::Pools };
            let view = engine.inspect(&vg.name, detail);
            let read = u64::from(view.is_ok());
            let name = vg.name.as_str();
            metrics.metrics.add(
                "thinvol_volume_group_read",
                "Whether the volume group could be read.",
                &[("vg", name)],
                read,
            );
            match view {
                Ok(view) => metrics.group(&view, &storages),
                Err(error) => {
                    let error = CliError::from(error).one_line();
                    metrics.warnings.push(format!("volume group '{name}' is left out: {error}"));
                }
            }
        }
        match &self.textfile {
            None => context.print(&metrics),
            Some(file) => {
                write(file, &metrics.metrics.text())?;
                metrics.metrics = Families::default();
                context.print(&metrics)
            }
        }
    }
}

/// The ids of the storages that each pool has.
type Storages = BTreeMap<(String, String), String>;

/// Which storages stand for which pools, if the configuration can be read.
fn storages(context: &Context, metrics: &mut Metrics) -> Storages {
    let config = match context.resolver.config() {
        Ok(config) => config,
        Err(error) => {
            metrics.warnings.push(format!("storages are not named: {}", error.one_line()));
            return Storages::new();
        }
    };
    let mut storages = Storages::new();
    for storage in config.storages() {
        if let Some(PoolName { vg, pool }) = &storage.pool {
            storages.entry((vg.to_string(), pool.to_string())).or_insert_with(|| storage.id.to_string());
        }
    }
    storages
}

impl Metrics {
    /// The paths of storages of type iscsi.
    fn paths(&mut self, context: &Context) {
        let Ok(config) = context.resolver.config() else { return };
        let mut scan = StatusScan::new(context);
        // Pools are looked at by their groups.
        let others = config.storages().filter(|storage| storage.pool.is_none());
        for storage in others.filter(|storage| storage.enabled_on(context.resolver.node()).is_ok()) {
            let Some(backend) = backends::open(&context.resolver, storage) else { continue };
            if let Err(error) = scan.look(&*backend, StorageRow::of_section(storage, true)) {
                self.warnings.push(format!("storage '{}' is left out: {}", storage.id, error.one_line()));
            }
        }
        self.warnings.append(&mut scan.warnings);
        for row in &scan.rows {
            let Some(paths) = &row.paths else { continue };
            let count = |count| u64::try_from(count).unwrap_or(u64::MAX);
            let (all, up) = (count(paths.len()), count(paths.iter().filter(|path| path.is_up()).count()));
            let labels = [("storage", row.storage.as_str())];
            self.metrics.add("thinvol_iscsi_paths", "Paths to the target.", &labels, all);
            self.metrics.add("thinvol_iscsi_paths_up", "Paths to the target that are up.", &labels, up);
        }
    }

    fn group(&mut self, view: &VgView, storages: &Storages) {
        let vg = &view.name;
        self.metrics.add(
            "thinvol_recovery_pending",
            "Things that a crash left and 'thinvol recover' mends.",
            &[("vg", vg.as_str())],
            u64::try_from(view.pending.len()).unwrap_or(u64::MAX),
        );
        for pool in &view.pools {
            let storage = storages.get(&(vg.to_string(), pool.name.to_string()));
            self.pool(view, pool, storage.map_or("", String::as_str));
        }
        for volume in &view.volumes {
            let Some(pool) = &volume.pool else { continue };
            let labels = [("vg", vg.as_str()), ("pool", pool.as_str()), ("volume", volume.name.as_str())];
            let size = volume.size.get();
            self.metrics.add("thinvol_volume_size_bytes", "The size of the volume.", &labels, size);
            if let Some(mapped) = volume.mapped.map(Bytes::get) {
                let help = "What of the volume has room in the pool, its own or shared.";
                self.metrics.add("thinvol_volume_mapped_bytes", help, &labels, mapped);
            }
        }
    }

    fn pool(&mut self, view: &VgView, pool: &PoolView, storage: &str) {
        let labels = [("vg", view.name.as_str()), ("pool", pool.name.as_str()), ("storage", storage)];
        let mut add = |name, help, value| self.metrics.add(name, help, &labels, value);
        let chunk = pool.chunk_size.to_bytes().map_or(0, Bytes::get);
        add("thinvol_pool_active", "Whether the pool runs.", u64::from(pool.active));
        add("thinvol_pool_data_size_bytes", "Room for data.", pool.size.get());
        add("thinvol_pool_metadata_size_bytes", "Room for metadata.", pool.metadata_size.get());
        add("thinvol_pool_chunk_size_bytes", "The size of a chunk.", chunk);
        add("thinvol_pool_virtual_size_bytes", "The sizes of all volumes together.", pool.volumes_size.get());
        let volumes = u64::try_from(pool.volumes).unwrap_or(u64::MAX);
        add("thinvol_pool_volumes", "Volumes and snapshots.", volumes);
        if let Some(PoolStatus::Working(working)) = &pool.status {
            let data = working.data.used.saturating_mul(chunk).min(pool.size.get());
            let block = METADATA_BLOCK_SECTORS * base::units::SECTOR_BYTES;
            let metadata = working.metadata.used.saturating_mul(block);
            add("thinvol_pool_data_used_bytes", "Data that is taken.", data);
            add(
                "thinvol_pool_metadata_used_bytes",
                "Metadata that is taken, with what the kernel keeps.",
                metadata,
            );
            let id = working.transaction_id.0;
            add("thinvol_pool_transaction_id", "The transaction that the kernel is at.", id);
        }
        let uuid = DmUuid::of_lv(&view.uuid, &pool.uuid, Layer::Tpool);
        if let Some(watched) = pool.active.then(|| Dmeventd::default().watches(&uuid).ok()).flatten() {
            add("thinvol_pool_monitored", "Whether dmeventd watches the pool.", u64::from(watched));
        }
        add(
            "thinvol_pool_in_order",
            "Whether nothing is wrong with the pool.",
            u64::from(pool.condition.is_fine()),
        );
        let [vg, name, storage] = labels;
        let labels = [vg, name, storage, ("condition", pool.condition.word())];
        let help = "The state of the pool: 1 for the one it is in.";
        self.metrics.add("thinvol_pool_condition", help, &labels, 1);
    }
}

/// Writes the text so that whoever reads the file sees all of the old or all of the new one.
fn write(file: &Path, text: &str) -> Result<(), CliError> {
    let failed = |error: io::Error| {
        CliError::new(ErrorKind::Refused, format!("'{}' cannot be written", file.display()))
            .caused_by(Some(&error))
    };
    let name = file.file_name().ok_or_else(|| CliError::usage("a file must have a name"))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}", std::process::id()));
    let temporary = file.with_file_name(hidden);
    // A new file of its own: nobody has put another thing in its place.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&temporary);
    let written = made
        .and_then(|mut made| {
            made.set_permissions(Permissions::from_mode(0o644))?;
            made.write_all(text.as_bytes())
        })
        .and_then(|()| std::fs::rename(&temporary, file));
    written.map_err(|error| {
        // It is of no use to anybody.
        let _ = std::fs::remove_file(&temporary);
        failed(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use thin::internals::lineage::fixture::lv;
    use thin::internals::view::fixture::view;

    #[test]
    fn a_pool_is_told_with_its_storage_and_volumes() {
        let (_, view) = view(vec![lv(1, "vm-100-disk-0", None, vec![])]);
        let storages = Storages::from([(("pve".into(), "data".into()), "local-lvm".into())]);
        let mut metrics = Metrics::default();
        metrics.group(&view, &storages);
        let text = metrics.metrics.text();
        for line in [
            "thinvol_recovery_pending{vg=\"pve\"} 0",
            "thinvol_pool_active{pool=\"data\",storage=\"local-lvm\",vg=\"pve\"} 0",
            "thinvol_pool_data_size_bytes{pool=\"data\",storage=\"local-lvm\",vg=\"pve\"} 1073741824",
            "thinvol_pool_condition{condition=\"inactive\",pool=\"data\",storage=\"local-lvm\",vg=\"pve\"} 1",
            "thinvol_volume_size_bytes{pool=\"data\",vg=\"pve\",volume=\"vm-100-disk-0\"} 4194304",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
        }
        assert!(!text.contains("data_used"), "of a pool that does not run nothing is known");
    }

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("thinvol.prom");
        for text in ["a 1\n", "b 2\n"] {
            write(&file, text).unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(write(Path::new("/nowhere/x"), "").unwrap_err().code, ErrorKind::Refused);
    }
}
