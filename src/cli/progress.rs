//! The progress of long work, on a terminal.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use thin::ProgressObserver;

/// Shorter work shows no progress.
const SHORT: Duration = Duration::from_millis(500);

/// How often the line changes.
const PAUSE: Duration = Duration::from_millis(100);

/// A line on a terminal that says how much is done, and goes when all is.
#[derive(Debug)]
pub struct ProgressLine {
    state: Mutex<LineState>,
}

#[derive(Debug)]
struct LineState {
    next: Instant,
    shown: bool,
}

impl ProgressLine {
    /// One on standard error, if that is a terminal.
    pub fn on_terminal() -> Option<Arc<dyn ProgressObserver>> {
        let state = LineState { next: Instant::now() + SHORT, shown: false };
        io::stderr()
            .is_terminal()
            .then(|| -> Arc<dyn ProgressObserver> { Arc::new(Self { state: Mutex::new(state) }) })
    }
}

impl ProgressObserver for ProgressLine {
    fn progress(&self, done: usize, of: usize) {
        let Ok(mut state) = self.state.lock() else { return };
        if let Some(line) = state.line(done, of, Instant::now()) {
            show(&line);
        }
    }
}

impl LineState {
    fn line(&mut self, done: usize, of: usize, now: Instant) -> Option<String> {
        if done >= of {
            return std::mem::take(&mut self.shown).then(|| "\r\x1b[K".to_owned());
        }
        (now >= self.next).then(|| {
            *self = Self { next: now + PAUSE, shown: true };
            format!("\r{done} of {of} steps done\x1b[K")
        })
    }
}

/// Writes to standard error, unless the terminal is stopped: the writer must not block while a lock is held.
pub fn show(line: &str) {
    let stderr = io::stderr();
    let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    let is_ready = poll(&mut ready, PollTimeout::ZERO).is_ok_and(|ready| ready == 1);
    if is_ready {
        // Nobody is left to watch if it is closed.
        let _ = (&stderr).write_all(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_work_is_shown_now_and_then_and_the_line_goes_at_the_end() {
        let start = Instant::now();
        let mut state = LineState { next: start + SHORT, shown: false };
        let after = |ms| start + Duration::from_millis(ms);
        assert_eq!(state.line(1, 9, after(0)), None);
        assert_eq!(state.line(9, 9, after(10)), None, "short work leaves no trace");
        assert_eq!(state.line(3, 9, after(600)).as_deref(), Some("\r3 of 9 steps done\x1b[K"));
        assert_eq!(state.line(4, 9, after(650)), None);
        assert_eq!(state.line(5, 9, after(701)).as_deref(), Some("\r5 of 9 steps done\x1b[K"));
        assert_eq!(state.line(9, 9, after(702)).as_deref(), Some("\r\x1b[K"));
        assert_eq!(state.line(9, 9, after(703)), None);
    }
}
