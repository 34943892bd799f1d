//! Scripts drawn at random: the model and the kernel must agree on every answer, not only where somebody thought of
//! asking.
//!
//! There are two pools, the machine crashes now and then, and the metadata of the first pool may fail what is written
//! to it. What the kernel commits by itself each second must not show: before a crash all but one write is committed,
//! and a failure is met at once.
//!
//! What would make a script wait for ever, on the kernel, is not drawn: I/O to what is suspended, messages to a
//! suspended pool, more writes than the pool has room for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::random::Random;

/// Names of thin devices.
const NAMES: [&str; 4] = ["t", "u", "v", "w"];

/// Thin ids: few, so that they meet.
const IDS: [u32; 5] = [1, 2, 3, 9, 16_777_215];

/// The ends of the names of both pools.
const POOLS: [&str; 2] = ["", "2"];

/// Writes of one script: fewer than the pool has chunks.
const WRITES: usize = 14;

/// The state of a device that the script has made.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    loaded: bool,
    live: bool,
    suspended: bool,
    held: bool,
}

struct Author {
    random: Random,
    devices: BTreeMap<&'static str, Known>,
    /// Pools and ids that may exist: a device of one that does not refuses its table.
    ids: BTreeSet<(&'static str, u32)>,
    /// The pools with a metadata snapshot.
    held_roots: BTreeSet<&'static str>,
    writes: usize,
    script: String,
}

/// The script of that seed, with that many lines.
pub fn script(seed: u32, lines: usize) -> String {
    let mut author = Author {
        random: Random::new(&format!("script {seed}")),
        devices: BTreeMap::new(),
        ids: BTreeSet::new(),
        held_roots: BTreeSet::new(),
        writes: 0,
        script: "pool\npool 2\n".to_owned(),
    };
    for _ in 0..lines {
        author.line();
    }
    author.end();
    author.script
}

impl Author {
    fn say(&mut self, line: &str) {
        writeln!(self.script, "{line}").expect("a string takes all text");
    }

    fn id(&mut self) -> u32 {
        self.random.pick(&IDS).copied().unwrap_or(1)
    }

    /// The first pool mostly.
    fn pool(&mut self) -> &'static str {
        POOLS[usize::from(self.random.below(4) == 0)]
    }

    fn name(&mut self) -> &'static str {
        self.random.pick(&NAMES).copied().unwrap_or("t")
    }

    fn line(&mut self) {
        if self.random.below(40) == 0 {
            return self.disaster();
        }
        match self.random.below(20) {
            0..=6 => self.message(),
            7..=8 => {
                let pool = self.pool();
                self.say(&format!("status tpool{pool}"));
            }
            9..=14 => self.device(),
            15..=17 => self.io(),
            18 => {
                let name = self.name();
                let ask = ["info", "status", "table", "deps"][self.random.below(4)];
                self.say(&format!("{ask} {name}"));
            }
            _ => {
                let line = ["list", "info tpool", "table tpool"][self.random.below(3)];
                self.say(line);
            }
        }
    }

    fn message(&mut self) {
        let (pool, id, other) = (self.pool(), self.id(), self.id());
        let text = match self.random.below(12) {
            0..=2 => {
                self.ids.insert((pool, id));
                format!("create_thin {id}")
            }
            3..=5 => {
                self.ids.insert((pool, id));
                format!("create_snap {id} {other}")
            }
            6..=7 => format!("delete {id}"),
            8 => format!("set_transaction_id {} {}", self.random.below(3), self.random.below(4)),
            9 if self.held_roots.remove(pool) => "release_metadata_snap".to_owned(),
            9 => {
                self.held_roots.insert(pool);
                "reserve_metadata_snap".to_owned()
            }
            10 => {
                let wrong = [
                    "create_thin",
                    "create_thin x",
                    "create_thin 16777216",
                    "delete",
                    "create_snap 1",
                    "nonsense",
                ];
                wrong[self.random.below(wrong.len())].to_owned()
            }
            _ if self.held_roots.contains(pool) => return self.say(&format!("held tpool{pool} tmeta{pool}")),
            _ => return self.say(&format!("status tpool{pool} flush")),
        };
        self.say(&format!("message tpool{pool} {text}"));
    }

    /// The machine crashes, some times after the first pool's metadata has failed.
    fn disaster(&mut self) {
        if self.random.below(2) == 0 {
            self.failure();
        }
        for pool in POOLS {
            self.say(&format!("status tpool{pool} flush"));
        }
        if self.random.below(2) == 0 {
            self.io();
        }
        self.say("crash");
        for line in ["list", "pool again", "pool 2 again", "status tpool flush", "status tpool2 flush"] {
            self.say(line);
        }
        self.devices.clear();
    }

    /// What is written to the first pool's metadata fails from now on; a change meets it at once.
    fn failure(&mut self) {
        self.say("status tpool flush");
        self.say("refuse tmeta");
        let id = self.id();
        self.say(&format!("message tpool create_thin {id}"));
        self.say("message tpool set_transaction_id 0 1");
        // Fails even where both were refused: it writes the superblock.
        self.say("status tpool flush");
        for _ in 0..3 {
            let name = self.name();
            let ask = ["info", "status", "table"][self.random.below(3)];
            self.say(&format!("{ask} {name}"));
        }
        if self.random.below(2) == 0 {
            self.say("accept tmeta");
        }
        self.say(&format!("message tpool delete {id}"));
    }

    /// One step in the life of a device: the next one mostly, sometimes any.
    fn device(&mut self) {
        let name = self.name();
        let Some(known) = self.devices.get(name).copied() else {
            self.devices.insert(name, Known::default());
            return self.say(&format!("create {name}"));
        };
        if known.suspended {
            return self.wake(name, known);
        }
        match self.random.below(10) {
            0 => self.say(&format!("create {name}")),
            1 if known.loaded => {
                self.devices.insert(name, Known { loaded: false, ..known });
                self.say(&format!("clear {name}"));
            }
            1..=4 if !known.loaded => {
                let (pool, id) = (self.pool(), self.id());
                // A table of an id that does not exist is refused: then nothing is loaded, which a resume shows.
                let loaded = self.ids.contains(&(pool, id));
                self.devices.insert(name, Known { loaded, ..known });
                let mode = if self.random.below(8) == 0 { "ro " } else { "" };
                let length = 128 << self.random.below(4);
                self.say(&format!("load {name} {mode}0 {length} thin $tpool{pool} {id}"));
            }
            2..=5 => {
                self.devices.insert(name, Known { live: true, loaded: false, ..known });
                self.say(&format!("resume {name}"));
            }
            6..=7 if known.live => {
                self.devices.insert(name, Known { suspended: true, ..known });
                let how = ["", " nofreeze", " noflush"][self.random.below(3)];
                self.say(&format!("suspend {name}{how}"));
            }
            8 if !known.held => {
                self.devices.remove(name);
                self.say(&format!("remove {name}"));
            }
            9 if self.random.below(2) == 0 => self.rename(name, known),
            9 => self.hold(name, known),
            _ => self.say(&format!("info {name}")),
        }
    }

    /// What happens while a device is suspended: a look at it, a message, then it goes on.
    fn wake(&mut self, name: &'static str, known: Known) {
        match self.random.below(4) {
            0 => self.say(&format!("info {name}")),
            1 => {
                let (pool, id, origin) = (self.pool(), self.id(), self.id());
                self.ids.insert((pool, id));
                self.say(&format!("message tpool{pool} create_snap {id} {origin}"));
            }
            _ => {
                self.devices.insert(name, Known { suspended: false, live: true, loaded: false, ..known });
                self.say(&format!("resume {name}"));
            }
        }
    }

    fn hold(&mut self, name: &'static str, known: Known) {
        if !known.live {
            return self.say(&format!("info {name}"));
        }
        self.devices.insert(name, Known { held: !known.held, ..known });
        self.say(&format!("{} {name}", if known.held { "release" } else { "hold" }));
    }

    /// A name that is there is refused.
    fn rename(&mut self, name: &'static str, known: Known) {
        let new = self.name();
        if !self.devices.contains_key(new) {
            self.devices.remove(name);
            self.devices.insert(new, known);
        }
        self.say(&format!("rename {name} {new}"));
    }

    /// A device that I/O would not wait for.
    fn idle(&mut self) -> Option<&'static str> {
        let live = |(_, known): &(&&'static str, &Known)| known.live && !known.suspended;
        let live: Vec<&'static str> = self.devices.iter().filter(live).map(|(name, _)| *name).collect();
        self.random.pick(&live).copied()
    }

    fn io(&mut self) {
        let Some(name) = self.idle() else { return self.say("list") };
        match self.random.below(5) {
            0..=1 => self.write(name),
            2..=3 => self.read(name),
            _ => self.say(&format!("sync {name}")),
        }
    }

    fn sector(&mut self) -> usize {
        self.random.below(10) * 64
    }

    fn read(&mut self, name: &str) {
        let sector = self.sector();
        self.say(&format!("read {name} {sector}"));
    }

    fn write(&mut self, name: &str) {
        if self.writes == WRITES {
            return self.read(name);
        }
        self.writes += 1;
        let (sector, value) = (self.sector(), self.writes * 7);
        self.say(&format!("write {name} {sector} {value}"));
    }

    /// Nothing stays suspended or held.
    fn end(&mut self) {
        for (name, known) in std::mem::take(&mut self.devices) {
            if known.suspended {
                self.say(&format!("resume {name}"));
            }
            if known.held {
                self.say(&format!("release {name}"));
            }
            self.say(&format!("status {name}"));
            self.say(&format!("remove {name}"));
        }
        for pool in POOLS {
            self.say(&format!("status tpool{pool} flush"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::script;
    use crate::scripts::machine::SimMachine;
    use crate::scripts::runner::transcript;

    #[test]
    fn a_seed_is_one_script_and_the_model_answers_it_the_same_way_twice() {
        let mut answers = 0;
        for seed in 0..200 {
            let script = script(seed, 300);
            assert_eq!(script, super::script(seed, 300));
            let shown = [0, 1].map(|_| transcript(&mut SimMachine::default(), &script).unwrap());
            assert_eq!(shown[0], shown[1], "seed {seed}");
            answers += shown[0].lines().filter(|line| line.starts_with("> ")).count();
        }
        println!("{answers} answers of the model");
    }

    #[test]
    fn scripts_meet_success_and_failure() {
        let all: String =
            (0..30).map(|seed| transcript(&mut SimMachine::default(), &script(seed, 300)).unwrap()).collect();
        for word in [
            "> ok",
            "crash\n",
            "needs_check",
            "rename",
            "> EEXIST",
            "> ENODATA",
            "> EINVAL",
            "> ENXIO",
            "> EBUSY",
            "suspended",
            "mapped:",
        ] {
            assert!(all.contains(word), "no script shows {word}");
        }
    }
}
