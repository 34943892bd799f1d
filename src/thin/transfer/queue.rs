//! A queue between threads that has room for so much, and that can be closed by anybody.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What did not get into a queue.
pub(super) enum NotPushed<T> {
    /// There was no room in time.
    Full(T),
    /// Nothing is taken any more.
    Closed,
}

struct State<T> {
    items: VecDeque<T>,
    /// Nothing more comes; what is there is taken.
    ended: bool,
    /// Nothing more comes, and what is there goes.
    closed: bool,
}

/// The queue.
pub(super) struct Queue<T> {
    room: usize,
    state: Mutex<State<T>>,
    changed: Condvar,
}

impl<T> Queue<T> {
    /// A queue for at most so many.
    pub(super) fn new(room: usize) -> Self {
        let state = Mutex::new(State { items: VecDeque::new(), ended: false, closed: false });
        Self { room, state, changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts one at the end, waiting for room at most so long.
    pub(super) fn push(&self, item: T, wait: Duration) -> Result<(), NotPushed<T>> {
        let full = |state: &mut State<T>| state.items.len() >= self.room && !state.closed;
        let waited = self.changed.wait_timeout_while(self.state(), wait, full);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Err(NotPushed::Closed);
        }
        if state.items.len() >= self.room {
            return Err(NotPushed::Full(item));
        }
        state.items.push_back(item);
        self.changed.notify_all();
        Ok(())
    }

    /// Puts one at the end, however long there is no room. Whether it is in.
    pub(super) fn push_patiently(&self, mut item: T) -> bool {
        loop {
            match self.push(item, super::TICK) {
                Ok(()) => return true,
                Err(NotPushed::Full(back)) => item = back,
                Err(NotPushed::Closed) => return false,
            }
        }
    }

    /// Takes the first, waiting for it; nothing if none comes any more.
    pub(super) fn pop(&self) -> Option<T> {
        let empty = |state: &mut State<T>| state.items.is_empty() && !state.ended && !state.closed;
        let waited = self.changed.wait_while(self.state(), empty);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        let item = state.items.pop_front();
        self.changed.notify_all();
        item
    }

    /// No more is put in.
    pub(super) fn end(&self) {
        self.state().ended = true;
        self.changed.notify_all();
    }

    /// No more is put in, and what is there is forgotten.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.items.clear();
        self.changed.notify_all();
    }
}
