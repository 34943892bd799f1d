//! The same work for many sessions at the same time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::host::limit::Limit;

/// How many sessions are worked on at the same time. Most of the time is spent waiting for targets, and targets that
/// take one login after another drop those that wait for long.
const AT_ONCE: usize = 16;

/// Works on every item, many at the same time, and gives the results in the order of the items. `meanwhile` is called
/// again and again in this thread until all are done.
pub fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
    mut meanwhile: impl FnMut(),
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let worker = || {
            while let index = next.fetch_add(1, Ordering::Relaxed)
                && let Some(item) = items.get(index)
            {
                let result = work(item);
                results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((index, result));
            }
        };
        let workers: Vec<_> = (0..items.len().min(AT_ONCE)).map(|_| scope.spawn(worker)).collect();
        while !workers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            meanwhile();
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    });
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// The limits of work of which one piece that is done serves, so that the others have little time from then on.
#[derive(Debug)]
pub struct OneServes<'a> {
    whole: &'a Limit,
    grace: Duration,
    /// Whether one is done, and the limits there are.
    state: Mutex<(bool, Vec<Limit>)>,
}

impl<'a> OneServes<'a> {
    /// None is done yet. `grace` is what the others have when the first one is.
    pub fn new(whole: &'a Limit, grace: Duration) -> Self {
        Self { whole, grace, state: Mutex::default() }
    }

    /// A limit for a piece of work that begins now.
    pub fn limit(&self) -> Limit {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = self.whole.apart();
        if state.0 {
            limit.end_in(self.grace);
        }
        state.1.push(limit.clone());
        limit
    }

    /// One is done.
    pub fn one_is_done(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = true;
        state.1.iter().for_each(|limit| limit.end_in(self.grace));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_one_serves_the_others_have_little_time_and_those_that_begin_later_as_much() {
        let whole = Limit::new(Duration::from_secs(3600));
        let grace = Duration::from_secs(60);
        let limits = OneServes::new(&whole, grace);
        let first = limits.limit();
        assert!(first.left() > grace);
        limits.one_is_done();
        assert!(first.left() <= grace && limits.limit().left() <= grace && whole.left() > grace);
    }

    #[test]
    fn results_are_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..100).collect();
        let work = |item: &u64| {
            std::thread::sleep(std::time::Duration::from_millis(item % 3));
            item * 2
        };
        let mut called = 0;
        let doubled = in_parallel(&items, work, || called += 1);
        assert_eq!(doubled, items.iter().map(|item| item * 2).collect::<Vec<_>>());
        assert!(called > 0);
        assert!(in_parallel(&[0_u8; 0], |_| (), || ()).is_empty());
    }
}
