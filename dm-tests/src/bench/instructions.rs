//! Counts the instructions of a command, user and kernel, beside lvm2's. The machine's clock moves on by a nanosecond
//! with each instruction, so what a process costs is how long it ran: the same each time, whatever else the host does.
//! Waiting is skipped and costs nothing.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};

use super::group::Group;
use super::measure::{Counts, counted, counted_once, timed};
use crate::ctx::Ctx;

/// Volumes in the group by default.
const SIZES: [u32; 3] = [10, 1000, 5000];

/// Size of the metadata area, in MiB: it takes 5,000 volumes many times over.
const MIB: u32 = 64;

/// Volumes of the batch.
const BATCH: u32 = 1000;

/// One kind of work. `{n}` becomes the number of the run. In their order each needs what those before have made.
struct Work {
    name: &'static str,
    lvm2: Option<&'static str>,
    thinvol: &'static str,
}

const fn work(name: &'static str, lvm2: &'static str, thinvol: &'static str) -> Work {
    Work { name, lvm2: Some(lvm2), thinvol }
}

const WORKS: &[Work] = &[
    work("nothing (`true`)", "true", "true"),
    work("start (`--version`)", "lvm version", "thinvol --version"),
    work(
        "alloc, active",
        "lvcreate --yes -V 1G -T pve/data -n lvm2-{n}",
        "thinvol alloc pve/data {n} vm-{n}-disk-0 1G",
    ),
    work(
        "alloc, inactive",
        "lvcreate --yes -an -V 1G -T pve/data -n lvm2-i{n}",
        "thinvol alloc --inactive pve/data {n} vm-{n}-disk-2 1G",
    ),
    work(
        "snapshot of an active volume",
        "lvcreate --yes -s -n lvm2-snap-{n} pve/lvm2-origin",
        "thinvol snapshot pve/vm-101-disk-0@s{n}",
    ),
    work("free, inactive", "lvremove --yes pve/lvm2-i{n}", "thinvol free pve/vm-{n}-disk-2"),
    work("list", "lvs pve", "thinvol list pve/data"),
    work("status", "lvs pve/data", "thinvol status pve/data"),
    work("info", "lvs pve/lvm2-origin", "thinvol info pve/vm-101-disk-0"),
    Work { name: "batch of 1,000 inactive creates", lvm2: None, thinvol: "thinvol batch {file}" },
];

/// Counts at each of the sizes.
pub fn run(sizes: &[String]) -> Result<()> {
    let sizes = sizes.iter().map(|size| size.parse()).collect::<Result<Vec<u32>, _>>()?;
    let sizes = if sizes.is_empty() { SIZES.to_vec() } else { sizes };
    let ctx = Ctx::new(Path::new("/tmp/bench"))?;
    let cgroups = Path::new("/sys/fs/cgroup");
    mount(Some("cgroup2"), cgroups, Some("cgroup2"), MsFlags::empty(), None::<&str>)
        .context("no control groups to count in")?;
    let mut group = Group::make(&ctx, MIB)?;
    for (position, size) in sizes.iter().enumerate() {
        group.fill(*size)?;
        println!("\nIn a volume group with {size} volumes ({} KiB of metadata):", group.text_bytes()? / 1024);
        println!(
            "{:34} {:>9} {:>9} {:>7}   dm ioctls, commits, KiB written, flushes, system calls, processes, MiB",
            "million instructions", "lvm2", "thinvol", "ratio"
        );
        for work in WORKS {
            work.count(&group, *size, position == 0)?;
        }
    }
    Ok(())
}

impl Work {
    /// Counts it and prints the row. Calls are traced in a run before: those of lvm2 at the first size only, since
    /// they take a minute where there are thousands of volumes.
    fn count(&self, group: &Group<'_>, volumes: u32, is_first: bool) -> Result<()> {
        let line = |template: &str, run: u32| -> Result<String> {
            let number = format!("{}{volumes}", 90 + run);
            let line = template.replace("{n}", &number);
            if !template.contains("{file}") {
                return Ok(line);
            }
            Ok(line.replace("{file}", &batch(group, &number, &number)?.display().to_string()))
        };
        let lvm2 = match self.lvm2 {
            Some(template) if is_first => {
                Some(counted(group, &in_cgroup(&line(template, 1)?)?, &line(template, 0)?)?)
            }
            Some(template) => Some(counted_once(group, &in_cgroup(&line(template, 1)?)?)?),
            None => None,
        };
        let lvm2 = lvm2.map(|counts| Ok::<_, anyhow::Error>((instructions()?, counts))).transpose()?;
        let counts = counted(group, &in_cgroup(&line(self.thinvol, 1)?)?, &line(self.thinvol, 0)?)?;
        let thinvol = instructions()?;
        if self.thinvol.contains("{file}") {
            for run in [0, 1] {
                let number = format!("{}{volumes}", 90 + run);
                timed(&format!("thinvol batch {}", batch(group, &number, "")?.display()))?;
            }
        }
        group.forget_copies()?;
        let ratio = lvm2.as_ref().map(|(lvm2, _)| lvm2.saturating_mul(10) / thinvol.max(1));
        println!(
            "{:34} {:>9} {:>9} {:>7}   {}{}",
            self.name,
            lvm2.as_ref().map_or_else(|| "-".into(), |(lvm2, _)| millions(*lvm2)),
            millions(thinvol),
            ratio.map_or_else(|| "-".into(), |ratio| format!("{}.{}", ratio / 10, ratio % 10)),
            lvm2.map_or_else(String::new, |(_, counts)| format!("{} beside ", in_words(&counts))),
            in_words(&counts)
        );
        Ok(())
    }
}

/// Where the processes of the run are counted together; each run has its own.
const COUNTED: &str = "/sys/fs/cgroup/counted";

/// The command line, to be run in a new control group.
fn in_cgroup(line: &str) -> Result<String> {
    let folder = Path::new(COUNTED);
    if folder.exists() {
        std::fs::remove_dir(folder).context("the run before has not ended")?;
    }
    std::fs::create_dir(folder)?;
    let script = folder_script();
    // The shell goes into the group and becomes the command.
    std::fs::write(&script, format!("echo $$ >{COUNTED}/cgroup.procs\nexec {line}\n"))?;
    Ok(format!("sh {}", script.display()))
}

fn folder_script() -> PathBuf {
    PathBuf::from("/tmp/bench/counted.sh")
}

/// The cost of the last run in a control group.
fn instructions() -> Result<u64> {
    let stat = std::fs::read_to_string(Path::new(COUNTED).join("cpu.stat"))?;
    let usage = stat.lines().find_map(|line| line.strip_prefix("usage_usec "));
    let us: u64 = usage.context("the kernel does not count")?.parse()?;
    Ok(us * 1000)
}

/// Writes the file of a batch that creates volumes, or, with an empty `prefix`, of one that removes those of `number`.
fn batch(group: &Group<'_>, number: &str, prefix: &str) -> Result<PathBuf> {
    let file = group.ctx().dir().join(format!("batch-{number}.jsonl"));
    let mut lines = String::new();
    for place in 0..BATCH {
        if prefix.is_empty() {
            writeln!(lines, r#"{{"request":"remove","volume":"pve/b{number}-{place}"}}"#)?;
        } else {
            writeln!(
                lines,
                r#"{{"request":"create","pool":"pve/data","name":"b{number}-{place}","size":"1G","activate":false}}"#
            )?;
        }
    }
    std::fs::write(&file, lines)?;
    Ok(file)
}

fn millions(instructions: u64) -> String {
    let tenths = instructions / 100_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn in_words(counts: &Counts) -> String {
    let Counts { ioctls, commits, written, flushes, syscalls, processes, memory_kib } = counts;
    let traced = |number: &usize| if *syscalls == 0 { "-".into() } else { number.to_string() };
    format!(
        "{}, {commits}, {}, {flushes}, {}, {}, {}",
        traced(ioctls),
        written / 1024,
        traced(syscalls),
        traced(processes),
        memory_kib.div_ceil(1024)
    )
}
