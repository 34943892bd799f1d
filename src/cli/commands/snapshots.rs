//! What the verbs about snapshots share: many of them, sorted by volume group, one transaction each.

use crate::args::ChangeOptions;
use crate::context::Context;
use crate::errors::CliError;
use crate::resolve::Snapshot;
use crate::transaction::{Ask, Wanted, by_vg, transact};
use lvm2::format::model::Vg;
use thin::lineage::Lineage;

/// Reads the addresses of snapshots.
///
/// # Errors
/// The first that is none.
pub fn read(context: &Context, texts: &[String]) -> Result<Vec<Snapshot>, CliError> {
    texts.iter().map(|text| context.resolver.snapshot(text)).collect()
}

/// Carries out what is wanted of each snapshot.
///
/// # Errors
/// Those of `wanted`, or if the engine refuses or fails.
pub fn carry_out(
    context: &Context,
    options: &ChangeOptions,
    snapshots: Vec<Snapshot>,
    wanted: impl Fn(&Vg, &Lineage<'_>, &Snapshot) -> Result<Wanted, CliError>,
) -> Result<(), CliError> {
    let wishes = by_vg(snapshots.into_iter().map(|snapshot| (snapshot.volume.vg.clone(), snapshot)));
    transact(context, options, wishes, |vg, snapshots| {
        let lineage = Lineage::of(vg);
        let wanted = snapshots.iter().map(|snapshot| wanted(vg, &lineage, snapshot));
        Ok(Ask { wanted: wanted.collect::<Result<_, _>>()?, notes: vec![] })
    })
}
