//! Not more than so many bytes in a second.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// Counts what goes through and says how long to wait.
#[derive(Debug)]
pub(crate) struct Rate {
    limit: Option<NonZeroU64>,
    /// When what went through so far is through at the limit.
    free: Option<Instant>,
}

/// How far behind the limit a transfer may be and still catch up.
const CREDIT: Duration = Duration::from_millis(200);

impl Rate {
    pub(crate) fn new(limit: Option<NonZeroU64>) -> Self {
        Self { limit, free: None }
    }

    /// How long to wait at `now` before so many bytes more.
    pub(crate) fn wait(&mut self, bytes: u64, now: Instant) -> Duration {
        let Some(limit) = self.limit else { return Duration::ZERO };
        let earliest = now.checked_sub(CREDIT).unwrap_or(now);
        let free = self.free.map_or(now, |free| free.max(earliest));
        let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(limit.get());
        self.free = Some(free + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX >> 1)));
        free.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_through_at_the_limit_and_what_was_slow_catches_up_a_little() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut rate = Rate::new(NonZeroU64::new(1000));
        assert_eq!(rate.wait(100, at(0)), Duration::ZERO);
        assert_eq!(rate.wait(100, at(0)), Duration::from_millis(100));
        assert_eq!(rate.wait(100, at(150)), Duration::from_millis(50));
        assert_eq!(rate.wait(500, at(10_000)), Duration::ZERO, "it was idle");
        assert_eq!(rate.wait(1, at(10_000)), Duration::from_millis(300), "and gets 200 ms of that");
        let mut none = Rate::new(None);
        assert_eq!((none.wait(u64::MAX, start), none.wait(1, start)), (Duration::ZERO, Duration::ZERO));
    }
}
