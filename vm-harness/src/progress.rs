//! Steps: each has a name, a log, a line that shows its progress while it runs, and one when it has ended.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

/// Lines of the log that a failed step shows.
const TAIL_LINES: usize = 40;

/// How often the line on a terminal is written anew.
const ON_TERMINAL: Duration = Duration::from_millis(500);

/// How often a line is written where there is no terminal.
const IN_A_LOG: Duration = Duration::from_secs(30);

/// The log of one step.
pub struct Log {
    path: PathBuf,
}

impl Log {
    /// Where the log is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Another handle to append to the log.
    pub fn file(&self) -> Result<File> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)
            .with_context(|| format!("cannot write the log {}", self.path.display()))
    }

    /// Runs a command with its output in the log; an unsuccessful one is an error.
    pub fn run(&self, command: &mut Command) -> Result<()> {
        writeln!(self.file()?, "+ {command:?}")?;
        let status = command
            .stdin(Stdio::null())
            .stdout(self.file()?)
            .stderr(self.file()?)
            .status()
            .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
        if !status.success() {
            bail!("{} failed ({status})", command.get_program().to_string_lossy());
        }
        Ok(())
    }

    /// The last lines of the log.
    pub fn tail(&self) -> String {
        let bytes = std::fs::read(&self.path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(TAIL_LINES);
        lines.get(from..).unwrap_or_default().join("\n")
    }
}

/// Runs `work` as a step called `name`. Progress goes to standard error, so that standard output stays the
/// guest's.
pub fn step<T>(workspace: &Workspace, name: &str, work: impl FnOnce(&Log) -> Result<T>) -> Result<T> {
    let slug: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let log = Log { path: workspace.logs().join(format!("{slug}-{}.log", std::process::id())) };
    let started = Instant::now();
    let ticker = Ticker::start(name, &log);
    let result = work(&log);
    ticker.stop();
    let seconds = started.elapsed().as_secs_f32();
    match &result {
        Ok(_) => eprintln!("  ok    {name} ({seconds:.1} s)"),
        Err(_) => {
            eprintln!("  FAIL  {name} ({seconds:.1} s)");
            let tail = log.tail();
            if !tail.is_empty() {
                eprintln!("{tail}\n  (the whole log: {})", log.path.display());
            }
        }
    }
    result.with_context(|| format!("step failed: {name}"))
}

/// The last crate in the log that cargo began to compile, and how many it has begun; none before the first.
fn crates(log: &str) -> Option<(usize, &str)> {
    let names = log.lines().filter_map(|line| {
        let verbs = ["Compiling ", "Checking ", "Documenting "];
        let rest = verbs.iter().find_map(|verb| line.trim_start().strip_prefix(verb))?;
        rest.split(' ').next()
    });
    let names: Vec<&str> = names.collect();
    names.last().map(|last| (names.len(), *last))
}

/// How far a step has come.
fn state(name: &str, log: &Path, elapsed: Duration) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let at = crates(&String::from_utf8_lossy(&text)).map(|(count, last)| format!(", crate {count}: {last}"));
    format!("  ...   {name} ({} s{})", elapsed.as_secs(), at.unwrap_or_default())
}

/// Shows how far a step has come while it runs: on a terminal in one line, elsewhere in a line now and then.
struct Ticker {
    stop: std::sync::mpsc::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Ticker {
    fn start(name: &str, log: &Log) -> Self {
        let (stop, stopped) = channel();
        let is_terminal = std::io::stderr().is_terminal();
        let (name, log) = (name.to_owned(), log.path().to_owned());
        let thread = std::thread::spawn(move || {
            let started = Instant::now();
            let pause = if is_terminal { ON_TERMINAL } else { IN_A_LOG };
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let state = state(&name, &log, started.elapsed());
                if is_terminal { eprint!("\r\x1b[K{state}") } else { eprintln!("{state}") }
            }
            if is_terminal {
                eprint!("\r\x1b[K");
            }
        });
        Ticker { stop, thread }
    }

    fn stop(self) {
        drop(self.stop);
        // A ticker that panicked has nothing to show.
        let _ = self.thread.join();
    }
}

#[cfg(test)]
mod tests {
    use super::crates;

    #[test]
    fn the_crates_of_a_log_are_counted() {
        assert_eq!(crates("+ \"cargo\" \"build\"\n    Updating index\n"), None);
        let log = "   Compiling libc v0.2.1\n  Downloaded x\n   Compiling nix v0.31.3 (/a)\n    Finished\n";
        assert_eq!(crates(log), Some((2, "nix")));
    }
}
