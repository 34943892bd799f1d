//! `thinvol template`: a volume becomes a read-only base for clones.

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
use lvm2::format::model::Vg;
use thin::lineage::Lineage;
use thin::request::{Attributes, Request};

const HELP: &str = changing!(
    "\
  thinvol template pve/vm-9000-disk-0                    it is pve/base-9000-disk-0 from then on
  thinvol clone pve/base-9000-disk-0 101
  thinvol template --dry-run pve/vm-9000-disk-0          what would be done"
);

/// Turn volumes into templates
///
/// Turns volumes 'vm-<VMID>-…' into templates 'base-<VMID>-…': read-only and inactive; lvm2 skips them when it
/// activates volumes, unless told otherwise. A volume in use is refused and its users are named; a volume with
/// snapshots is refused and they are named.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct TemplateArgs {
    /// The volumes, named 'vm-<VMID>-…'
    #[arg(required = true, value_name = "VOLUME")]
    pub volumes: Vec<String>,

    /// Options of every change.
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl TemplateArgs {
    /// Makes the volumes templates.
    ///
    /// # Errors
    /// If an argument is wrong, or the engine refuses or fails.
    pub fn run(&self, context: &Context) -> Result<(), CliError> {
        let volumes: Vec<Volume> =
            self.volumes.iter().map(|text| context.resolver.volume(text)).collect::<Result<_, _>>()?;
        let wishes = by_vg(volumes.into_iter().map(|volume| (volume.vg.clone(), volume)));
        transact(context, &self.change, wishes, |vg, volumes| {
            let lineage = Lineage::of(vg);
            let mut wanted = Vec::new();
            for volume in volumes {
                wanted.extend(requests(vg, &lineage, volume)?);
            }
            Ok(ChangeSet { wanted, notes: vec![] })
        })
    }
}

/// The requests that make a volume a template, as Proxmox VE makes one: another name, read-only, skipped by
/// activation, inactive. Source: pve-storage `PVE/Storage/LvmThinPlugin.pm` (`create_base`).
///
/// # Errors
/// If it does not exist, is a template, is not named as a guest's volume, or has snapshots.
pub fn requests(vg: &Vg, lineage: &Lineage<'_>, volume: &Volume) -> Result<Vec<LabelledRequest>, CliError> {
    let lv = lookup::volume(vg, volume)?;
    let refused = |message: String| CliError::new(ErrorKind::Refused, message);
    if is_template(&lv.name) {
        return Err(refused(format!("'{volume}' is a template already")));
    }
    let rest = lv.name.as_str().strip_prefix("vm-").filter(|_| names::owner(&lv.name).is_some());
    let rest = rest.ok_or_else(|| {
        refused(format!("'{volume}' is not named 'vm-<VMID>-…': whose template it would be is not known"))
            .hint(format!("name it so first: 'thinvol rename {volume} vm-<VMID>-<name>'"))
    })?;
    let snapshots: Vec<&str> = lineage.snapshots_of(lv).map(|(snap, _)| snap).collect();
    if !snapshots.is_empty() {
        return Err(refused(format!("'{volume}' has snapshots: {}", snapshots.join(", ")))
            .hint(format!("remove them first: 'thinvol delete-snapshot {volume}@<snapshot>'")));
    }
    let base = LvName::for_new_volume(&format!("base-{rest}"));
    let base = base.map_err(|error| CliError::usage(error.to_string()))?;
    let attributes =
        Attributes { read_only: Some(true), skip_activation: Some(true), ..Attributes::default() };
    let requests = [
        (
            Request::Rename { name: lv.name.clone(), to: base.clone() },
            format!("'{volume}' is template '{base}' now"),
        ),
        (Request::Modify { name: base.clone(), attributes }, String::new()),
        (Request::Deactivate { name: base.clone() }, String::new()),
    ];
    let wanted =
        |(request, said)| LabelledRequest { request, display_name: volume.to_string(), done_message: said };
    Ok(requests.into_iter().map(wanted).collect())
}

/// Whether a volume is a template, by its name.
pub fn is_template(name: &LvName) -> bool {
    name.as_str().starts_with("base-") && names::owner(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use thin::lineage::fixture::{lv, name, vg};

    #[test]
    fn a_template_is_read_only_skipped_and_inactive_under_its_new_name() {
        let vg = vg(vec![
            lv(1, "vm-9000-disk-0", None, vec![]),
            lv(2, "vm-9001-disk-0", None, vec![]),
            lv(3, "snap_vm-9001-disk-0_a", Some("vm-9001-disk-0"), vec![]),
            lv(4, "base-9002-disk-0", None, vec![]),
            lv(5, "other", None, vec![]),
        ]);
        let asked = |volume: &str| {
            let volume = crate::resolve::Resolver::over("").volume(volume).unwrap();
            requests(&vg, &Lineage::of(&vg), &volume)
        };
        let made = asked("pve/vm-9000-disk-0").unwrap();
        let base = || name("base-9000-disk-0");
        assert_eq!(made[0].request, Request::Rename { name: name("vm-9000-disk-0"), to: base() });
        assert!(matches!(&made[1].request, Request::Modify { name, attributes }
            if *name == base() && attributes.read_only == Some(true) && attributes.skip_activation == Some(true)));
        assert_eq!(made[2].request, Request::Deactivate { name: base() });
        for (volume, why) in [
            ("pve/vm-9001-disk-0", "'pve/vm-9001-disk-0' has snapshots: a"),
            ("pve/base-9002-disk-0", "'pve/base-9002-disk-0' is a template already"),
            ("pve/other", "'pve/other' is not named 'vm-<VMID>-…': whose template it would be is not known"),
        ] {
            assert_eq!(asked(volume).unwrap_err().message, why);
        }
    }
}
