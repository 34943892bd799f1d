//! A look at storages, one after another: what several of them share is read once.

use std::collections::BTreeMap;

use super::StorageBackend;
use super::storage_row::StorageRow;
use crate::context::{Context, pending};
use crate::errors::CliError;
use base::ids::VgName;
use thin::{Detail, PoolView, VgView};

/// A look at storages.
#[derive(Debug)]
pub struct StatusScan<'a> {
    /// The surroundings.
    pub context: &'a Context,
    /// What was found.
    pub rows: Vec<StorageRow>,
    /// Things that went another way than one might think.
    pub notes: Vec<String>,
    /// Things that ask for attention.
    pub warnings: Vec<String>,
    /// Volume groups that were read; `None` of those that cannot be.
    views: BTreeMap<VgName, Option<VgView>>,
}

impl<'a> StatusScan<'a> {
    /// Nothing looked at yet.
    pub fn new(context: &'a Context) -> Self {
        Self { context, rows: Vec::new(), notes: Vec::new(), warnings: Vec::new(), views: BTreeMap::new() }
    }

    /// Looks at a storage whose section gives this row.
    ///
    /// # Errors
    /// If nothing can be looked at.
    pub fn look(&mut self, backend: &dyn StorageBackend, row: StorageRow) -> Result<(), CliError> {
        let row = backend.status(self, row)?;
        self.rows.push(row);
        Ok(())
    }

    /// The pools of a volume group; `None`, with a warning, if it cannot be read.
    ///
    /// # Errors
    /// If none can be.
    pub fn pools(&mut self, vg: &VgName) -> Result<Option<&[PoolView]>, CliError> {
        if !self.views.contains_key(vg) {
            let view = match self.context.reader()?.inspect(vg, Detail::Pools) {
                Ok(view) => {
                    self.warnings.extend(view.warnings.iter().cloned());
                    self.notes.extend(pending(vg, &view.pending));
                    Some(view)
                }
                Err(error) => {
                    self.leave_out(vg, &CliError::from(error));
                    None
                }
            };
            self.views.insert(vg.clone(), view);
        }
        Ok(self.views.get(vg).and_then(Option::as_ref).map(|view| view.pools.as_slice()))
    }

    /// Adds pools of a volume group that are not looked at as storages.
    pub fn add<'v>(&mut self, view: &'v VgView, pools: impl IntoIterator<Item = &'v PoolView>) {
        self.warnings.extend(view.warnings.iter().cloned());
        self.notes.extend(pending(&view.name, &view.pending));
        let row =
            |pool: &PoolView| StorageRow::of_pool(format!("{}/{}", view.name, pool.name), &view.name, pool);
        self.rows.extend(pools.into_iter().map(row));
    }

    /// Warns of a volume group that cannot be read.
    pub fn leave_out(&mut self, vg: &VgName, error: &CliError) {
        let causes: String = error.causes.iter().map(|cause| format!(": {cause}")).collect();
        self.warnings.push(format!("volume group '{vg}' is left out: {}{causes}", error.message));
    }
}
