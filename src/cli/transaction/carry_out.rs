//! Changes are carried out, volume group by volume group. Refused lines are reported all at once, or left
//! out if the user says so.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::lines::{Line, Lines, told};
use super::{Changes, Failed, Port};
use crate::errors::{BadLine, CliError};
use base::error_kind::ErrorKind;
use base::ids::VgName;
use thin::Report;
use thin::changes::Change;
use thin::internals::concerns::Concerns;

/// How often what is left is tried again after lines were left out: others may have built on them.
pub(super) const ROUNDS: usize = 16;

/// Whether to change anything, and how refusals are reported.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mode {
    pub dry_run: bool,
    pub telling: Telling,
}

/// How changes that are refused are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    /// The first is the error of all.
    Whole,
    /// Each by its line.
    ByLine {
        /// Whether the others are carried out.
        keep_going: bool,
    },
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
    Otherwise(Failed),
}

/// Carries all out. The changes that were made, and what there is to say of the rest.
pub(super) fn carry_out(
    port: &impl Port,
    mode: Mode,
    lines: Lines,
) -> Result<(Changes, Option<CliError>), CliError> {
    let total = lines.count();
    let Lines { by_vg, bad, concerns } = lines;
    let changes = Changes { executed: !mode.dry_run, ..Changes::default() };
    let unread = bad.keys().copied().collect();
    let mut batch =
        Batch { port, mode, bad, unread, concerns, recovered: Vec::new(), changes, failure: None };
    let keep_going = mode.telling == Telling::ByLine { keep_going: true };
    // Nothing is changed before it is known of all lines that they can be carried out.
    if !keep_going && (!batch.bad.is_empty() || by_vg.len() > 1 && !mode.dry_run) {
        batch.rehearse(&by_vg, total)?;
    }
    for (vg, lines) in &by_vg {
        if keep_going {
            match batch.sift(vg, lines, Pass::Change) {
                Ok((taken, report)) => batch.take(vg, &taken, report)?,
                Err(failed) => batch.fail(vg, lines, failed)?,
            }
        } else if let Some(failure) = batch.all_or_none(vg, lines, total)? {
            let is_last = by_vg.last_key_value().is_none_or(|(last, _)| last == vg);
            let rest = if is_last { "" } else { ", those after it are as they were" };
            let is_only = batch.changes.transactions.iter().all(|done| done.vg == vg.as_str());
            let failed =
                if is_only { "failed half way" } else { "failed; those before it were changed as asked" };
            let message = format!("volume group '{vg}' {failed}{rest}");
            let failure =
                if is_only && is_last { failure } else { failure.within(ErrorKind::Partial, message) };
            return Ok((batch.changes, Some(failure)));
        }
    }
    batch.end(total)
}

struct Batch<'a, P> {
    port: &'a P,
    mode: Mode,
    /// The lines that are refused so far.
    bad: BTreeMap<usize, CliError>,
    /// Those of them that could not be read: of which volume group they are is not known.
    unread: BTreeSet<usize>,
    concerns: BTreeMap<usize, Concerns>,
    /// What was mended before an attempt that came to nothing.
    recovered: Vec<String>,
    changes: Changes,
    /// What was asked for and is not done, where nothing is told by lines.
    failure: Option<CliError>,
}

impl<P: Port> Batch<'_, P> {
    /// Tries all without changing anything.
    fn rehearse(&mut self, by_vg: &BTreeMap<VgName, Vec<Line>>, total: usize) -> Result<(), CliError> {
        for (vg, lines) in by_vg {
            match self.sift(vg, lines, Pass::Rehearse) {
                Ok(_) => {}
                Err(failed) if self.mode.telling == Telling::Whole => return Err(*failed.error),
                Err(failed) => self.refuse_all(vg, lines, *failed.error),
            }
        }
        if self.bad.is_empty() { Ok(()) } else { Err(CliError::of_lines(told(&self.bad), total)) }
    }

    /// One attempt at the lines that are not bad.
    fn attempt<'l>(
        &mut self,
        vg: &VgName,
        lines: &'l [Line],
        pass: Pass,
    ) -> Result<(Vec<&'l Line>, Report), Stopped> {
        let left: Vec<&Line> = lines.iter().filter(|line| !self.bad.contains_key(&line.place)).collect();
        let changes: Vec<Change> = left.iter().map(|line| line.change.clone()).collect();
        let result = match pass {
            Pass::Change if !self.mode.dry_run => self.port.apply(vg, &changes),
            Pass::Change | Pass::Rehearse => self.port.plan(vg, &changes).map_err(Failed::from),
        };
        let failed = match result {
            Ok(report) => return Ok((left, report)),
            Err(failed) => failed,
        };
        if failed.error.aside.refused.is_empty() || self.mode.telling == Telling::Whole {
            return Err(Stopped::Otherwise(failed));
        }
        let mut error = *failed.error;
        self.recovered.append(&mut error.aside.recovered);
        for refused in std::mem::take(&mut error.aside.refused) {
            if let Some(line) = left.get(refused.change) {
                self.bad.entry(line.place).or_insert_with(|| refused.into());
            }
        }
        Err(Stopped::Lines(error))
    }

    /// Leaves out what is about the same LVs as an earlier line that is left out. Names may mean other LVs without that
    /// line, and whoever wrote "snapshot, then remove" wants no removal without the snapshot.
    fn leave_out_what_follows(&mut self, lines: &[Line]) {
        let mut numbers = self.unread.clone();
        numbers.extend(lines.iter().map(|line| line.place));
        let (mut left_out, mut pools) = (HashMap::<&str, usize>::new(), HashMap::<&str, usize>::new());
        for (number, concerns) in self.concerns.iter().filter(|(number, _)| numbers.contains(number)) {
            if !self.bad.contains_key(number) {
                let mut volumes = concerns.changes.iter().chain(&concerns.needs);
                let mut of_pool = concerns.pool.iter().chain(&concerns.changed_pool);
                let volume = volumes.find_map(|name| Some(("volume", left_out.get(name.as_str())?)));
                let pool = || of_pool.find_map(|name| Some(("pool", pools.get(name.as_str())?)));
                let Some((what, first)) = volume.or_else(pool) else { continue };
                let message = format!("it is about the same {what} as line {first}, which is left out");
                self.bad.insert(*number, CliError::new(ErrorKind::Refused, message));
            }
            for name in &concerns.changes {
                left_out.entry(name).or_insert(*number);
            }
            if let Some(name) = &concerns.changed_pool {
                pools.entry(name).or_insert(*number);
            }
        }
    }

    /// Leaves out what is refused until the rest can be carried out, and does so.
    fn sift<'l>(
        &mut self,
        vg: &VgName,
        lines: &'l [Line],
        pass: Pass,
    ) -> Result<(Vec<&'l Line>, Report), Failed> {
        for _ in 0..ROUNDS {
            if pass == Pass::Change {
                self.leave_out_what_follows(lines);
            }
            match self.attempt(vg, lines, pass) {
                Ok(done) => return Ok(done),
                Err(Stopped::Lines(_)) => {}
                Err(Stopped::Otherwise(failed)) => return Err(failed),
            }
        }
        let message = format!("too many lines about volume group '{vg}' build on lines that are refused");
        Err(CliError::new(ErrorKind::Refused, message).hint("correct those lines first").into())
    }

    /// Carries out all lines about a volume group, or none. Returns a failure behind changes of other groups.
    fn all_or_none(
        &mut self,
        vg: &VgName,
        lines: &[Line],
        total: usize,
    ) -> Result<Option<CliError>, CliError> {
        let error = match self.attempt(vg, lines, Pass::Change) {
            Ok((taken, report)) => {
                self.take(vg, &taken, report)?;
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
            Err(Stopped::Otherwise(Failed { done, error })) => {
                let taken: Vec<&Line> =
                    lines.iter().filter(|line| !self.bad.contains_key(&line.place)).collect();
                done.into_iter().try_for_each(|report| self.take(vg, &taken, report))?;
                *error
            }
        };
        if !self.changes.executed || self.changes.transactions.is_empty() {
            return Err(error);
        }
        Ok(Some(error))
    }

    /// Takes the outcome of all transactions of a volume group.
    fn take(&mut self, vg: &VgName, taken: &[&Line], report: Report) -> Result<(), CliError> {
        report.in_turn().into_iter().try_for_each(|report| self.take_one(vg, taken, report))
    }

    fn take_one(&mut self, vg: &VgName, taken: &[&Line], mut report: Report) -> Result<(), CliError> {
        report.recovered.splice(0..0, std::mem::take(&mut self.recovered));
        if self.mode.telling == Telling::Whole {
            let part = part_done(vg, &report);
            self.failure = match (self.failure.take(), part) {
                (Some(first), Some(other)) => Some(first.along_with(other)),
                (first, other) => first.or(other),
            };
        } else {
            for left in report.left.iter().filter(|_| report.executed) {
                let Some(line) = taken.get(left.change) else { continue };
                let error = CliError::new(left.kind, left.message.clone());
                self.bad.entry(line.place).or_insert(CliError { hint: left.hint.clone(), ..error });
            }
        }
        self.changes.take(vg, taken, self.mode.telling, report)
    }

    /// A volume group failed: what was done before that is taken, and the other lines are bad.
    fn fail(&mut self, vg: &VgName, lines: &[Line], failed: Failed) -> Result<(), CliError> {
        let taken: Vec<&Line> = lines.iter().filter(|line| !self.bad.contains_key(&line.place)).collect();
        let count = failed.done.iter().map(|report| report.changes.end).max().unwrap_or(0);
        failed.done.into_iter().try_for_each(|report| self.take(vg, &taken, report))?;
        let rest: Vec<Line> = taken.into_iter().skip(count).cloned().collect();
        self.refuse_all(vg, &rest, *failed.error);
        Ok(())
    }

    /// Nothing of these lines could be done.
    fn refuse_all(&mut self, vg: &VgName, lines: &[Line], mut error: CliError) {
        let aside = std::mem::take(&mut error.aside);
        self.changes.warnings.extend(aside.warnings);
        let recovered = std::mem::take(&mut self.recovered).into_iter().chain(aside.recovered);
        self.changes.notes.extend(recovered.map(|what| format!("recovered in '{vg}': {what}")));
        for line in lines {
            self.bad.entry(line.place).or_insert_with(|| error.clone());
        }
    }

    /// What was done, with the error that tells what was not.
    fn end(mut self, total: usize) -> Result<(Changes, Option<CliError>), CliError> {
        let failed = told(&self.bad);
        if failed.is_empty() {
            return Ok((self.changes, self.failure));
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

#[cfg(test)]
mod tests;
