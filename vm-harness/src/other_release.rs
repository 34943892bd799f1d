//! What is tried on the release of Debian that the rest of a run is not made of.

use anyhow::{Result, bail};
use vm_harness::protocol::CaseInfo;

use crate::cases::CaseSelection;

/// Tried in each run: what the kernel does, and at least one case of each kind of change, with that release's lvm2 as
/// the judge.
const SAMPLE: &[&str] = &[
    "scripts::",
    "random_scripts::first_seeds",
    "activation::new_volumes_and_lists",
    "altered::mixed_batch",
    "batch::bad_lines",
    "external_origins::kept",
    "generated::groups_read_by_lvm2",
    "layers::pool_on_vdo",
    "lineage::rolled_back_by_proxmox",
    "lvm_locks::no_commit_is_lost",
    "recovery::orphan_of_a_snapshot",
    "snapshots::of_a_mounted_file_system",
    "snapshots::of_several_at_one_instant",
    "stacks::mirrored_pool",
    "storage_cfg::life",
];

/// What does not hold there yet, and why.
const NOT_THERE: &[(&str, &str)] = &[
    (
        "stacks::pool_run_by_lvm2",
        "lvm2 2.03.31 stops data and metadata of a raid5 pool with errors, once thinvol has stopped its target",
    ),
    (
        "lvm_scan::hints_of_lvm2_are_used",
        "the hints of lvm2 2.03.31 count devices in another order, so that thinvol looks at all of them",
    ),
    (
        "lvm_scan::same_devices_file_as_lvm2",
        "lvm2 2.03.31 looks for loop devices that have moved with search_for_devnames=auto too, thinvol with all only",
    ),
];

/// The cases of the sample; all that are not about the harness, where everything is wanted.
pub fn cases(all: &[CaseInfo], selection: CaseSelection<'_>) -> Result<Vec<CaseInfo>> {
    if let Some(gone) = SAMPLE.iter().find(|name| !all.iter().any(|case| case.name.starts_with(**name))) {
        bail!("there is no case {gone} any more, which is to run on both releases");
    }
    let is_in_sample = |case: &CaseInfo| SAMPLE.iter().any(|name| case.name.starts_with(name)) && !case.long;
    let holds = |case: &CaseInfo| !NOT_THERE.iter().any(|(name, _)| case.name == *name);
    let is_wanted =
        |case: &&CaseInfo| case.must.is_none() && holds(case) && (selection.long || is_in_sample(case));
    if selection.long {
        NOT_THERE.iter().for_each(|(name, why)| println!("SKIPPED on the other release: {name}: {why}"));
    }
    Ok(all.iter().filter(is_wanted).cloned().collect())
}
