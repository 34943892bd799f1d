//! Steps: each has a name, a log, a line on the terminal while it runs and one when it has ended.

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
    let ticker = Ticker::start(name);
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

/// The line that counts seconds while a step runs, on a terminal only.
struct Ticker {
    stop: std::sync::mpsc::Sender<()>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Ticker {
    fn start(name: &str) -> Self {
        let (stop, stopped) = channel();
        let terminal = std::io::stderr().is_terminal();
        let name = name.to_owned();
        let thread = terminal.then(|| {
            std::thread::spawn(move || {
                let started = Instant::now();
                while stopped.recv_timeout(Duration::from_millis(500)) == Err(RecvTimeoutError::Timeout) {
                    eprint!("\r\x1b[K  ...   {name} ({} s)", started.elapsed().as_secs());
                }
                eprint!("\r\x1b[K");
            })
        });
        Ticker { stop, thread }
    }

    fn stop(self) {
        drop(self.stop);
        if let Some(thread) = self.thread {
            // A ticker that panicked has nothing to say.
            let _ = thread.join();
        }
    }
}
