//! What programs call all day is parsed without the definitions of all other commands. Whatever is wrong, or asks for
//! help, is for the whole parser to say.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Args, Command, FromArgMatches};

use super::{Cli, Global};
use crate::commands::{
    activate, alloc, batch, clone, delete_snapshot, free, info, list, path, resize, rollback, snapshot,
    status,
};

/// Adds the arguments of a command to it.
type Augment = fn(Command) -> Command;

/// The commands, by their names.
const VERBS: [(&str, Augment); 14] = [
    ("activate", activate::ActivateArgs::augment_args),
    ("alloc", alloc::AllocArgs::augment_args),
    ("batch", batch::BatchArgs::augment_args),
    ("clone", clone::CloneArgs::augment_args),
    ("deactivate", activate::DeactivateArgs::augment_args),
    ("delete-snapshot", delete_snapshot::DeleteSnapshotArgs::augment_args),
    ("free", free::FreeArgs::augment_args),
    ("info", info::InfoArgs::augment_args),
    ("list", list::ListArgs::augment_args),
    ("path", path::PathArgs::augment_args),
    ("resize", resize::ResizeArgs::augment_args),
    ("rollback", rollback::RollbackArgs::augment_args),
    ("snapshot", snapshot::SnapshotArgs::augment_args),
    ("status", status::StatusArgs::augment_args),
];

/// What the arguments mean, the program's name first, if they are of one of those commands, or of none, and nothing is
/// wrong with them.
pub fn parse(arguments: &[OsString]) -> Option<Cli> {
    let version = Arg::new("version").short('V').long("version").action(ArgAction::SetTrue);
    let root = Global::augment_args(Command::new("thinvol").disable_help_subcommand(true)).arg(version);
    let first = arguments.iter().skip(1).filter_map(|word| word.to_str()).find(|word| !word.starts_with('-'));
    let root = match first {
        None => root,
        Some(first) => {
            let (name, augment) = VERBS.iter().find(|(name, _)| *name == first)?;
            root.subcommand(augment(Command::new(*name)))
        }
    };
    let matches = root.try_get_matches_from(arguments).ok()?;
    let cli = Cli::from_arg_matches(&matches).ok()?;
    (cli.version || cli.command.is_some()).then_some(cli)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn it_means_what_the_whole_parser_says() {
        let lines = [
            "--version",
            "-V --json",
            "alloc pve/data 100 vm-100-disk-0 1G",
            "--json -v alloc --inactive --no-udev-sync pve/data 100 -- '' 1G",
            "alloc --lock-timeout 5 pve/data 100 x 8M --json",
            "free a:b c/d --discard --dry-run",
            "snapshot a/b@c d/e@f --no-fsfreeze -q",
            "delete-snapshot a/b@c",
            "rollback a/b@c",
            "clone a/b@c 100-110 --inactive",
            "resize a/b +1G",
            "list pve/data --tree",
            "status",
            "status pve/data --json",
            "info a/b",
            "path a:b",
            "batch -",
            "activate a/b",
            "deactivate a",
        ];
        for line in lines {
            let arguments: Vec<OsString> =
                std::iter::once("thinvol").chain(line.split(' ')).map(OsString::from).collect();
            let whole = Cli::try_parse_from(&arguments).map(|cli| format!("{cli:?}"));
            let quick = parse(&arguments).map(|cli| format!("{cli:?}"));
            assert_eq!(quick, Some(whole.expect("it can be parsed")), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_or_asks_for_help_is_left_to_it() {
        for line in
            ["", "--help", "alloc --help", "alloc", "alloc --nonsense", "help", "scan lvm", "-q -v status"]
        {
            let arguments: Vec<OsString> =
                std::iter::once("thinvol").chain(line.split_whitespace()).map(OsString::from).collect();
            assert!(parse(&arguments).is_none(), "{line}");
        }
    }
}
