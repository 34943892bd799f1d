//! thinvol over a `storage.cfg` of the case.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Ctx, Ran};

/// A configuration file, and thinvol over it.
pub struct Storages<'a> {
    ctx: &'a Ctx,
    file: PathBuf,
}

impl<'a> Storages<'a> {
    /// A configuration with the content `text`.
    pub fn new(ctx: &'a Ctx, text: &str) -> Result<Self> {
        let file = ctx.dir().join("storage.cfg");
        std::fs::write(&file, text)?;
        Ok(Self { ctx, file })
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The arguments of thinvol that say where the configuration is, and `arguments`.
    pub fn line(&self, arguments: &str) -> String {
        format!("--config {} {arguments}", self.file.display())
    }

    /// Runs thinvol, however it ends.
    pub fn run(&self, arguments: &str) -> Result<Ran> {
        self.ctx.thinvol(&self.line(arguments))
    }

    /// Runs thinvol, which must succeed; returns its standard output.
    pub fn ok(&self, arguments: &str) -> Result<String> {
        self.ctx.thinvol_ok(&self.line(arguments))
    }
}
