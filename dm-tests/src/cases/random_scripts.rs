//! Scripts drawn at random, on the running kernel and on the model: the same seeds, the same answers.

use anyhow::{Result, anyhow, bail};

use crate::case::{Case, Tier};
use crate::ctx::Ctx;
use crate::scripts::agreement::{Difference, compare};
use crate::scripts::linux::LinuxMachine;
use crate::scripts::machine::Machine as _;
use crate::scripts::random::script;
use crate::scripts::runner::transcript;

/// The cases of this file.
pub const CASES: &[Case] = &[case("random_scripts::first_seeds", 240, |ctx| agree(ctx, 0..2))];

/// Those that run where they are named.
pub const LONG: &[Case] = &[case("random_scripts::many_seeds", 1200, |ctx| agree(ctx, 2..60))];

/// Lines of a script.
const LINES: usize = 250;

const fn case(name: &'static str, limit_s: u64, run: fn(&Ctx) -> Result<()>) -> Case {
    Case { name, tier: Tier::Fast, limit_s, run }
}

fn agree(ctx: &Ctx, seeds: std::ops::Range<u32>) -> Result<()> {
    let mut answers = 0;
    let mut kept = 0;
    for seed in seeds {
        let script = script(seed, LINES);
        let mut machine = LinuxMachine::open(ctx)?;
        let shown = transcript(&mut machine, &script)?;
        machine.crash().map_err(|errno| anyhow!("devices of the script cannot be removed: {errno}"))?;
        match compare(&script, &shown)? {
            Ok(crashes) => kept += crashes,
            Err(Difference { model, line, .. }) => {
                let lines: Vec<&str> = shown.lines().take(line + 1).collect();
                let so_far = lines[lines.len().saturating_sub(60)..].join("\n");
                bail!(
                    "seed {seed}: the model says '{model}' where the kernel says the last of this:\n{so_far}"
                );
            }
        }
        answers += shown.lines().filter(|line| line.starts_with("> ")).count();
    }
    println!("{answers} answers agree; {kept} crashes left what no command had committed");
    Ok(())
}
