//! The same work for many sessions at the same time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

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

#[cfg(test)]
mod tests {
    use super::*;

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
