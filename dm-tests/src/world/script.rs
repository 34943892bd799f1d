//! Scripts: lines of commands, each followed by what it came to. What follows is the golden output; it can be written
//! anew.

use std::fmt::Write as _;
use std::time::Duration;

use base::ids::{LvName, ThinId};
use base::units::Sectors;
use dm::kernel::{Kernel as _, StatusFlush, Suspend, UdevEvent};
use dm::name::{DmName, DmUuid, Layer};
use dm::table::{Table, TargetLine};
use lvm2::format::model::{Lv, PoolMessage, Segment, SegmentKind, Stripe, Vg};
use lvm2::host::conf::LvmConf;
use thin::EngineError;
use thin::Report;
use thin::changes::NewSize;
use thin::internals::making::Making;
use thin::internals::ports::Host as _;
use thin::internals::request::{Attributes, Request};

use super::asks::{
    Start, activate, activate_anyway, create_in, deactivate, discard, remove, rename, roll_back, zero,
};
use super::machine::{Machine, pvs};
use super::place::metadata_place;
use super::text::POOL;
use super::{World, device, tpool};
use base::error_chain::in_words;

mod pools;

/// What a command line starts with.
const PROMPT: &str = "> ";

/// Sectors of a mebibyte.
const MIB: u64 = 2048;

/// Runs all commands of a script and returns it with the output they have now.
///
/// # Errors
/// A command that is not understood.
pub fn play(script: &str) -> Result<String, String> {
    let mut player = Player { world: World::new(1), out: String::new() };
    let mut after_comment = true;
    for line in script.lines() {
        let comment = line.starts_with('#');
        let command = line.strip_prefix(PROMPT);
        if (comment || command.is_some()) && !after_comment {
            player.say("");
        }
        if comment {
            player.say(line);
        }
        if let Some(command) = command {
            player.say(line);
            player.command(command).map_err(|why| format!("'{command}': {why}"))?;
        }
        if comment || command.is_some() {
            // A command without output stands close to the next one.
            after_comment = player.out.lines().last() == Some(line);
        }
    }
    Ok(player.out)
}

struct Player {
    world: World,
    out: String,
}

impl Player {
    fn say(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
    }

    fn command(&mut self, line: &str) -> Result<(), String> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<&str> = rest.split(' ').filter(|word| !word.is_empty()).collect();
        match verb {
            "change" => self.change(&requests(rest)?),
            "plan" => {
                let planned = self.world.plan(&requests(rest)?);
                self.tell(planned.map(|plan| plan.to_string()));
            }
            "recover" => self.recover(),
            "state" => self.state(),
            "read" => self.read(&words)?,
            "table" => self.table(&words)?,
            "layout" => self.layout(),
            _ => self.arrange(verb, rest, &words)?,
        }
        Ok(())
    }

    /// Commands that prepare something and say nothing.
    fn arrange(&mut self, verb: &str, rest: &str, words: &[&str]) -> Result<(), String> {
        let machine = std::rc::Rc::clone(&self.world.machine);
        let kernel = &machine.kernel;
        match (verb, words) {
            ("machine", [start, count]) => {
                self.world = start_of(start)?.world(number(count)?.try_into().unwrap_or(1))
            }
            ("quietly", _) => {
                self.world.run(&requests(rest)?).map_err(|error| in_words(&error))?;
            }
            ("write", [volume, sector, value]) => self.world.write(volume, number(sector)?, number(value)?),
            ("open", [name]) => did(kernel.open(&device(name)))?,
            ("open", [name, "for", millis]) => {
                did(kernel.open(&device(name)))?;
                let millis = Duration::from_millis(number(millis)?);
                machine.host.set(|host| host.lets_go = Some((device(name), host.clock + millis)));
            }
            ("close", [name]) => did(kernel.close(&device(name)))?,
            ("reboot", []) => self.world = World::on(machine.rebooted()),
            ("threshold", [percent]) => {
                self.world.conf.activation.thin_pool_autoextend_threshold = number(percent)?;
            }
            ("list", [which, items @ ..]) => self.list(which, items)?,
            ("message", [_, ..]) => {
                let target = if self.world.exists(&tpool()) { tpool() } else { device(POOL) };
                did(kernel.message(&target, rest))?;
            }
            ("making", ids) => self.record(ids)?,
            ("loaded", [volume, id]) => self.load(volume, id)?,
            ("refreshed", [volume, id]) => {
                self.load(volume, id)?;
                did(kernel.suspend(&device(volume), Suspend::FlushAndFreeze))?;
            }
            ("device", [name]) => {
                let uuid = DmUuid::new("somebody's").map_err(|error| error.to_string())?;
                did(kernel.create(&DmName::new(name).map_err(|error| error.to_string())?, &uuid, None))?;
            }
            ("call", [is, named]) => {
                did(kernel.rename(&device(is), &device(named), UdevEvent(0)))?;
            }
            ("fail", ["pool"]) => did(kernel.fail_pool(&tpool()))?,
            ("fail", ["commit"]) => did(kernel.fail_commits(&tpool(), 1))?,
            ("fail", ["disks", "after", pieces]) => {
                let pieces = number(pieces)?.try_into().ok();
                machine.host.set(|host| host.pieces_that_work = pieces);
            }
            ("stop", ["after", pieces]) => {
                let pieces = number(pieces)?.try_into().ok();
                machine.host.set(|host| host.pieces_before_stop = pieces);
            }
            ("fail", ["check"]) => {
                machine.host.set(|host| host.check_fails = Some("bad checksum in btree".into()))
            }
            ("fail", ["repair"]) => {
                machine.host.set(|host| host.repair_fails = Some("out of metadata space".into()))
            }
            ("lose", [id]) => pools::lose(&self.world, id)?,
            ("damage", []) => pools::damage(&self.world)?,
            ("fill", [volume]) => fill(&self.world, volume),
            ("text", _) => self.edit(rest)?,
            ("small", [bytes]) => {
                let text = String::from_utf8(self.world.metadata().to_disk()).map_err(|e| e.to_string())?;
                self.replace_text(&text, number(bytes)?);
            }
            _ => return Err("no such command".into()),
        }
        Ok(())
    }

    /// `making 7 8`: the record of a change that makes these devices in the first pool and does not run through.
    fn record(&self, ids: &[&str]) -> Result<(), String> {
        let vg = self.world.metadata().vg;
        let (lv, pool) = vg.pools().next().ok_or("no pool")?;
        let id = |id: &&str| ThinId::new(number(id)?).map_err(|error| error.to_string());
        let ids = ids.iter().map(id).collect::<Result<_, _>>()?;
        let making = Making { vg: vg.id, at: pool.transaction_id, ids };
        did(self.world.machine.host.mark_dirty(&vg.pool_id(lv), Some(&making)))
    }

    /// `loaded a 7`: a table with another thin device waits in a volume's device.
    fn load(&self, volume: &str, id: &str) -> Result<(), String> {
        let (kernel, name) = (&self.world.machine.kernel, device(volume));
        let live = kernel.table(&name).map_err(|error| error.to_string())?;
        let other = live.into_iter().map(|line| {
            let pool = line.params.split(' ').next().unwrap_or_default();
            TargetLine { params: format!("{pool} {id}"), ..line }
        });
        did(kernel.load(&name, &Table(other.collect()), false))
    }

    fn table(&mut self, words: &[&str]) -> Result<(), String> {
        let [volume] = words else { return Err("of which volume?".into()) };
        let lines = self.world.machine.kernel.table(&device(volume)).map_err(|error| error.to_string())?;
        lines.iter().for_each(|line| self.say(&format!("{volume}: {line}")));
        Ok(())
    }

    /// `layout`: what lies on extents, where, and what the kernel says of the pool.
    fn layout(&mut self) {
        let vg = self.world.metadata().vg;
        let hidden = vg.lvs.iter().filter(|lv| lv.thin().is_none() && lv.thin_pool().is_none());
        let lines: Vec<String> = hidden.map(|lv| format!("  {}: {}", lv.name, ranges(lv))).collect();
        lines.iter().for_each(|line| self.say(line));
        for target in [tpool(), device(POOL)] {
            if let Ok((_, lines)) = self.world.machine.kernel.status(&target, StatusFlush::NoFlush) {
                lines.iter().for_each(|line| self.say(&format!("  {target}: {}", line.params)));
            }
        }
    }

    /// `list allowed pve/a @tag`: a volume list of lvm.conf; without items one that nothing is in.
    fn list(&mut self, which: &str, items: &[&str]) -> Result<(), String> {
        let LvmConf { activation, tags, .. } = &mut self.world.conf;
        let items = items.iter().map(|item| (*item).to_owned()).collect();
        match which {
            "allowed" => activation.volume_list = Some(items),
            "automatic" => activation.auto_activation_volume_list = Some(items),
            "read-only" => activation.read_only_volume_list = Some(items),
            "host-tags" => tags.tags = items.into_iter().map(|tag| (tag, None)).collect(),
            "none" => {
                activation.volume_list = None;
                activation.auto_activation_volume_list = None;
                activation.read_only_volume_list = None;
                tags.tags.clear();
            }
            _ => return Err("no such list".into()),
        }
        Ok(())
    }

    /// `text 'old' 'new'`: the metadata on disk with one piece replaced, and its kernel as it is.
    fn edit(&mut self, rest: &str) -> Result<(), String> {
        let pieces: Vec<&str> = rest.split('\'').collect();
        let [_, old, _, new, _] = pieces.as_slice() else {
            return Err("it takes two pieces in quotes".into());
        };
        let (old, new) = (old.replace("\\n", "\n"), new.replace("\\n", "\n"));
        let text = String::from_utf8(self.world.metadata().to_disk()).map_err(|error| error.to_string())?;
        if !text.contains(&old) {
            return Err(format!("the text does not have it:\n{text}"));
        }
        let text = text.replacen(&old, &new, 1);
        self.replace_text(&text, 64 << 10);
        Ok(())
    }

    /// The same kernel and host, with that text in metadata areas of so many bytes.
    fn replace_text(&mut self, text: &str, area: u64) {
        let machine = &self.world.machine;
        let disks = Machine::with_text(machine.disks.len(), text.trim_end_matches('\0').as_bytes(), area);
        let kernel = machine.kernel.as_ref().clone();
        let machine = machine.from_parts(kernel, &disks.images(), machine.host.state(), machine.uuids.get());
        self.world = World::on(machine);
    }

    fn change(&mut self, requests: &[Request]) {
        let before = self.world.metadata().vg.seqno.0;
        self.world.machine.kernel.clear_log();
        let ran = self.world.run(requests);
        let log: Vec<String> = self.world.machine.kernel.log().iter().map(ToString::to_string).collect();
        match ran {
            Ok(report) => {
                self.mended(&report);
                for done in &report.done {
                    self.say(&format!("  {}: {}", done.name, done.effect));
                }
                report.left.iter().for_each(|left| self.say(&format!("  not done: {}", left.message)));
                // The plan has its own.
                let others = report.warnings.iter().filter(|warning| !report.plan.warnings.contains(warning));
                others.for_each(|warning| self.say(&format!("  warning: {warning}")));
            }
            Err(error) => self.refusal(&error),
        }
        self.say(&format!("ioctls ({}):", log.len()));
        log.iter().for_each(|call| self.say(&format!("  {call}")));
        let commits = self.world.metadata().vg.seqno.0 - before;
        self.say(&format!("commits: {commits}"));
        self.state();
    }

    fn mended(&mut self, report: &Report) {
        report.recovered.iter().for_each(|found| self.say(&format!("mended: {found}")));
        self.out.push_str(&report.plan.to_string());
    }

    fn recover(&mut self) {
        match self.world.recover() {
            Ok(report) => {
                report.warnings.iter().for_each(|left| self.say(&format!("left: {left}")));
                self.mended(&report);
            }
            Err(error) => self.refusal(&error),
        }
        self.state();
    }

    fn tell(&mut self, result: Result<String, EngineError>) {
        match result {
            Ok(text) => self.out.push_str(&text),
            Err(error) => self.refusal(&error),
        }
    }

    fn refusal(&mut self, error: &EngineError) {
        self.say(&format!("error ({:?}): {}", error.kind(), in_words(error)));
        if let Some(hint) = error.hint() {
            self.say(&format!("hint: {hint}"));
        }
    }

    fn read(&mut self, words: &[&str]) -> Result<(), String> {
        let (volume, sectors) = words.split_first().ok_or("of which volume?")?;
        let mut line = format!("{volume}:");
        for sector in sectors {
            let value = self.world.machine.kernel.read(&device(volume), Sectors::new(number(sector)?));
            match value {
                Ok(value) => write!(line, " {value}").map_err(|error| error.to_string())?,
                Err(errno) => write!(line, " {errno:?}").map_err(|error| error.to_string())?,
            }
        }
        self.say(&line);
        Ok(())
    }

    fn state(&mut self) {
        let vg = self.world.metadata().vg;
        self.say("state:");
        let lines: Vec<String> = vg.pools().map(|(lv, _)| self.pool(&vg, lv)).collect();
        lines.iter().for_each(|line| self.say(line));
        for volume in vg.lvs.iter().filter(|lv| lv.thin().is_some()) {
            let line = volume_line(&self.world, &vg, volume);
            self.say(&line);
        }
        let listed = self.world.machine.kernel.list().unwrap_or_default();
        let suspended = self.world.machine.kernel.suspended();
        let shown = |name: &DmName| {
            let mark = if suspended.contains(name) { " (suspended)" } else { "" };
            format!("{name}{mark}")
        };
        let names: Vec<String> = listed.iter().map(|device| shown(&device.name)).collect();
        self.say(&format!("  devices: {}", if names.is_empty() { "none".into() } else { names.join(", ") }));
    }

    fn pool(&self, vg: &Vg, pool_lv: &Lv) -> String {
        let Some(pool) = pool_lv.thin_pool() else { return String::new() };
        let place = metadata_place(vg, pool, &pvs(self.world.machine.disks.len()));
        let kernel = place.and_then(|(disk, at)| self.world.machine.kernel.metadata_on_disk(disk, at));
        let kernel = kernel.map_or("blank".into(), |(at, devices)| {
            let ids: Vec<String> = devices.keys().map(ToString::to_string).collect();
            format!("at {at} with {}", if ids.is_empty() { "nothing".into() } else { ids.join(", ") })
        });
        let messages: Vec<String> = pool.messages.iter().map(message).collect();
        let messages =
            if messages.is_empty() { String::new() } else { format!(" ({})", messages.join(", ")) };
        let clean =
            if self.world.machine.host.state().clean.contains(&vg.pool_id(pool_lv)) { ", clean" } else { "" };
        format!("  pool {}: text at {}{messages}, kernel {kernel}{clean}", pool_lv.name, pool.transaction_id)
    }
}

/// Where an LV lies, as `lvs -o seg_pe_ranges` shows it.
fn ranges(lv: &Lv) -> String {
    let area = |segment: &Segment| match &segment.kind {
        SegmentKind::Striped(striped) => {
            let length = segment.count.get() / u64::try_from(striped.stripes.len()).unwrap_or(1);
            let range = |stripe: &Stripe| {
                let start = stripe.start.get();
                format!("{}:{start}-{}", stripe.area, start + length - 1)
            };
            striped.stripes.iter().map(range).collect::<Vec<_>>().join("+")
        }
        _ => "elsewhere".into(),
    };
    lv.segments.iter().map(area).collect::<Vec<_>>().join(" ")
}

fn message(message: &PoolMessage) -> String {
    match message {
        PoolMessage::Create(name) => format!("create {name}"),
        PoolMessage::Delete(id) => format!("delete {id}"),
    }
}

fn volume_line(world: &World, vg: &Vg, volume: &Lv) -> String {
    let mut line = format!("  {}", volume.name);
    if let Some(thin) = volume.thin() {
        line.push_str(&format!(" (thin {}", thin.device_id));
        line.push_str(&thin.origin.as_ref().map(|origin| format!(" from {origin}")).unwrap_or_default());
        line.push(')');
    }
    if !volume.is_writable() {
        line.push_str(" read-only");
    }
    volume.flags.iter().for_each(|flag| line.push_str(&format!(" {flag}")));
    let uuid = DmUuid::of_lv(&vg.id, &volume.id, Layer::Plain);
    if world.machine.kernel.info_by_uuid(&uuid).is_ok_and(|device| device.is_some()) {
        line.push_str(" active");
    }
    line
}

fn did<T, E: ToString>(result: Result<T, E>) -> Result<(), String> {
    result.map(|_| ()).map_err(|error| error.to_string())
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("{word} is no number"))
}

fn start_of(word: &str) -> Result<Start, String> {
    Ok(match word {
        "fresh" => Start::Fresh,
        "fresh-running" => Start::FreshRunning,
        "used" => Start::Used,
        "stopped" => Start::Stopped,
        _ => return Err(format!("no machine is called {word}")),
    })
}

/// Writes to every chunk of a volume until the pool is full.
fn fill(world: &World, volume: &str) {
    const CHUNK: u64 = 128;
    let mut chunk = 0;
    while world.machine.kernel.write(&device(volume), Sectors::new(chunk * CHUNK), 1).is_ok() {
        chunk += 1;
    }
}

fn name(word: &str) -> Result<LvName, String> {
    LvName::new(word).map_err(|error| error.to_string())
}

/// `read-only`, `writable`, `skip`, `no-skip`, `auto`, `no-auto`, `+tag`, `-tag`.
fn modified(which: &str, options: &[&str]) -> Result<Request, String> {
    let mut attributes = Attributes::default();
    for option in options {
        match *option {
            "read-only" => attributes.read_only = Some(true),
            "writable" => attributes.read_only = Some(false),
            "skip" => attributes.skip_activation = Some(true),
            "no-skip" => attributes.skip_activation = Some(false),
            "auto" => attributes.autoactivate = Some(true),
            "no-auto" => attributes.autoactivate = Some(false),
            tag if tag.starts_with('+') => attributes.add_tags.push(tag[1..].to_owned()),
            tag if tag.starts_with('-') => attributes.remove_tags.push(tag[1..].to_owned()),
            _ => return Err(format!("{option} is nothing to change")),
        }
    }
    Ok(Request::Modify { name: name(which)?, attributes })
}

/// Requests, separated by semicolons.
fn requests(line: &str) -> Result<Vec<Request>, String> {
    line.split(';').map(|one| request(&one.split_whitespace().collect::<Vec<_>>())).collect()
}

fn request(words: &[&str]) -> Result<Request, String> {
    Ok(match words {
        ["create", new, options @ ..] => {
            let size = options.iter().find_map(|word| word.strip_suffix('M'));
            let size = Sectors::new(size.map_or(Ok(8), number)? * MIB);
            let pool = options.iter().find_map(|word| word.strip_prefix("in=")).unwrap_or(POOL);
            name(new)?;
            create_in(pool, new, size, options.contains(&"active"))
        }
        ["snapshot", origin, new, options @ ..] => Request::Snapshot {
            origin: name(origin)?,
            name: name(new)?,
            read_only: options.contains(&"read-only"),
            skip_activation: options.contains(&"skip"),
            tags: Vec::new(),
            activate: options.contains(&"active"),
            autoactivate: !options.contains(&"no-auto"),
            freeze: !options.contains(&"no-freeze"),
        },
        ["remove", old] => remove(old),
        ["discard", old] => discard(old),
        ["zero", new] => zero(new),
        ["resize", which, size, options @ ..] => {
            let by = size.starts_with('+');
            let mib = number(size.trim_start_matches('+').trim_end_matches('M'))?;
            let size = Sectors::new(mib * MIB);
            let size = if by { NewSize::By(size) } else { NewSize::To(size) };
            Request::Resize { name: name(which)?, size, shrink: options.contains(&"shrink") }
        }
        ["rename", which, to] => rename(which, to),
        ["modify", which, options @ ..] => modified(which, options)?,
        ["rollback", which, to] => roll_back(which, to),
        ["activate", "all"] => Request::ActivateAll { auto: false },
        ["activate", "automatic"] => Request::ActivateAll { auto: true },
        ["activate", which] => activate(which),
        ["activate", which, "anyway"] => activate_anyway(which),
        ["deactivate", "all"] => Request::DeactivateAll,
        ["deactivate", which] => deactivate(which),
        words => pools::request(words)?,
    })
}
