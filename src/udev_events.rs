//! udev's news of block devices. libudev is linked to by the program alone: a program that uses the library can be
//! linked statically.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::io::events::{BlockEvents, pauses};

/// The longest wait for news. The waiting process then looks at the device itself: events can be lost.
const LONGEST: Duration = Duration::from_millis(100);

/// A subscription to what udev says of block devices.
struct UdevEvents(libudev::MonitorSocket);

/// Subscribes. Without udevd, or in a network namespace that its news does not reach, waiting ends after a tenth of a
/// second; where there is no socket to be had, it is a short pause.
pub fn subscribe() -> Box<dyn BlockEvents> {
    let listen = || libudev::MonitorBuilder::new()?.match_subsystem("block")?.listen();
    match listen() {
        Ok(socket) => Box::new(UdevEvents(socket)),
        Err(error) => {
            tracing::debug!(%error, "udev's news is not to be had");
            pauses()
        }
    }
}

impl BlockEvents for UdevEvents {
    fn wait(&self, at_most: Duration) {
        let wait = PollTimeout::try_from(LONGEST.min(at_most)).unwrap_or(PollTimeout::ZERO);
        let mut source = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        match poll(&mut source, wait) {
            // Which device it is about is of no interest: what is waited for is looked at anyway.
            Ok(1..) => self.0.iter().for_each(drop),
            Ok(_) => {}
            // A signal, or a socket that does not work: without a pause this would never rest.
            Err(_) => pauses().wait(at_most),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sys::io::events::pauses;

    use super::subscribe;

    #[test]
    fn a_wait_ends_without_news() {
        for events in [subscribe(), pauses()] {
            events.wait(Duration::ZERO);
            // Nobody waits as long for a test.
            events.wait(Duration::from_secs(3600));
        }
    }
}
