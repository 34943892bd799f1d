//! `thinvol activate` and `thinvol deactivate`: devices come and go.

use clap::Args;

use crate::args::ChangeOptions;
use crate::context::Context;
use crate::errors::CliError;
use crate::help::changing;
use crate::iscsi_storage::activation::{self, Direction, only_iscsi};
use crate::lookup;
use crate::resolve::NamedObject;
use crate::select::Selection;
use crate::transaction::{ChangeSet, LabelledRequest, by_vg, transact};
use base::ids::LvName;
use lvm2::format::model::Vg;
use thin::lineage::Lineage;
use thin::request::Request;

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

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Devices come.
    Up {
        /// Of a volume group, only those that come up by themselves.
        auto: bool,
    },
    /// Devices go.
    Down,
}

impl ActivateArgs {
    /// Activates the targets.
    ///
    /// # Errors
    /// If an argument is wrong, or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        run(context, &self.targets, &self.select, &self.change, Transition::Up { auto: self.auto })
    }
}

impl DeactivateArgs {
    /// Deactivates the targets.
    ///
    /// # Errors
    /// If an argument is wrong, or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        run(context, &self.targets, &self.select, &self.change, Transition::Down)
    }
}

fn run(
    context: &Context,
    texts: &[String],
    select: &Selection,
    change: &ChangeOptions,
    way: Transition,
) -> Result<(), CliError> {
    let direction = if way == Transition::Down { Direction::Down } else { Direction::Up };
    if let Some(addresses) = only_iscsi(context, texts, direction)? {
        return activation::run(context, &addresses, change, direction);
    }
    let targets = if select.is_used() { selected(context, select)? } else { named(context, texts)? };
    let wishes = by_vg(targets.into_iter().map(|target| (target.vg().clone(), target)));
    transact(context, change, wishes, |vg, targets| {
        select.still_takes(vg, targets.iter().filter_map(NamedObject::as_volume))?;
        let lineage = Lineage::of(vg);
        let wanted = targets.iter().map(|target| wanted(vg, &lineage, target, way));
        Ok(ChangeSet { wanted: wanted.collect::<Result<_, _>>()?, notes: vec![] })
    })
}

/// What the user named, each once.
fn named(context: &Context, texts: &[String]) -> Result<Vec<NamedObject>, CliError> {
    let mut targets: Vec<NamedObject> = Vec::new();
    for text in texts {
        let target = context.resolver.target(text)?;
        if !targets.iter().any(|known| known.is_same(&target)) {
            targets.push(target);
        }
    }
    Ok(targets)
}

/// The volumes that are meant without being named.
fn selected(context: &Context, select: &Selection) -> Result<Vec<NamedObject>, CliError> {
    let volumes = select.volumes(context)?;
    if volumes.is_empty() {
        Err(select.nothing())
    } else {
        Ok(volumes.into_iter().map(NamedObject::Volume).collect())
    }
}

fn wanted(
    vg: &Vg,
    lineage: &Lineage<'_>,
    target: &NamedObject,
    way: Transition,
) -> Result<LabelledRequest, CliError> {
    match target {
        NamedObject::Vg(name) => {
            let (request, did) = match way {
                Transition::Up { auto } => (Request::ActivateAll { auto }, "activated"),
                Transition::Down => (Request::DeactivateAll, "deactivated"),
            };
            Ok(LabelledRequest {
                request,
                display_name: name.to_string(),
                done_message: format!("{did} volume group '{name}'"),
            })
        }
        NamedObject::Storage(storage) => {
            let pool = vg.lv(&storage.pool).filter(|lv| lv.thin_pool().is_some());
            let pool = pool.ok_or_else(|| lookup::no_pool(storage))?;
            Ok(of_lv(&pool.name, storage.to_string(), way))
        }
        NamedObject::Volume(volume) => Ok(of_lv(&lookup::volume(vg, volume)?.name, volume.to_string(), way)),
        NamedObject::Snapshot(snapshot) => {
            Ok(of_lv(&lookup::snapshot(vg, lineage, snapshot)?.name, snapshot.to_string(), way))
        }
    }
}

/// The request for one LV, under the name the user called it.
pub fn of_lv(name: &LvName, display_name: String, way: Transition) -> LabelledRequest {
    let (request, did) = match way {
        Transition::Up { .. } => (Request::Activate { name: name.clone(), ignore_skip: true }, "activated"),
        Transition::Down => (Request::Deactivate { name: name.clone() }, "deactivated"),
    };
    LabelledRequest { request, done_message: format!("{did} '{display_name}'"), display_name }
}
