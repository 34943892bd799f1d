//! The budgets, and whether the measurements keep them.

use std::fmt;
use std::time::Duration;

use super::works::{BATCH, Row, Work, tenths};

/// The memory budget for that many volumes.
const MEMORY_KIB: u64 = 32 << 10;
const MEMORY_VOLUMES: u32 = 2000;

/// Volumes with which memory is judged.
const MANY: u32 = 1000;

/// One judgement.
struct Verdict {
    volumes: u32,
    what: String,
    met: bool,
    /// The measurements.
    found: String,
}

/// Notes rows and judges them.
pub struct Judge {
    verdicts: Vec<Verdict>,
    emulated: bool,
    /// The cost of any run of thinvol, once it was measured.
    start: Option<Duration>,
    /// The cost of one inactive volume.
    alone: Option<Duration>,
}

impl Judge {
    /// Knows nothing yet but the machine.
    pub fn new() -> Self {
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self { verdicts: Vec::new(), emulated: cpu.contains("QEMU TCG"), start: None, alone: None }
    }

    fn judge(&mut self, volumes: u32, what: String, met: bool, found: String) {
        self.verdicts.push(Verdict { volumes, what, met, found });
    }

    /// Judges one row.
    pub fn note(&mut self, volumes: u32, work: &Work, row: Row) {
        let counts = row.thinvol.counts;
        match work.name {
            "alloc, active" => {
                let cheap = counts.ioctls <= 8 && counts.commits <= 2 && counts.processes == 0;
                let found = format!("{}, {}, {}", counts.ioctls, counts.commits, counts.processes);
                let what = "alloc: at most 8 ioctls, 2 commits, no process";
                self.judge(volumes, what.to_owned(), cheap, found);
                self.ratio(volumes, &row, 5);
            }
            "alloc, inactive" => self.alone = Some(row.thinvol.time),
            "alloc, active, no udev wait"
            | "snapshot of an active, idle volume"
            | "snapshot, no udev wait" => {
                self.ratio(volumes, &row, 20);
            }
            "start and say the version" => self.start = Some(row.thinvol.time),
            name if name.starts_with("batch") => self.batch(volumes, &row),
            name if name.starts_with("list") || name.starts_with("status") => {
                let what = format!("{name}: nothing written");
                self.judge(volumes, what, counts.written == 0, format!("{} bytes", counts.written));
                if !self.emulated && volumes < MANY {
                    let found = format!("{:.1} ms", row.thinvol.time.as_secs_f64() * 1000.0);
                    let met = row.thinvol.time <= Duration::from_millis(5);
                    self.judge(volumes, format!("{name}: at most 5 ms"), met, found);
                }
            }
            _ => {}
        }
        if (MANY..=MEMORY_VOLUMES).contains(&volumes) {
            let what = format!("{}: less than 32 MiB of memory", work.name);
            let found = format!("{} KiB", counts.memory_kib);
            self.judge(volumes, what, counts.memory_kib < MEMORY_KIB, found);
        }
    }

    fn ratio(&mut self, volumes: u32, row: &Row, wanted: u128) {
        let Some(lvm2) = row.lvm2 else { return };
        let ratio = tenths(lvm2.time, row.thinvol.time);
        let mut found = format!("{}.{} times", ratio / 10, ratio % 10);
        if ratio < wanted * 10 {
            // The floor: a process that does nothing but the ioctls.
            let bare = row.bare.unwrap_or_default();
            found.push_str(&format!(
                "; of its {} ms the bare ioctls take {} ms; lvm2 takes {} ms",
                row.thinvol.time.as_millis(),
                bare.as_millis(),
                lvm2.time.as_millis()
            ));
        }
        self.judge(
            volumes,
            format!("{}: at least {wanted} times faster", row.name),
            ratio >= wanted * 10,
            found,
        );
    }

    fn batch(&mut self, volumes: u32, row: &Row) {
        let commits = row.thinvol.counts.commits;
        self.judge(volumes, format!("{}: at most 2 commits", row.name), commits <= 2, commits.to_string());
        // There is no budget for what activating takes.
        let is_active = row.name.contains(" active");
        let Some(bare) = row.bare.filter(|_| !is_active) else { return };
        let share = tenths(row.thinvol.time, bare);
        let each = |time: Duration| time.as_micros() / u128::from(BATCH);
        let mut found = format!(
            "{}.{} times: {} us each, bare {} us",
            share / 10,
            share % 10,
            each(row.thinvol.time),
            each(bare)
        );
        if let Some(alone) = self.alone {
            let further = row.thinvol.time.saturating_sub(alone).as_micros() / u128::from(BATCH - 1);
            found.push_str(&format!(", {further} us more for each after the first"));
        }
        let what = format!("{}: at most 1.3 times the bare messages", row.name);
        self.judge(volumes, what, share <= 13, found);
    }
}

impl fmt::Display for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Budgets:")?;
        for Verdict { volumes, what, met, found } in &self.verdicts {
            let word = if *met { "met   " } else { "MISSED" };
            writeln!(f, "  {word} {volumes:>5} volumes  {what} ({found})")?;
        }
        if let Some(start) = self.start {
            writeln!(
                f,
                "A run that only says its version takes {} ms: no command can be faster.",
                start.as_millis()
            )?;
        }
        if self.emulated {
            writeln!(
                f,
                "This machine is emulated: start-up weighs far more than on metal, and times in ms mean nothing."
            )?;
        }
        Ok(())
    }
}
