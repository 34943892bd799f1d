//! All cases. A new file of cases is declared in `cases/mod.rs` and gets a line here for its `CASES`, which always run,
//! and one for its `LONG`, if it has cases that run only where they are named or with `--long`.

use vm_harness::protocol::CaseInfo;

use crate::case::Case;
use crate::cases::{self, selftest};

/// Every case, in the order they are shown.
pub fn all() -> Vec<Case> {
    [always(), long()].concat()
}

/// The description of a case for the harness.
pub fn info(case: &Case) -> CaseInfo {
    CaseInfo {
        name: case.name.to_owned(),
        tier: case.tier,
        limit_s: case.limit_s,
        long: is_long(case.name),
        turn: None,
        must: selftest::must(case.name),
    }
}

/// Whether a case is a long one.
pub fn is_long(name: &str) -> bool {
    long().iter().any(|case| case.name == name)
}

fn long() -> Vec<Case> {
    [
        cases::volumes::LONG,
        cases::snapshots::LONG,
        cases::altered::LONG,
        cases::recovered_states::LONG,
        cases::recovery::LONG,
        cases::activation::LONG,
        cases::attributes::LONG,
        cases::batch::LONG,
        cases::lineage::LONG,
        cases::parity::LONG,
        cases::together::LONG,
        cases::udev::LONG,
        cases::transfer::LONG,
        cases::iscsi_sessions::LONG,
        cases::iscsi_killed::LONG,
        cases::iscsi_daemons::LONG,
        cases::iscsi_asked::LONG,
        cases::iscsi_outage::LONG,
        cases::iscsi_undone::LONG,
        cases::iscsi_luns::LONG,
        cases::iscsi_interfaces::LONG,
        cases::iscsi_storage::LONG,
        cases::failing::LONG,
        cases::contention::LONG,
        cases::crashes::LONG,
        cases::replay::LONG,
        cases::random_scripts::LONG,
        cases::generated::LONG,
        cases::killed_lvm2::SAMPLES,
        cases::killed_lvm2::LONG,
        cases::told::LONG,
        cases::pool_monitor::LONG,
        cases::pool_repair::LONG,
        cases::ways_back::LONG,
        cases::units::LONG,
    ]
    .concat()
}

fn always() -> Vec<Case> {
    [
        cases::dm_stack::CASES,
        cases::dm_errno::CASES,
        cases::dm_udev::CASES,
        cases::dm_guard::CASES,
        cases::machine::CASES,
        cases::scripts::CASES,
        cases::random_scripts::CASES,
        cases::store::CASES,
        cases::lvm_locks::CASES,
        cases::lvm_scan::CASES,
        cases::lvm_backup::CASES,
        cases::external_origins::CASES,
        cases::left_behind::CASES,
        cases::layers::CASES,
        cases::flawed::CASES,
        cases::generated::CASES,
        cases::host_settings::CASES,
        cases::volumes::CASES,
        cases::snapshots::CASES,
        cases::altered::CASES,
        cases::wiped::CASES,
        cases::told::CASES,
        cases::asked::CASES,
        cases::batch::CASES,
        cases::lineage::CASES,
        cases::merging::CASES,
        cases::recovery::CASES,
        cases::refusals::CASES,
        cases::pool_health::CASES,
        cases::pool_monitor::CASES,
        cases::units::CASES,
        cases::pools::CASES,
        cases::storage_cfg::CASES,
        cases::proxmox::CASES,
        cases::access::CASES,
        cases::activation::CASES,
        cases::stacks::CASES,
        cases::attributes::CASES,
        cases::udev::CASES,
        cases::transfer::CASES,
        cases::audit::CASES,
        cases::iscsi_machine::CASES,
        cases::iscsi_multipath::CASES,
        cases::iscsi_sessions::CASES,
        cases::iscsi_chap::CASES,
        cases::iscsi_luns::CASES,
        cases::iscsi_interfaces::CASES,
        cases::iscsi_undone::CASES,
        cases::iscsi_storage::CASES,
        cases::iscsi_daemons::CASES,
        cases::parity::CASES,
        cases::selection::CASES,
        cases::selftest::CASES,
    ]
    .concat()
}

/// The case of this name.
pub fn find(name: &str) -> Option<Case> {
    all().into_iter().find(|case| case.name == name)
}

#[cfg(test)]
mod tests {
    use vm_harness::protocol::SHARE_MS;

    use super::{all, info, long};

    /// Where no run is remembered, about ten turns (`vm-harness/src/rotation.rs`) take all long cases.
    #[test]
    fn the_long_cases_are_about_ten_shares() {
        let guessed: u64 = long().iter().map(|case| info(case).guess_ms()).sum();
        assert!(guessed <= 10 * SHARE_MS, "{} s", guessed / 1000);
    }

    #[test]
    fn names_are_unique_and_have_an_area() {
        let mut names: Vec<&str> = all().iter().map(|case| case.name).collect();
        assert!(names.iter().all(|name| name.split("::").count() == 2), "{names:?}");
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
