//! `thinvol add`: a new storage in the configuration.

use std::time::Duration;

use clap::Args;

use crate::args::ChangeOptions;
use crate::configure::{ConfigOptions, configure, configuring};
use crate::context::Context;
use crate::errors::CliError;
use base::error_kind::ErrorKind;
use base::ids::{LvName, VgName};
use config::document::StorageCfg;
use config::edit::Options;
use config::names::StorageId;
use config::portal;
use config::schema;
use config::storage::{PoolName, Storage};
use config::types::Type;
use iscsi::host::connection::Connection;
use iscsi::host::limit::Limit;
use iscsi::protocol::portal::Portal;

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
    /// The type: lvmthin or iscsi
    #[arg(value_name = "TYPE")]
    pub kind: String,

    /// The id of the new storage
    pub storage: String,

    /// lvmthin: the volume group
    #[arg(long)]
    pub vgname: Option<String>,

    /// lvmthin: the thin pool
    #[arg(long)]
    pub thinpool: Option<String>,

    /// Where the target of a storage of type iscsi is.
    #[arg(long, help = "iscsi: where the target is, <host>[:<port>]")]
    pub portal: Option<String>,

    /// iscsi: the target's name
    #[arg(long)]
    pub target: Option<String>,

    /// Properties of both types.
    #[command(flatten)]
    pub common: CommonProperties,

    /// Options of every change.
    #[command(flatten)]
    pub options: ConfigOptions,
}

/// Properties that can be given and changed.
#[derive(Debug, Args)]
pub struct CommonProperties {
    /// What it is for: images, rootdir; iscsi: images or none [default: lvmthin images,rootdir; iscsi images]
    #[arg(long, value_name = "LIST")]
    pub content: Option<String>,

    /// The nodes it is for [default: all]
    #[arg(long, value_name = "LIST")]
    pub nodes: Option<String>,

    /// Whether it is switched off
    #[arg(long, value_name = "BOOLEAN", num_args = 0..=1, default_missing_value = "1")]
    pub disable: Option<String>,

    /// Limits of copying in KiB/s: clone=, default=, migration=, move=, restore=
    #[arg(long, value_name = "LIMITS")]
    pub bwlimit: Option<String>,
}

impl CommonProperties {
    /// Those that are given, by key.
    pub fn given(&self) -> Options {
        let all = [
            ("content", &self.content),
            ("nodes", &self.nodes),
            ("disable", &self.disable),
            ("bwlimit", &self.bwlimit),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?))).collect()
    }
}

/// How long a portal may take to answer. Source: pve-storage `PVE/Storage/ISCSIPlugin.pm` (`iscsi_test_portal`).
const PORTAL_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the lock of a volume group is waited for. The lock of the configuration is held meanwhile, which Proxmox
/// VE lets nobody do for longer than 60 seconds.
const VG_LOCK_SECONDS: u32 = 30;

impl AddArgs {
    /// Adds the storage. What it is made of has to be there, unless it is not for this node.
    ///
    /// # Errors
    /// If a property is wrong, the id is taken, or what it is made of is not there.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let id = StorageId::new(&self.storage)?;
        let kind = self.kind()?;
        let mut properties = self.common.given();
        let own = [
            ("vgname", &self.vgname),
            ("thinpool", &self.thinpool),
            ("portal", &self.portal),
            ("target", &self.target),
        ];
        properties.extend(own.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?))));
        // Errors of the properties alone come before any lock is taken.
        if id.as_str() != "local" {
            StorageCfg::parse("", b"").add(&id, kind, &properties)?;
        }
        configure(context, &self.options, &id, "create storage failed", |config| {
            let text = config.add(&id, kind, &properties)?;
            let changed = StorageCfg::parse(config.file(), &text);
            let storage = changed.storage(&id)?;
            if storage.enabled_on(context.resolver.node()).is_ok() {
                check_is_there(context, storage)?;
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
                .hint("the types are lvmthin and iscsi"),
        })
    }
}

fn check_is_there(context: &Context, storage: &Storage) -> Result<(), CliError> {
    let portal = storage.own.get("portal").and_then(|portal| portal::parse(portal));
    match (&storage.pool, portal) {
        (Some(PoolName { vg, pool }), _) => check_pool(context, vg, pool),
        (None, Some(portal)) => check_portal(&storage.id, &portal),
        (None, None) => Ok(()),
    }
}

/// The words are those in which Proxmox VE misses a pool, or the volume group of one.
fn check_pool(context: &Context, vg: &VgName, pool: &LvName) -> Result<(), CliError> {
    let reader =
        context.open(&ChangeOptions { dry_run: true, no_udev_sync: false, lock_timeout: VG_LOCK_SECONDS })?;
    let missing = || CliError::new(ErrorKind::NotFound, format!("no such logical volume {vg}/{pool}"));
    let metadata = reader.metadata(vg).map_err(|error| {
        let error = CliError::from(error);
        if error.code == ErrorKind::NotFound {
            CliError {
                causes: vec![error.message],
                ..missing().hint("'thinvol scan lvm' lists the volume groups")
            }
        } else {
            error
        }
    })?;
    let lv = metadata.lv(pool).ok_or_else(|| {
        missing().hint(format!("'thinvol scan lvmthin {vg}' lists the thin pools of the volume group"))
    })?;
    match lv.thin_pool() {
        Some(_) => Ok(()),
        None => {
            Err(CliError::new(ErrorKind::Refused, format!("logical volume {vg}/{pool} is not a thin pool"))
                .hint(format!("'thinvol scan lvmthin {vg}' lists the thin pools of the volume group")))
        }
    }
}

fn check_portal(id: &StorageId, portal: &Portal) -> Result<(), CliError> {
    Connection::open(portal, None, &Limit::new(PORTAL_TIMEOUT)).map(drop).map_err(|error| {
        CliError::new(ErrorKind::Refused, format!("storage '{id}' is not online"))
            .caused_by(Some(&error))
            .hint(format!("nothing answers at {portal}; --disable 1 adds the storage without asking"))
    })
}
