//! A worker that creates, snapshots, renames, resizes and removes its own volumes in the pool `data` of a volume group,
//! by thinvol or by lvm2, and keeps a diary of what was reported. Some of its commands are killed.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use vm_harness::child;

use crate::random::Random;

/// How long one command may take, while all other workers are served before it.
const PATIENCE: Duration = Duration::from_secs(240);

/// The time limit in seconds that thinvol gets for the lock: shorter than that.
const LOCK_TIMEOUT: &str = "120";

/// One in this number of thinvol's commands is killed.
const KILLED: usize = 6;

/// A command is killed within this time in milliseconds: one that does not have to wait ends earlier.
const KILLED_WITHIN_MS: usize = 1500;

/// What is known of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A command reported that it is there.
    There,
    /// A command reported that it is gone.
    Gone,
    /// A command about it was killed or failed.
    Unknown,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Done,
    /// thinvol said that nothing changed.
    Refused,
    Failed,
    Killed,
}

/// What a worker knows of its volumes, and how it went.
#[derive(Clone, Debug, Default)]
pub struct Diary {
    /// The last report about each volume.
    pub fates: BTreeMap<String, Fate>,
    /// Commands that reported success, by what they did.
    pub done: BTreeMap<&'static str, usize>,
    /// The errors of the commands that failed.
    pub failed: Vec<String>,
    /// Commands that were killed.
    pub killed: usize,
    /// The longest time of a command.
    pub slowest: Duration,
}

impl Diary {
    /// How many commands reported success.
    pub fn successes(&self) -> usize {
        self.done.values().sum()
    }
}

/// Which program a worker uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// This project's; some of its commands are killed.
    Thinvol,
    /// lvm2's.
    Lvm2,
}

/// The worker.
pub struct Worker {
    /// The volume group it works in.
    pub vg: String,
    /// The program that it uses.
    pub tool: Tool,
    /// The outcomes.
    pub diary: Diary,
    /// The guest's number in the names of its volumes.
    owner: u32,
    /// A part of the names that is different in each run.
    series: String,
    random: Random,
    made: usize,
    /// Whether it prints the state of each volume as soon as it is known.
    aloud: bool,
}

impl Worker {
    /// A worker with volumes `vm-<owner>-<series>…` in the pool `data` of `vg`. `aloud`: the state of each is printed.
    pub fn new(vg: &str, owner: u32, series: &str, tool: Tool, aloud: bool) -> Self {
        Self {
            vg: vg.to_owned(),
            tool,
            diary: Diary::default(),
            owner,
            series: series.to_owned(),
            random: Random::new(&format!("{vg} {owner} {series}")),
            made: 0,
            aloud,
        }
    }

    /// One command: a volume, a snapshot, another name, another size, or a removal.
    ///
    /// # Errors
    /// A command that hangs.
    pub fn step(&mut self) -> Result<()> {
        let there = |(name, fate): (&String, &Fate)| (*fate == Fate::There).then(|| name.clone());
        let there: Vec<String> = self.diary.fates.iter().filter_map(there).collect();
        let known = self.random.pick(&there).cloned();
        match (self.random.below(10), known) {
            (0..=1, Some(volume)) if !is_snapshot(&volume) => self.snapshot(&volume),
            (2, Some(volume)) if !is_snapshot(&volume) => self.rename(&volume),
            (3, Some(volume)) if !is_snapshot(&volume) => self.grow(&volume),
            (4..=6, Some(volume)) => self.remove(&volume),
            _ => self.create(),
        }
    }

    fn fresh(&mut self) -> String {
        self.made += 1;
        format!("vm-{}-{}d{}", self.owner, self.series, self.made)
    }

    fn create(&mut self) -> Result<()> {
        let (name, pool, owner) = (self.fresh(), format!("{}/data", self.vg), self.owner.to_string());
        self.begin(&name);
        let end = match self.tool {
            Tool::Thinvol => self.command("create", &["alloc", &pool, &owner, &name, "4M"]),
            Tool::Lvm2 => {
                self.command("create", &["lvcreate", "--yes", "-V", "4M", "-T", &pool, "-n", &name])
            }
        }?;
        self.note(name, end, Fate::There);
        Ok(())
    }

    fn snapshot(&mut self, volume: &str) -> Result<()> {
        self.made += 1;
        let (snap, full) = (format!("s{}", self.made), self.full(volume));
        let name = format!("{}{snap}", snapshots_of(volume));
        self.begin(&name);
        let end = match self.tool {
            Tool::Thinvol => self.command("snapshot", &["snapshot", &format!("{full}@{snap}")]),
            Tool::Lvm2 => self.command("snapshot", &["lvcreate", "--yes", "-s", "-n", &name, &full]),
        }?;
        self.note(name, end, Fate::There);
        Ok(())
    }

    fn remove(&mut self, volume: &str) -> Result<()> {
        let full = self.full(volume);
        self.begin(volume);
        let end = match self.tool {
            Tool::Thinvol => self.command("remove", &["free", &full]),
            Tool::Lvm2 => self.command("remove", &["lvremove", "--yes", &full]),
        }?;
        self.note(volume.to_owned(), end, Fate::Gone);
        Ok(())
    }

    fn grow(&mut self, volume: &str) -> Result<()> {
        let full = self.full(volume);
        match self.tool {
            Tool::Thinvol => self.command("grow", &["resize", &full, "+4M"]),
            Tool::Lvm2 => self.command("grow", &["lvextend", "--yes", "-L", "+4M", &full]),
        }
        .map(drop)
    }

    /// By thinvol a volume's snapshots follow in the same transaction.
    fn rename(&mut self, volume: &str) -> Result<()> {
        let name = self.fresh();
        let mut pairs = vec![(volume.to_owned(), name.clone())];
        if self.tool == Tool::Thinvol {
            let all = self.diary.fates.iter().filter(|(_, fate)| **fate == Fate::There);
            let follow = all.filter_map(|(known, _)| {
                let snap = known.strip_prefix(&snapshots_of(volume))?;
                Some((known.clone(), format!("{}{snap}", snapshots_of(&name))))
            });
            pairs.extend(follow.collect::<Vec<_>>());
        }
        for (old, new) in &pairs {
            self.begin(old);
            self.begin(new);
        }
        let full = self.full(volume);
        let end = match self.tool {
            Tool::Thinvol => self.command("rename", &["rename", &full, &name]),
            Tool::Lvm2 => self.command("rename", &["lvrename", &self.vg.clone(), volume, &name]),
        }?;
        for (old, new) in pairs {
            self.note(old, end, Fate::Gone);
            self.note(new, end, Fate::There);
        }
        Ok(())
    }

    fn full(&self, volume: &str) -> String {
        format!("{}/{volume}", self.vg)
    }

    /// Notes that the state of the volume is unknown until its command has ended.
    fn begin(&mut self, name: &str) {
        if self.aloud {
            println!("{:?} {name}", Fate::Unknown);
        }
    }

    fn note(&mut self, name: String, end: End, fate: Fate) {
        let fate = match (end, fate) {
            (End::Done, fate) => fate,
            (End::Refused, Fate::There) => Fate::Gone,
            (End::Refused, Fate::Gone) => Fate::There,
            _ => Fate::Unknown,
        };
        if self.aloud {
            println!("{fate:?} {name}");
        }
        self.diary.fates.insert(name, fate);
    }

    /// Runs a command; some of thinvol's are killed at a random moment.
    fn command(&mut self, what: &'static str, argv: &[&str]) -> Result<End> {
        let argv = match self.tool {
            Tool::Thinvol => [&["thinvol"], argv, &["--lock-timeout", LOCK_TIMEOUT]].concat(),
            Tool::Lvm2 => argv.to_vec(),
        };
        let (program, arguments) = argv.split_first().context("an empty command")?;
        let started = Instant::now();
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let is_victim = self.tool == Tool::Thinvol && self.random.below(KILLED) == 0;
        let killed = is_victim && self.kill_at_some_time(&mut child)?;
        let status = child::wait(&mut child, PATIENCE)?.with_context(|| format!("{argv:?} hangs"))?;
        let diary = &mut self.diary;
        diary.slowest = diary.slowest.max(started.elapsed());
        if status.success() {
            *diary.done.entry(what).or_default() += 1;
            return Ok(End::Done);
        }
        if killed {
            diary.killed += 1;
            return Ok(End::Killed);
        }
        let mut said = String::new();
        child.stderr.take().context("no pipe")?.read_to_string(&mut said)?;
        diary.failed.push(format!("{argv:?}, {status}: {}", said.trim()));
        let unchanged = self.tool == Tool::Thinvol && matches!(status.code(), Some(1..=4));
        Ok(if unchanged { End::Refused } else { End::Failed })
    }

    fn kill_at_some_time(&mut self, child: &mut Child) -> Result<bool> {
        let delay = Duration::from_millis(u64::try_from(self.random.below(KILLED_WITHIN_MS))?);
        if child::wait(child, delay)?.is_some() {
            return Ok(false);
        }
        child.kill()?;
        Ok(true)
    }
}

/// How the names of a volume's snapshots begin, as Proxmox VE names them.
fn snapshots_of(volume: &str) -> String {
    format!("snap_{volume}_")
}

fn is_snapshot(name: &str) -> bool {
    name.starts_with("snap_")
}
