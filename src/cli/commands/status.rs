//! `thinvol status`: how full storages are.

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use crate::backends;
use crate::backends::status::StatusScan;
use crate::backends::storage_row::{COLUMNS, StorageRow, USUAL, hundredths};
use crate::context::Context;
use crate::errors::CliError;
use crate::output::Answer;
use crate::resolve::Storage;
use crate::table::{self, Table, TableOptions};
use base::units::size::Unit;
use config::names::StorageId;
use config::storage;
use config::types::Content;
use thin::Detail;
use thin::internals::lookup;

const EXAMPLES: &str = "\
Examples:
  thinvol status
  thinvol status local-lvm
  thinvol status pve/data
  thinvol status --content images --enabled
  thinvol status --pools                           all thin pools, configured or not
  thinvol status --units h --sort -percent         the fullest first
  thinvol status --noheadings -o storage,available,metadata_percent --units b
  thinvol status --json | jq '.storages[] | select(.used > .total * 0.8)'";

fn help() -> String {
    format!(
        "{EXAMPLES}\n\n{}\n\nJSON:\n  {{\"storages\": [{}],\n   \
         \"notes\": [text], \"warnings\": [text]}}",
        table::about(COLUMNS, USUAL),
        table::form(COLUMNS)
    )
}

/// Show how full storages are
///
/// Shows for each storage whether it is active and how full it is, in KiB, in the columns of 'pvesm status': all
/// storages of the configuration, or all thin pools if there are none. A storage that is switched off or not for
/// this node is 'disabled'; one of a type that thinvol does not handle is 'unknown'. A storage of type iscsi is
/// active if a path to its target is up; paths that are down are warned about. Pools that are full, read-only or
/// need a check are warned about. The numbers of an inactive pool are not known: they are 0, in JSON null.
#[derive(Debug, Args)]
#[command(after_long_help = help())]
pub struct StatusArgs {
    /// Only this storage: an id or <vg>/<pool>
    pub storage: Option<String>,

    /// Only storages for this content: images or rootdir
    #[arg(long, value_name = "TYPE")]
    pub content: Option<String>,

    /// Only storages that are for this node and not switched off
    #[arg(long)]
    pub enabled: bool,

    /// All thin pools of all volume groups instead, configured or not
    #[arg(long, conflicts_with_all = ["storage", "content", "enabled"])]
    pub pools: bool,

    /// Which columns.
    #[command(flatten)]
    pub table: TableOptions,
}

#[derive(Debug, Serialize)]
struct Storages {
    storages: Table<StorageRow>,
    notes: Vec<String>,
    warnings: Vec<String>,
}

impl Answer for Storages {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.storages.is_usual() { self.as_pvesm(out) } else { self.storages.text(out) }
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl Storages {
    /// As Proxmox VE shows them, whose scripts read it. Source: pve-storage `PVE/CLI/pvesm.pm` (`status`).
    fn as_pvesm(&self, out: &mut dyn Write) -> io::Result<()> {
        let rows = &self.storages.rows;
        let width = rows.iter().map(|row| row.storage.len()).max().unwrap_or(0) + 1;
        if self.storages.has_headings() {
            let heads = ["Type", "Status", "Total (KiB)", "Used (KiB)", "Available (KiB)", "%"];
            let [kind, status, total, used, available, percent] = heads;
            writeln!(
                out,
                "{:<width$} {kind:>10} {status:>10} {total:>15} {used:>15} {available:>15} {percent:>8}",
                "Name"
            )?;
        }
        for row in rows {
            let (total, used, available) = row.sizes().unwrap_or_default();
            let share = match row.is_known() {
                true => format!("{:>7}%", hundredths(used, total)),
                false => format!("{:>8}", "N/A"),
            };
            writeln!(
                out,
                "{:<width$} {:>10} {:>10} {:>15} {:>15} {:>15} {share}",
                row.storage,
                row.r#type,
                row.status(),
                total / 1024,
                used / 1024,
                available / 1024,
            )?;
        }
        Ok(())
    }
}

impl StatusArgs {
    /// Shows the status.
    ///
    /// # Errors
    /// If the argument is wrong, or neither configuration nor metadata can be read.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let mut scan = StatusScan::new(context);
        match &self.storage {
            Some(text) if text.contains('/') => one_pool(&mut scan, &context.resolver.storage(text)?)?,
            Some(text) => {
                let storage = context.resolver.configured(&StorageId::new(text)?)?;
                self.configured(&mut scan, std::iter::once(storage))?;
            }
            None if self.pools => all_pools(&mut scan)?,
            None => {
                let config = context.resolver.config()?;
                context.resolver.warn_of_all()?;
                if config.sections().is_empty() {
                    all_pools(&mut scan)?;
                } else {
                    self.configured(&mut scan, config.storages())?;
                }
            }
        }
        let StatusScan { rows, notes, warnings, .. } = scan;
        let storages = self.table.table(COLUMNS, USUAL, Unit::Kibi, rows)?;
        context.print(&Storages { storages, notes, warnings })
    }

    /// The storages of the configuration. What keeps one from being looked at is warned about, and it is shown as
    /// inactive.
    fn configured<'a>(
        &self,
        scan: &mut StatusScan<'a>,
        storages: impl Iterator<Item = &'a storage::Storage>,
    ) -> Result<(), CliError> {
        let resolver = &scan.context.resolver;
        scan.warnings.extend(resolver.warnings());
        let mut unhandled = Vec::new();
        for storage in storages {
            let enabled = storage.enabled_on(resolver.node()).is_ok();
            let wanted = !self.enabled && self.content.is_none();
            if !enabled && !wanted || !self.is_for(storage) {
                continue;
            }
            let row = StorageRow::of_section(storage, enabled);
            match backends::open(resolver, storage) {
                Some(backend) if enabled => scan.look(&*backend, row)?,
                Some(_) => scan.rows.push(row),
                None => {
                    scan.rows.push(row);
                    unhandled.extend(enabled.then(|| format!("{} ({})", storage.id, storage.type_name())));
                }
            }
        }
        if !unhandled.is_empty() {
            scan.notes.push(format!("the state of these is not looked at: {}", unhandled.join(", ")));
        }
        Ok(())
    }

    fn is_for(&self, storage: &storage::Storage) -> bool {
        let is = |content: &Content| self.content.as_deref() == Some(content.word());
        self.content.is_none() || storage.content.iter().any(is)
    }
}

fn one_pool(scan: &mut StatusScan<'_>, storage: &Storage) -> Result<(), CliError> {
    let view = scan.context.reader()?.inspect(&storage.vg, Detail::Pools)?;
    let pool = view.pools.iter().find(|pool| pool.name == storage.pool);
    scan.add(&view, [pool.ok_or_else(|| lookup::no_pool(storage))?]);
    Ok(())
}

fn all_pools(scan: &mut StatusScan<'_>) -> Result<(), CliError> {
    let engine = scan.context.reader()?;
    let every = engine.groups()?;
    scan.warnings.extend(every.warnings.iter().cloned());
    for vg in &every.vgs {
        match engine.inspect(&vg.name, Detail::Pools) {
            Ok(view) => scan.add(&view, &view.pools),
            Err(error) => scan.leave_out(&vg.name, &CliError::from(error)),
        }
    }
    scan.rows.sort_by(|a, b| a.storage.cmp(&b.storage));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::ids::{LvName, VgName};
    use base::units::Bytes;
    use dm::status::PoolStatus;
    use thin::PoolView;
    use thin::internals::view::fixture;

    const ROOMY: &str = "1 42/3072 1024/32768 - rw discard_passdown queue_if_no_space - 1024";

    fn pool(size: u64, status: Option<&str>) -> PoolView {
        let status = status.map(|status| PoolStatus::parse(status).unwrap());
        fixture::pool(LvName::new("data").unwrap(), Bytes::new(size), status)
    }

    fn pve() -> VgName {
        VgName::new("pve").unwrap()
    }

    fn text(rows: Vec<StorageRow>) -> String {
        let mut out = Vec::new();
        let storages = TableOptions::default().table(COLUMNS, USUAL, Unit::Kibi, rows).unwrap();
        Storages { storages, notes: vec![], warnings: vec![] }.text(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_columns_are_those_of_pvesm() {
        let rows = vec![
            StorageRow::of_pool("pve/data".into(), &pve(), &pool(2 << 30, Some(ROOMY))),
            StorageRow::of_pool("pve/x".into(), &pve(), &pool(1 << 30, None)),
            StorageRow { storage: "off".into(), r#type: "nfs".into(), ..StorageRow::default() },
            StorageRow {
                storage: "san".into(),
                r#type: "iscsi".into(),
                enabled: true,
                ..StorageRow::default()
            },
        ];
        assert_eq!(rows[0].metadata_used, Some(42 * 4096));
        assert_eq!(
            text(rows),
            "Name            Type     Status     Total (KiB)      Used (KiB) Available (KiB)        %\n\
             pve/data     lvmthin     active         2097152           65536         2031616    3.13%\n\
             pve/x        lvmthin   inactive               0               0               0    0.00%\n\
             off              nfs   disabled               0               0               0      N/A\n\
             san            iscsi    unknown               0               0               0      N/A\n"
        );
    }

    #[test]
    fn a_full_pool_is_full_and_never_more() {
        let full = "1 42/3072 40000/32768 - out_of_data_space discard_passdown queue_if_no_space - 1024";
        let row = StorageRow::of_pool("pve/data".into(), &pve(), &pool(2 << 30, Some(full)));
        assert_eq!((row.used, row.available), (Some(2 << 30), Some(0)));
        assert_eq!(hundredths(1, 3), "33.33");
        assert_eq!(hundredths(7, 7), "100.00");
        assert_eq!(hundredths(u64::MAX, u64::MAX), "100.00");
        assert_eq!(hundredths(5, 0), "0.00");
    }
}
