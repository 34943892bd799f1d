//! A volume becomes a read-only base for clones.

use serde::{Deserialize, Serialize};

use super::address::Volume;
use super::part::Part;
use super::scene::Scene;
use super::{Addresses, Change, Concerns, Readable, Resolve, Resolved, Written, new_name};
use crate::refusal::Refusal;
use crate::request::{Attributes, Request};
use base::ids::{LvName, VgName};
use config::names;

/// Makes a volume a template, as Proxmox VE makes one: another name, read-only, skipped by activation, inactive.
/// Source: pve-storage `PVE/Storage/LvmThinPlugin.pm` (`create_base`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(serialize = "A: Addresses", deserialize = "A: Readable"))]
pub struct MakeTemplate<A: Addresses = Resolved> {
    /// The volume, named `vm-<VMID>-…`.
    pub volume: A::Volume,
}

impl MakeTemplate {
    /// A template of that volume.
    pub fn new(volume: Volume) -> Self {
        Self { volume }
    }

    pub(super) fn vg(&self) -> &VgName {
        &self.volume.vg
    }

    pub(super) fn lower(&self, scene: &mut Scene<'_>) -> Result<Vec<Part>, Refusal> {
        let volume = &self.volume;
        let lv = scene.volume(volume)?;
        if is_template(&lv.name) {
            return Err(Refusal::rule(format!("'{volume}' is a template already")));
        }
        let rest = lv.name.as_str().strip_prefix("vm-").filter(|_| names::owner(&lv.name).is_some());
        let rest = rest.ok_or_else(|| {
            let message =
                format!("'{volume}' is not named 'vm-<VMID>-…': whose template it would be is not known");
            Refusal::rule(message)
                .hint(format!("name it so first: 'thinvol rename {volume} vm-<VMID>-<name>'"))
        })?;
        let snapshots: Vec<&str> = scene.lineage().snapshots_of(lv).map(|(snap, _)| snap).collect();
        if !snapshots.is_empty() {
            return Err(Refusal::rule(format!("'{volume}' has snapshots: {}", snapshots.join(", ")))
                .hint(format!("remove them first: 'thinvol delete-snapshot {volume}@<snapshot>'")));
        }
        let base = new_name(&format!("base-{rest}"))?;
        let attributes =
            Attributes { read_only: Some(true), skip_activation: Some(true), ..Attributes::default() };
        Ok(vec![
            Part::itself(Request::Rename { name: lv.name.clone(), to: base.clone() }, volume),
            Part::detail(Request::Modify { name: base.clone(), attributes }, volume),
            Part::detail(Request::Deactivate { name: base }, volume),
        ])
    }
}

/// Whether a volume is a template, by its name.
pub fn is_template(name: &LvName) -> bool {
    name.as_str().starts_with("base-") && names::owner(name).is_some()
}

impl<A: Addresses> MakeTemplate<A> {
    pub(super) fn concerns(&self) -> Concerns {
        let mut concerns = Concerns::changing(&self.volume);
        let base = |name: &String| name.strip_prefix("vm-").map(|rest| format!("base-{rest}"));
        let bases: Vec<String> = concerns.changes.iter().filter_map(base).collect();
        concerns.changes.extend(bases);
        concerns
    }
}

impl MakeTemplate<Written> {
    pub(super) fn resolve<R: Resolve>(self, by: &R) -> Result<MakeTemplate, R::Error> {
        Ok(MakeTemplate { volume: by.volume(&self.volume)? })
    }
}

impl From<MakeTemplate> for Change {
    fn from(change: MakeTemplate) -> Self {
        Self::Template(change)
    }
}
