//! Changes planned and carried out: as one transaction, or, where some are changes of pools themselves, as several in
//! turn under one lock.

use std::ops::Range;
use std::sync::Arc;

use super::{Engine, EngineError, Locked, Options, Report, in_words};
use crate::changes::{Change, Lowered, lower};
use crate::exec::Executed;
use crate::forecast::forecast;
use crate::observe::Scope;
use crate::plan::Plan;
use crate::planner::{LeftAlone, Repair};
use crate::refusal::Refusal;
use crate::request::Request;
use crate::session::{NotPlanned, Session};
use base::ids::VgName;
use lvm2::format::check::Use;
use lvm2::format::model::Vg;
use lvm2::host::lock::VgLock;

/// What is asked for.
#[derive(Clone, Copy)]
pub(super) enum Work<'a> {
    /// Changes.
    Changes(&'a [Change]),
    /// What the planner takes, all of it as one transaction.
    Requests(&'a [Request]),
}

/// The part of the work that is one transaction.
struct Transaction<'a> {
    work: Work<'a>,
    /// The place of its first change among all.
    first: usize,
}

/// How far work has come.
#[derive(Default)]
struct Progress {
    /// What a crash had left and was mended first.
    recovered: Vec<String>,
    warnings: Vec<String>,
    /// What was found and is left alone.
    left: Vec<LeftAlone>,
    /// The transactions that are done.
    done: Vec<Report>,
}

impl<'a> Work<'a> {
    /// What it does with the volume group as a whole.
    fn usage(self) -> Use {
        let most = match self {
            Self::Changes(changes) => changes.iter().map(Change::usage).max(),
            Self::Requests(requests) => requests.iter().map(Request::usage).max(),
        };
        most.unwrap_or(Use::Deactivate)
    }

    /// Cuts it up: a change that is a transaction of its own ends the one before it. There is one at least.
    fn transactions(self) -> (Transaction<'a>, Vec<Transaction<'a>>) {
        let whole = Transaction { work: self, first: 0 };
        let Self::Changes(changes) = self else { return (whole, Vec::new()) };
        let mut first = 0;
        let runs = changes.chunk_by(|a, b| !a.is_by_itself() && !b.is_by_itself());
        let mut cut = runs.map(|run| {
            let transaction = Transaction { work: Work::Changes(run), first };
            first += run.len();
            transaction
        });
        (cut.next().unwrap_or(whole), cut.collect())
    }
}

impl Transaction<'_> {
    /// The places of its changes among all.
    fn places(&self) -> Range<usize> {
        let count = match self.work {
            Work::Changes(changes) => changes.len(),
            Work::Requests(requests) => requests.len(),
        };
        self.first..self.first + count
    }

    fn lower(&self, vg: &Vg) -> Result<Lowered, Refusal> {
        match self.work {
            Work::Changes(changes) => lower(vg, changes)
                .map(|lowered| lowered.placed(self.first))
                .map_err(|refusal| refusal.placed(self.first)),
            Work::Requests(requests) => Ok(Lowered::each_by_itself(requests)),
        }
    }
}

impl Progress {
    /// An error with what there is to tell besides. What keeps a pool from being repaired keeps it from being changed:
    /// once is enough.
    fn stopped_by(self, error: NotPlanned) -> EngineError {
        let refusal = error.refusal();
        let others = self.left.iter().filter(|left| !refusal.is_some_and(|refusal| left.is_for(refusal)));
        let warnings: Vec<String> = self.warnings.into_iter().chain(in_words(others)).collect();
        EngineError::from(error).having_done(self.done).after(&self.recovered, &warnings)
    }

    /// One report: what was said before the first transaction goes with it.
    fn report(self) -> Report {
        let warnings = self.warnings.into_iter().chain(in_words(&self.left)).collect();
        in_turn(self.done, self.recovered, warnings)
    }
}

/// The first report with all others behind it, and what was said and mended before it.
fn in_turn(reports: Vec<Report>, recovered: Vec<String>, mut warnings: Vec<String>) -> Report {
    let mut reports = reports.into_iter();
    let first = reports.next().expect("there is one transaction at least");
    warnings.extend(first.warnings);
    Report { warnings, recovered, then: reports.collect(), ..first }
}

/// What is looked at before the first transaction: all, if it is known only later what the others are about.
fn scope(vg: &Vg, first: &Lowered, rest: &[Transaction<'_>]) -> Scope {
    if rest.is_empty() { Scope::of(vg, &first.requests) } else { Scope::all_to_plan() }
}

impl Engine {
    /// Decides what changes come to, and changes nothing. They are one transaction, but for changes of pools
    /// themselves, which are transactions of their own: what comes after one is planned for what it will leave. What a
    /// crash left is planned for first, and then nothing else can be: its outcome decides the rest.
    ///
    /// # Errors
    /// The changes that are refused, and why.
    pub fn plan(&self, vg: &VgName, changes: &[Change]) -> Result<Report, EngineError> {
        self.plan_work(vg, Work::Changes(changes))
    }

    pub(super) fn plan_work(&self, vg: &VgName, work: Work<'_>) -> Result<Report, EngineError> {
        let lock = self.lock_for_read(vg)?;
        let mut opened = self.read(Locked::ToRead(&lock))?;
        let mut warnings = self.warnings(&opened);
        let (first, rest) = work.transactions();
        let lowered = first.lower(&opened.metadata.vg)?;
        self.check_use(&opened, work.usage()).map_err(|refusal| refusal.after(&[], &warnings))?;
        let mut recovered = Vec::new();
        let (result, _) = self.with_session(&mut opened, |session| {
            if session.writable {
                let scope = scope(&session.metadata.vg, &lowered, &rest).without_inventory();
                let Repair { plan: mending, found, left, .. } = session.pending(&scope)?;
                warnings.extend(in_words(&left));
                if mending.commits() > 0 || !found.is_empty() {
                    warnings.push(
                        "a crash left something to mend; the change itself is planned after that".into(),
                    );
                    recovered = found;
                    return Ok(vec![self.planned(vg, &first, mending, &lowered)]);
                }
            }
            if !rest.is_empty() {
                return self.rehearse(session, &first, &rest);
            }
            let plan = session.plan(&lowered.requests).map_err(|error| error.of_changes(&lowered))?;
            Ok(vec![self.planned(vg, &first, plan, &lowered)])
        });
        Ok(in_turn(result.map_err(EngineError::from)?, recovered, warnings))
    }

    /// Carries out changes, as [`Self::plan`] cuts them up; a crash's remains are mended first. Where there are several
    /// transactions all are planned before the first is begun, and all run under one lock.
    ///
    /// # Errors
    /// The changes that are refused, or the step that failed; what was mended before is told with them. If it was not
    /// the first transaction that failed, those before it stay ([`EngineError::take_done`]).
    pub fn apply(&self, vg: &VgName, changes: &[Change], options: &Options) -> Result<Report, EngineError> {
        self.apply_work(vg, Work::Changes(changes), options)
    }

    pub(super) fn apply_work(
        &self,
        vg: &VgName,
        work: Work<'_>,
        options: &Options,
    ) -> Result<Report, EngineError> {
        let lock = self.lock(vg)?;
        let mut opened = self.read(Locked::ToChange(&lock))?;
        options.check(&opened.metadata.vg)?;
        let mut progress = Progress { warnings: self.warnings(&opened), ..Progress::default() };
        progress.warnings.extend(self.without_udev());
        let (first, rest) = work.transactions();
        let lowered = first.lower(&opened.metadata.vg)?;
        self.check_use(&opened, work.usage()).map_err(|refusal| refusal.after(&[], &progress.warnings))?;
        self.hold_off_signals()?;
        let (result, copies) = self.with_session(&mut opened, |session| {
            self.carry_out(session, &lock, (&first, lowered, &rest), &mut progress)
        });
        match result {
            Ok(()) => {
                let mut report = progress.report();
                report.then.last_mut().map_or(&mut report.warnings, |last| &mut last.warnings).extend(copies);
                Ok(report)
            }
            Err(error) => {
                progress.warnings.extend(copies);
                Err(progress.stopped_by(error))
            }
        }
    }

    fn carry_out(
        &self,
        session: &mut Session<'_>,
        lock: &VgLock,
        (first, lowered, rest): (&Transaction<'_>, Lowered, &[Transaction<'_>]),
        progress: &mut Progress,
    ) -> Result<(), NotPlanned> {
        session.heed_signals()?;
        if session.writable {
            let repair = session.recover(&scope(&session.metadata.vg, &lowered, rest), lock)?;
            (progress.recovered, progress.left) = (repair.found, repair.left);
            session.heed_signals()?;
        }
        if !rest.is_empty() {
            self.rehearse(session, first, rest)?;
            session.heed_signals()?;
        }
        let mut of_first = Some(lowered);
        for transaction in std::iter::once(first).chain(rest) {
            let lowered = of_first.take().map_or_else(|| transaction.lower(&session.metadata.vg), Ok)?;
            let plan = session.plan(&lowered.requests).map_err(|error| error.of_changes(&lowered))?;
            let executed = session.execute(&plan, lock)?;
            progress.done.push(self.executed(lock.vg(), transaction, plan, executed, &lowered));
        }
        Ok(())
    }

    /// Plans all transactions, each for what those before it will leave.
    fn rehearse(
        &self,
        session: &Session<'_>,
        first: &Transaction<'_>,
        rest: &[Transaction<'_>],
    ) -> Result<Vec<Report>, NotPlanned> {
        session.while_busy(|| {
            let mut observed = session.look(&Scope::all_to_plan().without_inventory())?;
            let mut metadata = Arc::clone(&session.metadata);
            let mut reports: Vec<Report> = Vec::new();
            for transaction in std::iter::once(first).chain(rest) {
                if reports.iter().any(|report| report.plan.unlocks()) {
                    let message =
                        "a volume is to be overwritten with zeros, and then a pool is to be changed";
                    return Err(Refusal::rule(message).hint("change the pool by itself").into());
                }
                let lowered = transaction.lower(&metadata.vg)?;
                let plan = session.plan_on(&metadata, &mut observed, &lowered.requests);
                let plan = plan.map_err(|refusal| lowered.refused(refusal))?;
                metadata = plan.metadata_after().map_or(metadata, Arc::clone);
                forecast(&mut observed, &plan, &metadata.vg);
                reports.push(self.planned(&metadata.vg.name, transaction, plan, &lowered));
            }
            Ok(reports)
        })
    }

    fn planned(&self, vg: &VgName, transaction: &Transaction<'_>, plan: Plan, lowered: &Lowered) -> Report {
        Report { changes: transaction.places(), ..self.report(vg, plan, lowered) }
    }

    fn executed(
        &self,
        vg: &VgName,
        transaction: &Transaction<'_>,
        mut plan: Plan,
        executed: Executed,
        lowered: &Lowered,
    ) -> Report {
        let warnings = plan.warnings.iter().cloned().chain(executed.warnings).collect();
        let suspended_us = executed.frozen.and_then(|frozen| u64::try_from(frozen.as_micros()).ok());
        plan.outcomes.retain(|outcome| !executed.left.iter().any(|left| left.concerns(outcome)));
        plan.left.extend(executed.left);
        let report = self.planned(vg, transaction, plan, lowered);
        Report { warnings, executed: true, suspended_us, ..report }
    }
}
