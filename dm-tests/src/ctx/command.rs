//! Runs commands. Each is printed with its duration and output, so that the output of a failed case shows its course.

use std::process::{Command, Output, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::Ctx;
use crate::json_form;

/// The result of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Exit status; -1 when a signal ended it.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    pub(super) fn tell(&self) {
        print!("{}", self.stdout);
        for line in self.stderr.lines() {
            println!("stderr: {line}");
        }
        if self.status != 0 {
            println!("status: {}", self.status);
        }
    }

    pub(super) fn of(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ctx {
    /// Runs a program; any exit status is accepted.
    pub fn run(&self, argv: &[&str]) -> Result<Ran> {
        let started = Instant::now();
        let ran = self.run_quietly(argv)?;
        println!("$ {} ({} ms)", argv.join(" "), started.elapsed().as_millis());
        ran.tell();
        Ok(ran)
    }

    /// The same without printing, for commands with much output.
    pub fn run_quietly(&self, argv: &[&str]) -> Result<Ran> {
        let (program, arguments) = argv.split_first().context("an empty command")?;
        let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
        Ok(Ran::of(output.with_context(|| format!("cannot start {program}"))?))
    }

    /// Runs a command line, split at white space, that must succeed; it may write to standard error.
    pub fn ok(&self, line: &str) -> Result<String> {
        let ran = self.run(&words(line))?;
        if ran.status != 0 {
            bail!("`{line}` failed with status {}: {}", ran.status, ran.stderr.trim());
        }
        Ok(ran.stdout)
    }

    /// Runs an lvm2 command line that must succeed and be silent on standard error: a warning is a failure.
    pub fn lvm(&self, line: &str) -> Result<String> {
        let ran = self.run(&words(line))?;
        if ran.status != 0 || !ran.stderr.is_empty() {
            bail!("lvm2 complains: `{line}`, status {}: {}", ran.status, ran.stderr.trim());
        }
        Ok(ran.stdout)
    }

    /// Runs thinvol with these arguments, split at white space; any exit status is accepted.
    pub fn thinvol(&self, arguments: &str) -> Result<Ran> {
        let mut argv = vec!["thinvol"];
        argv.extend(words(arguments));
        self.run(&argv)
    }

    /// Runs thinvol, which must succeed; returns its standard output.
    pub fn thinvol_ok(&self, arguments: &str) -> Result<String> {
        let ran = self.thinvol(arguments)?;
        if ran.status != 0 {
            bail!("`thinvol {arguments}` failed with status {}: {}", ran.status, ran.stderr.trim());
        }
        Ok(ran.stdout)
    }

    /// Runs thinvol with `--json`, which must succeed; its answer must have the form that its help gives.
    pub fn thinvol_json(&self, arguments: &str) -> Result<serde_json::Value> {
        let answer: serde_json::Value =
            serde_json::from_str(&self.thinvol_ok(&format!("{arguments} --json"))?)
                .with_context(|| format!("`thinvol {arguments} --json` does not answer in JSON"))?;
        let verb = words(arguments)
            .into_iter()
            .skip_while(|word| word.starts_with('-') || word.contains('/'))
            .take_while(|word| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'))
            .take(2)
            .collect::<Vec<_>>();
        let nested = matches!(verb.first(), Some(&("scan" | "iscsi" | "pool")));
        let verb = verb.into_iter().take(if nested { 2 } else { 1 }).collect::<Vec<_>>().join(" ");
        let help = self.thinvol_ok(&format!("{verb} --help"))?;
        match json_form::of_help(&help, "JSON") {
            Some(Ok(form)) => form
                .check_document(&answer)
                .map_err(|why| anyhow::anyhow!("the help of {verb} gives another form: {why}"))?,
            Some(Err(error)) => bail!("the form in the help of {verb} cannot be read: {error}"),
            None => bail!("the help of {verb} gives no form"),
        }
        Ok(answer)
    }

    /// Runs lines of shell, which must succeed. Returns their output.
    pub fn shell(&self, line: &str) -> Result<String> {
        let ran = self.sh(&format!("set -e; {line}"))?;
        if ran.status != 0 {
            bail!("`{line}` failed with status {}: {}", ran.status, ran.stderr.trim());
        }
        Ok(ran.stdout)
    }

    /// Runs a line of shell; any exit status is accepted.
    pub fn sh(&self, line: &str) -> Result<Ran> {
        self.run(&["sh", "-c", line])
    }
}

pub(super) fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}
