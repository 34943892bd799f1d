//! Storages whose volumes are not the engine's are activated and deactivated, one after another.

use std::io::{self, Write};

use serde::Serialize;

use super::{Address, Apart, apart};
use crate::context::Context;
use crate::errors::CliError;
use crate::options::ChangeOptions;
use crate::output::Answer;
use crate::resolve::Resolver;
use base::error_kind::ErrorKind;
use config::names::StorageId;
use iscsi::host::limit::Limit;
use iscsi::storage::paths::TargetPath;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Volumes become usable.
    Up,
    /// They go.
    Down,
}

/// What activation works with, and what was done.
#[derive(Debug)]
pub struct Activation<'a> {
    /// The surroundings.
    pub context: &'a Context,
    /// Options of the command.
    pub change: &'a ChangeOptions,
    /// How long all of it may take.
    pub limit: Limit,
    /// What was done.
    pub done: Done,
}

/// The answer, in the form of all changing verbs.
#[derive(Debug, Serialize)]
pub struct Done {
    executed: bool,
    transactions: [(); 0],
    /// For each storage.
    pub storages: Vec<StorageResult>,
    /// Things that went another way than one might think.
    pub notes: Vec<String>,
    /// Things that ask for attention.
    pub warnings: Vec<String>,
}

/// What was done with a storage, or would be.
#[derive(Debug, Default, Serialize)]
pub struct StorageResult {
    /// Its id.
    pub storage: String,
    /// The target it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The paths to its target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<TargetPath>>,
    /// How many LUNs its target has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub luns: Option<usize>,
    /// What changed, in words.
    pub changes: Vec<String>,
    /// What would be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Vec<String>>,
    /// What was done, in words.
    #[serde(skip)]
    pub done_message: String,
}

impl Answer for Done {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        for one in &self.storages {
            match &one.plan {
                Some(plan) => plan.iter().try_for_each(|step| writeln!(out, "{step}"))?,
                None => writeln!(out, "{}", one.done_message)?,
            }
            one.changes.iter().try_for_each(|change| writeln!(out, "  {change}"))?;
        }
        Ok(())
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn tells_of_changes(&self) -> bool {
        self.executed && !self.storages.is_empty()
    }
}

/// Addresses of storages whose volumes are not the engine's, and of their volumes, among texts; `None` if there are
/// none. What was switched off while it was active may still be deactivated.
///
/// # Errors
/// If there are others besides: what has to come first is for the user to say.
pub fn only_apart(
    context: &Context,
    texts: &[String],
    direction: Direction,
) -> Result<Option<Vec<Address>>, CliError> {
    let mut found = Vec::new();
    for text in texts {
        found.extend(match direction {
            Direction::Up => apart(&context.resolver, text, Resolver::enabled)?,
            Direction::Down => apart(&context.resolver, text, Resolver::configured)?,
        });
    }
    match found.first() {
        None => Ok(None),
        Some(_) if found.len() == texts.len() => Ok(Some(found)),
        Some(first) => Err(CliError::usage(format!(
            "storages of type {} are activated and deactivated apart from volume groups",
            first.type_name
        ))
        .hint("volume groups on their disks come up after them and go before them: use two commands")),
    }
}

/// Activates or deactivates storages, each once, and makes sure that volumes that are named are there.
///
/// # Errors
/// If one cannot be. Those before it stay changed.
pub fn run(
    context: &Context,
    addresses: &[Address],
    change: &ChangeOptions,
    direction: Direction,
) -> Result<(), CliError> {
    let done = Done {
        executed: !change.dry_run,
        transactions: [],
        storages: Vec::new(),
        notes: Vec::new(),
        warnings: context.resolver.warnings(),
    };
    let mut work = Activation { context, change, limit: Limit::new(change.lock_timeout()), done };
    let mut worked_on: Vec<&StorageId> = Vec::new();
    let mut failure = None;
    for address in addresses {
        let Some(apart) = address.backend.apart() else { continue };
        let is_first = !worked_on.contains(&&address.id);
        let volname = address.volname.as_deref();
        let result = match (direction, volname) {
            (Direction::Down, Some(volname)) => {
                apart.deactivate_volume(volname, &mut work);
                Ok(())
            }
            (Direction::Down, None) if is_first => apart.deactivate(&mut work),
            (Direction::Up, _) => up(apart, is_first, volname, &mut work),
            (Direction::Down, None) => Ok(()),
        };
        if direction == Direction::Up || volname.is_none() {
            worked_on.push(&address.id);
        }
        if let Err(error) = result {
            failure = Some(error);
            break;
        }
    }
    match failure {
        Some(error) if work.done.storages.is_empty() => Err(error),
        Some(error) => {
            let failure = error.within(ErrorKind::Partial, "what is printed was done, and then this failed");
            context.conclude(&work.done, Some(failure))
        }
        None => context.print(&work.done),
    }
}

fn up(
    apart: &dyn Apart,
    is_first: bool,
    volname: Option<&str>,
    work: &mut Activation<'_>,
) -> Result<(), CliError> {
    if is_first {
        apart.activate(work)?;
    }
    match volname {
        Some(volname) if !work.change.dry_run => apart.check_volume(volname),
        _ => Ok(()),
    }
}
