//! Runs thin_check, or what lvm.conf has instead, and judges how it ends.

use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::LinuxHost;
use crate::ports::{CheckFound, Host};

/// How often a running check is looked at.
const CHECK_PAUSE: Duration = Duration::from_millis(5);

/// How much of what a check says is kept.
const SAID_MAX: u64 = 4096;

/// What a shell ends with that cannot run a command, or does not find it, and the dynamic linker that misses a
/// library.
/// Source: POSIX.1-2017, Shell Command Language, 2.8.2; glibc `elf/dl-minimal.c`, `_dl_signal_error`.
const COULD_NOT_RUN: i32 = 126;
const NOT_FOUND: i32 = 127;

/// How long the end of what a check that has ended said is waited for: a process it left running may keep the pipe.
const SAID_WAIT: Duration = Duration::from_secs(1);

/// How pool metadata is checked before use (lvm.conf `global/thin_check_*`).
#[derive(Clone, Debug)]
pub struct CheckPolicy {
    /// The program; `None` for no check.
    pub executable: Option<PathBuf>,
    /// Its options.
    pub options: Vec<String>,
    /// How long it may take.
    pub limit: Duration,
}

impl LinuxHost {
    /// The check, but for what it is to check.
    pub(super) fn checker(&self, executable: &Path, options: &[String]) -> Command {
        let mut command = Command::new(executable);
        command.args(options).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.process_group(0);
        command
    }

    /// A check that does not take its options fails as one that finds damage. It is told by this: beside
    /// `--help` they make it fail, and without them it answers. A check that does not know `--help` fails both
    /// ways, and what it said counts. (`--version` does not serve: thin_check 1.1 refuses any option beside it.)
    pub(super) fn judge(&self, executable: &Path, options: &[String], said: String) -> CheckFound {
        let answers = |options: &[String]| {
            let asked = self.checker(executable, options).arg("--help").spawn();
            asked.map_err(|_| ()).and_then(|child| self.watch(child).map_err(|_| ()))
        };
        if options.is_empty() || answers(options).is_ok() || answers(&[]).is_err() {
            return CheckFound::Damage(said);
        }
        let options = options.join(" ");
        CheckFound::Nothing(format!("{} does not take the options '{options}': {said}", executable.display()))
    }

    /// Waits for a check, no longer than its limit.
    pub(super) fn watch(&self, mut child: Child) -> Result<(), CheckFound> {
        let said = child.stderr.take().map(listen);
        let deadline = Instant::now() + self.check.limit;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => {
                    let why = match self.stop_asked() {
                        Some(signal) => format!("it was stopped by {signal}"),
                        None if Instant::now() < deadline => {
                            std::thread::sleep(CHECK_PAUSE);
                            continue;
                        }
                        None => format!("it took longer than {} s", self.check.limit.as_secs()),
                    };
                    // A check that was killed and not reaped would be a zombie until this process ends: no more.
                    let _ = child.kill().and_then(|()| child.wait());
                    return Err(CheckFound::Nothing(why));
                }
                Err(error) => return Err(CheckFound::Nothing(format!("waiting for it failed: {error}"))),
            }
        };
        if status.success() {
            return Ok(());
        }
        let said = said.and_then(|said| said.recv_timeout(SAID_WAIT).ok()).unwrap_or_default();
        let said = format!("{status}: {}", said.trim());
        Err(match status.code() {
            Some(COULD_NOT_RUN | NOT_FOUND) | None => CheckFound::Nothing(said),
            Some(_) => CheckFound::Damage(said),
        })
    }
}

/// Takes in what a check says while it runs, for a pipe holds only so much. The first of it goes into the message.
fn listen(mut stderr: ChildStderr) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut said = Vec::new();
        // What cannot be read is missing from the message, no more.
        let _ = stderr.by_ref().take(SAID_MAX).read_to_end(&mut said);
        let _ = io::copy(&mut stderr, &mut io::sink());
        // Nobody waits for it after a check that passed.
        let _ = sender.send(String::from_utf8_lossy(&said).into_owned());
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(dir: &Path, program: &str) -> LinuxHost {
        let executable = Some(PathBuf::from(program));
        LinuxHost::new(dir, CheckPolicy { executable, options: Vec::new(), limit: Duration::from_millis(50) })
    }

    #[test]
    fn a_check_that_hangs_is_killed_at_its_limit() {
        let host = host(Path::new("/nonexistent"), "sleep");
        let child = Command::new("sleep").arg("100").stderr(Stdio::piped()).spawn().unwrap();
        assert!(matches!(host.watch(child), Err(CheckFound::Nothing(why)) if why.contains("longer than")));
    }

    #[test]
    fn a_check_that_says_more_than_a_pipe_holds_ends_all_the_same() {
        let host = LinuxHost {
            check: CheckPolicy {
                limit: Duration::from_secs(60),
                ..host(Path::new("/nonexistent"), "sh").check
            },
            ..host(Path::new("/nonexistent"), "sh")
        };
        let script = "i=0; while [ $i -lt 3000 ]; do echo bad block number $i, nothing but zeros in it; i=$((i+1)); \
                      done >&2; exit 1";
        let child = Command::new("sh").args(["-c", script]).stderr(Stdio::piped()).spawn();
        let said = host.watch(child.unwrap()).unwrap_err().to_string();
        assert!(said.contains("bad block number 0,") && said.len() < 5000, "{said}");
    }

    /// What comes of a check by that script with these options.
    fn found(script: &str, options: &[&str]) -> CheckFound {
        let dir = tempfile::tempdir().unwrap();
        let checker = dir.path().join("checker");
        // Another process writes it: what a child of another test holds open for writing cannot be run.
        let write = "printf '#!/bin/sh\n%s\n' \"$1\" >\"$0\" && chmod 755 \"$0\"";
        let written = Command::new("sh").args(["-c", write]).arg(&checker).arg(script).status();
        assert!(written.unwrap().success());
        let options = options.iter().map(|word| (*word).to_owned()).collect();
        let check = CheckPolicy { executable: None, options, limit: Duration::from_secs(60) };
        let host = LinuxHost::new(Path::new("/nonexistent"), check);
        let child = host.checker(&checker, &host.check.options).arg("/dev/dm-0").spawn().unwrap();
        match host.watch(child) {
            Err(CheckFound::Damage(said)) => host.judge(&checker, &host.check.options, said),
            Err(found) => found,
            Ok(()) => panic!("it passed"),
        }
    }

    #[test]
    fn only_the_exit_status_of_a_check_that_works_is_damage() {
        let is_damage = |found: &CheckFound| matches!(found, CheckFound::Damage(_));
        let thin_check = "for word; do case $word in --help) exit 0 ;; -q | --skip | /dev/*) ;; \
                          *) echo unrecognized option $word >&2; exit 2 ;; esac; done; echo bad btree >&2; exit 1";
        let said = found(thin_check, &["-q", "--skip"]);
        assert!(is_damage(&said) && said.to_string().contains("bad btree"), "{said}");
        let said = found(thin_check, &["-q", "--no-such-option"]);
        assert!(!is_damage(&said) && said.to_string().contains("--no-such-option"), "{said}");
        assert!(!is_damage(&found("kill -TERM $$", &[])), "a signal ended it");
        assert!(!is_damage(&found("no-such-program \"$@\"", &[])), "what it was to run was not found");
    }

    #[test]
    fn a_checker_of_ones_own_that_has_no_help_is_believed() {
        let is_damage = |script, options| matches!(found(script, options), CheckFound::Damage(_));
        for options in [&[][..], &["-q"], &["--fast", "--deep"]] {
            assert!(is_damage("exit 1", options), "{options:?}: it looks at nothing it is told");
            assert!(
                is_damage("for last; do :; done; [ -r \"$last\" ] && [ ! -e \"$last\" ]", options),
                "{options:?}"
            );
            assert!(is_damage("[ \"$1\" = --help ] && exit 0; exit 3", &[]), "it has a help");
        }
    }

    #[test]
    fn a_check_runs_in_a_process_group_of_its_own() {
        let says = found("ps -o pgid= -p $$ >&2; kill -TERM $$", &[]).to_string();
        let ours = nix::unistd::getpgrp().to_string();
        let group = says.split_whitespace().last().unwrap();
        assert!(group.parse::<u32>().is_ok() && group != ours, "{says}");
    }
}
