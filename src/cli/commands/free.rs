//! `thinvol free`: remove volumes.

use std::collections::{BTreeSet, HashMap};

use clap::Args;

use crate::ask;
use crate::context::Context;
use crate::errors::CliError;
use crate::help::changing;
use crate::options::ChangeOptions;
use crate::resolve::{Volume, VolumeOrSnapshot};
use crate::select::Selection;
use crate::transaction::{by_vg, transact};
use base::ids::{LvName, VgName};
use thin::changes::{Change, RemoveVolume};

const HELP: &str = changing!(
    "\
  thinvol free local-lvm:vm-100-disk-0
  thinvol free pve/vm-100-disk-0 --with-snapshots      with all its snapshots
  thinvol free local-lvm:vm-100-disk-0 --keep-snapshots
  thinvol free pve/vm-100-disk-0 pve/vm-100-disk-1     both or neither
  thinvol free --vmid 100                              all volumes of a guest, in all storages
  thinvol free --storage pve/data --name 'tmp-*'       all with such a name in a pool
  thinvol free --dry-run pve/vm-100-disk-0             what would be done"
);

/// Remove volumes
///
/// Removes thin volumes and frees the space that only they use. Clones of a removed volume stay complete. Its
/// snapshots go with it if --with-snapshots says so; also, as in Proxmox VE, if the volume is named by a storage
/// id, unless --keep-snapshots is given. On a terminal, thinvol asks before it removes snapshots that were not
/// named. A volume named twice in different ways is refused.
///
/// Which snapshots belong to a volume is recorded, not read from names. A template with clones is refused, and
/// the clones are named. A volume in use is refused, and its users are named. A volume that does not exist gets a
/// note and counts as removed. Freed chunks go back to the pool, which zeroes them before another volume gets
/// them, unless the pool is set not to; --discard also passes them down to the disks.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct FreeArgs {
    /// The volumes
    #[arg(required_unless_present = "filter", conflicts_with = "filter", value_name = "VOLUME")]
    pub volumes: Vec<String>,

    /// Which volumes, if they are not named.
    #[command(flatten)]
    pub select: Selection,

    /// Remove the volumes' snapshots, too. Without this and --keep-snapshots those of a volume named by a storage id
    /// go, as in Proxmox VE, and those of one named as <vg>/<lv> stay, as in lvm2
    #[arg(long, visible_alias = "snapshots", conflicts_with = "keep_snapshots")]
    pub with_snapshots: bool,

    /// Keep the volumes' snapshots; they stay complete
    #[arg(long)]
    pub keep_snapshots: bool,

    /// Do not ask. There is a question only on a terminal, and only if snapshots go that no option and no name asks for
    #[arg(long, short = 'y')]
    pub yes: bool,

    /// Remove templates that volumes were cloned from; the clones stay complete
    #[arg(long)]
    pub force: bool,

    /// Discard the volumes before they are removed, so that the disks below get their space back. This is a step of the
    /// plan, after all checks. It takes time, during which the volume group is locked, and cannot be undone if a later
    /// step fails or a signal stops it: the exit code is then 5, and the emptied volumes are named. Chunks that a
    /// volume shares with one that stays, and an incomplete last chunk, are not discarded
    #[arg(long)]
    pub discard: bool,

    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl FreeArgs {
    /// Removes the volumes.
    ///
    /// # Errors
    /// If an argument is wrong, or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let volumes = if self.select.is_used() {
            let volumes = self.select.volumes(context)?;
            context.warn(volumes.is_empty().then(|| "no volume is like that; nothing to remove".to_owned()));
            volumes
        } else {
            let texts = self.volumes.iter().map(|text| context.resolver.volume(text));
            each_once(texts.collect::<Result<_, _>>()?)?
        };
        let named: Vec<Volume> = if self.select.is_used() { Vec::new() } else { volumes.clone() };
        let mut removals: Vec<RemoveVolume> =
            volumes.into_iter().map(|volume| self.removal(volume)).collect();
        let is_clear = self.snapshots().is_some() && !self.select.is_used();
        let is_asked = !is_clear && !self.yes && !self.change.dry_run && !context.style.json;
        if is_asked && ask::is_possible() {
            let confirmed = self.confirm(context, &removals, &named)?;
            removals.iter_mut().for_each(|removal| removal.confirmed = Some(confirmed.clone()));
        }
        transact(context, &self.change, removals.into_iter().map(Change::from))
    }

    fn removal(&self, volume: Volume) -> RemoveVolume {
        RemoveVolume {
            snapshots: self.snapshots(),
            force: self.force,
            if_exists: true,
            discard: self.discard,
            ..RemoveVolume::new(VolumeOrSnapshot::Volume(volume))
        }
    }

    /// What the options say of snapshots, if they say anything.
    fn snapshots(&self) -> Option<bool> {
        (self.with_snapshots || self.keep_snapshots).then_some(self.with_snapshots)
    }

    /// Asks for what nobody named. Returns that.
    fn confirm(
        &self,
        context: &Context,
        removals: &[RemoveVolume],
        named: &[Volume],
    ) -> Result<BTreeSet<String>, CliError> {
        let engine = context.reader()?;
        let mut along = BTreeSet::new();
        let changes = removals.iter().cloned().map(Change::from);
        for (vg, changes) in by_vg(changes.map(|change| (change.vg().clone(), change))) {
            let named: BTreeSet<&LvName> =
                named.iter().filter(|volume| volume.vg == vg).map(|volume| &volume.lv).collect();
            let removed = engine.preview(&vg, &changes)?.removed.into_iter();
            along.extend(removed.filter(|(_, lv)| !named.contains(lv)).map(|(shown, _)| shown));
        }
        if !along.is_empty() {
            let title = match self.select.is_used() {
                true => "these volumes and snapshots are removed:",
                false => "these snapshots are removed with their volumes:",
            };
            let mut what = vec![title.to_owned()];
            what.extend(along.iter().map(|volume| format!("  {volume}")));
            ask::confirm(&what)?;
        }
        Ok(along)
    }
}

/// Each volume once. One that is named in two ways is refused: whether its snapshots go depends on how it is
/// named.
///
/// # Errors
/// If there is one.
fn each_once(volumes: Vec<Volume>) -> Result<Vec<Volume>, CliError> {
    let mut once: Vec<Volume> = Vec::new();
    let mut places: HashMap<(VgName, LvName), usize> = HashMap::new();
    for volume in volumes {
        match places.get(&(volume.vg.clone(), volume.lv.clone())) {
            Some(place) if once[*place].to_string() == volume.to_string() => {}
            Some(place) => {
                let message = format!("'{}' and '{volume}' are one volume", once[*place]);
                return Err(CliError::usage(message).hint(
                    "name it in one way: by its storage's id its snapshots go with it, by <vg>/<lv> they stay",
                ));
            }
            None => {
                places.insert((volume.vg.clone(), volume.lv.clone()), once.len());
                once.push(volume);
            }
        }
    }
    Ok(once)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::Resolver;
    use base::error_kind::ErrorKind;

    #[test]
    fn one_volume_named_in_two_ways_is_refused() {
        let resolver = Resolver::over("lvmthin: st\n\tvgname pve\n\tthinpool data\n\n");
        let once =
            |volumes: &[&str]| each_once(volumes.iter().map(|text| resolver.volume(text).unwrap()).collect());
        for two in [["st:vm-200-d", "pve/vm-200-d"], ["pve/vm-200-d", "st:vm-200-d"]] {
            let refused = once(&two).unwrap_err();
            assert_eq!(refused.code, ErrorKind::Usage);
            assert!(refused.message.ends_with("are one volume"), "{}", refused.message);
        }
        assert_eq!(once(&["pve/vm-200-d", "/dev/pve/vm-200-d"]).unwrap().len(), 1, "they mean the same");
    }
}
