//! Every state in which each of lvm2's commands that touch thin pools can be killed.

use anyhow::Result;

use crate::case::{Case, Tier};
use crate::ctx::Ctx;
use crate::killed;

/// A few states.
pub const SAMPLES: &[Case] =
    &[Case { name: "killed_lvm2::samples", tier: Tier::Full, limit_s: 600, run: samples }];

/// Each row of the table at every call.
pub const LONG: &[Case] = &[
    every("killed_lvm2::create_pool", |ctx| killed::at_every_call(ctx, "create-pool")),
    every("killed_lvm2::create_volume", |ctx| killed::at_every_call(ctx, "create-volume")),
    every("killed_lvm2::create_snapshot", |ctx| killed::at_every_call(ctx, "create-snapshot")),
    every("killed_lvm2::create_first_volume", |ctx| killed::at_every_call(ctx, "create-first-volume")),
    every("killed_lvm2::create_on_external_origin", |ctx| {
        killed::at_every_call(ctx, "create-on-external-origin")
    }),
    every("killed_lvm2::extend_volume", |ctx| killed::at_every_call(ctx, "extend-volume")),
    every("killed_lvm2::extend_pool", |ctx| killed::at_every_call(ctx, "extend-pool")),
    every("killed_lvm2::extend_pool_metadata", |ctx| killed::at_every_call(ctx, "extend-pool-metadata")),
    every("killed_lvm2::remove_volume", |ctx| killed::at_every_call(ctx, "remove-volume")),
    every("killed_lvm2::remove_origin", |ctx| killed::at_every_call(ctx, "remove-origin")),
    every("killed_lvm2::remove_pool", |ctx| killed::at_every_call(ctx, "remove-pool")),
    every("killed_lvm2::rename_volume", |ctx| killed::at_every_call(ctx, "rename-volume")),
    every("killed_lvm2::rename_pool", |ctx| killed::at_every_call(ctx, "rename-pool")),
    every("killed_lvm2::make_read_only", |ctx| killed::at_every_call(ctx, "make-read-only")),
    every("killed_lvm2::change_pool", |ctx| killed::at_every_call(ctx, "change-pool")),
    every("killed_lvm2::stop_group", |ctx| killed::at_every_call(ctx, "stop-group")),
    every("killed_lvm2::start_group", |ctx| killed::at_every_call(ctx, "start-group")),
    every("killed_lvm2::merge", |ctx| killed::at_every_call(ctx, "merge")),
    every("killed_lvm2::merge_in_use", |ctx| killed::at_every_call(ctx, "merge-in-use")),
    every("killed_lvm2::start_merge", |ctx| killed::at_every_call(ctx, "start-merge")),
    every("killed_lvm2::repair_pool", |ctx| killed::at_every_call(ctx, "repair-pool")),
    every("killed_lvm2::convert_to_pool", |ctx| killed::at_every_call(ctx, "convert-to-pool")),
    every("killed_lvm2::convert_to_thin", |ctx| killed::at_every_call(ctx, "convert-to-thin")),
    every("killed_lvm2::rename_group", |ctx| killed::at_every_call(ctx, "rename-group")),
    every("killed_lvm2::split_group", |ctx| killed::at_every_call(ctx, "split-group")),
    every("killed_lvm2::merge_groups", |ctx| killed::at_every_call(ctx, "merge-groups")),
    every("killed_lvm2::reduce_group", |ctx| killed::at_every_call(ctx, "reduce-group")),
    every("killed_lvm2::move_volumes", |ctx| killed::at_every_call(ctx, "move-volumes")),
];

const fn every(name: &'static str, run: fn(&Ctx) -> Result<()>) -> Case {
    Case { name, tier: Tier::Full, limit_s: 7200, run }
}

/// A repair that is killed while `thin_repair` reads a part of the pool, and a rename with devices suspended.
fn samples(ctx: &Ctx) -> Result<()> {
    killed::at_first(ctx, "repair-pool", "wait")?;
    killed::at_first(ctx, "rename-pool", "resume")
}

#[cfg(test)]
mod tests {
    use super::LONG;
    use crate::killed;

    #[test]
    fn every_row_has_its_case() {
        let cases: Vec<String> = LONG
            .iter()
            .filter_map(|case| case.name.split("::").nth(1))
            .map(|name| name.replace('_', "-"))
            .collect();
        let rows: Vec<&str> = killed::rows().collect();
        assert_eq!(cases, rows);
    }
}
