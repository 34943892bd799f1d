//! A volume and its snapshots get another name.

use serde::{Deserialize, Serialize};

use super::address::Volume;
use super::part::Part;
use super::scene::Scene;
use super::{Addresses, Change, Concerns, Readable, Resolve, Resolved, Written, lookup, new_name};
use crate::lineage::{Descent, Relation, SnapName, snapshot_lv_name};
use crate::refusal::Refusal;
use crate::request::{Attributes, Request};
use base::error_kind::ErrorKind;
use base::ids::{LvName, VgName};
use config::names;
use lvm2::format::model::Lv;

/// Gives a volume another name, in use or not. Its snapshots, whose names hold the volume's, get theirs in the same
/// transaction, so that Proxmox VE goes on finding them; and the tag by which Proxmox VE marks whose a volume is that
/// was given to another guest changes with the guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(serialize = "A: Addresses", deserialize = "A: Readable"))]
pub struct RenameVolume<A: Addresses = Resolved> {
    /// The volume.
    pub volume: A::Volume,
    /// The name it gets.
    pub name: A::Name,
}

impl RenameVolume {
    /// That name for that volume.
    pub fn new(volume: Volume, name: LvName) -> Self {
        Self { volume, name }
    }

    pub(super) fn vg(&self) -> &VgName {
        &self.volume.vg
    }

    pub(super) fn lower(&self, scene: &mut Scene<'_>) -> Result<Vec<Part>, Refusal> {
        let (volume, to) = (&self.volume, &self.name);
        let lv = scene.volume(volume)?;
        if let Some(Descent { relation: Relation::Snapshot(snap), .. }) = scene.lineage().descent(lv) {
            let message = format!("rename_snapshot is not supported for '{volume}'");
            return Err(Refusal::new(ErrorKind::Unsupported, message)
                .hint(format!("it is the snapshot '{snap}' of a volume, and gets its name from it")));
        }
        let mut parts = vec![Part::itself(Request::Rename { name: lv.name.clone(), to: to.clone() }, volume)];
        parts.extend(
            owner_tags(lv, to)
                .map(|attributes| Part::detail(Request::Modify { name: to.clone(), attributes }, volume)),
        );
        for (snap, snapshot) in scene.lineage().snapshots_of(lv) {
            let name = |volume: &LvName| {
                let snap =
                    SnapName::new(snap).map_err(|error| Refusal::new(ErrorKind::Usage, error.to_string()))?;
                snapshot_lv_name(volume, &snap).map_err(|error| lookup::explained(&scene.vg.name, &error))
            };
            // One that somebody named otherwise belongs to the volume by its tags and keeps its name.
            if name(&lv.name)? == snapshot.name && lv.name != *to {
                let request = Request::Rename { name: snapshot.name.clone(), to: name(to)? };
                parts.push(Part::of_snapshot(request, volume, snap));
            }
        }
        Ok(parts)
    }
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

impl<A: Addresses> RenameVolume<A> {
    pub(super) fn concerns(&self) -> Concerns {
        let mut concerns = Concerns::changing(&self.volume);
        concerns.changes.push(self.name.to_string());
        concerns
    }
}

impl RenameVolume<Written> {
    pub(super) fn resolve<R: Resolve>(self, by: &R) -> Result<RenameVolume, R::Error> {
        Ok(RenameVolume { volume: by.volume(&self.volume)?, name: new_name(&self.name)? })
    }
}

impl From<RenameVolume> for Change {
    fn from(change: RenameVolume) -> Self {
        Self::Rename(change)
    }
}
