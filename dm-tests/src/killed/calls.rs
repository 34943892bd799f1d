//! The calls by which a command changes something: device-mapper's, and writes to disks. Flushes are none: a process
//! that is killed takes nothing along of what it wrote.

use std::fmt;

use anyhow::{Context, Result, ensure};

use super::transcript::Transcript;

/// Device-mapper's calls that change something, as strace shows them.
const IOCTLS: [&str; 7] = [
    "DM_DEV_CREATE",
    "DM_DEV_REMOVE",
    "DM_DEV_RENAME",
    "DM_DEV_SUSPEND",
    "DM_TABLE_LOAD",
    "DM_TABLE_CLEAR",
    "DM_TARGET_MSG",
];

/// The system calls that are counted.
const TRACED: &str = "trace=ioctl,io_submit,wait4";

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The system call.
    name: &'static str,
    /// Which of those of this name.
    nth: usize,
    what: String,
}

impl Call {
    /// Whether it is of that sort: `wait`, `write`, `resume`, or an ioctl's name.
    pub fn is(&self, sort: &str) -> bool {
        self.what.split(' ').next() == Some(sort)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} {})", self.what, self.name, self.nth)
    }
}

/// Runs a command, which must succeed. Returns its calls that change something.
pub fn of(said: &mut Transcript, command: &str) -> Result<Vec<Call>> {
    let file = said.ctx().dir().join("calls");
    said.ok(&format!("strace -qq -s 8 -o {} -e {TRACED} {command}", file.display()))?;
    let trace = std::fs::read_to_string(&file).context("no trace")?;
    Ok(parse(&trace))
}

/// Runs a command that is killed before one of its calls.
///
/// The number of calls that only ask depends on what else there is in the machine, so that the kill may come a call
/// sooner or later. What is left is then another of the states in which the command can be killed.
pub fn kill_at(said: &mut Transcript, command: &str, call: &Call) -> Result<()> {
    let file = said.ctx().dir().join("calls");
    let ran = said.run(&format!(
        "strace -qq -s 8 -o {} -e {TRACED} -e inject={}:signal=KILL:when={} {command}",
        file.display(),
        call.name,
        call.nth
    ))?;
    ensure!([137, -1, 0].contains(&ran.status), "not killed, but ended with {}: {}", ran.status, ran.stderr);
    if ran.status == 0 {
        // One that waits for something asks more or less often.
        said.note("the command came to its end before that call");
    }
    let trace = std::fs::read_to_string(&file).context("no trace")?;
    let met = parse(&trace).pop();
    if met.as_ref() != Some(call) {
        said.note(&format!("the last call was {met:?}, not {call}"));
    }
    Ok(())
}

fn parse(trace: &str) -> Vec<Call> {
    let (mut ioctls, mut writes, mut waits) = (0, 0, 0);
    let mut calls = Vec::new();
    for line in trace.lines() {
        let (name, count) = match line.split('(').next() {
            Some("ioctl") => ("ioctl", &mut ioctls),
            Some("io_submit") => ("io_submit", &mut writes),
            Some("wait4") => ("wait4", &mut waits),
            _ => continue,
        };
        *count += 1;
        if let Some(what) = change(name, line) {
            calls.push(Call { name, nth: *count, what });
        }
    }
    calls
}

/// What the call changes, if anything. A wait is taken for one: the child runs meanwhile.
fn change(name: &str, line: &str) -> Option<String> {
    match name {
        "ioctl" => {
            let ioctl = IOCTLS.into_iter().find(|ioctl| line.contains(&format!(", {ioctl},")))?;
            let is_resume = ioctl == "DM_DEV_SUSPEND" && !line.contains("DM_SUSPEND_FLAG");
            let device = line.split("dev=").nth(1).or_else(|| line.split("name=").nth(1)).unwrap_or_default();
            let device = device.split([')', ',']).take(2).collect::<String>();
            Some(format!("{} {}", if is_resume { "resume" } else { ioctl }, device.replace("makedev(0x", "")))
        }
        "io_submit" => line.contains("CMD_PWRITE").then(|| "write".to_owned()),
        _ => Some("wait".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn only_what_changes_something_counts_and_all_calls_are_numbered() {
        let calls = parse(
            "ioctl(3, DM_VERSION, [{version=[4, 0, 0]}]) = 0\n\
             io_submit(0x7f, 1, [{aio_lio_opcode=IOCB_CMD_PREAD, aio_fildes=5}]) = 1\n\
             io_submit(0x7f, 1, [{aio_lio_opcode=IOCB_CMD_PWRITE, aio_fildes=5}]) = 1\n\
             ioctl(3, DM_DEV_SUSPEND, [{dev=makedev(0xfe, 0x4), flags=DM_SUSPEND_FLAG}]) = 0\n\
             ioctl(3, DM_DEV_SUSPEND, [{dev=makedev(0xfe, 0x4), flags=DM_EXISTS_FLAG}] <unfinished ...>) = ?\n\
             +++ killed by SIGKILL +++\n",
        );
        let shown: Vec<String> = calls.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            ["write (io_submit 2)", "DM_DEV_SUSPEND fe 0x4 (ioctl 2)", "resume fe 0x4 (ioctl 3)"]
        );
    }
}
