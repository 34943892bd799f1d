//! Scripts drawn at random, on the running kernel and on the model: the same seeds, the same answers.

use anyhow::{Result, bail};
use dm::ioctl::LinuxDm;
use dm::kernel::{Kernel as _, UdevEvent};

use crate::case::{Case, Tier};
use crate::ctx::Ctx;
use crate::scripts::linux::LinuxMachine;
use crate::scripts::machine::SimMachine;
use crate::scripts::random::script;
use crate::scripts::runner::transcript;

/// The cases of this file.
pub const CASES: &[Case] = &[case("random_scripts::first_seeds", 120, |ctx| agree(ctx, 0..4))];

/// Those that run where they are named.
pub const LONG: &[Case] = &[case("random_scripts::many_seeds", 1200, |ctx| agree(ctx, 4..100))];

/// Lines of a script.
const LINES: usize = 250;

const fn case(name: &'static str, limit_s: u64, run: fn(&Ctx) -> Result<()>) -> Case {
    Case { name, tier: Tier::Fast, limit_s, run }
}

fn agree(ctx: &Ctx, seeds: std::ops::Range<u32>) -> Result<()> {
    let mut answers = 0;
    for seed in seeds {
        let script = script(seed, LINES);
        let model = transcript(&mut SimMachine::default(), &script)?;
        let kernel = transcript(&mut LinuxMachine::open(ctx)?, &script)?;
        clear()?;
        let differs = model.lines().zip(kernel.lines()).position(|(model, kernel)| model != kernel);
        if let Some(at) = differs {
            let lines: Vec<&str> = kernel.lines().take(at + 1).collect();
            let so_far = lines[lines.len().saturating_sub(60)..].join("\n");
            bail!(
                "seed {seed}: the model says '{}' where the kernel says the last of this:\n{so_far}",
                model.lines().nth(at).unwrap_or_default()
            );
        }
        if model.len() != kernel.len() {
            bail!("seed {seed}: one says more than the other");
        }
        answers += model.lines().filter(|line| line.starts_with("> ")).count();
    }
    println!("{answers} answers agree");
    Ok(())
}

/// Removes the pool of a script, so that the next finds its names free.
fn clear() -> Result<()> {
    let kernel = LinuxDm::open()?;
    for _ in 0..20 {
        let left = kernel.list()?;
        if left.is_empty() {
            return Ok(());
        }
        for device in left {
            // What stands below another goes in a later round.
            let _ = kernel.remove(&device.name, UdevEvent(0));
        }
    }
    bail!("devices of the script cannot be removed")
}
