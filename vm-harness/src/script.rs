//! Runs one program in a guest of the full tier, its output passed on as it comes.

use std::io::Write;

use anyhow::{Result, bail};
use vm_harness::protocol::{Order, Report, Tier};

use crate::accel::Accel;
use crate::guest::{GRACE, Guest, Setup};
use crate::progress::step;
use crate::workspace::Workspace;

/// Boots, runs, prints; returns the exit code of the program.
pub fn run(workspace: &Workspace, setup: &Setup, accel: Accel, argv: &[&str], limit_s: u64) -> Result<i32> {
    let mut guest =
        step(workspace, "boot the full machine", |_| Guest::boot(workspace, setup, Tier::Full, accel))?;
    guest.order(&Order::Exec { argv: argv.iter().map(|&word| word.to_owned()).collect(), limit_s })?;
    let mut stdout = std::io::stdout();
    loop {
        match guest.report_within(limit_s, GRACE) {
            Ok(Report::Output { text }) => {
                stdout.write_all(text.as_bytes())?;
                stdout.flush()?;
            }
            Ok(Report::Exit { code }) => return Ok(code),
            Ok(other) => bail!("the guest answered {other:?} to a program"),
            Err(silence) => {
                bail!("the guest gave no answer ({silence:?}); its last words:\n{}", guest.last_words())
            }
        }
    }
}
