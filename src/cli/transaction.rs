//! Commands that change something: what is asked for is sorted by volume group, resolved against the metadata, and
//! carried out in one transaction for each group.

pub mod lines;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use super::args::ChangeOptions;
use super::context::Context;
use super::errors::{BadLine, CliError};
use super::output::Answer;
use base::error_kind::ErrorKind;
use base::ids::VgName;
use dm::kernel::Verb;
use lvm2::format::model::Vg;
use thin::engine::{Engine, Report};
use thin::request::Request;

/// One request, with its name for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledRequest {
    /// The request.
    pub request: Request,
    /// What the user called it.
    pub display_name: String,
    /// The message when it is done; empty if it is a part of another request.
    pub done_message: String,
}

/// What is asked of one volume group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeSet {
    /// The requests of one transaction, in order.
    pub wanted: Vec<LabelledRequest>,
    /// What the user should know besides.
    pub notes: Vec<String>,
}

/// The answer of every changing verb.
#[derive(Debug, Default, Serialize)]
pub struct Changes {
    /// Whether the changes were made, and not only planned.
    executed: bool,
    /// One for each volume group, in the order they were made.
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
    what: String,
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

/// Resolves what is asked for and carries it out, one transaction for each volume group in the order of their names.
///
/// Names are resolved under the lock of the volume group, against the metadata the change is made to. Where
/// several volume groups are concerned all are planned before the first is changed, so that a refusal comes
/// before any change.
///
/// # Errors
/// Those of resolving and of the engine. Once a volume group was changed, what was done is printed first and
/// the exit code is that of work done in part.
pub fn transact<T>(
    context: &Context,
    options: &ChangeOptions,
    wishes: BTreeMap<VgName, Vec<T>>,
    resolve: impl Fn(&Vg, &[T]) -> Result<ChangeSet, CliError>,
) -> Result<(), CliError> {
    let port = Engines { context, options, stage: context.open(options)? };
    let (mut changes, failure) = carry_out(&port, options.dry_run, wishes, resolve)?;
    changes.warnings.splice(0..0, context.warnings());
    context.conclude(&changes, failure)
}

/// Makes the requests for a volume group from its metadata.
type Make<'a> = &'a mut dyn FnMut(&Vg) -> Result<Vec<Request>, CliError>;

/// What transactions need of the engine.
trait Port {
    fn rehearse(&self, vg: &VgName, make: Make<'_>) -> Result<Report, CliError>;
    fn change(&self, vg: &VgName, make: Make<'_>) -> Result<Report, CliError>;
}

/// An engine that does as the user says, and what it takes to open one that only plans.
struct Engines<'a> {
    context: &'a Context,
    options: &'a ChangeOptions,
    stage: Engine,
}

impl Port for Engines<'_> {
    fn rehearse(&self, vg: &VgName, make: Make<'_>) -> Result<Report, CliError> {
        self.context.open(&ChangeOptions { dry_run: true, ..self.options.clone() })?.change_with(vg, make)
    }

    fn change(&self, vg: &VgName, make: Make<'_>) -> Result<Report, CliError> {
        self.stage.change_with(vg, make)
    }
}

/// The changes that were made, and what stopped the rest of them, if anything did.
fn carry_out<T>(
    port: &impl Port,
    dry_run: bool,
    wishes: BTreeMap<VgName, Vec<T>>,
    resolve: impl Fn(&Vg, &[T]) -> Result<ChangeSet, CliError>,
) -> Result<(Changes, Option<CliError>), CliError> {
    let mut changes = Changes { executed: !dry_run, ..Changes::default() };
    if wishes.len() > 1 && !dry_run {
        for (name, wishes) in &wishes {
            port.rehearse(name, &mut |vg| Ok(resolve(vg, wishes)?.requests()))?;
        }
    }
    let mut failure: Option<CliError> = None;
    for (name, wishes) in &wishes {
        let mut ask = ChangeSet::default();
        let result = port.change(name, &mut |vg| {
            ask = resolve(vg, wishes)?;
            Ok(ask.requests())
        });
        match result {
            Ok(report) => {
                let part = part_done(name, &report);
                changes.take(name, ask, &[], report)?;
                failure = match (failure, part) {
                    (Some(first), Some(other)) => Some(first.along_with(other)),
                    (first, other) => first.or(other),
                };
            }
            Err(error) if dry_run || changes.transactions.is_empty() => return Err(error),
            Err(error) => {
                let message = format!("volume group '{name}' failed; those before it were changed as asked");
                return Ok((changes, Some(error.within(ErrorKind::Partial, message))));
            }
        }
    }
    Ok((changes, failure))
}

/// The error for what was asked for and is not done. Where nothing was done at all it is that of the first reason.
fn part_done(vg: &VgName, report: &Report) -> Option<CliError> {
    let first = report.left.first().filter(|_| report.executed)?;
    let code = if report.done.is_empty() { first.kind } else { ErrorKind::Partial };
    let hint = report.left.iter().find_map(|left| left.hint.clone());
    let mut error = match report.left.as_slice() {
        [only] => CliError::new(code, only.message.clone()),
        several => {
            let message = format!("{} things asked of volume group '{vg}' are not done", several.len());
            let causes = several.iter().map(|left| left.message.clone()).collect();
            CliError { causes, ..CliError::new(code, message) }
        }
    };
    error.hint = hint;
    Some(error)
}

impl ChangeSet {
    fn requests(&self) -> Vec<Request> {
        self.wanted.iter().map(|wanted| wanted.request.clone()).collect()
    }
}

impl Changes {
    /// Adds the outcome of the requests for a volume group; `lines` are those they came from, one for each, or none.
    fn take(&mut self, vg: &VgName, ask: ChangeSet, lines: &[usize], report: Report) -> Result<(), CliError> {
        self.notes.extend(ask.notes);
        self.warnings.extend(report.warnings);
        self.notes.extend(report.suspended_us.map(|frozen| {
            let milliseconds = frozen as f64 / 1000.0;
            format!("the volumes of '{vg}' were frozen together for {milliseconds:.2} ms")
        }));
        let wanted = ask.wanted;
        let commits = report.plan.commits();
        let recovered = if report.executed { "recovered" } else { "to recover first" };
        let mut text: String = report.recovered.iter().map(|what| format!("{recovered}: {what}\n")).collect();
        if report.executed {
            let is_whole = |place: usize| !report.left.iter().any(|left| left.request == place);
            let said = wanted.iter().enumerate().filter(|(place, _)| is_whole(*place));
            let said = said.map(|(_, wanted)| &wanted.done_message).filter(|said| !said.is_empty());
            text.extend(said.map(|said| format!("{said}\n")));
        } else {
            text.push_str(&report.plan.to_string());
        }
        let plan =
            (!report.executed).then(|| serde_json::to_value(&report.plan)).transpose().map_err(|error| {
                CliError::new(ErrorKind::Unsupported, "the plan cannot be shown as JSON")
                    .caused_by(Some(&error))
            })?;
        let done = report.done.into_iter().map(|done| Item {
            display_name: wanted
                .get(done.request)
                .map(|wanted| wanted.display_name.clone())
                .unwrap_or_default(),
            volume: format!("{vg}/{}", done.name),
            path: done.path,
            what: done.what,
            line: lines.get(done.request).copied(),
        });
        self.transactions.push(Transaction {
            vg: vg.to_string(),
            done: done.collect(),
            left: report.left.iter().map(|left| left.message.clone()).collect(),
            recovered: report.recovered,
            commits,
            ioctls: report.ioctls,
            suspended_us: report.suspended_us,
            plan,
            text,
        });
        Ok(())
    }
}

/// Sorts what is asked for by volume group, keeping the order within each.
pub fn by_vg<T>(wishes: impl IntoIterator<Item = (VgName, T)>) -> BTreeMap<VgName, Vec<T>> {
    let mut sorted: BTreeMap<VgName, Vec<T>> = BTreeMap::new();
    for (vg, wish) in wishes {
        sorted.entry(vg).or_default().push(wish);
    }
    sorted
}

#[cfg(test)]
mod tests;
