//! Requests as lines of a file: all refused lines are reported at once, or left out with `--keep-going`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{ChangeSet, Changes, Engines, LabelledRequest, Port};
use crate::args::ChangeOptions;
use crate::context::Context;
use crate::errors::{BadLine, CliError};
use base::error_kind::ErrorKind;
use base::ids::VgName;
use lvm2::format::model::Vg;
use thin::engine::Report;
use thin::request::Request;

/// How often the remaining lines are tried again after lines were left out: others may depend on them.
const ROUNDS: usize = 16;

/// A request by the number of its line.
#[derive(Debug)]
pub struct Line<T> {
    /// The number, from 1.
    pub number: usize,
    /// What it asks for.
    pub what: T,
}

/// All lines of an input.
#[derive(Debug)]
pub struct Lines<T> {
    /// Those that could be read, in order, by volume group.
    pub by_vg: BTreeMap<VgName, Vec<Line<T>>>,
    /// Those that could not.
    pub bad: BTreeMap<usize, CliError>,
    /// What each is about.
    pub names: BTreeMap<usize, LineVolumes>,
}

/// The LVs that a line is about, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineVolumes {
    /// Those that it makes, changes or keeps the content of.
    pub changes: Vec<String>,
    /// Those whose content it needs.
    pub needs: Vec<String>,
}

/// What lines about one volume group come to.
#[derive(Debug, Default)]
pub struct Resolved {
    /// The requests, in order.
    pub wanted: Vec<LabelledRequest>,
    /// The lines they came from, one for each.
    pub lines: Vec<usize>,
    /// Lines that name what is not there, or ask for what must not be.
    pub bad: BTreeMap<usize, CliError>,
}

/// What to do about errors, and whether to change anything.
#[derive(Clone, Copy, Debug)]
struct Mode {
    dry_run: bool,
    keep_going: bool,
}

/// Carries lines out, one transaction for each volume group in the order of their names: all of them or none, or, with
/// `keep_going`, those that are not refused and are about other volumes than those before them that are.
///
/// # Errors
/// All lines that are refused, and nothing was changed; with `keep_going` the others were carried out, what was done is
/// printed first, and the exit code is that of work done in part. Otherwise those of
/// [`transact`](super::transact).
pub fn transact_lines<T>(
    context: &Context,
    options: &ChangeOptions,
    lines: Lines<T>,
    keep_going: bool,
    resolve: impl Fn(&Vg, &[&Line<T>]) -> Resolved,
) -> Result<(), CliError> {
    let stage = match context.open(options) {
        Ok(stage) => stage,
        Err(_) if !lines.bad.is_empty() => return Err(CliError::of_lines(told(&lines.bad), lines.count())),
        Err(error) => return Err(error),
    };
    let port = Engines { context, options, stage };
    let mode = Mode { dry_run: options.dry_run, keep_going };
    let (mut changes, failure) = carry_out(&port, mode, lines, resolve)?;
    changes.warnings.splice(0..0, context.warnings());
    context.conclude(&changes, failure)
}

impl<T> Lines<T> {
    fn count(&self) -> usize {
        self.bad.len() + self.by_vg.values().map(Vec::len).sum::<usize>()
    }
}

fn told(bad: &BTreeMap<usize, CliError>) -> Vec<BadLine> {
    bad.iter().map(|(line, why)| BadLine { line: *line, why: why.clone() }).collect()
}

/// The changes that were made, and what there is to say of the rest.
fn carry_out<T>(
    port: &impl Port,
    mode: Mode,
    lines: Lines<T>,
    resolve: impl Fn(&Vg, &[&Line<T>]) -> Resolved,
) -> Result<(Changes, Option<CliError>), CliError> {
    let total = lines.count();
    let Lines { by_vg, bad, names } = lines;
    let changes = Changes { executed: !mode.dry_run, ..Changes::default() };
    let unread = bad.keys().copied().collect();
    let mut batch = Batch { port, resolve, bad, unread, names, recovered: Vec::new(), changes };
    // Nothing is changed before it is known of all lines that they can be carried out.
    let look_first = !batch.bad.is_empty() || by_vg.len() > 1 && !mode.dry_run;
    if look_first && !mode.keep_going {
        for (vg, lines) in &by_vg {
            if let Err(error) = batch.sift(vg, lines, Pass::Rehearse) {
                batch.refuse_all(vg, lines, error);
            }
        }
        batch.none_is_bad(total)?;
    }
    for (vg, lines) in &by_vg {
        if mode.keep_going {
            match batch.sift(vg, lines, Pass::Change) {
                Ok((resolved, report)) => batch.take(vg, resolved, report)?,
                Err(error) => batch.refuse_all(vg, lines, error),
            }
        } else if let Some(failure) = batch.all_or_none(vg, lines, total)? {
            return Ok((batch.changes, Some(failure)));
        }
    }
    batch.end(total)
}

/// Whether something is to be changed, or only tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    Rehearse,
    Change,
}

/// Why an attempt came to nothing.
enum Stopped {
    /// Lines are refused; they are among the bad ones by now.
    Lines(CliError),
    /// Something else.
    Otherwise(CliError),
}

struct Batch<'a, P, R> {
    port: &'a P,
    resolve: R,
    /// The lines that are refused so far.
    bad: BTreeMap<usize, CliError>,
    /// Those of them that could not be read: of which volume group they are is not known.
    unread: BTreeSet<usize>,
    names: BTreeMap<usize, LineVolumes>,
    /// What was mended before an attempt that came to nothing.
    recovered: Vec<String>,
    changes: Changes,
}

impl<P: Port, R> Batch<'_, P, R> {
    /// One attempt at the lines that are not bad. `whole`: without any that turns out to be.
    fn attempt<T>(
        &mut self,
        vg: &VgName,
        lines: &[Line<T>],
        way: Pass,
        whole: bool,
    ) -> Result<(Resolved, Report), Stopped>
    where
        R: Fn(&Vg, &[&Line<T>]) -> Resolved,
    {
        let left: Vec<&Line<T>> = lines.iter().filter(|line| !self.bad.contains_key(&line.number)).collect();
        let mut resolved = Resolved::default();
        let mut make = |vg: &Vg| -> Result<Vec<Request>, CliError> {
            resolved = (self.resolve)(vg, &left);
            match resolved.bad.values().next().filter(|_| whole) {
                Some(first) => Err(first.clone()),
                None => Ok(resolved.wanted.iter().map(|wanted| wanted.request.clone()).collect()),
            }
        };
        let result = match way {
            Pass::Rehearse => self.port.rehearse(vg, &mut make),
            Pass::Change => self.port.change(vg, &mut make),
        };
        let is_bad = whole && !resolved.bad.is_empty();
        self.bad.append(&mut resolved.bad);
        let mut error = match result {
            Ok(report) => return Ok((resolved, report)),
            Err(error) => error,
        };
        let refused = std::mem::take(&mut error.aside.refused);
        if refused.is_empty() && !is_bad {
            return Err(Stopped::Otherwise(error));
        }
        self.recovered.append(&mut error.aside.recovered);
        for refused in refused {
            if let Some(line) = resolved.lines.get(refused.request) {
                self.bad.entry(*line).or_insert_with(|| refused.into());
            }
        }
        Err(Stopped::Lines(error))
    }

    /// Leaves out what is about the same LVs as an earlier line that is left out. Names may mean other LVs without that
    /// line, and "snapshot, then remove" must not remove without the snapshot.
    fn leave_out_what_follows<T>(&mut self, lines: &[Line<T>]) {
        let mut numbers = self.unread.clone();
        numbers.extend(lines.iter().map(|line| line.number));
        let mut left_out: HashMap<&str, usize> = HashMap::new();
        for (number, names) in self.names.iter().filter(|(number, _)| numbers.contains(number)) {
            if !self.bad.contains_key(number) {
                let mut about = names.changes.iter().chain(&names.needs);
                let Some(first) = about.find_map(|name| left_out.get(name.as_str())) else { continue };
                let message = format!("it is about the same volume as line {first}, which is left out");
                self.bad.insert(*number, CliError::new(ErrorKind::Refused, message));
            }
            for name in &names.changes {
                left_out.entry(name).or_insert(*number);
            }
        }
    }

    /// Leaves out what is refused until the rest can be carried out, and does so.
    fn sift<T>(&mut self, vg: &VgName, lines: &[Line<T>], way: Pass) -> Result<(Resolved, Report), CliError>
    where
        R: Fn(&Vg, &[&Line<T>]) -> Resolved,
    {
        for _ in 0..ROUNDS {
            if way == Pass::Change {
                self.leave_out_what_follows(lines);
            }
            match self.attempt(vg, lines, way, false) {
                Ok(done) => return Ok(done),
                Err(Stopped::Lines(_)) => {}
                Err(Stopped::Otherwise(error)) => return Err(error),
            }
        }
        let message = format!("too many lines about volume group '{vg}' build on lines that are refused");
        Err(CliError::new(ErrorKind::Refused, message).hint("correct those lines first"))
    }

    /// Carries out all lines about a volume group, or none. Returns a failure behind changes of other groups.
    fn all_or_none<T>(
        &mut self,
        vg: &VgName,
        lines: &[Line<T>],
        total: usize,
    ) -> Result<Option<CliError>, CliError>
    where
        R: Fn(&Vg, &[&Line<T>]) -> Resolved,
    {
        let error = match self.attempt(vg, lines, Pass::Change, true) {
            Ok((resolved, report)) => {
                self.take(vg, resolved, report)?;
                return Ok(None);
            }
            Err(Stopped::Lines(error)) => {
                // There may be more than the first attempt has met.
                let _ = self.sift(vg, lines, Pass::Rehearse);
                let mut lines = CliError::of_lines(told(&self.bad), total);
                lines.aside.recovered = std::mem::take(&mut self.recovered);
                lines.aside.warnings = error.aside.warnings;
                lines
            }
            Err(Stopped::Otherwise(error)) => error,
        };
        if !self.changes.executed || self.changes.transactions.is_empty() {
            return Err(error);
        }
        let message = format!("volume group '{vg}' failed; those before it were changed as asked");
        Ok(Some(error.within(ErrorKind::Partial, message)))
    }

    fn take(&mut self, vg: &VgName, resolved: Resolved, mut report: Report) -> Result<(), CliError> {
        report.recovered.splice(0..0, std::mem::take(&mut self.recovered));
        for left in report.left.iter().filter(|_| report.executed) {
            let Some(line) = resolved.lines.get(left.request) else { continue };
            let error = CliError::new(left.kind, left.message.clone());
            self.bad.entry(*line).or_insert(CliError { hint: left.hint.clone(), ..error });
        }
        let ask = ChangeSet { wanted: resolved.wanted, notes: vec![] };
        self.changes.take(vg, ask, &resolved.lines, report)
    }

    /// Nothing of a volume group could be done.
    fn refuse_all<T>(&mut self, vg: &VgName, lines: &[Line<T>], mut error: CliError) {
        let aside = std::mem::take(&mut error.aside);
        self.changes.warnings.extend(aside.warnings);
        let recovered = std::mem::take(&mut self.recovered).into_iter().chain(aside.recovered);
        self.changes.notes.extend(recovered.map(|what| format!("recovered in '{vg}': {what}")));
        for line in lines {
            self.bad.entry(line.number).or_insert_with(|| error.clone());
        }
    }

    fn none_is_bad(&self, total: usize) -> Result<(), CliError> {
        if self.bad.is_empty() { Ok(()) } else { Err(CliError::of_lines(told(&self.bad), total)) }
    }

    /// What was done, with the error that tells what was not.
    fn end(mut self, total: usize) -> Result<(Changes, Option<CliError>), CliError> {
        let failed = told(&self.bad);
        if failed.is_empty() {
            return Ok((self.changes, None));
        }
        if failed.len() == total {
            let mut error = CliError::of_lines(failed, total);
            let done = self.changes.transactions.into_iter();
            error.aside.recovered = done.flat_map(|transaction| transaction.recovered).collect();
            error.aside.warnings = self.changes.warnings;
            return Err(error);
        }
        let did = if self.changes.executed { "were carried out" } else { "would be carried out" };
        let message = format!("{} of {total} requests are left out; the others {did}", failed.len());
        let error =
            CliError::new(ErrorKind::Partial, message).hint("correct these lines and run them by themselves");
        let error = CliError { causes: BadLine::told(&failed), ..error };
        self.changes.failed = failed;
        Ok((self.changes, Some(error)))
    }
}

#[cfg(test)]
mod tests;
