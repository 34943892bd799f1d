//! Scripts drawn at random: the model and the kernel must agree on every answer, not only where somebody thought of
//! asking.
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

/// Writes of one script: fewer than the pool has chunks.
const WRITES: usize = 14;

/// What the script knows of a device it has made.
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
    /// Ids that may exist: a device of one that does not refuses its table.
    ids: BTreeSet<u32>,
    held_root: bool,
    writes: usize,
    script: String,
}

/// The script of that seed, with so many lines.
pub fn script(seed: u32, lines: usize) -> String {
    let mut author = Author {
        random: Random::new(&format!("script {seed}")),
        devices: BTreeMap::new(),
        ids: BTreeSet::new(),
        held_root: false,
        writes: 0,
        script: "pool\n".to_owned(),
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

    fn name(&mut self) -> &'static str {
        self.random.pick(&NAMES).copied().unwrap_or("t")
    }

    fn line(&mut self) {
        match self.random.below(20) {
            0..=6 => self.message(),
            7..=8 => self.say("status tpool"),
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
        let (id, other) = (self.id(), self.id());
        let text = match self.random.below(12) {
            0..=2 => {
                self.ids.insert(id);
                format!("create_thin {id}")
            }
            3..=5 => {
                self.ids.insert(id);
                format!("create_snap {id} {other}")
            }
            6..=7 => format!("delete {id}"),
            8 => format!("set_transaction_id {} {}", self.random.below(3), self.random.below(4)),
            9 if self.held_root => {
                self.held_root = false;
                "release_metadata_snap".to_owned()
            }
            9 => {
                self.held_root = true;
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
            _ if self.held_root => return self.say("held tpool tmeta"),
            _ => return self.say("status tpool flush"),
        };
        self.say(&format!("message tpool {text}"));
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
                let id = self.id();
                // A table of an id that does not exist is refused: then nothing is loaded, which a resume shows.
                let loaded = self.ids.contains(&id);
                self.devices.insert(name, Known { loaded, ..known });
                let mode = if self.random.below(8) == 0 { "ro " } else { "" };
                let length = 128 << self.random.below(4);
                self.say(&format!("load {name} {mode}0 {length} thin $tpool {id}"));
            }
            2..=5 => {
                self.devices.insert(name, Known { live: true, loaded: false, ..known });
                self.say(&format!("resume {name}"));
            }
            6..=7 if known.live => {
                self.devices.insert(name, Known { suspended: true, ..known });
                let how = if self.random.below(3) == 0 { " noflush" } else { "" };
                self.say(&format!("suspend {name}{how}"));
            }
            8 if !known.held => {
                self.devices.remove(name);
                self.say(&format!("remove {name}"));
            }
            9 => self.hold(name, known),
            _ => self.say(&format!("info {name}")),
        }
    }

    /// What happens while a device is suspended: a look at it, a message, then it goes on.
    fn wake(&mut self, name: &'static str, known: Known) {
        match self.random.below(4) {
            0 => self.say(&format!("info {name}")),
            1 => {
                let (id, origin) = (self.id(), self.id());
                self.ids.insert(id);
                self.say(&format!("message tpool create_snap {id} {origin}"));
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

    fn io(&mut self) {
        let live = |(_, known): &(&&'static str, &Known)| known.live && !known.suspended;
        let live: Vec<&'static str> = self.devices.iter().filter(live).map(|(name, _)| *name).collect();
        let Some(name) = self.random.pick(&live).copied() else { return self.say("list") };
        let sector = self.random.below(10) * 64;
        match self.random.below(5) {
            0..=1 if self.writes < WRITES => {
                self.writes += 1;
                let value = self.writes * 7;
                self.say(&format!("write {name} {sector} {value}"));
            }
            0..=3 => self.say(&format!("read {name} {sector}")),
            _ => self.say(&format!("sync {name}")),
        }
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
        self.say("status tpool flush");
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
        for word in
            ["> ok", "> EEXIST", "> ENODATA", "> EINVAL", "> ENXIO", "> EBUSY", "suspended", "mapped:"]
        {
            assert!(all.contains(word), "no script shows {word}");
        }
    }
}
