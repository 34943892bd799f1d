//! Threads, the first thing that went wrong in any of them, and who waits for them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use super::{LAST_REQUESTS, TICK, TransferError, Watch};

/// What the threads of a transfer share.
#[derive(Default)]
pub(super) struct Shared {
    /// Bytes of the stream that are through.
    pub(super) done: AtomicU64,
    failure: Mutex<Option<TransferError>>,
}

impl Shared {
    /// Remembers what went wrong, unless something did before.
    pub(super) fn fail(&self, error: TransferError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// Whether anything did.
    pub(super) fn has_failed(&self) -> bool {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// What went wrong first.
    pub(super) fn failure(&self) -> Option<TransferError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn heard_by(&self, watch: &mut dyn Watch) -> Result<(), TransferError> {
        watch.heed(self.done.load(Ordering::Relaxed)).map_err(TransferError::Stopped)
    }
}

/// Starts a thread. It inherits which signals are held off.
pub(super) fn start(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, TransferError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(TransferError::Thread)
}

/// Waits until all have ended or something went wrong, as long as whoever waits wants to.
pub(super) fn wait(
    threads: &[JoinHandle<()>],
    shared: &Arc<Shared>,
    watch: &mut dyn Watch,
) -> Result<(), TransferError> {
    for pause in Pauses::default() {
        if threads.iter().all(JoinHandle::is_finished) || shared.has_failed() {
            break;
        }
        std::thread::sleep(pause);
        shared.heard_by(watch)?;
    }
    Ok(())
}

/// Waits until the threads that use a device have let go of it, or for so long as its last requests may take.
pub(super) fn let_go(threads: &[JoinHandle<()>]) {
    let until = Instant::now() + LAST_REQUESTS;
    for pause in Pauses::default() {
        if threads.iter().all(JoinHandle::is_finished) || Instant::now() >= until {
            break;
        }
        std::thread::sleep(pause);
    }
}

/// Ever longer pauses: what is short is not waited for long.
#[derive(Default)]
struct Pauses(u32);

impl Iterator for Pauses {
    type Item = std::time::Duration;

    fn next(&mut self) -> Option<Self::Item> {
        self.0 = (self.0 + 1).min(7);
        Some(std::time::Duration::from_millis(1 << self.0).min(TICK))
    }
}
