//! Runs one program in a guest of the full tier, its output passed on as it comes.

use std::io::Write;

use anyhow::{Result, bail};
use vm_harness::protocol::{Order, Report, Tier};

use crate::accel::Accel;
use crate::guest::{GRACE, Guest, Setup};
use crate::progress::step;
use crate::workspace::Workspace;

/// A program and its arguments, and the seconds after which it is killed.
#[derive(Clone, Copy)]
pub struct Script<'a> {
    /// What to run.
    pub argv: &'a [&'a str],
    /// Its time.
    pub limit_s: u64,
}

/// Boots, runs, and writes what it prints to `to`; returns the exit code of the program.
pub fn run(
    workspace: &Workspace,
    setup: &Setup,
    accel: Accel,
    script: Script<'_>,
    to: &mut impl Write,
) -> Result<i32> {
    let Script { argv, limit_s } = script;
    let mut guest =
        step(workspace, "boot the full machine", |_| Guest::boot(workspace, setup, Tier::Full, accel))?;
    guest.order(&Order::Exec { argv: argv.iter().map(|&word| word.to_owned()).collect(), limit_s })?;
    loop {
        match guest.report_within(limit_s, GRACE) {
            Ok(Report::Output { text }) => {
                to.write_all(text.as_bytes())?;
                to.flush()?;
            }
            Ok(Report::Exit { code }) => return Ok(code),
            Ok(other) => bail!("the guest answered {other:?} to a program"),
            Err(silence) => {
                bail!("the guest gave no answer ({silence:?}); its last words:\n{}", guest.last_words())
            }
        }
    }
}
