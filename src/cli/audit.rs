//! What does not fit together: guests' configurations, volumes, snapshots, and what pools hold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::transfer::IMPORTING;
use base::first_few::first_few;
use base::ids::{LvName, VgName};
use base::units::size::Rounded;
use config::guest::{Named, Part, What, is_disk};
use config::names;
use lvm2::format::model::{Lv, Vg};
use thin::VgView;
use thin::changes::SnapName;
use thin::changes::Storage;
use thin::internals::engine::ids::PoolIds;
use thin::internals::lineage::{Lineage, Parent, Relation, snapshot_lv_name};

/// Something that does not fit together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// What sort of thing it is.
    pub finding: Kind,
    /// What it is about: a volume, a pool, a volume group.
    pub what: String,
    /// What is so.
    pub message: String,
    /// What to do about it.
    pub advice: String,
}

/// Sorts of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A crash left something.
    Pending,
    /// A configuration names a volume that is not there.
    MissingVolume,
    /// A configuration has a snapshot that a disk does not have.
    MissingSnapshot,
    /// No configuration names a volume.
    UnnamedVolume,
    /// An import has not come to its end.
    BrokenImport,
    /// A volume has a snapshot that its guest's configuration does not have.
    UnnamedSnapshot,
    /// A snapshot whose volume is gone.
    LoneSnapshot,
    /// A thin device that the text does not know.
    UnknownId,
    /// A volume whose thin device is gone.
    MissingId,
    /// A volume group of a guest.
    VisibleGroup,
}

/// A guest of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Its id.
    pub vmid: u64,
    /// The command that manages it: `qm` or `pct`.
    pub command: &'static str,
    /// What its configuration names.
    pub named: Vec<Named>,
    /// The snapshots that its configuration has.
    pub snapshots: BTreeSet<String>,
}

/// The guests of this node, and what the ids of storages stand for.
#[derive(Clone, Debug, Default)]
pub struct Guests {
    /// The guests; nothing if there are no configurations of guests here.
    pub guests: Option<Vec<Guest>>,
    /// Storages of type lvmthin.
    pub storages: BTreeMap<String, Storage>,
}

/// A place in a configuration that names an LV.
struct Use<'a> {
    guest: &'a Guest,
    named: &'a Named,
}

impl Guests {
    /// The LV that a configuration names.
    fn lv(&self, what: &What) -> Option<(VgName, LvName)> {
        match what {
            What::Volume(id) => {
                let storage = self.storages.get(id.storage.as_str())?;
                Some((storage.vg.clone(), names::lvm_volname(&id.volname).ok()?))
            }
            What::Device(path) => {
                let (vg, lv) = path.strip_prefix("/dev/")?.split_once('/')?;
                Some((VgName::new(vg).ok()?, LvName::new(lv).ok()?))
            }
        }
    }

    /// Where LVs of a volume group are named.
    fn uses(&self, vg: &VgName) -> BTreeMap<LvName, Vec<Use<'_>>> {
        let mut uses: BTreeMap<LvName, Vec<Use<'_>>> = BTreeMap::new();
        for guest in self.guests.iter().flatten() {
            for named in &guest.named {
                if let Some((_, lv)) = self.lv(&named.what).filter(|(found, _)| found == vg) {
                    uses.entry(lv).or_default().push(Use { guest, named });
                }
            }
        }
        uses
    }

    fn guest(&self, vmid: u64) -> Option<&Guest> {
        self.guests.iter().flatten().find(|guest| guest.vmid == vmid)
    }

    /// The devices that configurations name otherwise than as LVs of a storage.
    pub fn devices(&self) -> impl Iterator<Item = (&Guest, &What)> {
        let all = self
            .guests
            .iter()
            .flatten()
            .flat_map(|guest| guest.named.iter().map(move |named| (guest, named)));
        all.map(|(guest, named)| (guest, &named.what)).filter(|(_, what)| self.lv(what).is_none())
    }
}

/// What a volume of a storage is called.
fn shown(storage: &Storage, lv: &LvName) -> String {
    storage.volume(lv.clone()).to_string()
}

/// What does not fit together in a pool, by the guests, the volume group, and what its pools hold.
pub fn of_pool(guests: &Guests, storage: &Storage, (vg, view): (&Vg, &VgView)) -> Vec<Finding> {
    let audit = PoolAudit { guests, storage, vg, lineage: Lineage::of(vg), uses: guests.uses(&vg.name) };
    let mut found = audit.missing();
    for lv in vg.lvs.iter().filter(|lv| audit.is_in_pool(lv)) {
        if lv.tags.iter().any(|tag| tag == IMPORTING) {
            found.push(broken_import(storage, view, lv));
        } else if audit.is_snapshot(lv) {
            found.extend(audit.snapshot(lv));
        } else if guests.guests.is_some() && !audit.uses.contains_key(&lv.name) {
            found.extend(audit.unnamed(lv));
        }
    }
    found
}

/// A pool beside the guests that use it.
struct PoolAudit<'a> {
    guests: &'a Guests,
    storage: &'a Storage,
    vg: &'a Vg,
    lineage: Lineage<'a>,
    uses: BTreeMap<LvName, Vec<Use<'a>>>,
}

impl PoolAudit<'_> {
    fn is_in_pool(&self, lv: &Lv) -> bool {
        lv.thin().is_some_and(|thin| thin.pool == self.storage.pool)
    }

    /// Whether an LV counts as a snapshot: it is recorded as one, or is called as Proxmox VE calls one.
    fn is_snapshot(&self, lv: &Lv) -> bool {
        let is_recorded =
            self.lineage.descent(lv).is_some_and(|descent| matches!(descent.relation, Relation::Snapshot(_)));
        is_recorded || ["snap_vm-", "snap_base-"].iter().any(|start| lv.name.as_str().starts_with(start))
    }

    /// Volumes and snapshots that configurations name and that are not there.
    fn missing(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        for (name, Use { guest, named }) in
            self.uses.iter().flat_map(|(name, uses)| uses.iter().map(move |one| (name, one)))
        {
            let by_storage = match &named.what {
                What::Volume(id) => self.guests.storages.get(id.storage.as_str()),
                What::Device(_) => None,
            };
            let Some(by) = by_storage.filter(|by| by.pool == self.storage.pool) else { continue };
            let lv = self.vg.lv(name).filter(|lv| self.is_in_pool(lv));
            let (vmid, command, key) = (guest.vmid, guest.command, &named.key);
            let what = shown(by, name);
            match (&named.part, named.part.snapshot().filter(|_| is_disk(key) && !named.is_medium)) {
            (Part::Special, _) => {}
            (_, Some(snap)) if !self.has_snapshot(lv, name, snap) => found.push(Finding {
                finding: Kind::MissingSnapshot,
                message: format!("guest {vmid} has a snapshot '{snap}', its disk {key} ({what}) does not"),
                advice: format!(
                    "a rollback would fail: '{command} delsnapshot {vmid} {snap} --force' removes the rest"
                ),
                what: format!("{what}@{snap}"),
            }),
            (_, Some(_)) => {}
            (part, None) if lv.is_none() => {
                let at = part.snapshot().map_or(String::new(), |snap| format!(" of snapshot '{snap}'"));
                found.push(Finding {
                    finding: Kind::MissingVolume,
                    message: format!("guest {vmid} names it as {key}{at}, and it does not exist"),
                    advice: format!(
                        "restore it from a backup, or take the line out: '{command} set {vmid} --delete {key}'"
                    ),
                    what,
                });
            }
            _ => {}
        }
        }
        found
    }

    fn has_snapshot(&self, lv: Option<&Lv>, name: &LvName, snap: &str) -> bool {
        let Ok(snap) = SnapName::new(snap) else { return false };
        lv.is_some_and(|lv| self.lineage.find_snapshot(lv, &snap).is_ok())
            || snapshot_lv_name(name, &snap).is_ok_and(|name| self.vg.lv(&name).is_some())
    }

    fn unnamed(&self, lv: &Lv) -> Option<Finding> {
        let vmid = names::owner(&lv.name)?;
        let what = shown(self.storage, &lv.name);
        let clones: Vec<String> = self
            .lineage
            .children_of(lv)
            .filter(|(relation, _)| *relation == Relation::Clone)
            .map(|(_, clone)| clone.name.to_string())
            .collect();
        let advice = match self.guests.guest(vmid) {
            Some(guest) => {
                format!("'{} rescan --vmid {vmid}' makes it an unused disk of the guest", guest.command)
            }
            None if !clones.is_empty() => {
                format!(
                    "volumes were cloned from it ({}): they stay whole without it",
                    first_few(&clones, 3, ", ")
                )
            }
            None => format!("look at it ('thinvol info {what}'); 'thinvol free {what}' if nobody needs it"),
        };
        let who = match self.guests.guest(vmid) {
            Some(_) => format!("no configuration names it, though there is a guest {vmid}"),
            None => format!("no configuration names it, and there is no guest {vmid} on this node"),
        };
        Some(Finding { finding: Kind::UnnamedVolume, what, message: who, advice })
    }

    fn snapshot(&self, lv: &Lv) -> Option<Finding> {
        let parent = self.lineage.descent(lv).map(|descent| (descent.parent, descent.relation));
        if matches!(parent, Some((_, Relation::FormerSnapshot(_)))) {
            return None;
        }
        let Some((Parent::Present(volume), Relation::Snapshot(snap))) = parent else {
            let what = format!("{}/{}", self.vg.name, lv.name);
            let advice =
                format!("it keeps its space: look at it, and 'thinvol free {what}' if nobody needs it");
            let message = "it is a snapshot, and its volume is gone".to_owned();
            return Some(Finding { finding: Kind::LoneSnapshot, what, message, advice });
        };
        // Snapshots of what nobody names go with it.
        self.guests.guests.as_ref()?;
        let named_by = self.uses.get(&volume.name)?;
        if named_by.iter().any(|one| one.guest.snapshots.contains(snap)) {
            return None;
        }
        let vmid = named_by.first()?.guest.vmid;
        let what = format!("{}@{snap}", shown(self.storage, &volume.name));
        let of = match snap {
            "vzdump" => ", a backup has not removed it",
            _ => "",
        };
        Some(Finding {
            finding: Kind::UnnamedSnapshot,
            message: format!("the configuration of guest {vmid} has no snapshot '{snap}'{of}"),
            advice: format!("'thinvol delete-snapshot {what}' if no backup or replication is under way"),
            what,
        })
    }
}

fn broken_import(storage: &Storage, view: &VgView, lv: &Lv) -> Finding {
    let what = shown(storage, &lv.name);
    let is_open = view.volumes.iter().any(|volume| volume.name == lv.name && volume.open_count > 0);
    let (message, advice) = if is_open {
        ("it is being imported", "wait for it".to_owned())
    } else {
        ("an import of it broke off: it is incomplete", format!("'thinvol free {what}' removes it"))
    };
    Finding { finding: Kind::BrokenImport, what, message: message.to_owned(), advice }
}

/// Thin devices and volumes without each other.
pub fn of_ids(vg: &Vg, pools: &[PoolIds]) -> Vec<Finding> {
    let mut found = Vec::new();
    for ids in pools {
        let what = format!("{}/{}", vg.name, ids.pool);
        found.extend(ids.unknown.iter().map(|(id, mapped)| Finding {
            finding: Kind::UnknownId,
            what: what.clone(),
            message: format!("the pool holds a thin device {id} of {} that no volume is", Rounded(*mapped)),
            advice: format!(
                "'thinvol recover {}' removes it if thinvol left it; else, if nobody else uses the pool: \
                 'dmsetup message {}-{}-tpool 0 \"delete {id}\"'",
                vg.name,
                doubled(vg.name.as_str()),
                doubled(ids.pool.as_str())
            ),
        }));
        found.extend(
            ids.missing.iter().map(|lv| Finding {
                finding: Kind::MissingId,
                what: format!("{}/{lv}", vg.name),
                message: format!("pool {what} does not hold the thin device that it is"),
                advice: "its data is gone, or the pool's metadata is older than the text: restore a backup"
                    .to_owned(),
            }),
        );
    }
    found
}

/// A name as it is within the name of a device: each dash twice. Source: lvm2 `libdm/libdm-string.c`.
fn doubled(name: &str) -> String {
    name.replace('-', "--")
}

/// A volume group one of whose disks is a guest's.
pub fn visible_group(vg: &VgName, device: &Path, whose: &str, pattern: &str) -> Finding {
    Finding {
        finding: Kind::VisibleGroup,
        what: vg.to_string(),
        message: format!("it is on {}, which is {whose}: this host must not touch it", device.display()),
        advice: format!("hide it in /etc/lvm/lvm.conf: devices {{ global_filter = [ \"r|{pattern}|\" ] }}"),
    }
}

#[cfg(test)]
mod tests;
