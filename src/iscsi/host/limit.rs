//! How long work may take, and whether it is still wanted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use thiserror::Error;

/// Why work was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GivenUp {
    /// The time is over.
    #[error("the time limit of {0:.1} s is over", .allowed.as_secs_f64())]
    TimedOut {
        /// What was allowed.
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
}

impl Limit {
    /// No longer than this from now.
    pub fn new(allowed: Duration) -> Self {
        Self { started: Instant::now(), allowed, called_off: Arc::default() }
    }

    /// The instant at which the time is over.
    pub fn deadline(&self) -> Instant {
        self.started + self.allowed
    }

    /// The time that is left.
    pub fn left(&self) -> Duration {
        self.allowed.saturating_sub(self.started.elapsed())
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
            return Err(GivenUp::TimedOut { allowed: self.allowed });
        }
        Ok(())
    }

    /// A limit for a part of the work: no longer than this from now, and no longer than the whole; called off with it.
    #[must_use]
    pub fn part(&self, allowed: Duration) -> Self {
        Self { called_off: Arc::clone(&self.called_off), ..Self::new(allowed.min(self.left())) }
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

#[cfg(test)]
mod tests {
    use super::*;

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
