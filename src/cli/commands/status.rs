//! `thinvol status`: how full pools are.

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::errors::CliError;
use crate::cli::lookup;
use crate::cli::output::Answer;
use crate::dm::status::PoolStatus;
use crate::ids::{LvName, VgName};
use crate::thin::view::{PoolView, View};

const HELP: &str = "\
Examples:
  thinvol status
  thinvol status pve/data
  thinvol status --json | jq '.storages[] | select(.used > .total * 0.8)'

JSON:
  {\"storages\": [{\"storage\", \"type\": \"lvmthin\", \"active\", \"total\": bytes, \"used\": bytes or null,
    \"available\": bytes or null, \"metadata_total\": bytes, \"metadata_used\": bytes or null,
    \"kernel\": the pool's status or null}], \"notes\": [text], \"warnings\": [text]}";

/// What `thinvol status` takes.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct StatusArgs {
    /// Only this pool, <vg>/<pool>
    pub storage: Option<String>,
}

#[derive(Debug, Default, Serialize)]
struct Storages {
    storages: Vec<Row>,
    notes: Vec<String>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Row {
    storage: String,
    r#type: &'static str,
    active: bool,
    total: u64,
    used: Option<u64>,
    available: Option<u64>,
    metadata_total: u64,
    metadata_used: Option<u64>,
    kernel: Option<PoolStatus>,
}

/// Bytes in a block of pool metadata. Source: Linux `drivers/md/dm-thin-metadata.h`
/// (`THIN_METADATA_BLOCK_SIZE`).
const METADATA_BLOCK_BYTES: u64 = 4096;

impl Answer for Storages {
    /// Source of the columns: pve-storage `PVE/CLI/pvesm.pm` (`status`).
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let width = self.storages.iter().map(|row| row.storage.len()).max().unwrap_or(0) + 1;
        let heads = ["Type", "Status", "Total (KiB)", "Used (KiB)", "Available (KiB)", "%"];
        let [kind, status, total, used, available, percent] = heads;
        writeln!(
            out,
            "{:<width$} {kind:>10} {status:>10} {total:>15} {used:>15} {available:>15} {percent:>8}",
            "Name"
        )?;
        for row in &self.storages {
            let status = if row.active { "active" } else { "inactive" };
            let (total, used, available) = match (row.used, row.available) {
                (Some(used), Some(available)) => (row.total, used, available),
                _ => (0, 0, 0),
            };
            writeln!(
                out,
                "{:<width$} {:>10} {status:>10} {:>15} {:>15} {:>15} {:>7}%",
                row.storage,
                row.r#type,
                total / 1024,
                used / 1024,
                available / 1024,
                hundredths(used, total),
            )?;
        }
        Ok(())
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// `used` of `total` in per cent with two decimals, rounded to the nearest; zero of nothing.
fn hundredths(used: u64, total: u64) -> String {
    let total = u128::from(total);
    let share = (u128::from(used) * 10_000 + total / 2).checked_div(total).unwrap_or(0);
    format!("{}.{:02}", share / 100, share % 100)
}

impl StatusArgs {
    /// Shows the status.
    ///
    /// # Errors
    /// If the argument is wrong or the metadata cannot be read.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let mut answer = Storages::default();
        match &self.storage {
            Some(storage) => {
                let storage = context.resolver.storage(storage)?;
                let view = context.reader()?.view(&storage.vg)?;
                if !view.pools.iter().any(|pool| pool.name == storage.pool) {
                    return Err(lookup::no_pool(&storage));
                }
                answer.add(view, Some(&storage.pool));
            }
            None => {
                let engine = context.reader()?;
                for vg in engine.vg_names()? {
                    match engine.view(&vg.name) {
                        Ok(view) => answer.add(view, None),
                        Err(error) => answer.warnings.push(unreadable(&vg.name, &CliError::from(error))),
                    }
                }
            }
        }
        answer.storages.sort_by(|a, b| a.storage.cmp(&b.storage));
        context.print(&answer)
    }
}

fn unreadable(vg: &VgName, error: &CliError) -> String {
    let causes: String = error.causes.iter().map(|cause| format!(": {cause}")).collect();
    format!("volume group '{vg}' is left out: {}{causes}", error.message)
}

impl Storages {
    fn add(&mut self, view: View, only: Option<&LvName>) {
        self.warnings.extend(view.warnings);
        self.notes.extend(pending(&view.vg.name, &view.pending));
        for pool in view.pools.iter().filter(|pool| only.is_none_or(|only| pool.name == *only)) {
            let storage = format!("{}/{}", view.vg.name, pool.name);
            self.storages.push(row(storage, pool));
        }
    }
}

/// What a crash left behind, as notes.
pub fn pending(vg: &VgName, pending: &[String]) -> Vec<String> {
    pending.iter().map(|what| format!("'thinvol recover {vg}' has something to do: {what}")).collect()
}

fn row(storage: String, pool: &PoolView) -> Row {
    let working = match &pool.status {
        Some(PoolStatus::Working(working)) => Some(working),
        _ => None,
    };
    let chunk_bytes = pool.chunk_size.to_bytes().map_or(0, |bytes| bytes.get());
    let used = working.map(|working| working.data.used.saturating_mul(chunk_bytes).min(pool.size.get()));
    Row {
        storage,
        r#type: "lvmthin",
        active: pool.active,
        total: pool.size.get(),
        used,
        available: used.map(|used| pool.size.get() - used),
        metadata_total: pool.metadata_size.get(),
        metadata_used: working.map(|working| working.metadata.used.saturating_mul(METADATA_BLOCK_BYTES)),
        kernel: pool.status.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::LvmUuid;
    use crate::units::{Bytes, Sectors};

    const ROOMY: &str = "1 42/3072 1024/32768 - rw discard_passdown queue_if_no_space - 1024";

    fn pool(size: u64, status: Option<&str>) -> PoolView {
        PoolView {
            name: LvName::new("data").unwrap(),
            active: status.is_some(),
            size: Bytes::new(size),
            metadata_size: Bytes::new(3072 * 4096),
            chunk_size: Sectors::new(128),
            status: status.map(|status| PoolStatus::parse(status).unwrap()),
            uuid: LvmUuid::from_random([0; 32]),
            visible_device: status.is_some(),
            volumes: 0,
            volumes_size: Bytes::ZERO,
            trouble: None,
        }
    }

    fn text(rows: Vec<Row>) -> String {
        let mut out = Vec::new();
        Storages { storages: rows, ..Storages::default() }.text(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_columns_are_those_of_pvesm() {
        let rows = vec![
            row("pve/data".into(), &pool(2 << 30, Some(ROOMY))),
            row("pve/x".into(), &pool(1 << 30, None)),
        ];
        assert_eq!(rows[0].metadata_used, Some(42 * 4096));
        assert_eq!(
            text(rows),
            "Name            Type     Status     Total (KiB)      Used (KiB) Available (KiB)        %\n\
             pve/data     lvmthin     active         2097152           65536         2031616    3.13%\n\
             pve/x        lvmthin   inactive               0               0               0    0.00%\n"
        );
    }

    #[test]
    fn a_full_pool_is_full_and_never_more() {
        let full = "1 42/3072 40000/32768 - out_of_data_space discard_passdown queue_if_no_space - 1024";
        let row = row("pve/data".into(), &pool(2 << 30, Some(full)));
        assert_eq!((row.used, row.available), (Some(2 << 30), Some(0)));
        assert_eq!(hundredths(1, 3), "33.33");
        assert_eq!(hundredths(7, 7), "100.00");
        assert_eq!(hundredths(u64::MAX, u64::MAX), "100.00");
        assert_eq!(hundredths(5, 0), "0.00");
    }
}
