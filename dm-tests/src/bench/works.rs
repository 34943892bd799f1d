//! The kinds of work that are measured, as lvm2 and as thinvol do them, and the row of figures for each.

use std::fmt;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::bare::{self, Bare};
use super::group::Group;
use super::measure::{Counts, counted, median, timed};

/// Volumes of one batch.
pub const BATCH: u32 = 100;

/// One kind of work. `{n}` becomes the number of the run. In their order each needs what those before have made.
pub struct Work {
    /// What it is called.
    pub name: &'static str,
    lvm2: Option<&'static str>,
    thinvol: &'static str,
    bare: Option<Bare>,
    /// Lines of the batch that `thinvol` is given, each with `{i}` for its place.
    batch: Option<&'static str>,
}

const fn work(name: &'static str, lvm2: &'static str, thinvol: &'static str, bare: Option<Bare>) -> Work {
    Work { name, lvm2: Some(lvm2), thinvol, bare, batch: None }
}

const fn batch(name: &'static str, thinvol: &'static str, bare: Bare, each: &'static str) -> Work {
    Work { name, lvm2: None, thinvol, bare: Some(bare), batch: Some(each) }
}

/// All of it.
pub const WORKS: &[Work] = &[
    work(
        "alloc, active",
        "lvcreate --yes -V 1G -T pve/data -n lvm2-{n}",
        "thinvol alloc pve/data {n} vm-{n}-disk-0 1G",
        Some(Bare::CreateActive),
    ),
    work(
        "alloc, active, no udev wait",
        "lvcreate --yes --noudevsync -V 1G -T pve/data -n lvm2-n{n}",
        "thinvol alloc --no-udev-sync pve/data {n} vm-{n}-disk-1 1G",
        Some(Bare::CreateActive),
    ),
    work(
        "alloc, inactive",
        "lvcreate --yes -an -V 1G -T pve/data -n lvm2-i{n}",
        "thinvol alloc --inactive pve/data {n} vm-{n}-disk-2 1G",
        Some(Bare::CreateThin),
    ),
    work(
        "snapshot of an active, idle volume",
        "lvcreate --yes -s -n lvm2-snap-{n} pve/lvm2-origin",
        "thinvol snapshot pve/vm-101-disk-0@s{n}",
        Some(Bare::Snapshot),
    ),
    work(
        "snapshot, no udev wait",
        "lvcreate --yes --noudevsync -s -n lvm2-nsnap-{n} pve/lvm2-origin",
        "thinvol snapshot --no-udev-sync pve/vm-101-disk-0@n{n}",
        Some(Bare::Snapshot),
    ),
    work(
        "clone of a snapshot, active",
        "lvcreate --yes -s -kn -n lvm2-clone-{n} pve/lvm2-origin-snap",
        "thinvol clone pve/vm-101-disk-0@base {n} --name vm-{n}-disk-5",
        None,
    ),
    work(
        "deactivate a volume",
        "lvchange -an pve/lvm2-clone-{n}",
        "thinvol deactivate pve/vm-{n}-disk-5",
        None,
    ),
    work("activate a volume", "lvchange -ay pve/lvm2-clone-{n}", "thinvol activate pve/vm-{n}-disk-5", None),
    work(
        "delete a snapshot",
        "lvremove --yes pve/lvm2-snap-{n}",
        "thinvol delete-snapshot pve/vm-101-disk-0@s{n}",
        None,
    ),
    work(
        "free an active volume",
        "lvremove --yes pve/lvm2-clone-{n}",
        "thinvol free pve/vm-{n}-disk-5",
        None,
    ),
    work("list the volumes", "lvs pve", "thinvol list pve/data", None),
    work("status of the pool", "lvs pve/data", "thinvol status pve/data", None),
    work("list the groups", "vgs", "thinvol scan lvm", None),
    work("start and say the version", "lvm version", "thinvol --version", None),
    batch("batch of 100 inactive creates", "thinvol batch {file}", Bare::CreateThin, CREATE_INACTIVE),
    batch("batch of 100 inactive clones", "thinvol batch {file}", Bare::CreateSnap, CLONE_INACTIVE),
    batch("batch of 100 active creates", "thinvol batch {file}", Bare::CreateActive, CREATE_ACTIVE),
    batch(
        "batch of 100 active creates, no udev wait",
        "thinvol batch --no-udev-sync {file}",
        Bare::CreateActive,
        CREATE_ACTIVE,
    ),
];

const CREATE_INACTIVE: &str =
    r#"{"request":"create","pool":"pve/data","name":"b{n}-{i}","size":"1G","activate":false}"#;
const CREATE_ACTIVE: &str = r#"{"request":"create","pool":"pve/data","name":"b{n}-{i}","size":"1G"}"#;
const CLONE_INACTIVE: &str =
    r#"{"request":"clone","source":"pve/vm-101-disk-1","name":"b{n}-{i}","activate":false}"#;
/// What takes a line back, so that no run finds more volumes than another.
const REMOVE: &str = r#"{"request":"remove","volume":"pve/b{n}-{i}"}"#;

/// What one side of a work cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// The median of its wall time.
    pub time: Duration,
    /// What does not depend on the machine.
    pub counts: Counts,
}

/// The figures of one work.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What it is called.
    pub name: &'static str,
    /// lvm2's cost, where it can do the work.
    pub lvm2: Option<Cost>,
    /// thinvol's cost.
    pub thinvol: Cost,
    /// The median of the bare ioctls; for a batch of all of them together.
    pub bare: Option<Duration>,
}

impl Work {
    /// Measures it in a group with so many volumes: fewer runs where each takes long.
    pub fn measure(&self, group: &Group<'_>, volumes: u32) -> Result<Row> {
        let runs = match volumes {
            0..=100 => 5,
            101..=2000 => 3,
            _ => 1,
        };
        // Names of one size are not those of another.
        let series = if volumes > 100 { format!("{volumes}") } else { String::new() };
        let cost = |template: &str| -> Result<Cost> {
            let name = |number: usize| format!("{}{series}", 900 + number);
            let line = |number: usize| self.line(group, template, &name(number));
            let counts = counted(group, &line(0)?, &line(runs + 1)?)?;
            self.undo(group, &name(0))?;
            self.undo(group, &name(runs + 1))?;
            let one = |number: usize| {
                let time = timed(&line(number)?)?;
                self.undo(group, &name(number))?;
                Ok(time)
            };
            let times = (1..=runs).map(one).collect::<Result<_>>()?;
            group.forget_copies()?;
            Ok(Cost { time: median(times), counts })
        };
        let lvm2 = self.lvm2.map(&cost).transpose()?;
        let thinvol = cost(self.thinvol)?;
        let bare = match (self.bare, self.batch) {
            (None, _) => None,
            (Some(bare), None) => Some(median(bare::times(bare, runs)?)),
            (Some(bare), Some(_)) => Some(bare::times(bare, usize::try_from(BATCH)?)?.into_iter().sum()),
        };
        Ok(Row { name: self.name, lvm2, thinvol, bare })
    }

    /// The command line of one run; for a batch with its file, which is written.
    fn line(&self, group: &Group<'_>, template: &str, number: &str) -> Result<String> {
        let Some(each) = self.batch else { return Ok(template.replace("{n}", number)) };
        let file = batch_file(group, each, number)?;
        Ok(template.replace("{file}", &file.display().to_string()))
    }

    /// Takes back what a run of a batch made. udev is done with it by then.
    fn undo(&self, group: &Group<'_>, number: &str) -> Result<()> {
        if self.batch.is_none() {
            return Ok(());
        }
        let file = batch_file(group, REMOVE, number)?;
        group.ctx().run_quietly(&["udevadm", "settle"])?;
        timed(&format!("thinvol batch {}", file.display())).map(drop)
    }
}

fn batch_file(group: &Group<'_>, each: &str, number: &str) -> Result<PathBuf> {
    let file = group.ctx().dir().join(format!("batch-{number}.jsonl"));
    let mut lines = String::new();
    for place in 0..BATCH {
        writeln!(lines, "{}", each.replace("{n}", number).replace("{i}", &place.to_string()))?;
    }
    std::fs::write(&file, lines)?;
    Ok(file)
}

fn ms(time: Duration) -> String {
    let us = time.as_micros();
    format!("{}.{}", us / 1000, us / 100 % 10)
}

/// How many times longer `slow` took than `fast`, in tenths.
pub fn tenths(slow: Duration, fast: Duration) -> u128 {
    slow.as_micros().saturating_mul(10) / fast.as_micros().max(1)
}

impl Row {
    /// What stands above the rows.
    pub fn heading() -> String {
        format!(
            "{:34} {:>9} {:>9} {:>9} {:>7}   {}",
            "medians in ms",
            "lvm2",
            "thinvol",
            "bare",
            "ratio",
            "each side's dm ioctls, commits, KiB written, flushes, system calls, processes, MiB of memory"
        )
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = |cost: &Cost| {
            let Counts { ioctls, commits, written, flushes, syscalls, processes, memory_kib } = cost.counts;
            let (written, memory) = (written / 1024, memory_kib.div_ceil(1024));
            format!("{ioctls}, {commits}, {written}, {flushes}, {syscalls}, {processes}, {memory}")
        };
        let lvm2 = self.lvm2.map_or_else(|| "-".to_owned(), |lvm2| ms(lvm2.time));
        let bare = self.bare.map_or_else(|| "-".to_owned(), ms);
        let ratio = self.lvm2.map(|lvm2| tenths(lvm2.time, self.thinvol.time));
        let ratio = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{}.{}", ratio / 10, ratio % 10));
        write!(f, "{:34} {lvm2:>9} {:>9} {bare:>9} {ratio:>7}   ", self.name, ms(self.thinvol.time))?;
        if let Some(lvm2) = &self.lvm2 {
            write!(f, "{} beside ", counts(lvm2))?;
        }
        f.write_str(&counts(&self.thinvol))
    }
}
