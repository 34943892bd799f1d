//! `thinvol rename`: a volume and its snapshots get another name.

use clap::Args;

use crate::args::ChangeOptions;
use crate::context::Context;
use crate::errors::CliError;
use crate::help::changing;
use crate::lookup;
use crate::resolve::Volume;
use crate::transaction::{ChangeSet, LabelledRequest, by_vg, transact};
use base::error_kind::ErrorKind;
use base::ids::LvName;
use config::names;
use lvm2::format::model::{Lv, Vg};
use thin::lineage::{Descent, Lineage, Relation, SnapName, snapshot_lv_name};
use thin::request::{Attributes, Request};

const HELP: &str = changing!(
    "\
  thinvol rename pve/vm-100-disk-0 vm-100-disk-7
  thinvol rename pve/vm-100-disk-0 vm-101-disk-0         another guest gets it
  thinvol rename --dry-run pve/vm-100-disk-0 vm-100-old  what would be done"
);

/// Rename a volume
///
/// Renames a thin volume, in use or not. Its snapshots, whose LVs are named after it, are renamed in the same
/// transaction; snapshots and clones still belong to it. If the new name gives the volume to another guest, the
/// tag by which Proxmox VE marks the owner ('pve-vm-<VMID>') changes as well.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct RenameArgs {
    /// The volume
    pub volume: String,

    /// Its new name, without the storage or volume group
    pub name: String,

    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl RenameArgs {
    /// Renames the volume.
    ///
    /// # Errors
    /// If an argument is wrong, or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let volume = context.resolver.volume(&self.volume)?;
        let to = LvName::for_new_volume(&self.name).map_err(|error| CliError::usage(error.to_string()))?;
        transact(context, &self.change, by_vg([(volume.vg.clone(), volume)]), |vg, volumes| {
            let lineage = Lineage::of(vg);
            let mut wanted = Vec::new();
            for volume in volumes {
                wanted.extend(requests(vg, &lineage, volume, &to)?);
            }
            Ok(ChangeSet { wanted, notes: vec![] })
        })
    }
}

/// The requests for another name of a volume: its snapshots, whose names hold the volume's, get theirs in the same
/// transaction, so that Proxmox VE goes on finding them; and the tag by which Proxmox VE marks whose a volume is
/// that was given to another guest changes with the guest.
///
/// # Errors
/// If it does not exist, is a snapshot, or the name of one of its snapshots would not be legal.
pub fn requests(
    vg: &Vg,
    lineage: &Lineage<'_>,
    volume: &Volume,
    to: &LvName,
) -> Result<Vec<LabelledRequest>, CliError> {
    let lv = lookup::volume(vg, volume)?;
    if let Some(Descent { relation: Relation::Snapshot(snap), .. }) = lineage.descent(lv) {
        return Err(CliError::new(
            ErrorKind::Unsupported,
            format!("rename_snapshot is not supported for '{volume}'"),
        )
        .hint(format!("it is the snapshot '{snap}' of a volume, and gets its name from it")));
    }
    let mut wanted = vec![LabelledRequest {
        request: Request::Rename { name: lv.name.clone(), to: to.clone() },
        display_name: volume.to_string(),
        done_message: format!("renamed '{volume}' to '{to}'"),
    }];
    wanted.extend(owner_tags(lv, to).map(|attributes| LabelledRequest {
        request: Request::Modify { name: to.clone(), attributes },
        display_name: volume.to_string(),
        done_message: String::new(),
    }));
    for (snap, snapshot) in lineage.snapshots_of(lv) {
        let name = |volume: &LvName| {
            let snap = SnapName::new(snap).map_err(|error| CliError::usage(error.to_string()))?;
            snapshot_lv_name(volume, &snap).map_err(|error| lookup::explained(&vg.name, &error))
        };
        // One that somebody named otherwise belongs to the volume by its tags and keeps its name.
        if name(&lv.name)? == snapshot.name && lv.name != *to {
            let to = name(to)?;
            wanted.push(LabelledRequest {
                done_message: format!("renamed its snapshot '{snap}' to '{to}'"),
                request: Request::Rename { name: snapshot.name.clone(), to },
                display_name: format!("{volume}@{snap}"),
            });
        }
    }
    Ok(wanted)
}

/// The tags by which Proxmox VE marks whose a volume is that was given to another guest: nothing if it stays with its
/// own. Source: pve-storage `PVE/Storage/LVMPlugin.pm` (`rename_volume`).
fn owner_tags(lv: &Lv, to: &LvName) -> Option<Attributes> {
    let (before, after) = (names::owner(&lv.name), names::owner(to));
    if before == after {
        return None;
    }
    let tag = |vmid: u64| format!("pve-vm-{vmid}");
    let add_tags = after.map(tag).into_iter().collect();
    let remove_tags = before.map(tag).into_iter().filter(|tag| lv.tags.contains(tag)).collect();
    Some(Attributes { add_tags, remove_tags, ..Attributes::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use thin::lineage::fixture::{lv, name, vg};

    fn asked(vg: &Vg, volume: &str, to: &str) -> Result<Vec<Request>, CliError> {
        let volume = crate::resolve::Resolver::over("").volume(volume)?;
        let wanted = requests(vg, &Lineage::of(vg), &volume, &name(to))?;
        Ok(wanted.into_iter().map(|wanted| wanted.request).collect())
    }

    #[test]
    fn snapshots_follow_and_those_of_others_do_not() {
        let vg = vg(vec![
            lv(1, "vm-200-d", None, vec![]),
            lv(2, "vm-200-d_x", None, vec![]),
            lv(3, "snap_vm-200-d_x_y", Some("vm-200-d_x"), vec![]),
            lv(4, "snap_vm-200-d_b", Some("vm-200-d"), vec![]),
        ]);
        let renamed = |from: &str, to: &str| Request::Rename { name: name(from), to: name(to) };
        assert_eq!(
            asked(&vg, "pve/vm-200-d", "vm-200-e").unwrap(),
            [renamed("vm-200-d", "vm-200-e"), renamed("snap_vm-200-d_b", "snap_vm-200-e_b")]
        );
        let refused = asked(&vg, "pve/snap_vm-200-d_b", "x").unwrap_err();
        assert_eq!(refused.message, "rename_snapshot is not supported for 'pve/snap_vm-200-d_b'");
    }

    #[test]
    fn the_owners_tag_changes_with_the_owner_only() {
        let mut volume = lv(1, "vm-100-disk-0", None, vec![]);
        volume.tags = vec!["pve-vm-100".into(), "mine".into()];
        let vg = vg(vec![volume, lv(2, "vm-102-disk-0", None, vec![])]);
        let tags = |to: &str| match asked(&vg, "pve/vm-100-disk-0", to).unwrap().as_slice() {
            [_] => None,
            [_, Request::Modify { attributes, .. }] => {
                Some((attributes.add_tags.join(" "), attributes.remove_tags.join(" ")))
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(tags("vm-100-disk-7"), None);
        assert_eq!(tags("vm-101-disk-0"), Some(("pve-vm-101".into(), "pve-vm-100".into())));
        assert_eq!(tags("archive"), Some((String::new(), "pve-vm-100".into())));
        let untagged = asked(&vg, "pve/vm-102-disk-0", "archive").unwrap();
        assert_eq!(untagged.len(), 2, "{untagged:?}");
    }
}
