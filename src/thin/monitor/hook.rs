//! A program that is told what happens to pools: an event as JSON on its standard input. It is not waited for, and not
//! let run for long.

use std::io::Write;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::Serialize;

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(30);

/// How often to check whether it has ended.
const PAUSE: Duration = Duration::from_millis(20);

/// So many may run at a time; events beyond are only logged.
const RUNNING_MAX: usize = 8;

/// The version of what it is told. It goes up when a key goes or means something else.
const VERSION: u32 = 1;

/// Something that happened to a pool.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Event {
    /// The volume group.
    pub(super) vg: String,
    /// The pool.
    pub(super) pool: String,
    /// What happened.
    #[serde(flatten)]
    pub(super) what: What,
}

/// What happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum What {
    /// So much of its data or metadata is taken.
    Filled { what: &'static str, percent: u32 },
    /// It is in another state.
    Condition { condition: &'static str, words: String, way_out: Option<String> },
    /// It is larger.
    Extended { how: String },
    /// It should be larger and is not.
    NotExtended { why: String },
}

#[derive(Serialize)]
struct Versioned<'a> {
    version: u32,
    #[serde(flatten)]
    event: &'a Event,
}

/// The program, if there is one.
pub(super) struct Hook {
    program: Option<PathBuf>,
    limit: Duration,
    running: Arc<AtomicUsize>,
}

impl Hook {
    pub(super) fn new(program: Option<PathBuf>) -> Self {
        Self { program, limit: LIMIT, running: Arc::default() }
    }

    /// Tells the program, if there is one.
    pub(super) fn tell(&self, event: &Event) {
        let Some(program) = self.program.clone() else { return };
        let Ok(mut text) = serde_json::to_string(&Versioned { version: VERSION, event }) else { return };
        text.push('\n');
        if self.running.fetch_add(1, Ordering::AcqRel) >= RUNNING_MAX {
            self.running.fetch_sub(1, Ordering::AcqRel);
            tracing::warn!(program = %program.display(), "so many hooks run that this event is not told");
            return;
        }
        let (running, limit) = (Arc::clone(&self.running), self.limit);
        let spawned = std::thread::Builder::new().name("hook".into()).spawn(move || {
            if let Err(error) = run(&program, &text, limit) {
                tracing::warn!(program = %program.display(), %error, "the hook failed");
            }
            running.fetch_sub(1, Ordering::AcqRel);
        });
        if let Err(error) = spawned {
            self.running.fetch_sub(1, Ordering::AcqRel);
            tracing::warn!(%error, "the hook is not run");
        }
    }

    /// Waits until all have ended that run.
    pub(super) fn finish(&self) {
        let deadline = Instant::now() + self.limit;
        while self.running.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
            std::thread::sleep(PAUSE);
        }
    }
}

/// Runs the program in a process group of its own, which ends with it if it takes too long.
fn run(program: &Path, text: &str, limit: Duration) -> std::io::Result<()> {
    let mut command = Command::new(program);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::inherit()).process_group(0);
    let mut child = command.spawn()?;
    // A pipe takes it whole: nobody waits for a program that does not read. One that has ended need not have read it.
    let told = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(text.as_bytes()));
    if let Err(error) = told {
        tracing::debug!(%error, "the hook did not read what it was told");
    }
    wait(&mut child, limit)
}

fn wait(child: &mut Child, limit: Duration) -> std::io::Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(std::io::Error::other(status.to_string())),
            None if Instant::now() < deadline => std::thread::sleep(PAUSE),
            None => break,
        }
    }
    let group = i32::try_from(child.id()).map(Pid::from_raw).map_err(std::io::Error::other)?;
    let killed = killpg(group, Signal::SIGKILL);
    child.wait()?;
    killed.map_err(std::io::Error::from)?;
    Err(std::io::Error::other(format!("it took longer than {} s, and was killed", limit.as_secs())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn script(dir: &Path, text: &str) -> PathBuf {
        let path = dir.join("hook");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("the folder is ours");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("the file is ours");
        path
    }

    #[test]
    fn it_is_told_in_json() {
        let dir = tempfile::tempdir().unwrap();
        let told = dir.path().join("told");
        let hook = Hook::new(Some(script(dir.path(), &format!("cat > {}", told.display()))));
        let what = What::Filled { what: "data", percent: 80 };
        hook.tell(&Event { vg: "pve".into(), pool: "data".into(), what });
        hook.finish();
        let told = std::fs::read_to_string(told).unwrap();
        let wanted = "{\"version\":1,\"vg\":\"pve\",\"pool\":\"data\",\"event\":\"filled\",\"what\":\"data\",\
                      \"percent\":80}\n";
        assert_eq!(told, wanted);
    }

    #[test]
    fn one_that_hangs_is_killed_with_all_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let program = script(dir.path(), "sleep 1000 & sleep 1000");
        let error = run(&program, "x", Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("was killed"), "{error}");
        assert!(run(&script(dir.path(), "exit 3"), "x", Duration::from_secs(20)).is_err());
        assert!(run(Path::new("/nonexistent"), "x", Duration::from_secs(1)).is_err());
    }
}
