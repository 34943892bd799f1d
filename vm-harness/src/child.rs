//! Runs one case in a separate process, so that a hang can be killed and a panic is only a failure.

use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::protocol::{CaseInfo, CaseResult, Outcome, SKIP_MARK, SKIP_STATUS};
use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Time limit of the clean-up.
const CLEAN_LIMIT: Duration = Duration::from_secs(45);

/// How much of the output of a case is kept.
const MAX_OUTPUT: usize = 256 << 10;

/// Runs a case of `program` with its files in `folder`, cleans up after it, and reports.
pub fn run_case(program: &Path, case: &CaseInfo, folder: &Path) -> Result<CaseResult> {
    std::fs::create_dir_all(folder)?;
    let started = Instant::now();
    let limit = Duration::from_secs(case.limit_s);
    let turn = case.turn.map(|turn| [(SAMPLES, SAMPLES_OF_A_TURN.to_owned()), (TURN, turn.to_string())]);
    let first = run(program, &["run", &case.name], folder, limit, turn.as_ref().map_or(&[], |both| both))?;
    let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let second = run(program, &["clean"], folder, CLEAN_LIMIT, &[])?;
    let _ = std::fs::remove_dir_all(folder);
    let mut output = first.output;
    let mut outcome = match first.status {
        None => Outcome::TimedOut,
        Some(status) => outcome_of(status, &output),
    };
    // `clean` prints faults of the case and fails when it could not restore the machine.
    let clean = second.status.is_some_and(|status| status.success());
    if !second.output.is_empty() || !clean {
        output.push_str("--- cleaning up after the case:\n");
        output.push_str(&second.output);
        if outcome == Outcome::Passed {
            outcome = Outcome::Failed;
        }
    }
    Ok(CaseResult { name: case.name.clone(), outcome, ms, output, clean })
}

/// At how many places cases kill that otherwise kill at all; and the number by which they choose the places.
const SAMPLES: &str = "THINVOL_KILLS";
const TURN: &str = "THINVOL_KILLS_TURN";

/// Its value for a case that runs in its turn.
const SAMPLES_OF_A_TURN: &str = "3";

struct Ended {
    /// None: killed at the time limit.
    status: Option<ExitStatus>,
    output: String,
}

fn outcome_of(status: ExitStatus, output: &str) -> Outcome {
    match status.code() {
        Some(0) => Outcome::Passed,
        Some(SKIP_STATUS) => {
            let reason = output.lines().rev().find_map(|line| line.strip_prefix(SKIP_MARK));
            Outcome::Skipped { reason: reason.unwrap_or("no reason given").to_owned() }
        }
        _ => Outcome::Failed,
    }
}

/// Runs a program. Its output goes to a file: a daemon that a case starts would keep
/// a pipe open for ever.
fn run(
    program: &Path,
    arguments: &[&str],
    folder: &Path,
    limit: Duration,
    variables: &[(&str, String)],
) -> Result<Ended> {
    let path = folder.with_extension("output");
    let file = File::create(&path)?;
    let mut child = Command::new(program)
        .args(arguments)
        .env("THINVOL_CASE_DIR", folder)
        .env("RUST_BACKTRACE", "0")
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {} for a case", program.display()))?;
    let status = wait(&mut child, limit)?;
    let mut notes = String::new();
    if status.is_none() {
        notes = format!("killed after {} s; it was at:\n{}", limit.as_secs(), whereabouts(child.id()));
    }
    if let Some(signal) = status.and_then(|status| status.signal()) {
        notes = format!("ended by signal {signal}\n");
    }
    // Also after a normal end: what it left running in its group would disturb the next case.
    let group = Pid::from_raw(i32::try_from(child.id())?);
    let _ = killpg(group, Signal::SIGKILL);
    if status.is_none() {
        // A process in uninterruptible sleep does not die; then the clean-up fails and the machine is given
        // up.
        wait(&mut child, Duration::from_secs(5))?;
    }
    let bytes = std::fs::read(&path)?;
    let _ = std::fs::remove_file(&path);
    let from = bytes.len().saturating_sub(MAX_OUTPUT);
    let output = String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned() + &notes;
    Ok(Ended { status, output })
}

/// Waits for a child until `limit`; none when it still runs.
pub fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The kernel's view of the processes of a group.
fn whereabouts(group: u32) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let folder = entry.path();
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        let stat = read("stat");
        // pid (comm) state ppid pgrp ...; comm may hold anything, so look after its closing parenthesis.
        let Some((head, tail)) = stat.rsplit_once(')') else { continue };
        let fields: Vec<&str> = tail.split_whitespace().collect();
        if fields.get(2).and_then(|pgrp| pgrp.parse().ok()) == Some(group) {
            let state = fields.first().unwrap_or(&"?");
            text.push_str(&format!("{head}) state {state} in {}\n", read("wchan")));
            for line in read("stack").lines().take(8) {
                text.push_str(&format!("    {line}\n"));
            }
        }
    }
    text
}
