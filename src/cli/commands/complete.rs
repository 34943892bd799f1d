//! `thinvol complete`: what could be typed next. The scripts that `thinvol completions` prints ask it.

use std::io::{self, Write};
use std::path::Path;

use clap::{Arg, ArgAction, Args, Command};

use crate::context::Context;
use crate::options::ChangeOptions;
use crate::resolve::{Storage, Volume};
use crate::transfer::FORMAT;
use base::ids::VgName;
use config::storage;
use lvm2::format::model::{Lv, Vg};
use thin::Engine;
use thin::changes::SnapName;
use thin::internals::engine::ReadMetadata;
use thin::internals::lineage::{Lineage, Relation};

/// Print what a word could become
#[derive(Debug, Args)]
pub struct CompleteArgs {
    /// The words of the command line so far, without the program's name; the last is the one to be completed
    #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
    pub words: Vec<String>,
}

/// What is expected at a place of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// A storage: its id or its pool.
    Storage,
    /// A storage of the configuration.
    StorageId,
    Vg,
    Volume,
    /// A snapshot that is there.
    Snapshot,
    /// A volume, of which a snapshot is to be made: its name follows.
    NewSnapshot,
    /// A volume or a snapshot.
    Source,
    /// Anything that has devices.
    Device,
    /// The format of a stream.
    Format,
}

impl CompleteArgs {
    /// The configuration that the command line names.
    pub fn config(&self) -> Option<&Path> {
        let after = |word: &&String| word.as_str() == "--config";
        let behind = self.words.iter().skip_while(|word| !after(word)).nth(1);
        let joined = || self.words.iter().find_map(|word| word.strip_prefix("--config="));
        behind.map(String::as_str).or_else(joined).map(Path::new)
    }

    /// Prints what is possible in a command of that definition. Errors are not shown, for a user is typing.
    pub fn run(&self, context: &Context, definition: &Command) {
        let Some((word, before)) = self.words.split_last() else { return };
        let Some(expected) = expected(definition, before) else { return };
        let mut found = candidates(context, expected, word);
        found.retain(|text| text.starts_with(word.as_str()));
        found.sort();
        found.dedup();
        let mut out = io::stdout().lock();
        // A shell that went away needs no answer.
        let _ = found.iter().try_for_each(|text| writeln!(out, "{text}"));
    }
}

/// What is expected after these words.
fn expected(root: &Command, before: &[String]) -> Option<Expected> {
    let mut command = root;
    let mut verb = vec![];
    let mut place = 0;
    let mut words = before.iter();
    let mut only_values = false;
    while let Some(word) = words.next() {
        if only_values || !word.starts_with('-') || word == "-" {
            match command.find_subcommand(word) {
                Some(sub) if !only_values => {
                    command = sub;
                    verb.push(sub.get_name());
                    place = 0;
                }
                _ => place += 1,
            }
        } else if word == "--" {
            only_values = true;
        } else if let Some(option) = option(root, command, word).filter(|_| !word.contains('=')) {
            if words.len() == 0 {
                return meaning(&verb, option);
            }
            words.next();
        }
    }
    let values: Vec<&Arg> = command.get_positionals().collect();
    let takes_more = |arg: &&&Arg| matches!(arg.get_action(), ArgAction::Append);
    let arg = values.get(place).or_else(|| values.last().filter(takes_more))?;
    meaning(&verb, arg)
}

/// The option that a word names, if a value follows it.
fn option<'a>(root: &'a Command, command: &'a Command, word: &str) -> Option<&'a Arg> {
    let is = |arg: &&Arg| match word.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => arg.get_short().is_some_and(|short| word.ends_with(short)),
    };
    let all = command.get_arguments().chain(root.get_arguments());
    all.filter(|arg| matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)).find(is)
}

/// What an argument of a verb is.
fn meaning(verb: &[&str], arg: &Arg) -> Option<Expected> {
    Some(match (verb, arg.get_id().as_str()) {
        (["add"], _) => return None,
        (["set" | "remove"] | ["iscsi", "rescan"], "storage" | "storages") => Expected::StorageId,
        (_, "storage" | "storages") => Expected::Storage,
        (["scan", "lvmthin"] | ["recover"], "vg") => Expected::Vg,
        (["snapshot"], "snapshots") => Expected::NewSnapshot,
        (_, "snapshots") => Expected::Snapshot,
        (["export" | "import"], "format") => Expected::Format,
        (["path" | "export"], "volume") | (_, "source") => Expected::Source,
        (_, "volume" | "volumes") => Expected::Volume,
        (["info"], "what") | (["activate" | "deactivate"], "targets") => Expected::Device,
        _ => return None,
    })
}

/// What could be meant. Without a separator in the word, it is storages and volume groups, with one behind them where
/// more is to follow.
fn candidates(context: &Context, expected: Expected, word: &str) -> Vec<String> {
    let engine = quick(context);
    match expected {
        Expected::StorageId => ids(context, |_| true),
        Expected::Format => vec![FORMAT.to_owned()],
        Expected::Vg => groups(engine.as_ref(), ""),
        Expected::Storage if word.contains('/') => pools(engine.as_ref(), word),
        Expected::Storage => [ids(context, |_| true), groups(engine.as_ref(), "/")].concat(),
        _ if word.contains([':', '/']) => {
            let found = engine.and_then(|engine| place(context, &engine, word));
            found.map(|(vg, storage)| in_group(&vg, storage.as_ref(), expected, word)).unwrap_or_default()
        }
        Expected::Device => {
            let storages = ids(context, |_| true);
            let volumes = storages.iter().map(|id| format!("{id}:")).collect();
            [storages, volumes, groups(engine.as_ref(), ""), groups(engine.as_ref(), "/")].concat()
        }
        _ => {
            let storages = ids(context, |storage| storage.pool.is_some())
                .into_iter()
                .map(|id| format!("{id}:"))
                .collect();
            [storages, groups(engine.as_ref(), "/")].concat()
        }
    }
}

/// An engine that does not wait for a lock; none if this process is not root's.
fn quick(context: &Context) -> Option<Engine> {
    context
        .open(&ChangeOptions { dry_run: true, no_udev_sync: true, lock_timeout: 0, beyond_rules: false })
        .ok()
}

fn ids(context: &Context, is_wanted: impl Fn(&storage::Storage) -> bool) -> Vec<String> {
    let config = context.resolver.config().ok();
    let storages = config.into_iter().flat_map(|config| config.storages());
    storages.filter(|storage| is_wanted(storage)).map(|storage| storage.id.to_string()).collect()
}

fn groups(engine: Option<&Engine>, behind: &str) -> Vec<String> {
    let every = engine.and_then(|engine| engine.groups().ok());
    every.iter().flat_map(|every| &every.vgs).map(|vg| format!("{}{behind}", vg.name)).collect()
}

fn pools(engine: Option<&Engine>, word: &str) -> Vec<String> {
    let name = word.split_once('/').and_then(|(vg, _)| VgName::new(vg).ok());
    let vg = engine.zip(name).and_then(|(engine, name)| engine.metadata(&name).ok());
    vg.iter().flat_map(|vg| vg.pools().map(|(lv, _)| format!("{}/{}", vg.name, lv.name))).collect()
}

/// The volume group in which a word looks for something, and the storage it does it by.
fn place(context: &Context, engine: &Engine, word: &str) -> Option<(Vg, Option<Storage>)> {
    if let Some((id, _)) = word.split_once(':') {
        let storage = context.resolver.storage(id).ok()?;
        return Some((engine.metadata(&storage.vg).ok()?, Some(storage)));
    }
    let (vg, _) = word.strip_prefix("/dev/").unwrap_or(word).split_once('/')?;
    Some((engine.metadata(&VgName::new(vg).ok()?).ok()?, None))
}

fn in_group(vg: &Vg, storage: Option<&Storage>, expected: Expected, word: &str) -> Vec<String> {
    let lineage = Lineage::of(vg);
    let is_snapshot =
        |lv: &Lv| lineage.descent(lv).is_some_and(|it| matches!(it.relation, Relation::Snapshot(_)));
    let is_here = |lv: &&Lv| match storage {
        Some(storage) => {
            storage.lists(lv.name.as_str()) && lv.thin().is_some_and(|thin| thin.pool == storage.pool)
        }
        None => lv.thin().is_some() || expected == Expected::Device && lv.thin_pool().is_some(),
    };
    let named = |lv: &Lv| match storage {
        Some(storage) => storage.volume(lv.name.clone()),
        None => Volume::new(vg.name.clone(), lv.name.clone()),
    };
    let slash = if word.starts_with("/dev/") { "/dev/" } else { "" };
    let volumes = vg.lvs.iter().filter(|lv| lv.is_visible() && !is_snapshot(lv)).filter(is_here);
    let mut found = Vec::new();
    for lv in volumes {
        let volume = format!("{slash}{}", named(lv));
        let snapshots = lineage.snapshots_of(lv).filter(|(snap, _)| SnapName::new(snap).is_ok());
        let snapshots = snapshots.map(|(snap, _)| format!("{volume}@{snap}"));
        match expected {
            Expected::Volume => found.push(volume),
            Expected::NewSnapshot => found.push(format!("{volume}@")),
            Expected::Snapshot => found.extend(snapshots),
            _ if word.contains('@') => found.extend(snapshots),
            _ => found.push(volume),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::args::Cli;
    use thin::internals::lineage::fixture::{lv, vg};

    fn after(line: &str) -> Option<Expected> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        expected(&Cli::command(), &words)
    }

    #[test]
    fn what_is_expected_follows_from_the_words_before() {
        for (line, is) in [
            ("", None),
            ("list", Some(Expected::Storage)),
            ("list --json", Some(Expected::Storage)),
            ("list --vmid 100", Some(Expected::Storage)),
            ("list --vmid", None),
            ("list -o size", Some(Expected::Storage)),
            ("list st", None),
            ("-v --config /x list", Some(Expected::Storage)),
            ("free", Some(Expected::Volume)),
            ("free st:a", Some(Expected::Volume)),
            ("free --storage", Some(Expected::Storage)),
            ("free --", Some(Expected::Volume)),
            ("alloc", Some(Expected::Storage)),
            ("alloc st 100", None),
            ("resize", Some(Expected::Volume)),
            ("resize st:a", None),
            ("snapshot st:a@x", Some(Expected::NewSnapshot)),
            ("rollback", Some(Expected::Snapshot)),
            ("clone", Some(Expected::Source)),
            ("info", Some(Expected::Device)),
            ("activate pve", Some(Expected::Device)),
            ("recover", Some(Expected::Vg)),
            ("scan lvmthin", Some(Expected::Vg)),
            ("set", Some(Expected::StorageId)),
            ("add lvmthin", None),
            ("iscsi rescan", Some(Expected::StorageId)),
            ("nonsense", None),
        ] {
            assert_eq!(after(line), is, "{line}");
        }
    }

    #[test]
    fn volumes_and_snapshots_are_called_as_commands_call_them() {
        let vg = vg(vec![
            lv(1, "vm-100-disk-0", None, vec![]),
            lv(2, "snap_vm-100-disk-0_s", Some("vm-100-disk-0"), vec![]),
            lv(3, "scratch", None, vec![]),
        ]);
        let resolver = crate::resolve::Resolver::over("lvmthin: st\n\tvgname pve\n\tthinpool data\n\n");
        let storage = resolver.storage("st").unwrap();
        assert_eq!(in_group(&vg, Some(&storage), Expected::Volume, "st:"), ["st:vm-100-disk-0"]);
        assert_eq!(in_group(&vg, Some(&storage), Expected::Snapshot, "st:"), ["st:vm-100-disk-0@s"]);
        assert_eq!(in_group(&vg, None, Expected::Source, "pve/"), ["pve/vm-100-disk-0", "pve/scratch"]);
        assert_eq!(in_group(&vg, None, Expected::Source, "pve/vm-100-disk-0@"), ["pve/vm-100-disk-0@s"]);
        assert_eq!(
            in_group(&vg, None, Expected::NewSnapshot, "/dev/pve/"),
            ["/dev/pve/vm-100-disk-0@", "/dev/pve/scratch@"]
        );
    }
}
