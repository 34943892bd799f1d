//! News of block devices, so that waiting for a device ends when it is there.

use std::time::Duration;

/// How often a device is looked at where nobody sends news.
const PAUSE: Duration = Duration::from_millis(10);

/// A subscription to news of block devices. News that came before it is not heard: subscribe first, then look at the
/// device, then wait.
pub trait BlockEvents {
    /// Waits for news of any device, but no longer than `at_most`, and less long if news can be lost; then it is time
    /// to look again.
    fn wait(&self, at_most: Duration);
}

/// Subscribes. Where that is not possible, what it returns pauses.
pub type Subscribe = fn() -> Box<dyn BlockEvents>;

/// Stands for news in a program that hears none: pauses.
struct Pauses;

impl BlockEvents for Pauses {
    fn wait(&self, at_most: Duration) {
        std::thread::sleep(PAUSE.min(at_most));
    }
}

/// What a program subscribes to that hears no news.
pub fn pauses() -> Box<dyn BlockEvents> {
    Box::new(Pauses)
}
