//! The commands and output in one state, shown only if the state was wrong.

use std::fmt;

use anyhow::{Result, ensure};

use crate::ctx::{Ctx, Ran};

/// Seconds after which a command hangs. The clock of an emulated machine can be fast.
const LIMIT_S: u32 = 300;

/// Commands and their answers.
pub struct Transcript<'a> {
    ctx: &'a Ctx,
    lines: String,
}

impl<'a> Transcript<'a> {
    /// An empty one.
    pub fn new(ctx: &'a Ctx) -> Self {
        Self { ctx, lines: String::new() }
    }

    /// The case.
    pub fn ctx(&self) -> &'a Ctx {
        self.ctx
    }

    /// Runs a line of shell; any status will do, but it must end.
    pub fn run(&mut self, line: &str) -> Result<Ran> {
        let limit = LIMIT_S.to_string();
        let ran = self.ctx.run_quietly(&["timeout", "-s", "KILL", &limit, "sh", "-c", line])?;
        self.lines.push_str(&format!("  $ {line} -> {}\n", ran.status));
        for text in ran.stdout.lines().chain(ran.stderr.lines()) {
            self.lines.push_str(&format!("    {text}\n"));
        }
        Ok(ran)
    }

    /// Adds a remark.
    pub fn note(&mut self, text: &str) {
        self.lines.push_str(&format!("  {text}\n"));
    }

    /// Runs a line that must succeed. Returns its output.
    pub fn ok(&mut self, line: &str) -> Result<String> {
        let ran = self.run(line)?;
        ensure!(ran.status == 0, "`{line}` ended with {}: {}", ran.status, ran.stderr.trim());
        Ok(ran.stdout)
    }

    /// Runs commands of lvm2 in one process, which must succeed and say nothing on standard error.
    pub fn lvm(&mut self, lines: &[String]) -> Result<String> {
        let script = self.ctx.dir().join("script.lvm");
        std::fs::write(&script, format!("#!/sbin/lvm\n{}\n", lines.join("\n")))?;
        let ran = self.run(&format!("lvm {}", script.display()))?;
        ensure!(
            ran.status == 0 && ran.stderr.is_empty(),
            "lvm2 at {lines:?}, {}: {}",
            ran.status,
            ran.stderr.trim()
        );
        Ok(ran.stdout)
    }
}

impl fmt::Display for Transcript<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // lvm2's longest answers tell nobody anything.
        let lines = self.lines.lines().filter(|line| line.len() < 600);
        lines.into_iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
