//! Time limits of work, and its cancellation.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use thiserror::Error;

/// Why work was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GivenUp {
    /// The time is over.
    #[error("the time limit of {0:.1} s is over", .allowed.as_secs_f64())]
    TimedOut {
        /// The time limit.
        allowed: Duration,
    },
    /// A signal ended it.
    #[error("it was interrupted")]
    Interrupted,
}

/// A deadline that several pieces of work share, and a way to call them all off.
#[derive(Clone, Debug)]
pub struct Limit {
    started: Instant,
    allowed: Duration,
    called_off: Arc<AtomicBool>,
    /// When it ends, if that is sooner than it was thought.
    shortened: Arc<OnceLock<Instant>>,
}

impl Limit {
    /// No longer than this from now.
    pub fn new(allowed: Duration) -> Self {
        Self { started: Instant::now(), allowed, called_off: Arc::default(), shortened: Arc::default() }
    }

    /// The time limit, from the start.
    fn allowed(&self) -> Duration {
        let shortened = self.shortened.get().map(|end| end.saturating_duration_since(self.started));
        shortened.map_or(self.allowed, |shortened| shortened.min(self.allowed))
    }

    /// The instant at which the time is over.
    pub fn deadline(&self) -> Instant {
        self.started + self.allowed()
    }

    /// The time that is left.
    pub fn left(&self) -> Duration {
        self.allowed().saturating_sub(self.started.elapsed())
    }

    /// The same limit, called off with this one, which can end sooner by itself.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self { shortened: Arc::default(), allowed: self.allowed(), ..self.clone() }
    }

    /// Makes it end after this time, in all clones and parts, unless it ends earlier anyway. The first call counts.
    pub fn end_in(&self, time: Duration) {
        self.shortened.get_or_init(|| Instant::now() + time);
    }

    /// Calls the work off, in all clones.
    pub fn call_off(&self) {
        self.called_off.store(true, Ordering::Relaxed);
    }

    /// Whether the work may go on.
    ///
    /// # Errors
    /// If it was called off, or the time is over.
    pub fn check(&self) -> Result<(), GivenUp> {
        if self.called_off.load(Ordering::Relaxed) {
            return Err(GivenUp::Interrupted);
        }
        if self.left().is_zero() {
            return Err(GivenUp::TimedOut { allowed: self.allowed() });
        }
        Ok(())
    }

    /// A limit for a part of the work: no longer than this from now, and no longer than the whole; called off with it.
    #[must_use]
    pub fn part(&self, allowed: Duration) -> Self {
        Self {
            called_off: Arc::clone(&self.called_off),
            shortened: Arc::clone(&self.shortened),
            ..Self::new(allowed.min(self.left()))
        }
    }

    /// Sleeps for a while, however long, within the limit.
    ///
    /// # Errors
    /// As [`Limit::check`].
    pub fn rest(&self, length: Duration) -> Result<(), GivenUp> {
        const STEP: Duration = Duration::from_millis(50);
        let whole = self.part(length);
        while !whole.left().is_zero() {
            self.nap(STEP.min(whole.left()))?;
        }
        self.check()
    }

    /// Sleeps for a short while, within the limit.
    ///
    /// # Errors
    /// As [`Limit::check`].
    pub fn nap(&self, length: Duration) -> Result<(), GivenUp> {
        self.check()?;
        std::thread::sleep(length.min(self.left()));
        self.check()
    }
}

/// How long a login may take. The making of its session may have less time than its LUNs: udev's work on disks takes as
/// long as it takes.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Finding, recovering or making the session.
    pub session: Limit,
    /// All of it.
    pub whole: Limit,
}

impl From<&Limit> for Limits {
    fn from(limit: &Limit) -> Self {
        Self { session: limit.clone(), whole: limit.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_apart_ends_sooner_by_itself() {
        let whole = Limit::new(Duration::from_secs(3600));
        let (one, other) = (whole.apart(), whole.apart());
        let part = one.part(Duration::from_secs(60));
        one.end_in(Duration::ZERO);
        one.end_in(Duration::from_secs(3600));
        assert!(matches!(part.check(), Err(GivenUp::TimedOut { .. })) && one.left().is_zero());
        assert!(whole.check().is_ok() && other.check().is_ok() && other.deadline() <= whole.deadline());
        whole.call_off();
        assert_eq!(other.check(), Err(GivenUp::Interrupted));
        let late = Limit::new(Duration::from_secs(1));
        late.end_in(Duration::from_secs(3600));
        assert!(late.left() <= Duration::from_secs(1), "nothing is made longer");
    }

    #[test]
    fn the_limit_is_shared() {
        let limit = Limit::new(Duration::from_secs(3600));
        let clone = limit.clone();
        assert!(clone.check().is_ok() && clone.nap(Duration::ZERO).is_ok());
        limit.call_off();
        assert_eq!(clone.check(), Err(GivenUp::Interrupted));
        let part = Limit::new(Duration::from_secs(3600)).part(Duration::from_millis(5));
        assert!(part.allowed < Duration::from_secs(1));
        assert!(Limit::new(Duration::ZERO).part(Duration::from_secs(9)).check().is_err());
        let limit = Limit::new(Duration::from_secs(3600));
        assert!(limit.rest(Duration::from_millis(3)).is_ok());
        limit.part(Duration::from_secs(9)).call_off();
        assert_eq!(limit.rest(Duration::from_secs(3600)), Err(GivenUp::Interrupted));
        let over = Limit::new(Duration::ZERO);
        assert_eq!(
            over.nap(Duration::from_secs(9)).unwrap_err().to_string(),
            "the time limit of 0.0 s is over"
        );
    }
}
