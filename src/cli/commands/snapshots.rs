//! What the verbs about snapshots share: many of them, sorted by volume group, one transaction each.

use clap::Args;

use crate::context::Context;
use crate::errors::CliError;
use crate::resolve::Snapshot;
use crate::select::Selection;
use crate::transaction::by_vg;
use lvm2::format::model::Vg;
use thin::changes::SnapName;
use thin::internals::engine::ReadMetadata;
use thin::internals::lineage::Lineage;

/// The snapshots a verb is about.
#[derive(Debug, Args)]
pub struct SnapshotNames {
    /// The snapshots, <volume>@<snapshot>; with --vmid, --tag or --name, @<snapshot> of each such volume
    #[arg(required = true, value_name = "SNAPSHOT")]
    pub snapshots: Vec<String>,

    /// Which volumes.
    #[command(flatten)]
    pub select: Selection,
}

impl SnapshotNames {
    /// The snapshots that are meant. `is_meant` says of those of volumes that are not named whether they are.
    ///
    /// # Errors
    /// If a text is no address of one, or nothing is meant.
    pub fn meant(
        &self,
        context: &Context,
        is_meant: impl Fn(&Lineage<'_>, &Vg, &Snapshot) -> bool,
    ) -> Result<Vec<Snapshot>, CliError> {
        let mut snapshots: Vec<Snapshot> = Vec::new();
        for snapshot in self.read(context, is_meant)? {
            if !snapshots.contains(&snapshot) {
                snapshots.push(snapshot);
            }
        }
        Ok(snapshots)
    }

    fn read(
        &self,
        context: &Context,
        is_meant: impl Fn(&Lineage<'_>, &Vg, &Snapshot) -> bool,
    ) -> Result<Vec<Snapshot>, CliError> {
        if !self.select.is_used() {
            return self.snapshots.iter().map(|text| context.resolver.snapshot(text)).collect();
        }
        let snaps: Vec<SnapName> =
            self.snapshots.iter().map(|text| of_each(text)).collect::<Result<_, _>>()?;
        let volumes = self.select.volumes(context)?;
        let engine = context.reader()?;
        let mut meant = Vec::new();
        for (name, volumes) in by_vg(volumes.into_iter().map(|volume| (volume.vg.clone(), volume))) {
            let vg = engine.metadata(&name)?;
            let lineage = Lineage::of(&vg);
            let all = volumes.iter().flat_map(|volume| snaps.iter().map(move |snap| (volume, snap)));
            let all = all.map(|(volume, snap)| Snapshot { volume: volume.clone(), snap: snap.clone() });
            meant.extend(all.filter(|snapshot| is_meant(&lineage, &vg, snapshot)));
        }
        if meant.is_empty() { Err(self.select.nothing()) } else { Ok(meant) }
    }
}

/// The name of a snapshot of volumes that are not named.
fn of_each(text: &str) -> Result<SnapName, CliError> {
    let snap = text.strip_prefix('@').ok_or_else(|| {
        CliError::usage(format!("'{text}' names a volume, and so do --vmid, --tag and --name"))
            .hint("write '@<snapshot>' for the snapshots of all those volumes")
    })?;
    SnapName::new(snap).map_err(|error| CliError::usage(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_of_volumes_that_are_not_named_are_written_with_their_name_alone() {
        assert_eq!(of_each("@daily").unwrap().as_str(), "daily");
        assert!(of_each("pve/a@daily").unwrap_err().message.contains("names a volume"));
        assert!(of_each("@").is_err());
    }
}
