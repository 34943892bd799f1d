//! `thinvol status`: how full storages are.

mod row;

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use self::row::{COLUMNS, Row, USUAL, hundredths};
use crate::context::Context;
use crate::errors::CliError;
use crate::iscsi_storage::IscsiStorage;
use crate::output::Answer;
use crate::resolve::Storage;
use crate::table::{self, Table, TableOptions};
use base::ids::{LvName, VgName};
use base::units::size::Unit;
use config::names::StorageId;
use config::storage::{self, PoolName, StorageKind};
use config::types::{Content, Type};
use dm::status::PoolStatus;
use thin::changes::lookup;
use thin::view::{PoolView, View};

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

/// What was found.
#[derive(Debug, Default)]
struct Found {
    storages: Vec<Row>,
    notes: Vec<String>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Storages {
    storages: Table<Row>,
    notes: Vec<String>,
    warnings: Vec<String>,
}

/// Bytes in a block of pool metadata. Source: Linux `drivers/md/dm-thin-metadata.h`
/// (`THIN_METADATA_BLOCK_SIZE`).
const METADATA_BLOCK_BYTES: u64 = 4096;

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
        let answer = match &self.storage {
            Some(text) if text.contains('/') => pool_status(context, &context.resolver.storage(text)?)?,
            Some(text) => {
                let storage = context.resolver.configured(&StorageId::new(text)?)?;
                self.configured(context, std::iter::once(storage))?
            }
            None if self.pools => all_pools(context)?,
            None => {
                let config = context.resolver.config()?;
                context.resolver.warn_of_all()?;
                if config.sections().is_empty() {
                    all_pools(context)?
                } else {
                    self.configured(context, config.storages())?
                }
            }
        };
        let Found { storages, notes, warnings } = answer;
        let storages = self.table.table(COLUMNS, USUAL, Unit::Kibi, storages)?;
        context.print(&Storages { storages, notes, warnings })
    }

    /// The storages of the configuration. What keeps one from being looked at is warned about, and it is shown as
    /// inactive.
    fn configured<'a>(
        &self,
        context: &'a Context,
        storages: impl Iterator<Item = &'a storage::Storage>,
    ) -> Result<Found, CliError> {
        let mut answer = Found { warnings: context.resolver.warnings(), ..Found::default() };
        let mut views: BTreeMap<VgName, Option<View>> = BTreeMap::new();
        let mut unhandled = Vec::new();
        for storage in storages {
            let enabled = storage.enabled_on(context.resolver.node()).is_ok();
            let wanted = !self.enabled && self.content.is_none();
            if !enabled && !wanted || !self.is_for(storage) {
                continue;
            }
            let mut row = plain_row(storage, enabled);
            match (&storage.kind, &storage.pool) {
                _ if !enabled => {}
                (_, Some(PoolName { vg, pool })) => {
                    if !views.contains_key(vg) {
                        views.insert(vg.clone(), answer.look(context, vg)?);
                    }
                    let view = views.get(vg).and_then(Option::as_ref);
                    row = answer.pool_row(row, view, vg, pool);
                }
                (StorageKind::Handled(_), None) => row = answer.target_row(row, context, storage),
                (StorageKind::Other(_), None) => {
                    unhandled.push(format!("{} ({})", storage.id, storage.type_name()));
                }
            }
            answer.storages.push(row);
        }
        if !unhandled.is_empty() {
            answer.notes.push(format!("the state of these is not looked at: {}", unhandled.join(", ")));
        }
        Ok(answer)
    }

    fn is_for(&self, storage: &storage::Storage) -> bool {
        let is = |content: &Content| self.content.as_deref() == Some(content.word());
        self.content.is_none() || storage.content.iter().any(is)
    }
}

fn pool_status(context: &Context, storage: &Storage) -> Result<Found, CliError> {
    let mut answer = Found::default();
    let view = context.reader()?.view_pools(&storage.vg)?;
    if !view.pools.iter().any(|pool| pool.name == storage.pool) {
        return Err(lookup::no_pool(storage).into());
    }
    answer.add(view, Some(&storage.pool));
    Ok(answer)
}

fn all_pools(context: &Context) -> Result<Found, CliError> {
    let mut answer = Found::default();
    let engine = context.reader()?;
    let every = engine.every_vg()?;
    for vg in &every.vgs {
        match engine.view_pools(&vg.name) {
            Ok(view) => answer.add(view, None),
            Err(error) => answer.warnings.push(unreadable(&vg.name, &CliError::from(error))),
        }
    }
    answer.storages.sort_by(|a, b| a.storage.cmp(&b.storage));
    Ok(answer)
}

fn unreadable(vg: &VgName, error: &CliError) -> String {
    let causes: String = error.causes.iter().map(|cause| format!(": {cause}")).collect();
    format!("volume group '{vg}' is left out: {}{causes}", error.message)
}

impl Found {
    fn add(&mut self, view: View, only: Option<&LvName>) {
        self.warnings.extend(view.warnings);
        self.notes.extend(pending(&view.vg.name, &view.pending));
        for pool in view.pools.iter().filter(|pool| only.is_none_or(|only| pool.name == *only)) {
            let storage = format!("{}/{}", view.vg.name, pool.name);
            self.storages.push(row(storage, &view.vg.name, pool));
        }
    }

    /// What a volume group is like, read once for all its storages; `None`, with a warning, if it cannot be read.
    fn look(&mut self, context: &Context, vg: &VgName) -> Result<Option<View>, CliError> {
        match context.reader()?.view_pools(vg) {
            Ok(view) => {
                self.warnings.extend(view.warnings.iter().cloned());
                self.notes.extend(pending(vg, &view.pending));
                Ok(Some(view))
            }
            Err(error) => {
                self.warnings.push(unreadable(vg, &CliError::from(error)));
                Ok(None)
            }
        }
    }

    /// The row of a target: its paths, and the sizes of its disks.
    fn target_row(&mut self, row: Row, context: &Context, storage: &storage::Storage) -> Row {
        let look = || {
            let storage = IscsiStorage::of(&context.resolver, storage)?;
            storage.map(|storage| storage.look()).transpose()
        };
        match look() {
            Ok(None) => row,
            Ok(Some(seen)) => {
                let is_active = seen.is_active();
                if !seen.sessions.is_empty() {
                    self.warnings.extend(seen.troubles(&storage.id));
                }
                let total = seen.units.iter().map(|unit| unit.size.get()).fold(0, u64::saturating_add);
                Row {
                    active: Some(is_active),
                    total: is_active.then_some(total),
                    luns: Some(seen.units.len()),
                    paths: Some(seen.paths),
                    ..row
                }
            }
            Err(error) => {
                self.warnings.push(format!("storage '{}': {}", storage.id, error.one_line()));
                Row { active: Some(false), ..row }
            }
        }
    }

    fn pool_row(&mut self, row: Row, view: Option<&View>, vg: &VgName, pool: &LvName) -> Row {
        let seen = view.and_then(|view| view.pools.iter().find(|seen| seen.name == *pool));
        if seen.is_none() && view.is_some() {
            self.warnings.push(format!("storage '{}': no such logical volume {vg}/{pool}", row.storage));
        }
        match seen {
            Some(pool) => Row { content: row.content, ..self::row(row.storage, vg, pool) },
            None => Row { active: Some(false), ..row },
        }
    }
}

fn plain_row(storage: &storage::Storage, enabled: bool) -> Row {
    let is_known = matches!(storage.kind, StorageKind::Handled(_));
    let pool = storage.pool.as_ref().map(|PoolName { vg, pool }| format!("{vg}/{pool}"));
    Row {
        storage: storage.id.to_string(),
        r#type: storage.type_name().to_owned(),
        enabled,
        pool,
        content: is_known.then(|| storage.content.iter().copied().collect()),
        ..Row::default()
    }
}

/// What a crash left behind, as notes.
pub fn pending(vg: &VgName, pending: &[String]) -> Vec<String> {
    pending.iter().map(|what| format!("'thinvol recover {vg}' has something to do: {what}")).collect()
}

fn row(storage: String, vg: &VgName, pool: &PoolView) -> Row {
    let working = match &pool.status {
        Some(PoolStatus::Working(working)) => Some(working),
        _ => None,
    };
    let chunk_bytes = pool.chunk_size.to_bytes().map_or(0, |bytes| bytes.get());
    let used = working.map(|working| working.data.used.saturating_mul(chunk_bytes).min(pool.size.get()));
    Row {
        storage,
        r#type: Type::LVMTHIN.name.to_owned(),
        enabled: true,
        active: Some(pool.active),
        pool: Some(format!("{vg}/{}", pool.name)),
        content: None,
        total: Some(pool.size.get()),
        used,
        available: used.map(|used| pool.size.get() - used),
        metadata_total: Some(pool.metadata_size.get()),
        metadata_used: working.map(|working| working.metadata.used.saturating_mul(METADATA_BLOCK_BYTES)),
        kernel: pool.status.clone(),
        paths: None,
        luns: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::ids::LvmUuid;
    use base::units::{Bytes, Sectors};

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

    fn pve() -> VgName {
        VgName::new("pve").unwrap()
    }

    fn text(rows: Vec<Row>) -> String {
        let mut out = Vec::new();
        let storages = TableOptions::default().table(COLUMNS, USUAL, Unit::Kibi, rows).unwrap();
        Storages { storages, notes: vec![], warnings: vec![] }.text(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_columns_are_those_of_pvesm() {
        let rows = vec![
            row("pve/data".into(), &pve(), &pool(2 << 30, Some(ROOMY))),
            row("pve/x".into(), &pve(), &pool(1 << 30, None)),
            Row { storage: "off".into(), r#type: "nfs".into(), ..Row::default() },
            Row { storage: "san".into(), r#type: "iscsi".into(), enabled: true, ..Row::default() },
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
        let row = row("pve/data".into(), &pve(), &pool(2 << 30, Some(full)));
        assert_eq!((row.used, row.available), (Some(2 << 30), Some(0)));
        assert_eq!(hundredths(1, 3), "33.33");
        assert_eq!(hundredths(7, 7), "100.00");
        assert_eq!(hundredths(u64::MAX, u64::MAX), "100.00");
        assert_eq!(hundredths(5, 0), "0.00");
    }
}
