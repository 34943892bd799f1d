//! `thinvol free`: volumes go.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use clap::Args;

use super::template::is_template;
use crate::args::ChangeOptions;
use crate::ask;
use crate::context::Context;
use crate::errors::CliError;
use crate::help::changing;
use crate::lookup;
use crate::resolve::Volume;
use crate::select::Selection;
use crate::transaction::{ChangeSet, LabelledRequest, by_vg, transact};
use base::error_kind::ErrorKind;
use base::first_few::first_few;
use base::ids::{LvName, VgName};
use lvm2::format::model::{Lv, Vg};
use thin::lineage::{Lineage, Relation};
use thin::request::Request;

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
        let wishes = by_vg(volumes.into_iter().map(|volume| (volume.vg.clone(), volume)));
        let is_clear = self.snapshots().is_some() && !self.select.is_used();
        let is_asked = !is_clear && !self.yes && !self.change.dry_run && !context.style.json;
        let confirmed =
            if is_asked && ask::is_possible() { Some(self.confirm(context, &wishes)?) } else { None };
        transact(context, &self.change, wishes, |vg, volumes| {
            let ask = self.ask(vg, volumes)?;
            confirmed
                .as_ref()
                .map_or(Ok(()), |confirmed| still_those(&ask, self.named(volumes), confirmed))?;
            Ok(ask)
        })
    }

    /// Those of the volumes that were named.
    fn named<'a>(&self, volumes: &'a [Volume]) -> &'a [Volume] {
        if self.select.is_used() { &[] } else { volumes }
    }

    /// What the options say of snapshots, if they say anything.
    fn snapshots(&self) -> Option<bool> {
        (self.with_snapshots || self.keep_snapshots).then_some(self.with_snapshots)
    }

    /// Asks for what nobody named. Returns that.
    fn confirm(
        &self,
        context: &Context,
        wishes: &BTreeMap<VgName, Vec<Volume>>,
    ) -> Result<BTreeSet<String>, CliError> {
        let engine = context.reader()?;
        let mut along = BTreeSet::new();
        for (name, volumes) in wishes {
            let ask = self.ask(&engine.metadata(name)?, volumes)?;
            along.extend(unnamed(&ask, self.named(volumes)).map(|wanted| wanted.display_name.clone()));
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

    fn ask(&self, vg: &Vg, volumes: &[Volume]) -> Result<ChangeSet, CliError> {
        self.select.still_takes(vg, volumes)?;
        let mut ask = ask(vg, volumes, self.snapshots(), self.force)?;
        if self.discard {
            discard_first(&mut ask);
        }
        Ok(ask)
    }
}

/// Has everything that is removed discarded, snapshots too: the last of those that share a chunk gives it back.
fn discard_first(ask: &mut ChangeSet) {
    let discards = ask.wanted.iter().filter_map(|wanted| match &wanted.request {
        Request::Remove { name } => Some(LabelledRequest {
            request: Request::Discard { name: name.clone() },
            display_name: wanted.display_name.clone(),
            done_message: String::new(),
        }),
        _ => None,
    });
    let discards: Vec<LabelledRequest> = discards.collect();
    ask.wanted.splice(0..0, discards);
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

/// What goes without being named.
fn unnamed<'a>(ask: &'a ChangeSet, volumes: &'a [Volume]) -> impl Iterator<Item = &'a LabelledRequest> {
    let named: BTreeSet<&LvName> = volumes.iter().map(|volume| &volume.lv).collect();
    ask.wanted
        .iter()
        .filter(move |wanted| matches!(&wanted.request, Request::Remove { name } if !named.contains(name)))
}

/// Nothing goes that was not there when the user was asked.
fn still_those(ask: &ChangeSet, volumes: &[Volume], confirmed: &BTreeSet<String>) -> Result<(), CliError> {
    let mut new = unnamed(ask, volumes).filter(|wanted| !confirmed.contains(&wanted.display_name));
    new.next().map_or(Ok(()), |wanted| {
        let message = format!("'{}' is new since you were asked; nothing was changed", wanted.display_name);
        Err(CliError::new(ErrorKind::Busy, message).hint("do it again"))
    })
}

fn ask(vg: &Vg, volumes: &[Volume], snapshots: Option<bool>, force: bool) -> Result<ChangeSet, CliError> {
    let lineage = Lineage::of(vg);
    let mut ask = ChangeSet::default();
    for volume in volumes {
        if vg.lv(&volume.lv).is_some() {
            let stays = |lv: &LvName| !volumes.iter().any(|volume| volume.lv == *lv);
            let snapshots = with_snapshots(volume, snapshots);
            let lv = lookup::volume(vg, volume)?;
            ask.notes.extend(
                lineage
                    .former_snapshots_of(lv)
                    .filter(|(_, former)| snapshots && stays(&former.name))
                    .map(|(snap, former)| former_stays(vg, volume, snap, former)),
            );
            for wanted in wanted(vg, &lineage, volume, snapshots, force, stays)? {
                if !ask.wanted.iter().any(|asked| asked.request == wanted.request) {
                    ask.wanted.push(wanted);
                }
            }
        } else {
            ask.notes.push(format!("volume '{volume}' does not exist; nothing to remove"));
        }
    }
    Ok(ask)
}

/// Whether a volume's snapshots go with it: as is asked for; else as in Proxmox VE where it is named by a storage, and
/// as in lvm2 where it is not.
pub fn with_snapshots(volume: &Volume, asked: Option<bool>) -> bool {
    asked.unwrap_or(volume.storage.is_some())
}

/// The requests to remove a volume that exists, and its snapshots if they are to go. `stays` says whether a clone
/// is to stay.
///
/// # Errors
/// If it is a template of clones that stay, unless that is forced.
pub fn wanted(
    vg: &Vg,
    lineage: &Lineage<'_>,
    volume: &Volume,
    snapshots: bool,
    force: bool,
    stays: impl Fn(&LvName) -> bool,
) -> Result<Vec<LabelledRequest>, CliError> {
    let lv = lookup::volume(vg, volume)?;
    if is_template(&lv.name) && !force {
        let clones =
            lineage.children_of(lv).filter(|(relation, _)| !matches!(relation, Relation::Snapshot(_)));
        let clones: Vec<&str> =
            clones.filter(|(_, clone)| stays(&clone.name)).map(|(_, clone)| clone.name.as_str()).collect();
        if !clones.is_empty() {
            let message = format!(
                "'{volume}' is the template of clones that exist: {}",
                first_few(&clones, LISTED, ", ")
            );
            return Err(CliError::new(ErrorKind::Refused, message).hint(
                "--force removes it all the same: the clones stay whole, only the link to it is lost",
            ));
        }
    }
    let mut wanted = vec![LabelledRequest {
        request: Request::Remove { name: lv.name.clone() },
        display_name: volume.to_string(),
        done_message: format!("Removed volume '{volume}'"),
    }];
    if snapshots {
        wanted.extend(lineage.snapshots_of(lv).map(|(snap, snapshot)| LabelledRequest {
            request: Request::Remove { name: snapshot.name.clone() },
            display_name: format!("{volume}@{snap}"),
            done_message: format!("Removed its snapshot '{snap}' ('{}/{}')", vg.name, snapshot.name),
        }));
    }
    Ok(wanted)
}

/// What to say of an LV that was a snapshot of a volume which goes with its snapshots.
fn former_stays(vg: &Vg, volume: &Volume, snap: &str, former: &Lv) -> String {
    format!(
        "'{0}/{1}' was made as snapshot '{snap}' of '{volume}' and is a volume of its own by now, by its name and \
         flags: it stays; 'thinvol free {0}/{1}' removes it",
        vg.name, former.name
    )
}

/// How many names are listed.
const LISTED: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use thin::lineage::fixture::{lv, uuid, vg};
    use thin::lineage::{SnapName, complete_tags, snapshot_tags};

    fn removed(
        vg: &Vg,
        volumes: &[&str],
        snapshots: Option<bool>,
        force: bool,
    ) -> Result<Vec<String>, CliError> {
        let resolver = crate::resolve::Resolver::over("lvmthin: st\n\tvgname pve\n\tthinpool data\n\n");
        let volumes = each_once(volumes.iter().map(|text| resolver.volume(text).unwrap()).collect())?;
        let wanted = ask(vg, &volumes, snapshots, force)?.wanted;
        Ok(wanted
            .into_iter()
            .map(|wanted| match wanted.request {
                Request::Remove { name } => name.to_string(),
                other => panic!("{other:?}"),
            })
            .collect())
    }

    #[test]
    fn a_volumes_own_snapshots_go_with_it_and_no_others() {
        let vg = vg(vec![
            lv(1, "vm-200-d", None, vec![]),
            lv(2, "vm-200-d_x", None, vec![]),
            lv(3, "snap_vm-200-d_x_y", Some("vm-200-d_x"), vec![]),
            lv(4, "snap_vm-200-d_b", Some("vm-200-d"), vec![]),
        ]);
        assert_eq!(
            removed(&vg, &["pve/vm-200-d"], Some(true), false).unwrap(),
            ["vm-200-d", "snap_vm-200-d_b"]
        );
        assert_eq!(removed(&vg, &["pve/vm-200-d"], None, false).unwrap(), ["vm-200-d"]);
        let by_id = removed(&vg, &["st:vm-200-d"], None, false).unwrap();
        assert_eq!(by_id, ["vm-200-d", "snap_vm-200-d_b"]);
        let kept = removed(&vg, &["st:vm-200-d"], Some(false), false).unwrap();
        assert_eq!(kept, ["vm-200-d"]);
        let both = ["pve/snap_vm-200-d_b", "pve/vm-200-d"];
        assert_eq!(removed(&vg, &both, Some(true), false).unwrap(), ["snap_vm-200-d_b", "vm-200-d"]);
    }

    #[test]
    fn one_volume_named_in_two_ways_is_refused() {
        let vg = vg(vec![lv(1, "vm-200-d", None, vec![])]);
        for two in [["st:vm-200-d", "pve/vm-200-d"], ["pve/vm-200-d", "st:vm-200-d"]] {
            let refused = removed(&vg, &two, None, false).unwrap_err();
            assert_eq!(refused.code, ErrorKind::Usage);
            assert!(refused.message.ends_with("are one volume"), "{}", refused.message);
        }
        let twice = ["pve/vm-200-d", "/dev/pve/vm-200-d"];
        assert_eq!(removed(&vg, &twice, None, false).unwrap(), ["vm-200-d"], "they mean the same");
    }

    #[test]
    fn a_snapshot_that_was_not_asked_for_does_not_go() {
        let resolver = crate::resolve::Resolver::over("lvmthin: st\n\tvgname pve\n\tthinpool data\n\n");
        let volumes = [resolver.volume("st:vm-200-d").unwrap()];
        let vg =
            vg(vec![lv(1, "vm-200-d", None, vec![]), lv(2, "snap_vm-200-d_b", Some("vm-200-d"), vec![])]);
        let ask = ask(&vg, &volumes, None, false).unwrap();
        let confirmed = BTreeSet::from(["st:vm-200-d@b".to_owned()]);
        assert_eq!(still_those(&ask, &volumes, &confirmed), Ok(()));
        assert_eq!(still_those(&ask, &volumes, &BTreeSet::new()).unwrap_err().code, ErrorKind::Busy);
    }

    /// `lvrename` and `lvchange --permission rw` keep the tags.
    #[test]
    fn a_snapshot_that_became_a_disk_stays_and_is_told() {
        let tags = |snap| complete_tags(&snapshot_tags(&SnapName::new(snap).unwrap()), &uuid(1));
        let mut writable = lv(4, "snap_vm-100-disk-0_s2", None, tags("s2"));
        (writable.status, writable.flags) = (vec!["READ".into(), "WRITE".into(), "VISIBLE".into()], vec![]);
        let vg = vg(vec![
            lv(1, "vm-100-disk-0", None, vec![]),
            lv(2, "vm-200-disk-0", Some("vm-100-disk-0"), tags("s1")),
            lv(3, "snap_vm-100-disk-0_s3", Some("vm-100-disk-0"), tags("s3")),
            writable,
        ]);
        assert_eq!(
            removed(&vg, &["st:vm-100-disk-0"], Some(true), false).unwrap(),
            ["vm-100-disk-0", "snap_vm-100-disk-0_s3"]
        );
        let resolver = crate::resolve::Resolver::over("");
        let volumes = ["pve/vm-100-disk-0", "pve/snap_vm-100-disk-0_s2"].map(|v| resolver.volume(v).unwrap());
        let asked = ask(&vg, &volumes, Some(true), false).unwrap();
        assert_eq!(asked.wanted.len(), 3, "what is asked for by name goes");
        assert_eq!(asked.notes.len(), 1, "{:?}", asked.notes);
        assert!(
            asked.notes[0].starts_with("'pve/vm-200-disk-0' was made as snapshot 's1'"),
            "{:?}",
            asked.notes
        );
    }

    #[test]
    fn a_template_with_clones_is_kept_unless_they_go_or_it_is_forced() {
        let vg = vg(vec![
            lv(1, "base-9000-disk-0", None, vec![]),
            lv(2, "vm-101-disk-0", Some("base-9000-disk-0"), vec![]),
            lv(3, "vm-102-disk-0", Some("base-9000-disk-0"), vec![]),
        ]);
        let refused =
            removed(&vg, &["pve/base-9000-disk-0", "pve/vm-101-disk-0"], Some(true), false).unwrap_err();
        assert_eq!(
            refused.message,
            "'pve/base-9000-disk-0' is the template of clones that exist: vm-102-disk-0"
        );
        assert_eq!(removed(&vg, &["pve/base-9000-disk-0"], Some(true), true).unwrap().len(), 1);
        let all = ["pve/vm-102-disk-0", "pve/base-9000-disk-0", "pve/vm-101-disk-0"];
        assert_eq!(removed(&vg, &all, Some(true), false).unwrap().len(), 3);
    }
}
