//! The metadata that views are made from, for the command.

use std::sync::Arc;

use super::{Detail, Engine, EngineError, Locked, VgView};
use base::ids::VgName;
use lvm2::format::metadata::Metadata;
use lvm2::format::model::Vg;

/// Reads the metadata of volume groups.
pub trait ReadMetadata {
    /// The metadata of a volume group alone: no device of it is looked at.
    ///
    /// # Errors
    /// If it does not exist, is locked, or cannot be read.
    fn metadata(&self, vg: &VgName) -> Result<Vg, EngineError>;

    /// A volume group as it is now, with the metadata that the view was made from.
    ///
    /// # Errors
    /// As [`Engine::inspect`].
    fn inspect_with_metadata(
        &self,
        vg: &VgName,
        detail: Detail,
    ) -> Result<(Arc<Metadata>, VgView), EngineError>;
}

impl ReadMetadata for Engine {
    fn metadata(&self, vg: &VgName) -> Result<Vg, EngineError> {
        let lock = self.lock_for_read(vg)?;
        Ok(Arc::unwrap_or_clone(self.read(Locked::ToRead(&lock))?.metadata).vg)
    }

    fn inspect_with_metadata(
        &self,
        vg: &VgName,
        detail: Detail,
    ) -> Result<(Arc<Metadata>, VgView), EngineError> {
        self.inspected(vg, detail)
    }
}
