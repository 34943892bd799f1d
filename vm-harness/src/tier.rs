//! Runs the cases of one tier in a few guests at once. Each guest takes the next case when it is done with one;
//! one that a case has left unusable is replaced.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use vm_harness::protocol::{CaseInfo, CaseResult, End, Must, Order, Outcome, Report, Tier};
use vm_harness::score::Score;
use vm_harness::verdict::judge;

use crate::accel::Accel;
use crate::guest::{GRACE, Guest, Setup, Silence};
use crate::workspace::Workspace;

/// What all guests of a tier are made from.
pub struct Pool<'a> {
    /// Where things are kept.
    pub workspace: &'a Workspace,
    /// Image and binaries.
    pub setup: &'a Setup,
    /// Emulation or KVM.
    pub accel: Accel,
    /// The tier.
    pub tier: Tier,
    /// Guests at the same time, at most.
    pub jobs: usize,
}

impl Pool<'_> {
    /// Runs those of `cases` that are of this tier; prints how they ended, in the order they are declared in.
    pub fn run(&self, cases: &[CaseInfo]) -> Result<Score> {
        let cases: Vec<&CaseInfo> = cases.iter().filter(|case| case.tier == self.tier).collect();
        let count = self.jobs.min(cases.len());
        let queue = Queue::new(&cases);
        let (sender, receiver) = channel();
        let ends: Vec<Result<()>> = std::thread::scope(|scope| {
            let worker = |number| {
                let (queue, results) = (&queue, sender.clone());
                scope.spawn(move || self.work(number, queue, &results))
            };
            let workers: Vec<_> = (1..=count).map(worker).collect();
            let end = |worker: ScopedJoinHandle<'_, _>| {
                worker.join().unwrap_or_else(|_| Err(anyhow!("a thread of the harness panicked")))
            };
            workers.into_iter().map(end).collect()
        });
        drop(sender);

        let mut results: Vec<(usize, CaseResult)> = receiver.iter().collect();
        results.sort_by_key(|(place, _)| *place);
        let mut score = Score::default();
        for (_, result) in &results {
            score.add(result);
        }
        ends.into_iter().collect::<Result<()>>()?;
        Ok(score)
    }

    /// Boots in the thread that will use the guest: QEMU is killed when the thread that started it ends.
    fn boot(&self, number: usize) -> Result<Guest> {
        let name = format!("boot {} machine {number}", self.tier.name());
        let started = Instant::now();
        let guest = Guest::boot(self.workspace, self.setup, self.tier, self.accel)
            .with_context(|| format!("step failed: {name}"))?;
        eprintln!("  ok    {name} ({:.1} s)", started.elapsed().as_secs_f32());
        Ok(guest)
    }

    /// One guest after the other takes cases from the queue until none is left.
    fn work(&self, number: usize, queue: &Queue, results: &Sender<(usize, CaseResult)>) -> Result<()> {
        let mut guest = None;
        while let Some((place, case)) = queue.next() {
            let mut running = match guest.take() {
                Some(guest) => guest,
                None => self.boot(number).inspect_err(|_| queue.stop())?,
            };
            let result = judge(case, run_one(&mut running, case).inspect_err(|_| queue.stop())?);
            let what = word(&result.outcome);
            let seconds = result.ms / 1000;
            eprintln!("  {what:<5} {} ({seconds} s, {} machine {number})", case.name, self.tier.name());
            if result.clean {
                guest = Some(running);
            } else {
                eprintln!("        it left the machine unusable; what is left to do runs in a new one");
            }
            results.send((place, result)).context("nobody waits for results")?;
        }
        Ok(())
    }
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "ok",
        Outcome::Failed | Outcome::TimedOut => "FAIL",
        Outcome::Skipped { .. } => "skip",
    }
}

/// The cases that wait for a guest: those that may take longest come first, so that the guests end together.
struct Queue<'a> {
    order: Vec<(usize, &'a CaseInfo)>,
    taken: AtomicUsize,
}

impl<'a> Queue<'a> {
    fn new(cases: &[&'a CaseInfo]) -> Self {
        let mut order: Vec<(usize, &CaseInfo)> = cases.iter().copied().enumerate().collect();
        order.sort_by_key(|(_, case)| std::cmp::Reverse(case.limit_s));
        Queue { order, taken: AtomicUsize::new(0) }
    }

    /// The next case, with its place among those declared.
    fn next(&self) -> Option<(usize, &'a CaseInfo)> {
        self.order.get(self.taken.fetch_add(1, Ordering::Relaxed)).copied()
    }

    /// Gives out no more cases.
    fn stop(&self) {
        self.taken.store(self.order.len(), Ordering::Relaxed);
    }
}

/// A machine that hangs on purpose need not be waited for as long as one that only may.
fn grace(case: &CaseInfo) -> Duration {
    match &case.must {
        Some(Must { end: End::TimeOut, spoils_machine: true, .. }) => GRACE / 6,
        _ => GRACE,
    }
}

fn run_one(guest: &mut Guest, case: &CaseInfo) -> Result<CaseResult> {
    let started = Instant::now();
    let answer = match guest.order(&Order::Case(case.clone())) {
        Ok(()) => guest.report_within(case.limit_s, grace(case)),
        // The pipe is closed: it died after its last answer.
        Err(_) => Err(Silence::Died),
    };
    let silence = match answer {
        Ok(Report::Case(result)) => return Ok(result),
        Ok(other) => bail!("the guest answered {other:?} to a case"),
        Err(silence) => silence,
    };
    let what = match silence {
        Silence::Hung => {
            format!("the whole machine hung: no answer within {} s and the time to clean up", case.limit_s)
        }
        Silence::Died => "the machine died".to_owned(),
    };
    Ok(CaseResult {
        name: case.name.clone(),
        outcome: if silence == Silence::Hung { Outcome::TimedOut } else { Outcome::Failed },
        ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        output: format!("{what}\n{}", guest.last_words()),
        clean: false,
    })
}

#[cfg(test)]
mod tests {
    use vm_harness::protocol::{CaseInfo, Tier};

    use super::Queue;

    #[test]
    fn the_longest_goes_first_and_keeps_its_place() {
        let case = |name: &str, limit_s| CaseInfo {
            name: name.to_owned(),
            tier: Tier::Full,
            limit_s,
            long: false,
            must: None,
        };
        let cases = [case("a", 60), case("b", 600), case("c", 60)];
        let queue = Queue::new(&cases.iter().collect::<Vec<_>>());
        let next = || queue.next().map(|(place, case)| (place, case.name.as_str()));
        assert_eq!([next(), next()], [Some((1, "b")), Some((0, "a"))]);
        queue.stop();
        assert_eq!(next(), None);
    }
}
