//! `thinvol activate` and `thinvol deactivate`: create and remove devices.

use clap::Args;

use crate::backends::activation::{self, Direction, only_apart};
use crate::context::Context;
use crate::errors::CliError;
use crate::help::changing;
use crate::options::ChangeOptions;
use crate::resolve::NamedObject;
use crate::select::Selection;
use crate::transaction::transact;
use thin::changes::{Activate, Deactivate};

const ACTIVATE_HELP: &str = changing!(
    "\
  thinvol activate pve/vm-100-disk-0
  thinvol activate local-lvm                       the pool of a storage
  thinvol activate pve/data                        the pool, without its volumes
  thinvol activate pve                             all volumes that lvm2 would activate
  thinvol activate --auto pve                      those that come up by themselves at boot
  thinvol activate pve/vm-100-disk-0@daily         a snapshot
  thinvol activate --vmid 100                      all volumes of a guest, in all storages
  thinvol activate --storage pve/data --tag gold   all with an LVM tag in a pool
  thinvol activate san                             a storage of type iscsi: logs in at all portals of its target",
    "\"storages\"?: (of type iscsi) [{\"storage\", \"target\", \"luns\": number, \"changes\": [text],
      \"paths\": [{\"portal\", \"interface\": text or null, \"session\": number or null,
        \"state\": text or null}],
      \"plan\"?: [text] (with --dry-run)}],\n   "
);

const DEACTIVATE_HELP: &str = changing!(
    "\
  thinvol deactivate pve/vm-100-disk-0
  thinvol deactivate pve/vm-100-disk-0 pve/vm-100-disk-1
  thinvol deactivate pve                           everything of the volume group
  thinvol deactivate --vmid 100                    all volumes of a guest, in all storages
  thinvol deactivate san                           a storage of type iscsi: logs out",
    "\"storages\"?: (of type iscsi) [{\"storage\", \"target\", \"luns\": number, \"changes\": [text],
      \"paths\": [{\"portal\", \"interface\": text or null, \"session\": number or null,
        \"state\": text or null}],
      \"plan\"?: [text] (with --dry-run)}],\n   "
);

/// Activate volumes, pools or volume groups
///
/// Creates the devices of volumes, and starts the pools they need. A volume or snapshot that is named is
/// activated even if it has the activation skip flag; with a whole volume group such volumes are left out. For a
/// storage of type iscsi, logs in to its target at all portals that the target lists, and attaches all LUNs; one
/// path that works is enough.
#[derive(Debug, Args)]
#[command(after_long_help = ACTIVATE_HELP)]
pub struct ActivateArgs {
    /// Volumes, snapshots, storages (their pools) or volume groups
    #[arg(required_unless_present = "filter", conflicts_with = "filter", value_name = "VOLUME|STORAGE|VG")]
    pub targets: Vec<String>,

    /// Which volumes, if they are not named.
    #[command(flatten)]
    pub select: Selection,

    /// Of a volume group, only what comes up at boot, as 'vgchange -aay'
    #[arg(long, conflicts_with = "filter")]
    pub auto: bool,

    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// Deactivate volumes, pools or volume groups
///
/// Removes the devices of volumes. A volume in use is refused, and its users are named. For a storage of type
/// iscsi, logs out of its target, unless one of its disks is in use.
#[derive(Debug, Args)]
#[command(after_long_help = DEACTIVATE_HELP)]
pub struct DeactivateArgs {
    /// Volumes, snapshots, storages (their pools) or volume groups
    #[arg(required_unless_present = "filter", conflicts_with = "filter", value_name = "VOLUME|STORAGE|VG")]
    pub targets: Vec<String>,

    /// Which volumes, if they are not named.
    #[command(flatten)]
    pub select: Selection,

    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl ActivateArgs {
    /// Activates the targets.
    ///
    /// # Errors
    /// If an argument is wrong, or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        if let Some(addresses) = only_apart(context, &self.targets, Direction::Up)? {
            return activation::run(context, &addresses, &self.change, Direction::Up);
        }
        let objects = meant(context, &self.targets, &self.select)?.into_iter();
        let changes = objects.map(|volume| Activate { auto: self.auto, ..Activate::new(volume) }.into());
        transact(context, &self.change, changes)
    }
}

impl DeactivateArgs {
    /// Deactivates the targets.
    ///
    /// # Errors
    /// If an argument is wrong, or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        if let Some(addresses) = only_apart(context, &self.targets, Direction::Down)? {
            return activation::run(context, &addresses, &self.change, Direction::Down);
        }
        let objects = meant(context, &self.targets, &self.select)?.into_iter();
        transact(context, &self.change, objects.map(|volume| Deactivate::new(volume).into()))
    }
}

/// What the user named, each once, or the volumes that are meant without being named.
fn meant(context: &Context, texts: &[String], select: &Selection) -> Result<Vec<NamedObject>, CliError> {
    if select.is_used() {
        let volumes = select.volumes(context)?;
        if volumes.is_empty() {
            return Err(select.nothing());
        }
        return Ok(volumes.into_iter().map(NamedObject::Volume).collect());
    }
    let mut objects: Vec<NamedObject> = Vec::new();
    for text in texts {
        let object = context.resolver.target(text)?;
        if !objects.iter().any(|known| known.is_same(&object)) {
            objects.push(object);
        }
    }
    Ok(objects)
}
