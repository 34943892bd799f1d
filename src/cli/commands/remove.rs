//! `thinvol remove`: remove a storage from the configuration.

use clap::Args;

use crate::configure::{ConfigOptions, configure, configuring};
use crate::context::Context;
use crate::errors::CliError;
use config::names::StorageId;

const HELP: &str = configuring!(
    "\
  thinvol remove local-lvm
  thinvol remove --dry-run local-lvm                   what would go"
);

/// Remove a storage from the configuration
///
/// Removes a section from storage.cfg, as 'pvesm remove' does. Volumes, pools and sessions stay, and so do
/// Proxmox VE's access rules for the storage. Prints nothing unless something is wrong.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct RemoveArgs {
    /// The id of the storage
    pub storage: String,

    /// Only if the file still has this SHA-1
    #[arg(long, value_name = "SHA1")]
    pub digest: Option<String>,

    /// Options of every change.
    #[command(flatten)]
    pub options: ConfigOptions,
}

impl RemoveArgs {
    /// Removes the section. Volumes, pools and sessions stay.
    ///
    /// # Errors
    /// If there is no such storage, something is built on it, or the file is not the one that was looked at.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let id = StorageId::new(&self.storage)?;
        configure(context, &self.options, &id, "delete storage failed", |config| {
            config.expect(self.digest.as_deref())?;
            Ok(config.remove(&id)?)
        })
    }
}
