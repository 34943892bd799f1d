//! The cost of one command.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::group::Group;

/// What a command cost that does not depend on the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// device-mapper ioctls.
    pub ioctls: usize,
    /// Commits of the volume group's metadata.
    pub commits: u32,
    /// Bytes written to the disk, by it and by the kernel for it.
    pub written: u64,
    /// Flushes of the disk.
    pub flushes: u64,
    /// System calls.
    pub syscalls: usize,
    /// Processes it started.
    pub processes: usize,
    /// Peak resident memory in KiB.
    pub memory_kib: u64,
}

fn start(line: &str) -> Result<Child> {
    let mut words = line.split_whitespace();
    let program = words.next().context("an empty command")?;
    let command = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    command.with_context(|| format!("cannot start {program}"))
}

fn finish(child: Child, line: &str) -> Result<()> {
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "`{line}` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// Wall time of a command.
pub fn timed(line: &str) -> Result<Duration> {
    let started = Instant::now();
    finish(start(line)?, line)?;
    Ok(started.elapsed())
}

/// Runs one command for the disk's counters and the memory, and one under strace.
pub fn counted(group: &Group<'_>, watched: &str, traced: &str) -> Result<Counts> {
    let counts = counted_once(group, watched)?;
    let log = group.ctx().dir().join("strace").display().to_string();
    timed(&format!("strace -f -qq -o {log} {traced}"))?;
    let log = std::fs::read_to_string(log)?;
    // A call that another process interrupts has a second line, without its start.
    let calls = log.lines().filter(|line| line.contains('(') && !line.contains("resumed>"));
    let (mut syscalls, mut ioctls, mut processes) = (0, 0, 0_usize);
    for call in calls {
        syscalls += 1;
        let call = call.split_once(' ').map_or(call, |(_, call)| call.trim_start());
        ioctls += usize::from(call.starts_with("ioctl(") && call.contains("DM_"));
        processes +=
            usize::from(["clone(", "clone3(", "vfork(", "fork("].iter().any(|fork| call.starts_with(fork)));
    }
    Ok(Counts { ioctls, syscalls, processes, ..counts })
}

/// Runs one command for the disk's counters and the memory alone.
pub fn counted_once(group: &Group<'_>, line: &str) -> Result<Counts> {
    let before = (group.seqno()?, io_of(group)?);
    let memory_kib = peak_memory(line)?;
    // What the kernel still writes for it belongs to it.
    group.ctx().run_quietly(&["sh", "-c", "sync; udevadm settle"])?;
    let after = (group.seqno()?, io_of(group)?);
    Ok(Counts {
        commits: after.0.saturating_sub(before.0),
        written: after.1.0.saturating_sub(before.1.0),
        flushes: after.1.1.saturating_sub(before.1.1),
        memory_kib,
        ..Counts::default()
    })
}

/// Bytes written and flushes of the group's disk. Source of the columns: Linux `Documentation/block/stat.rst`.
fn io_of(group: &Group<'_>) -> Result<(u64, u64)> {
    let stat = std::fs::read_to_string(format!("/sys/block/{}/stat", group.kernel_name()?))?;
    let column = |at: usize| -> Result<u64> {
        Ok(stat.split_whitespace().nth(at).context("the kernel counts less than it should")?.parse()?)
    };
    Ok((column(6)? * 512, column(15)?))
}

/// Peak resident memory of a command in KiB, looked at while it runs: the last moments may be missed.
fn peak_memory(line: &str) -> Result<u64> {
    let mut child = start(line)?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let high = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let high = high.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(high.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(1));
    }
    finish(child, line)?;
    Ok(peak)
}

/// The median of the times of some commands.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
