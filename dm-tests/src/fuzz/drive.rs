//! Drives a target without a fuzzer: every input that was ever found to matter, then mutations of the seeds for a
//! bounded time, the same ones each time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::targets::FuzzTarget;
use crate::random::Random;

/// How long one input may take: parsers do no unbounded work.
const SLOW: Duration = Duration::from_secs(2);

/// The longest input that is made.
const LONGEST: usize = 256 << 10;

/// The folder of inputs that were found to matter, one below it for each target.
pub fn findings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/findings")
}

/// What was run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Driven {
    /// Inputs kept as findings.
    pub kept: usize,
    /// Seeds.
    pub seeds: usize,
    /// Mutations.
    pub mutations: u64,
}

/// Runs the findings, the seeds, and mutations for `time`.
///
/// # Errors
/// The input on which the target panicked or was slow; it is written to `failed`.
pub fn drive(target: &FuzzTarget, time: Duration, failed: &Path) -> Result<Driven> {
    let mut driven = Driven::default();
    for input in kept(target)? {
        one(target, &input, failed)?;
        driven.kept += 1;
    }
    let seeds = (target.seeds)();
    for seed in &seeds {
        one(target, seed, failed)?;
    }
    driven.seeds = seeds.len();
    let mut random = Random::new(target.name);
    let end = Instant::now() + time;
    while Instant::now() < end {
        one(target, &mutated(&seeds, &mut random), failed)?;
        driven.mutations += 1;
    }
    Ok(driven)
}

fn kept(target: &FuzzTarget) -> Result<Vec<Vec<u8>>> {
    let folder = findings().join(target.name);
    let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(Vec::new()) };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).with_context(|| path.display().to_string())).collect()
}

fn one(target: &FuzzTarget, input: &[u8], failed: &Path) -> Result<()> {
    let start = Instant::now();
    let ran = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let took = start.elapsed();
    if ran.is_ok() && took < SLOW {
        return Ok(());
    }
    std::fs::write(failed, input).with_context(|| format!("cannot write {}", failed.display()))?;
    let what = if ran.is_ok() { format!("took {} ms", took.as_millis()) } else { "panicked".to_owned() };
    bail!(
        "target {} {what}; the input is {}: mend it, then keep the input in {}/{}",
        target.name,
        failed.display(),
        findings().display(),
        target.name
    )
}

/// A seed with a few changes: bits, numbers that matter, pieces copied, cut, doubled, or taken from another seed.
fn mutated(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = random.pick(seeds).cloned().unwrap_or_default();
    for _ in 0..=random.below(4) {
        change(&mut input, seeds, random);
    }
    input.truncate(LONGEST);
    input
}

fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    /// Bytes and numbers at which something changes.
    const TELLING: [&[u8]; 14] = [
        b"\0",
        b"\xff",
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b"\\",
        b"#",
        b"=",
        b"0",
        b"18446744073709551615",
        b"-1",
        b"\xff\xff\xff\xff\xff\xff\xff\x7f",
    ];
    let at = random.below(input.len() + 1);
    let length = random.below(input.len() - at + 1).min(random.below(64) + 1);
    match random.below(7) {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            let word = TELLING[random.below(TELLING.len())];
            let until = (at + word.len()).min(input.len());
            input.splice(at..until, word.iter().copied());
        }
        2 => {
            let word = TELLING[random.below(TELLING.len())];
            input.splice(at..at, word.iter().copied());
        }
        3 => drop(input.drain(at..at + length)),
        4 => {
            let piece = input[at..at + length].to_vec();
            let to = random.below(input.len() + 1);
            input.splice(to..to, piece);
        }
        5 => {
            let other = random.pick(seeds).map_or(&[][..], Vec::as_slice);
            let from = random.below(other.len() + 1);
            let piece = &other[from..(from + length).min(other.len())];
            input.splice(at..at + length, piece.iter().copied());
        }
        _ => input.truncate(at),
    }
}
