//! Runs a script and shows what came of it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use base::ids::DevNo;
use base::units::Sectors;
use dm::kernel::{DeviceInfo, DmError, Kernel, StatusFlush, UdevEvent, Uevent};
use dm::name::{DmName, DmUuid};
use dm::table::{Table, TargetLine};
use nix::errno::Errno;

use super::language::Command;
use super::machine::{HeldDevice, Machine};

/// The prefix of the names of a script's devices, which no other device has.
pub const PREFIX: &str = "thinvol-script-";

/// What `pool` stands for after its disk: 1,024 blocks of metadata, 16 chunks of 128 sectors. `%` is its number.
const POOL: &str = "\
create tmeta%
load tmeta% 0 8192 linear $d% 0
resume tmeta%
create tdata%
load tdata% 0 2048 linear $d% 8192
resume tdata%
create tpool%
load tpool% 0 2048 thin-pool $tmeta% $tdata% 128 0 2 no_discard_passdown error_if_no_space
resume tpool%";

/// What a line showed: lines, or an errno.
type Shown = Result<Vec<String>, Errno>;

struct Runner<'a> {
    machine: &'a mut dyn Machine,
    numbers: BTreeMap<String, DevNo>,
}

/// Runs every command of a script (what it says of results is left alone) and gives the script with what they
/// showed.
///
/// # Errors
/// If a line is not understood or a disk cannot be made. An ioctl that fails is shown, not an error.
pub fn transcript(machine: &mut dyn Machine, script: &str) -> Result<String> {
    let mut runner = Runner { machine, numbers: BTreeMap::new() };
    let mut text = String::new();
    for (index, line) in script.lines().enumerate().filter(|(_, line)| !line.starts_with("> ")) {
        text.push_str(line);
        text.push('\n');
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let shown = Command::parse(line)
            .and_then(|command| runner.run(&command))
            .with_context(|| format!("line {}", index + 1))?;
        let lines = shown.unwrap_or_else(|errno| vec![format!("{errno:?}")]);
        for line in lines {
            // A space at the end would be lost on the way through editors.
            let line = line.strip_suffix(' ').map_or(line.clone(), |rest| format!("{rest}_"));
            text.push_str(&format!("> {line}\n"));
        }
    }
    Ok(text)
}

fn done() -> Vec<String> {
    vec!["ok".to_owned()]
}

fn name(text: &str) -> Result<DmName> {
    Ok(DmName::new(&format!("{PREFIX}{text}"))?)
}

fn uuid(text: &str) -> Result<DmUuid> {
    Ok(DmUuid::new(&format!("{PREFIX}{text}"))?)
}

fn plain(name: &DmName) -> String {
    name.as_str().strip_prefix(PREFIX).unwrap_or(name.as_str()).to_owned()
}

fn sent(uevent: Uevent) -> Vec<String> {
    match uevent {
        Uevent::Sent => vec!["ok, with uevent".to_owned()],
        Uevent::NotSent => done(),
    }
}

impl Runner<'_> {
    fn run(&mut self, command: &Command) -> Result<Shown> {
        Ok(match command {
            Command::Disk(disk, size) => {
                let number = self.machine.add_disk(*size)?;
                self.numbers.insert(disk.clone(), number);
                Ok(done())
            }
            Command::Pool(number, again) => {
                let disk = format!("disk d{number} 16384\n");
                let devices = POOL.replace('%', number);
                for line in disk.lines().filter(|_| !again).chain(devices.lines()) {
                    self.run(&Command::parse(line)?)?.with_context(|| format!("in pool: {line}"))?;
                }
                Ok(done())
            }
            Command::Refuse(device, refuse) => {
                self.machine.refuse_writes(&name(device)?, *refuse).map(|()| done())
            }
            Command::Crash => self.machine.crash().map(|()| done()),
            Command::Write(device, sector, value) => {
                self.machine.write(&name(device)?, *sector, *value).map(|()| done())
            }
            Command::Read(device, sector) => {
                self.machine.read(&name(device)?, *sector).map(|value| vec![value.to_string()])
            }
            Command::Sync(device) => self.machine.sync(&name(device)?).map(|()| done()),
            Command::Held(pool, metadata) => {
                let held = self.machine.held(&name(pool)?, &name(metadata)?);
                held.map(|devices| devices.iter().map(shown_device).collect())
            }
            Command::Hold(device) => self.machine.hold(&name(device)?).map(|()| done()),
            Command::Release(device) => self.machine.release(&name(device)?).map(|()| done()),
            _ => self.ioctl(command)?.map_err(|error| error.errno),
        })
    }

    fn ioctl(&mut self, command: &Command) -> Result<Result<Vec<String>, DmError>> {
        let udev = UdevEvent::default();
        Ok(match command {
            Command::Create(device, own) => {
                let uuid = uuid(own.as_ref().unwrap_or(device))?;
                let made = self.kernel().create(&name(device)?, &uuid, None);
                made.map(|number| {
                    self.numbers.insert(device.clone(), number);
                    done()
                })
            }
            Command::Load(device, lines, read_only) => {
                let table = self.parse_table(lines)?;
                self.kernel().load(&name(device)?, &table, *read_only).map(|()| done())
            }
            Command::Clear(device) => self.kernel().clear(&name(device)?).map(|()| done()),
            Command::Suspend(device, how) => self.kernel().suspend(&name(device)?, *how).map(|()| done()),
            Command::Resume(device) => self.kernel().resume(&name(device)?, udev).map(sent),
            Command::Remove(device) => self.kernel().remove(&name(device)?, udev).map(sent),
            Command::Rename(device, new) => {
                let renamed = self.kernel().rename(&name(device)?, &name(new)?, udev);
                if renamed.is_ok()
                    && let Some(number) = self.numbers.remove(device)
                {
                    self.numbers.insert(new.clone(), number);
                }
                renamed.map(sent)
            }
            Command::Message(device, text) => self.kernel().message(&name(device)?, text).map(|()| done()),
            Command::Info(device) => self.kernel().info(&name(device)?).map(|info| vec![shown(info)]),
            Command::Uuid(text) => self.kernel().info_by_uuid(&uuid(text)?).map(|info| vec![shown(info)]),
            Command::List => self.kernel().list().map(|all| {
                let mut names: Vec<String> = all.iter().map(|device| plain(&device.name)).collect();
                names.sort();
                names
            }),
            Command::Table(device) => {
                let table = self.kernel().table(&name(device)?);
                table.map(|lines| self.shown_lines(&lines, |_, params| params.to_owned()))
            }
            Command::Status(device, flush) => {
                let status = self.kernel().status(&name(device)?, *flush);
                let normal = match flush {
                    StatusFlush::Flush => settled_status,
                    StatusFlush::NoFlush => normal_status,
                };
                status.map(|(_, lines)| self.shown_lines(&lines, normal))
            }
            Command::Deps(device) => {
                let below = self.kernel().deps(&name(device)?);
                below.map(|below| {
                    let mut names: Vec<String> =
                        below.iter().map(|dev| self.named(&dev.to_string())).collect();
                    names.sort();
                    vec![names.join(" ")]
                })
            }
            other => anyhow::bail!("{other:?} is no ioctl"),
        })
    }

    fn kernel(&self) -> &dyn Kernel {
        self.machine.kernel()
    }

    fn parse_table(&self, lines: &[String]) -> Result<Table> {
        lines.iter().map(|line| self.parse_line(line)).collect::<Result<_>>().map(Table)
    }

    fn parse_line(&self, line: &str) -> Result<TargetLine> {
        let mut words = line.split(' ');
        let mut sectors = || -> Result<Sectors> {
            Ok(Sectors::new(words.next().context("a table line needs a start and a length")?.parse()?))
        };
        let (start, length) = (sectors()?, sectors()?);
        let target = words.next().context("a table line needs a target")?.to_owned();
        let params = words.map(|word| self.number(word)).collect::<Result<Vec<_>>>()?.join(" ");
        Ok(TargetLine { start, length, target, params })
    }

    /// A word with the number for a `$name`.
    fn number(&self, word: &str) -> Result<String> {
        match word.strip_prefix('$') {
            Some(name) => Ok(self.numbers.get(name).with_context(|| format!("no {word}"))?.to_string()),
            None => Ok(word.to_owned()),
        }
    }

    /// A word with the `$name` for a number.
    fn named(&self, word: &str) -> String {
        let known = self.numbers.iter().find(|(_, number)| number.to_string() == word);
        known.map_or_else(|| word.to_owned(), |(name, _)| format!("${name}"))
    }

    fn shown_lines(&self, lines: &[TargetLine], normal: fn(&str, &str) -> String) -> Vec<String> {
        let shown = lines.iter().map(|line| {
            let params = normal(&line.target, &line.params);
            let words: Vec<String> = params.split(' ').map(|word| self.named(word)).collect();
            format!("{} {} {} {}", line.start, line.length, line.target, words.join(" "))
        });
        let mut shown: Vec<String> = shown.collect();
        if shown.is_empty() {
            shown.push("nothing".to_owned());
        }
        shown
    }
}

fn shown_device(device: &HeldDevice) -> String {
    let details = &device.details;
    let mut line = format!(
        "{}: made in transaction {} at {}, snapshotted at {}, {} mapped:",
        device.id,
        details.transaction_id,
        details.creation_time,
        details.snapshotted_time,
        details.mapped_blocks
    );
    for (chunk, time) in &device.mapped {
        line.push_str(&format!(" {chunk}@{time}"));
    }
    line
}

/// A status right after a commit: all but the place of the metadata snapshot.
fn settled_status(target: &str, params: &str) -> String {
    let mut words: Vec<String> = params.split(' ').map(str::to_owned).collect();
    if target == "thin-pool"
        && let [_, _, _, held, ..] = &mut words[..]
        && held != "-"
    {
        "held".clone_into(held);
    }
    words.join(" ")
}

/// A status in the middle of a transaction: of the metadata, blocks count that the commit gives back.
fn normal_status(target: &str, params: &str) -> String {
    let mut words: Vec<String> = settled_status(target, params).split(' ').map(str::to_owned).collect();
    if target == "thin-pool"
        && let [_, metadata, ..] = &mut words[..]
        && let Some((_, total)) = metadata.split_once('/')
    {
        *metadata = format!("used/{total}");
    }
    words.join(" ")
}

fn shown(info: Option<DeviceInfo>) -> String {
    let Some(info) = info else { return "none".to_owned() };
    let flags = [
        (info.live_table, "live"),
        (info.inactive_table, "inactive"),
        (info.suspended, "suspended"),
        (info.read_only, "read-only"),
    ];
    let on: String = flags.iter().filter(|(set, _)| *set).map(|(_, word)| format!(" {word}")).collect();
    format!("{} open {}{on}", plain(&info.name), info.open_count)
}
