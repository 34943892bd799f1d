//! udev's news of block devices, so that waiting for a device ends when udev is done with it.

#[cfg(feature = "udev")]
pub use listening::BlockEvents;
#[cfg(not(feature = "udev"))]
pub use pausing::BlockEvents;

#[cfg(feature = "udev")]
mod listening {
    use std::os::fd::AsFd;
    use std::time::Duration;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    /// A pause while nobody sends news: without udevd, or in a network namespace that its news does not reach.
    const SILENT_PAUSE: Duration = Duration::from_millis(10);

    /// The longest wait for news. Whoever waits looks at the device itself after it: news can be lost.
    const LONGEST: Duration = Duration::from_millis(100);

    /// A subscription to what udev says of block devices. News that came before it is not heard: subscribe first,
    /// then look at the device, then wait.
    pub struct BlockEvents {
        socket: Option<udev::MonitorSocket>,
    }

    impl BlockEvents {
        /// Subscribes. Where that is not possible, waiting is a short pause.
        pub fn subscribe() -> Self {
            let listen = || udev::MonitorBuilder::new()?.match_subsystem("block")?.listen();
            let socket =
                listen().inspect_err(|error| tracing::debug!(%error, "udev's news is not to be had"));
            Self { socket: socket.ok() }
        }

        /// Waits for news, but no longer than `at_most` or a tenth of a second; then it is time to look again.
        pub fn wait(&self, at_most: Duration) {
            let Some(socket) = &self.socket else {
                std::thread::sleep(SILENT_PAUSE.min(at_most));
                return;
            };
            let wait = PollTimeout::try_from(LONGEST.min(at_most)).unwrap_or(PollTimeout::ZERO);
            let mut source = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
            match poll(&mut source, wait) {
                // Which device it is about is of no interest: what is waited for is looked at anyway.
                Ok(1..) => socket.iter().for_each(drop),
                Ok(_) => {}
                // A signal, or a socket that does not work: without a pause this would never rest.
                Err(_) => std::thread::sleep(SILENT_PAUSE.min(at_most)),
            }
        }
    }
}

#[cfg(not(feature = "udev"))]
mod pausing {
    use std::time::Duration;

    /// How often a device is looked at.
    const PAUSE: Duration = Duration::from_millis(10);

    /// Stands for udev's news in a program without libudev: pauses.
    pub struct BlockEvents;

    impl BlockEvents {
        /// There is nothing to subscribe to.
        pub fn subscribe() -> Self {
            Self
        }

        /// A short pause, no longer than `at_most`; then it is time to look again.
        pub fn wait(&self, at_most: Duration) {
            std::thread::sleep(PAUSE.min(at_most));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::BlockEvents;

    #[test]
    fn a_wait_ends_without_news() {
        let events = BlockEvents::subscribe();
        let started = Instant::now();
        events.wait(Duration::ZERO);
        events.wait(Duration::from_secs(3600));
        assert!(started.elapsed() < Duration::from_secs(60));
    }
}
