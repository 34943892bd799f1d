//! Changing verbs: changes sorted by volume group and carried out, one transaction each.

mod carry_out;
pub mod lines;
mod words;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use self::carry_out::{Mode, Telling, carry_out};
use self::lines::{Line, Lines};
use super::context::Context;
use super::errors::{BadLine, CliError};
use super::options::ChangeOptions;
use super::output::Answer;
use base::error_kind::ErrorKind;
use base::ids::VgName;
use dm::kernel::Verb;
use thin::Effect;
use thin::changes::{Change, Role};
use thin::{Done, Engine, Options, Report};

pub use self::words::note;

/// The answer of every changing verb.
#[derive(Debug, Default, Serialize)]
pub struct Changes {
    /// Whether the changes were made, and not only planned.
    executed: bool,
    /// Those of each volume group together, in the order they were made.
    transactions: Vec<Transaction>,
    notes: Vec<String>,
    warnings: Vec<String>,
    /// Lines of a batch that were left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<BadLine>,
}

#[derive(Debug, Serialize)]
struct Transaction {
    vg: String,
    done: Vec<Item>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left: Vec<String>,
    recovered: Vec<String>,
    commits: usize,
    ioctls: BTreeMap<Verb, u64>,
    suspended_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<serde_json::Value>,
    #[serde(skip)]
    text: String,
}

#[derive(Debug, Serialize)]
struct Item {
    display_name: String,
    volume: String,
    path: PathBuf,
    #[serde(flatten)]
    effect: Effect,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
}

impl Answer for Changes {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        self.transactions.iter().try_for_each(|transaction| out.write_all(transaction.text.as_bytes()))
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn tells_of_changes(&self) -> bool {
        let changed = |one: &Transaction| !one.done.is_empty() || !one.recovered.is_empty();
        self.executed && self.transactions.iter().any(changed)
    }

    fn is_report(&self) -> bool {
        self.executed
    }
}

/// Carries changes out, volume group by volume group in the order of their names: one transaction for each, and one
/// more for each change of a pool itself. Where there are several all are planned before the first is begun, so that a
/// refusal comes before any change.
///
/// # Errors
/// Those of the engine. Once a volume group was changed, what was done is printed first and the exit code is that of
/// work done in part.
pub fn transact(
    context: &Context,
    options: &ChangeOptions,
    changes: impl IntoIterator<Item = Change>,
) -> Result<(), CliError> {
    let engine = Engines { engine: context.open(options)? };
    let mode = Mode { dry_run: options.dry_run, telling: Telling::Whole };
    conclude(context, carry_out(&engine, mode, Lines::of(changes))?)
}

/// Carries lines out likewise: all of them or none, or, with `keep_going`, those that are not refused and are about
/// other volumes than those before them that are.
///
/// # Errors
/// All lines that are refused, and nothing was changed; with `keep_going` the others were carried out, what was done is
/// printed first, and the exit code is that of work done in part. Otherwise those of [`transact`].
pub fn transact_lines(
    context: &Context,
    options: &ChangeOptions,
    lines: Lines,
    keep_going: bool,
) -> Result<(), CliError> {
    let engine = match context.open(options) {
        Ok(engine) => Engines { engine },
        Err(_) if lines.has_bad() => return Err(lines.error()),
        Err(error) => return Err(error),
    };
    let mode = Mode { dry_run: options.dry_run, telling: Telling::ByLine { keep_going } };
    conclude(context, carry_out(&engine, mode, lines)?)
}

fn conclude(context: &Context, (mut changes, failure): (Changes, Option<CliError>)) -> Result<(), CliError> {
    changes.warnings.splice(0..0, context.warnings());
    context.conclude(&changes, failure)
}

/// What transactions need of the engine.
trait Port {
    fn plan(&self, vg: &VgName, changes: &[Change]) -> Result<Report, CliError>;
    fn apply(&self, vg: &VgName, changes: &[Change]) -> Result<Report, Failed>;
}

/// A failure of changes.
struct Failed {
    /// The transactions that were done before it.
    done: Vec<Report>,
    error: Box<CliError>,
}

impl From<CliError> for Failed {
    fn from(error: CliError) -> Self {
        Self { done: Vec::new(), error: Box::new(error) }
    }
}

struct Engines {
    engine: Engine,
}

impl Port for Engines {
    fn plan(&self, vg: &VgName, changes: &[Change]) -> Result<Report, CliError> {
        Ok(self.engine.plan(vg, changes)?)
    }

    fn apply(&self, vg: &VgName, changes: &[Change]) -> Result<Report, Failed> {
        self.engine.apply(vg, changes, &Options::default()).map_err(|mut error| {
            let done = error.take_done();
            Failed { done, error: Box::new(error.into()) }
        })
    }
}

impl Changes {
    /// Adds the outcome of a transaction. Notes are for who typed the changes, not for who has them from somewhere by
    /// lines.
    fn take(
        &mut self,
        vg: &VgName,
        lines: &[&Line],
        telling: Telling,
        report: Report,
    ) -> Result<(), CliError> {
        if telling == Telling::Whole {
            self.notes.extend(report.notes.iter().map(note));
        }
        self.warnings.extend(report.warnings);
        self.notes.extend(report.suspended_us.map(|suspended| {
            let milliseconds = suspended as f64 / 1000.0;
            format!("the volumes of '{vg}' were frozen together for {milliseconds:.2} ms")
        }));
        let recovered = if report.executed { "recovered" } else { "to recover first" };
        let mut text: String = report.recovered.iter().map(|what| format!("{recovered}: {what}\n")).collect();
        if report.executed {
            let mut done: BTreeMap<usize, Vec<&Done>> = BTreeMap::new();
            report.done.iter().for_each(|one| done.entry(one.change).or_default().push(one));
            for (place, line) in lines.iter().enumerate().filter(|(place, _)| report.changes.contains(place))
            {
                let of_line = done.remove(&place).unwrap_or_default();
                let is_whole = !report.left.iter().any(|left| left.change == place);
                let said = words::done(vg, &line.change, &of_line).into_iter().filter(|_| is_whole);
                text.extend(said.map(|said| format!("{said}\n")));
            }
        } else {
            let is_another = self.transactions.last().is_some_and(|last| last.vg == vg.as_str());
            text.push_str(if is_another { "then, as a transaction of its own:\n" } else { "" });
            text.push_str(&report.plan.to_string());
        }
        let plan =
            (!report.executed).then(|| serde_json::to_value(&report.plan)).transpose().map_err(|error| {
                CliError::new(ErrorKind::Unsupported, "the plan cannot be shown as JSON")
                    .caused_by(Some(&error))
            })?;
        let item = |done: Done| Item {
            volume: format!("{vg}/{}", done.name),
            line: lines.get(done.change).and_then(|line| line.number),
            snapshot: match done.role {
                Role::Snapshot(snapshot) => Some(snapshot),
                _ => None,
            },
            display_name: done.display_name,
            path: done.path,
            effect: done.effect,
        };
        self.transactions.push(Transaction {
            vg: vg.to_string(),
            commits: report.plan.commits(),
            done: report.done.into_iter().map(item).collect(),
            left: report.left.into_iter().map(|left| left.message).collect(),
            recovered: report.recovered,
            ioctls: report.ioctls,
            suspended_us: report.suspended_us,
            plan,
            text,
        });
        Ok(())
    }
}

/// Sorts things by volume group, keeping the order within each.
pub fn by_vg<T>(things: impl IntoIterator<Item = (VgName, T)>) -> BTreeMap<VgName, Vec<T>> {
    let mut sorted: BTreeMap<VgName, Vec<T>> = BTreeMap::new();
    for (vg, thing) in things {
        sorted.entry(vg).or_default().push(thing);
    }
    sorted
}

#[cfg(test)]
mod tests;
