//! The volume group as a change of a batch finds it: what is there, with what earlier changes make, rename and remove.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use super::address::{Snapshot, Volume, VolumeOrSnapshot};
use super::part::Note;
use super::{NewName, lookup};
use crate::lineage::Lineage;
use crate::refusal::Refusal;
use crate::request::Request;
use base::ids::LvName;
use config::names::DiskNumbers;
use lvm2::format::model::{Lv, SegmentKind, Vg};

/// What the changes so far have made.
#[derive(Default)]
pub(super) struct Made {
    volumes: BTreeSet<LvName>,
    snapshots: BTreeMap<Snapshot, LvName>,
    /// What they have removed.
    gone: BTreeSet<LvName>,
}

/// What one change meets.
pub(super) struct Scene<'a> {
    /// The volume group, with the names that earlier changes gave.
    pub vg: &'a Vg,
    /// Volumes that some change of the batch removes by name.
    pub going: &'a BTreeSet<LvName>,
    /// What the caller should know.
    pub notes: &'a mut Vec<Note>,
    made: &'a mut Made,
    /// Worked out when it is asked for, from all volumes.
    lineage: OnceCell<Lineage<'a>>,
    disk_numbers: Option<DiskNumbers<'a>>,
}

impl<'a> Scene<'a> {
    pub(super) fn new(
        vg: &'a Vg,
        going: &'a BTreeSet<LvName>,
        made: &'a mut Made,
        notes: &'a mut Vec<Note>,
    ) -> Self {
        Self { vg, going, notes, made, lineage: OnceCell::new(), disk_numbers: None }
    }

    /// Who was made from whom.
    pub(super) fn lineage(&self) -> &Lineage<'a> {
        self.lineage.get_or_init(|| Lineage::of(self.vg))
    }

    /// A volume that is there.
    pub(super) fn volume(&self, volume: &Volume) -> Result<&'a Lv, Refusal> {
        lookup::volume(self.vg, volume)
    }

    /// The LV of a snapshot that is there.
    pub(super) fn snapshot(&self, snapshot: &Snapshot) -> Result<&'a Lv, Refusal> {
        lookup::snapshot(self.vg, self.lineage(), snapshot)
    }

    /// The LV at an address, be it there or made by an earlier change.
    pub(super) fn lv(&self, named: &VolumeOrSnapshot) -> Result<LvName, Refusal> {
        let made = match named {
            VolumeOrSnapshot::Volume(volume) => self.made.volumes.get(&volume.lv),
            VolumeOrSnapshot::Snapshot(snapshot) => self.made.snapshots.get(snapshot),
        };
        match made {
            Some(name) => Ok(name.clone()),
            None => Ok(lookup::source(self.vg, self.lineage(), named)?.name.clone()),
        }
    }

    /// Whether an earlier change makes a volume.
    pub(super) fn makes(&self, lv: &LvName) -> bool {
        self.made.volumes.contains(lv)
    }

    /// The LV of a snapshot that an earlier change takes.
    pub(super) fn taken(&self, snapshot: &Snapshot) -> Option<&LvName> {
        self.made.snapshots.get(snapshot)
    }

    /// Whether an earlier change removes an LV.
    pub(super) fn is_gone(&self, lv: &LvName) -> bool {
        self.made.gone.contains(lv)
    }

    /// Remembers that a change takes a snapshot.
    pub(super) fn takes(&mut self, snapshot: &Snapshot, lv: &LvName) {
        self.made.snapshots.insert(snapshot.clone(), lv.clone());
    }

    /// The name of a new volume.
    pub(super) fn new_name(&mut self, name: &NewName) -> Result<LvName, Refusal> {
        let vmid = match name {
            NewName::Given(name) => return Ok(name.clone()),
            NewName::NextDisk(vmid) => *vmid,
        };
        let vg = self.vg;
        let numbers = self.disk_numbers.get_or_insert_with(|| {
            let live = vg.lvs.glances().map(|lv| lv.name());
            DiskNumbers::of(live.chain(vg.historical_lvs.iter().map(|lv| lv.name.as_str())))
        });
        let made = &self.made.volumes;
        numbers.next_free(vmid, |name| made.contains(name)).ok_or_else(|| {
            Refusal::rule(format!(
                "unable to allocate an image name for VM {vmid} in volume group '{}'",
                vg.name
            ))
            .hint("all disk numbers are taken; give a name")
        })
    }

    /// Remembers what a request makes and removes.
    pub(super) fn after(&mut self, request: &Request) {
        match request {
            Request::Create { name, .. } | Request::Snapshot { name, .. } => {
                self.made.gone.remove(name);
                self.made.volumes.insert(name.clone());
            }
            Request::Remove { name } => _ = self.made.gone.insert(name.clone()),
            _ => {}
        }
    }
}

impl Made {
    /// Gives an LV of the model another name, and whatever names it as its origin. One that has the name is gone by
    /// then, or the planner refuses.
    pub(super) fn rename(&mut self, vg: &mut Vg, from: &LvName, to: &LvName) {
        self.gone.remove(to);
        if from == to {
            return;
        }
        let mut lvs: Vec<Lv> = vg.lvs.iter().filter(|lv| lv.name != *to).cloned().collect();
        for lv in &mut lvs {
            if lv.name == *from {
                lv.name = to.clone();
            }
            for segment in &mut lv.segments {
                if let SegmentKind::Thin(thin) = &mut segment.kind
                    && thin.origin.as_ref() == Some(from)
                {
                    thin.origin = Some(to.clone());
                }
            }
        }
        vg.lvs = lvs.into();
    }
}
