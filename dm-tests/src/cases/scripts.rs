//! Runs the scripts on the real kernel, which must agree with the model.

use anyhow::{Context, Result, bail};

use crate::case::{Case, Tier};
use crate::ctx::Ctx;
use crate::scripts::agreement::{Difference, compare};
use crate::scripts::all::SCRIPTS;
use crate::scripts::linux::LinuxMachine;
use crate::scripts::runner::transcript;

/// The cases of this file, one for each script.
pub const CASES: &[Case] = &[
    case("scripts::crash", |ctx| run(ctx, "crash")),
    case("scripts::deletes", |ctx| run(ctx, "deletes")),
    case("scripts::external_origin", |ctx| run(ctx, "external_origin")),
    case("scripts::failing_commits", |ctx| run(ctx, "failing_commits")),
    case("scripts::failing_message", |ctx| run(ctx, "failing_message")),
    case("scripts::held_details", |ctx| run(ctx, "held_details")),
    case("scripts::ids", |ctx| run(ctx, "ids")),
    case("scripts::message_targets", |ctx| run(ctx, "message_targets")),
    case("scripts::messages", |ctx| run(ctx, "messages")),
    case("scripts::metadata_contents", |ctx| run(ctx, "metadata_contents")),
    case("scripts::metadata_snapshot", |ctx| run(ctx, "metadata_snapshot")),
    case("scripts::names", |ctx| run(ctx, "names")),
    case("scripts::open_counts", |ctx| run(ctx, "open_counts")),
    case("scripts::out_of_space", |ctx| run(ctx, "out_of_space")),
    case("scripts::pool_grows", |ctx| run(ctx, "pool_grows")),
    case("scripts::pool_lifecycle", |ctx| run(ctx, "pool_lifecycle")),
    case("scripts::pool_read_only", |ctx| run(ctx, "pool_read_only")),
    case("scripts::pool_table_errors", |ctx| run(ctx, "pool_table_errors")),
    case("scripts::slots", |ctx| run(ctx, "slots")),
    case("scripts::snapshots", |ctx| run(ctx, "snapshots")),
    case("scripts::striped", |ctx| run(ctx, "striped")),
    case("scripts::suspend_commits", |ctx| run(ctx, "suspend_commits")),
    case("scripts::suspend_resume", |ctx| run(ctx, "suspend_resume")),
    case("scripts::suspended_pool", |ctx| run(ctx, "suspended_pool")),
    case("scripts::table_errors", |ctx| run(ctx, "table_errors")),
    case("scripts::thin_read_only", |ctx| run(ctx, "thin_read_only")),
    case("scripts::thin_reload", |ctx| run(ctx, "thin_reload")),
    case("scripts::thin_table_errors", |ctx| run(ctx, "thin_table_errors")),
    case("scripts::too_small", |ctx| run(ctx, "too_small")),
    case("scripts::transaction_ids", |ctx| run(ctx, "transaction_ids")),
    case("scripts::two_pools", |ctx| run(ctx, "two_pools")),
    case("scripts::zeroing", |ctx| run(ctx, "zeroing")),
];

const fn case(name: &'static str, run: fn(&Ctx) -> Result<()>) -> Case {
    Case { name, tier: Tier::Fast, limit_s: 60, run }
}

/// Runs a script and compares line by line.
fn run(ctx: &Ctx, name: &str) -> Result<()> {
    let script = SCRIPTS.iter().find(|script| script.name == name).context("no such script")?;
    let shown = transcript(&mut LinuxMachine::open(ctx)?, script.text)?;
    match compare(script.text, &shown)? {
        Ok(0) => {}
        Ok(kept) => println!("{kept} crashes left what no command had committed"),
        Err(Difference { after, kernel, model, .. }) => {
            bail!("after '{after}' the kernel shows '{kernel}', the model '{model}'; all of it:\n{shown}")
        }
    }
    Ok(())
}
