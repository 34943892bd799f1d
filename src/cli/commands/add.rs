//! `thinvol add`: a new storage in the configuration.

use clap::Args;

use crate::backends;
use crate::configure::{ConfigOptions, configure, configuring};
use crate::context::Context;
use crate::errors::CliError;
use crate::properties::{CommonProperties, OwnProperties};
use base::error_kind::ErrorKind;
use config::document::StorageCfg;
use config::names::StorageId;
use config::schema;
use config::types::Type;

const HELP: &str = configuring!(
    "\
  thinvol add lvmthin local-lvm --vgname pve --thinpool data
  thinvol add lvmthin fast --vgname nvme --thinpool data --content images --nodes pve1,pve2
  thinvol add iscsi san --portal 10.0.0.1 --target iqn.2003-01.org.example:t1 --content none
  thinvol add --dry-run lvmthin local-lvm --vgname pve --thinpool data"
);

/// Add a storage to the configuration
///
/// Adds a section to storage.cfg, as 'pvesm add' does. The volume group and the thin pool must exist, and a
/// portal must answer, unless the storage is disabled or not for this node. No other byte of the file changes.
/// Prints nothing unless something is wrong.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct AddArgs {
    /// The type.
    #[arg(value_name = "TYPE", help = format!("The type: {}", Type::names("or")))]
    pub kind: String,

    /// The id of the new storage
    pub storage: String,

    /// What it is made of.
    #[command(flatten)]
    pub own: OwnProperties,

    /// Properties of all types.
    #[command(flatten)]
    pub common: CommonProperties,

    /// Options of every change.
    #[command(flatten)]
    pub options: ConfigOptions,
}

impl AddArgs {
    /// Adds the storage. What it is made of has to be there, unless it is not for this node.
    ///
    /// # Errors
    /// If a property is wrong, the id is taken, or what it is made of is not there.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let id = StorageId::new(&self.storage)?;
        let kind = self.kind()?;
        let mut properties = self.common.given();
        properties.extend(self.own.given());
        // Errors of the properties alone come before any lock is taken.
        if id.as_str() != "local" {
            StorageCfg::parse("", b"").add(&id, kind, &properties)?;
        }
        configure(context, &self.options, &id, "create storage failed", |config| {
            let text = config.add(&id, kind, &properties)?;
            let changed = StorageCfg::parse(config.file(), &text);
            let storage = changed.storage(&id)?;
            if storage.enabled_on(context.resolver.node()).is_ok()
                && let Some(backend) = backends::open(&context.resolver, storage)
            {
                backend.check_exists(context)?;
            }
            Ok(text)
        })
    }

    fn kind(&self) -> Result<Type, CliError> {
        Type::named(&self.kind).ok_or_else(|| match schema::is_type(&self.kind) {
            true => CliError::new(
                ErrorKind::Unsupported,
                format!("storages of type '{}' are not handled by thinvol", self.kind),
            )
            .hint(format!("'pvesm add {} …' adds it; its section is left as it is", self.kind)),
            false => CliError::usage(format!("there is no type '{}' of storages", self.kind))
                .hint(format!("the types are {}", Type::names("and"))),
        })
    }
}
