//! A configuration of lvm2 for single runs of it and of thinvol.

use std::path::PathBuf;

use anyhow::Result;

use super::{Ctx, Ran};

/// A configuration directory.
pub struct Conf(PathBuf);

impl Conf {
    /// An empty one.
    pub fn new(ctx: &Ctx) -> Result<Self> {
        let dir = ctx.dir().join("lvm");
        std::fs::create_dir_all(&dir)?;
        Ok(Self(dir))
    }

    /// Sets the content of `lvm.conf`.
    pub fn set(&self, text: &str) -> Result<()> {
        Ok(std::fs::write(self.0.join("lvm.conf"), text)?)
    }

    /// A command line, lvm2's or thinvol's, that runs with this configuration.
    pub fn line(&self, line: &str) -> String {
        format!("env LVM_SYSTEM_DIR={} {line}", self.0.display())
    }

    /// Runs a command line with this configuration.
    pub fn run(&self, ctx: &Ctx, line: &str) -> Result<Ran> {
        ctx.run(&self.line(line).split_whitespace().collect::<Vec<_>>())
    }
}
