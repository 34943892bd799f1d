//! Runs cases in several guests at the same time. Each guest takes the next case from a queue; a guest that a case has
//! left unusable, or that is of another tier than the remaining cases, is replaced.

use std::fs;
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

/// The parts that all guests are started from.
pub struct Pool<'a> {
    /// The folders of the harness.
    pub workspace: &'a Workspace,
    /// Image and binaries.
    pub setup: &'a Setup,
    /// Emulation or KVM.
    pub accel: Accel,
    /// Guests at the same time, at most.
    pub jobs: usize,
}

impl Pool<'_> {
    /// Runs `cases`; prints how they ended, tier by tier, in the order they are declared in. Returns the score, and how
    /// each ended.
    pub fn run(&self, cases: &[CaseInfo]) -> Result<(Score, Vec<CaseResult>)> {
        let count = self.jobs.min(cases.len());
        let queue = Queue::new(cases);
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
        for tier in [Tier::Fast, Tier::Full] {
            let mut part = Score::default();
            for (_, result) in results.iter().filter(|(place, _)| cases[*place].tier == tier) {
                part.add(result);
            }
            println!("{} tier: {}", tier.name(), part.line());
            score.merge(part);
        }
        ends.into_iter().collect::<Result<()>>()?;
        Ok((score, results.into_iter().map(|(_, result)| result).collect()))
    }

    /// Boots in the thread that will use the guest: QEMU is killed when the thread that started it ends.
    fn boot(&self, number: usize, tier: Tier) -> Result<Guest> {
        let name = format!("boot {} machine {number}", tier.name());
        let started = Instant::now();
        let guest = Guest::boot(self.workspace, self.setup, tier, self.accel)
            .with_context(|| format!("step failed: {name}"))?;
        eprintln!("  ok    {name} ({:.1} s)", started.elapsed().as_secs_f32());
        Ok(guest)
    }

    /// The score tells how cases failed when all have ended; whoever waits for hours wants to read it before.
    fn show_failure(&self, result: &CaseResult) -> Result<()> {
        if matches!(result.outcome, Outcome::Failed | Outcome::TimedOut) {
            let name = result.name.replace("::", "-");
            let log = self.workspace.logs().join(format!("case-{name}-{}.log", std::process::id()));
            fs::write(&log, &result.output).with_context(|| format!("cannot write {}", log.display()))?;
            eprintln!("        what it printed is in {}", log.display());
        }
        Ok(())
    }

    /// Runs cases from the queue in one guest after the other until none is left.
    fn work(&self, number: usize, queue: &Queue, results: &Sender<(usize, CaseResult)>) -> Result<()> {
        let mut guest: Option<(Tier, Guest)> = None;
        while let Some((place, case)) = queue.next() {
            // One of the other tier ends here.
            let mut running = match guest.take().filter(|(tier, _)| *tier == case.tier) {
                Some((_, guest)) => guest,
                None => self.boot(number, case.tier).inspect_err(|_| queue.stop())?,
            };
            let result = judge(case, run_one(&mut running, case).inspect_err(|_| queue.stop())?);
            let what = word(&result.outcome);
            let seconds = result.ms / 1000;
            eprintln!("  {what:<5} {} ({seconds} s, {} machine {number})", case.name, case.tier.name());
            self.show_failure(&result)?;
            if result.clean {
                guest = Some((case.tier, running));
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

/// The queue of cases: one tier after the other, and in each the slowest first, so that the guests end at about the
/// same time.
struct Queue<'a> {
    order: Vec<(usize, &'a CaseInfo)>,
    taken: AtomicUsize,
}

impl<'a> Queue<'a> {
    fn new(cases: &'a [CaseInfo]) -> Self {
        let mut order: Vec<(usize, &CaseInfo)> = cases.iter().enumerate().collect();
        order.sort_by_key(|(_, case)| (case.tier == Tier::Full, std::cmp::Reverse(case.limit_s)));
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

/// A shorter time limit for a machine that hangs on purpose.
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
    fn one_tier_after_the_other_and_the_longest_first() {
        let case = |name: &str, tier, limit_s| CaseInfo {
            name: name.to_owned(),
            tier,
            limit_s,
            long: false,
            turn: None,
            must: None,
        };
        let cases = [
            case("a", Tier::Full, 60),
            case("b", Tier::Full, 600),
            case("c", Tier::Fast, 60),
            case("d", Tier::Full, 60),
        ];
        let queue = Queue::new(&cases);
        let next = || queue.next().map(|(place, case)| (place, case.name.as_str()));
        assert_eq!([next(), next(), next()], [Some((2, "c")), Some((1, "b")), Some((0, "a"))]);
        queue.stop();
        assert_eq!(next(), None);
    }
}
