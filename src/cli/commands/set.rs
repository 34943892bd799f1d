//! `thinvol set`: properties of a storage.

use clap::Args;

use crate::configure::{ConfigOptions, configure, configuring};
use crate::context::Context;
use crate::errors::CliError;
use crate::properties::{CommonProperties, FixedProperties};
use config::grammar::split_list;
use config::names::StorageId;

const HELP: &str = configuring!(
    "\
  thinvol set local-lvm --content images --nodes pve1
  thinvol set local-lvm --disable 1
  thinvol set local-lvm --delete nodes,bwlimit
  thinvol set local-lvm --disable 0 --digest \"$(sha1sum < /etc/pve/storage.cfg | cut -d' ' -f1)\""
);

/// Change properties of a storage
///
/// Changes a section of storage.cfg, as 'pvesm set' does, and no other byte of the file. The volume group, pool,
/// portal and target of a storage cannot be changed. Prints nothing unless something is wrong.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct SetArgs {
    /// The id of the storage
    pub storage: String,

    /// What is set.
    #[command(flatten)]
    pub common: CommonProperties,

    /// Properties to take back to their defaults
    #[arg(long, value_name = "LIST")]
    pub delete: Vec<String>,

    /// Only if the file still has this SHA-1
    #[arg(long, value_name = "SHA1")]
    pub digest: Option<String>,

    /// What cannot be changed.
    #[command(flatten)]
    pub fixed: FixedProperties,

    /// Options of every change.
    #[command(flatten)]
    pub options: ConfigOptions,
}

impl SetArgs {
    /// Sets and deletes properties.
    ///
    /// # Errors
    /// If there is no such storage, a property is wrong, or the file is not the one that was looked at.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let id = StorageId::new(&self.storage)?;
        let mut properties = self.common.given();
        properties.extend(self.fixed.given());
        let delete: Vec<String> =
            self.delete.iter().flat_map(|list| split_list(list)).map(str::to_owned).collect();
        configure(context, &self.options, &id, "update storage failed", |config| {
            config.expect(self.digest.as_deref())?;
            Ok(config.set(&id, &properties, &delete)?)
        })
    }
}
