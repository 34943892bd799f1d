//! Properties of storages as arguments: what all types take, and what each type takes besides.

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use config::edit::Options;
use config::types::Type;

/// Properties that can be given and changed.
#[derive(Debug, Args)]
pub struct CommonProperties {
    /// What it is for.
    #[arg(long, value_name = "LIST", help = content_help())]
    pub content: Option<String>,

    /// The nodes it is for [default: all]
    #[arg(long, value_name = "LIST")]
    pub nodes: Option<String>,

    /// Whether it is switched off
    #[arg(long, value_name = "BOOLEAN", num_args = 0..=1, default_missing_value = "1")]
    pub disable: Option<String>,

    /// Limits of copying in KiB/s: clone=, default=, migration=, move=, restore=
    #[arg(long, value_name = "LIMITS")]
    pub bwlimit: Option<String>,
}

impl CommonProperties {
    /// Those that are given, by key.
    pub fn given(&self) -> Options {
        let all = [
            ("content", &self.content),
            ("nodes", &self.nodes),
            ("disable", &self.disable),
            ("bwlimit", &self.bwlimit),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?))).collect()
    }
}

/// Help of `--content`, from the types.
fn content_help() -> String {
    let takes = |kind: Type| format!("{} {}", kind.name, kind.content.join(" or "));
    let by_default = |kind: Type| {
        let words: Vec<&str> = kind.default_content.iter().map(|content| content.word()).collect();
        format!("{} {}", kind.name, words.join(","))
    };
    let takes: Vec<String> = Type::all().map(takes).collect();
    let by_default: Vec<String> = Type::all().map(by_default).collect();
    format!("What it is for: {} [default: {}]", takes.join("; "), by_default.join("; "))
}

/// Properties that say what a storage is made of: an argument for each that a type has of its own.
#[derive(Clone, Debug, Default)]
pub struct OwnProperties(Options);

impl OwnProperties {
    /// Those that are given, by key.
    pub fn given(&self) -> Options {
        self.0.clone()
    }
}

impl FromArgMatches for OwnProperties {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |key: &'static str| Some((key.to_owned(), matches.get_one::<String>(key)?.clone()));
        Ok(Self(keys().into_iter().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for OwnProperties {
    fn augment_args(command: Command) -> Command {
        command.args(keys().into_iter().map(argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// The same where they cannot be changed, which is said better than 'unexpected argument'.
#[derive(Clone, Debug, Default)]
pub struct FixedProperties(OwnProperties);

impl FixedProperties {
    /// Those that are given, by key.
    pub fn given(&self) -> Options {
        self.0.given()
    }
}

impl FromArgMatches for FixedProperties {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        OwnProperties::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl Args for FixedProperties {
    fn augment_args(command: Command) -> Command {
        command.args(keys().into_iter().map(|key| argument(key).hide(true)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// The own properties of all types, each once.
fn keys() -> Vec<&'static str> {
    let mut keys = Vec::new();
    for own in Type::all().flat_map(|kind| kind.own) {
        if !keys.contains(&own.key) {
            keys.push(own.key);
        }
    }
    keys
}

fn argument(key: &'static str) -> Arg {
    let of = |kind: Type| Some((kind.name, kind.own.iter().find(|own| own.key == key)?));
    let all: Vec<_> = Type::all().filter_map(of).collect();
    let help: Vec<String> = all.iter().map(|(name, own)| format!("{name}: {}", own.help)).collect();
    let value = all.first().map_or(key, |(_, own)| own.value);
    Arg::new(key).long(key).value_name(value).help(help.join("; "))
}

/// Which types take which of them, in words.
pub fn own_in_words() -> String {
    let options = |kind: Type| {
        let options: Vec<String> = kind.own.iter().map(|own| format!("--{}", own.key)).collect();
        options.join(" and ")
    };
    let takes = |(number, kind): (usize, Type)| match number {
        0 => format!("{} takes {}", kind.name, options(kind)),
        _ => format!("{} {}", kind.name, options(kind)),
    };
    Type::all().enumerate().map(takes).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_types_take_is_told_from_their_rows() {
        let words = "lvmthin takes --vgname and --thinpool, iscsi --portal and --target";
        assert!(own_in_words().starts_with(words), "{}", own_in_words());
        let words = "What it is for: lvmthin images or rootdir; iscsi images or none";
        assert!(content_help().starts_with(words), "{}", content_help());
        let given = OwnProperties::augment_args(Command::new("add"))
            .try_get_matches_from(["add", "--portal", "10.0.0.1", "--target", "t"])
            .and_then(|matches| OwnProperties::from_arg_matches(&matches))
            .unwrap()
            .given();
        assert_eq!(
            given.into_iter().collect::<Vec<_>>(),
            [("portal".to_owned(), "10.0.0.1".to_owned()), ("target".to_owned(), "t".to_owned())]
        );
    }
}
