//! thinvol before somebody who sits at a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::openpty;

use super::command::words;
use super::{Ctx, Ran};

/// How a question ends.
const QUESTION: &str = "[y/N] ";

impl Ctx {
    /// Runs thinvol with these arguments, split at white space; standard input and standard error are a terminal. What
    /// is typed when it asks, `answer` says. What the terminal shows is in the result as standard error.
    pub fn thinvol_on_terminal(
        &self,
        arguments: &str,
        mut answer: impl FnMut() -> Result<&'static str>,
    ) -> Result<Ran> {
        let pty = openpty(None, None).context("no terminal can be made")?;
        let mut terminal = File::from(pty.master);
        // lvm2 complains of descriptors that it inherits.
        fcntl(&terminal, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        let mut command = Command::new("thinvol");
        command.args(words(arguments)).stdout(Stdio::piped());
        command.stdin(pty.slave.try_clone()?).stderr(pty.slave.try_clone()?);
        drop(pty.slave);
        let child = command.spawn().context("cannot start thinvol")?;
        // The terminal ends when the child, the last that has it open, does.
        drop(command);
        let mut shown = Vec::new();
        let mut part = [0; 1024];
        while let Ok(length @ 1..) = terminal.read(&mut part) {
            shown.extend_from_slice(&part[..length]);
            if shown.ends_with(QUESTION.as_bytes()) {
                terminal.write_all(answer()?.as_bytes())?;
            }
        }
        let mut ran = Ran::of(child.wait_with_output()?);
        ran.stderr = String::from_utf8_lossy(&shown).replace("\r\n", "\n");
        println!("$ thinvol {arguments} (on a terminal)");
        ran.tell();
        Ok(ran)
    }
}
