//! A storage in the table of all: what is known of it, and its columns.

use serde_json::{Value, json};

use crate::table::{Cell, Column};
use base::ids::VgName;
use config::storage::{PoolName, Storage, StorageKind};
use config::types::{Content, Type};
use dm::status::{METADATA_BLOCK_BYTES, PoolMode, PoolStatus};
use iscsi::storage::paths::TargetPath;
use thin::PoolView;

/// What is known of a storage.
#[derive(Debug, Default)]
pub struct StorageRow {
    pub storage: String,
    pub r#type: String,
    pub enabled: bool,
    pub active: Option<bool>,
    pub pool: Option<String>,
    pub content: Option<Vec<Content>>,
    pub total: Option<u64>,
    pub used: Option<u64>,
    pub available: Option<u64>,
    pub metadata_total: Option<u64>,
    pub metadata_used: Option<u64>,
    pub condition: Option<&'static str>,
    pub kernel: Option<PoolStatus>,
    pub paths: Option<Vec<TargetPath>>,
    pub luns: Option<usize>,
}

/// The columns of the text. Source: pve-storage `PVE/CLI/pvesm.pm` (`status`).
pub const USUAL: &[&str] = &["storage", "type", "status", "total", "used", "available", "percent"];

/// All columns.
pub const COLUMNS: &[Column<StorageRow>] = &[
    Column {
        name: "storage",
        title: "Name",
        form: "text",
        about: "its id, or <vg>/<pool>",
        cell: |row| Cell::Text(row.storage.clone()),
    },
    Column {
        name: "type",
        title: "Type",
        form: "text",
        about: "its type in storage.cfg",
        cell: |row| Cell::Text(row.r#type.clone()),
    },
    Column {
        name: "status",
        title: "Status",
        form: "\"active\" or \"inactive\" or \"disabled\" or \"unknown\"",
        about: "whether it can be used",
        cell: |row| Cell::Text(row.status().to_owned()),
    },
    Column {
        name: "enabled",
        title: "Enabled",
        form: "boolean",
        about: "whether it is for this node and not switched off",
        cell: |row| Cell::Flag(row.enabled),
    },
    Column {
        name: "active",
        title: "Active",
        form: "boolean or null (not known)",
        about: "whether its pool runs, or a path to its target is up",
        cell: |row| row.active.map_or(Cell::Nothing, Cell::Flag),
    },
    Column {
        name: "pool",
        title: "Pool",
        form: "text or null",
        about: "its thin pool",
        cell: |row| Cell::text(row.pool.as_ref()),
    },
    Column {
        name: "content",
        title: "Content",
        form: "[text] or null",
        about: "what it is for",
        cell: |row| match &row.content {
            None => Cell::Nothing,
            Some(content) => Cell::words(&content.iter().map(|it| it.word().to_owned()).collect::<Vec<_>>()),
        },
    },
    Column {
        name: "total",
        title: "Total",
        form: "number (bytes) or null",
        about: "how large it is",
        cell: |row| Cell::size(row.total),
    },
    Column {
        name: "used",
        title: "Used",
        form: "number (bytes) or null",
        about: "how much is taken",
        cell: |row| Cell::size(row.used),
    },
    Column {
        name: "available",
        title: "Available",
        form: "number (bytes) or null",
        about: "how much is left",
        cell: |row| Cell::size(row.available),
    },
    Column {
        name: "percent",
        title: "%",
        form: "text (with two decimals) or null",
        about: "how much of the data is taken",
        cell: |row| Cell::share(row.used, row.total),
    },
    Column {
        name: "metadata_total",
        title: "Metadata",
        form: "number (bytes) or null",
        about: "how large the pool's metadata may become",
        cell: |row| Cell::size(row.metadata_total),
    },
    Column {
        name: "metadata_used",
        title: "Metadata used",
        form: "number (bytes) or null",
        about: "how much of the metadata is taken",
        cell: |row| Cell::size(row.metadata_used),
    },
    Column {
        name: "metadata_percent",
        title: "Metadata %",
        form: "text (with two decimals) or null",
        about: "how much of the metadata is taken, in per cent",
        cell: |row| Cell::share(row.metadata_used, row.metadata_total),
    },
    Column {
        name: "condition",
        title: "Condition",
        form: "\"inactive\" or \"works\" or \"data_full_writes_wait\" or \"data_full_writes_fail\" or \
               \"metadata_full\" or \"read_only\" or \"needs_check\" or \"failed\" or \"unreadable\" or \"damaged\" or \
               \"transactions_differ\" or \"part_missing\" or null",
        about: "what state the pool is in; 'thinvol info' says it in words, with the way out",
        cell: |row| row.condition.map_or(Cell::Nothing, |word| Cell::Text(word.to_owned())),
    },
    Column {
        name: "kernel",
        title: "Kernel",
        form: "object (the pool's status) or null",
        about: "what the kernel says of the pool; -o shows its mode",
        cell: |row| match &row.kernel {
            None => Cell::Nothing,
            Some(status) => {
                Cell::Composite(serde_json::to_value(status).unwrap_or(Value::Null), mode(status).to_owned())
            }
        },
    },
    Column {
        name: "paths",
        title: "Paths",
        form: "[{\"portal\", \"interface\": text or null, \"session\": number or null, \"state\": text or null}] \
               or null (of type iscsi)",
        about: "the paths to a target; -o shows how many of how many are up",
        cell: |row| match &row.paths {
            None => Cell::Nothing,
            Some(paths) => {
                let up = paths.iter().filter(|path| path.is_up()).count();
                Cell::Composite(json!(paths), format!("{up}/{}", paths.len()))
            }
        },
    },
    Column {
        name: "luns",
        title: "LUNs",
        form: "number or null (of type iscsi)",
        about: "how many LUNs a target has",
        cell: |row| Cell::number(row.luns.and_then(|luns| u64::try_from(luns).ok())),
    },
];

impl StorageRow {
    /// The row of a storage whose state was not looked at.
    pub fn of_section(storage: &Storage, enabled: bool) -> Self {
        let is_known = matches!(storage.kind, StorageKind::Handled(_));
        Self {
            storage: storage.id.to_string(),
            r#type: storage.type_name().to_owned(),
            enabled,
            pool: storage.pool.as_ref().map(|PoolName { vg, pool }| format!("{vg}/{pool}")),
            content: is_known.then(|| storage.content.iter().copied().collect()),
            ..Self::default()
        }
    }

    /// The row of a pool.
    pub fn of_pool(storage: String, vg: &VgName, pool: &PoolView) -> Self {
        let working = match &pool.status {
            Some(PoolStatus::Working(working)) => Some(working),
            _ => None,
        };
        let chunk_bytes = pool.chunk_size.to_bytes().map_or(0, |bytes| bytes.get());
        let used = working.map(|working| working.data.used.saturating_mul(chunk_bytes).min(pool.size.get()));
        Self {
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
            condition: Some(pool.condition.word()),
            kernel: pool.status.clone(),
            paths: None,
            luns: None,
        }
    }

    /// Whether the storage can be used, in the words of Proxmox VE.
    pub fn status(&self) -> &'static str {
        match self.active {
            _ if !self.enabled => "disabled",
            None => "unknown",
            Some(true) => "active",
            Some(false) => "inactive",
        }
    }

    /// Whether its state was looked at.
    pub fn is_known(&self) -> bool {
        self.enabled && self.active.is_some()
    }

    /// How large it is, how much is taken, how much is left, if that is known.
    pub fn sizes(&self) -> Option<(u64, u64, u64)> {
        match (self.total, self.used, self.available) {
            (Some(total), Some(used), Some(available)) => Some((total, used, available)),
            // Of LUNs only the size is known, and none of it can be given to volumes.
            (Some(total), None, None) if self.paths.is_some() => Some((total, 0, 0)),
            _ => None,
        }
    }
}

impl Cell {
    /// A part of a whole, in per cent.
    fn share(part: Option<u64>, whole: Option<u64>) -> Self {
        part.zip(whole).map_or(Self::Nothing, |(part, whole)| Self::Decimal(hundredths(part, whole)))
    }
}

/// The words of the kernel.
const fn mode(status: &PoolStatus) -> &'static str {
    match status {
        PoolStatus::Working(working) => match working.mode {
            PoolMode::ReadWrite => "rw",
            PoolMode::OutOfDataSpace => "out_of_data_space",
            PoolMode::ReadOnly => "ro",
        },
        PoolStatus::Failed => "failed",
        PoolStatus::Error => "error",
    }
}

/// `used` of `total` in per cent with two decimals, rounded to the nearest; zero of nothing.
pub fn hundredths(used: u64, total: u64) -> String {
    let total = u128::from(total);
    let share = (u128::from(used) * 10_000 + total / 2).checked_div(total).unwrap_or(0);
    format!("{}.{:02}", share / 100, share % 100)
}
