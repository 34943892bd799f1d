//! Measures thinvol beside lvm2 in one boot: medians of wall time, and what one run costs in device-mapper
//! ioctls, metadata commits and processes. Under emulation only the ratios mean something.

mod proxmox;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::ctx::Ctx;

/// Runs of each command that are timed, after one that is counted.
const RUNS: usize = 5;

/// One kind of work, as lvm2 and as thinvol do it. `{n}` becomes the number of the run.
struct Work {
    name: &'static str,
    lvm2: &'static str,
    thinvol: &'static str,
}

/// In this order each needs what those before have made.
const WORKS: &[Work] = &[
    Work {
        name: "alloc",
        lvm2: "lvcreate --yes -V 1G -T pve/data -n lvm2-{n}",
        thinvol: "thinvol alloc pve/data {n} vm-{n}-disk-0 1G",
    },
    Work {
        name: "snapshot of an active, idle volume",
        lvm2: "lvcreate --yes -s -n lvm2-snap-{n} pve/lvm2-900",
        thinvol: "thinvol snapshot pve/vm-900-disk-0@s{n}",
    },
    Work {
        name: "delete a snapshot",
        lvm2: "lvremove --yes pve/lvm2-snap-{n}",
        thinvol: "thinvol delete-snapshot pve/vm-900-disk-0@s{n}",
    },
    Work { name: "free", lvm2: "lvremove --yes pve/lvm2-{n}", thinvol: "thinvol free pve/vm-{n}-disk-0" },
];

/// What one command cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cost {
    ms: u128,
    ioctls: usize,
    commits: u64,
    processes: usize,
}

/// Runs the bench in this machine, or only the works whose name contains one of `words`.
/// With `proxmox` as the first word, beside the commands that Proxmox VE runs, at the numbers of volumes that follow.
pub fn run(words: &[String]) -> Result<()> {
    if let [first, sizes @ ..] = words
        && first == "proxmox"
    {
        return proxmox::run(sizes);
    }
    let ctx = Ctx::new(Path::new("/tmp/bench"))?;
    ctx.pool()?;
    println!(
        "\n{:36} {:>9} {:>9} {:>7}   ioctls, commits, processes",
        "median of wall time", "lvm2", "thinvol", "ratio"
    );
    for work in WORKS
        .iter()
        .filter(|work| words.is_empty() || words.iter().any(|word| work.name.contains(word.as_str())))
    {
        let lvm2 = measure(work.lvm2)?;
        let ours = measure(work.thinvol)?;
        let counts = |cost: Cost| format!("{}, {}, {}", cost.ioctls, cost.commits, cost.processes);
        // Tenths without floating point: the numbers are small.
        let ratio = lvm2.ms.saturating_mul(10) / ours.ms.max(1);
        println!(
            "{:36} {:>6} ms {:>6} ms {:>5}.{}   {} beside {}",
            work.name,
            lvm2.ms,
            ours.ms,
            ratio / 10,
            ratio % 10,
            counts(lvm2),
            counts(ours)
        );
    }
    Ok(())
}

fn measure(template: &str) -> Result<Cost> {
    let command = |n: usize| template.replace("{n}", &(900 + n).to_string());
    let before = seqno()?;
    let (ioctls, processes) = counted(&command(0))?;
    let commits = seqno()?.saturating_sub(before);
    let mut times = Vec::new();
    for n in 1..=RUNS {
        times.push(timed(&command(n))?);
    }
    times.sort_unstable();
    let ms = *times.get(RUNS / 2).context("it ran")?;
    Ok(Cost { ms, ioctls, commits, processes })
}

fn timed(line: &str) -> Result<u128> {
    let started = Instant::now();
    let output = Command::new("bash").args(["-c", &format!("exec {line}")]).stdin(Stdio::null()).output()?;
    let ms = started.elapsed().as_millis();
    ensure!(output.status.success(), "`{line}` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(ms)
}

/// Runs a command under strace; returns its device-mapper ioctls and the programs it started beside itself.
fn counted(line: &str) -> Result<(usize, usize)> {
    let log = "/tmp/bench/strace";
    let output = Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=ioctl,execve", "-o", log, "bash", "-c", &format!("exec {line}")])
        .stdin(Stdio::null())
        .output()
        .context("cannot start strace")?;
    if !output.status.success() {
        bail!("`{line}` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let log = std::fs::read_to_string(log)?;
    let count = |call: &str, with: &str| {
        log.lines().filter(|line| line.contains(call) && line.contains(with)).count()
    };
    // A call that another process interrupts has a second line, without its name. bash and the command are two.
    Ok((count("ioctl(", "DM_"), count("execve(", "").saturating_sub(2)))
}

fn seqno() -> Result<u64> {
    let output = Command::new("vgs").args(["--noheadings", "-o", "seqno", "pve"]).output()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().context("vgs shows no seqno")
}
