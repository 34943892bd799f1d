//! Calls that the kernel may not return from for minutes, made in threads that are not waited for.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use super::error::SessionError;
use crate::host::limit::Limit;

/// How often to check whether the work was cancelled.
const LOOK: Duration = Duration::from_millis(50);

/// Does `work` in a thread of its own and waits for it within the limit. The thread of work that is given up stays
/// until the kernel lets it go.
///
/// # Errors
/// If the limit is over first, or no thread can be had.
pub fn bounded<T: Send + 'static>(
    limit: &Limit,
    what: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SessionError> {
    let given_up = |why| SessionError::GivenUp { what: what.to_owned(), why };
    let failed = |source| SessionError::Io { action: format!("start {what}"), source };
    let (sender, receiver) = sync_channel(1);
    let thread = std::thread::Builder::new().name("bounded".into()).spawn(move || {
        // The caller may have stopped waiting.
        let _ = sender.send(work());
    });
    thread.map_err(failed)?;
    loop {
        match receiver.recv_timeout(LOOK.min(limit.left())) {
            Ok(done) => return Ok(done),
            Err(RecvTimeoutError::Timeout) => limit.check().map_err(given_up)?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(failed(std::io::Error::other("it ended without a result")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_waited_for_and_given_up() {
        assert_eq!(bounded(&Limit::new(Duration::from_secs(60)), "a sum", || 1 + 1).unwrap(), 2);
        let endless = || std::thread::sleep(Duration::from_secs(3600));
        let error = bounded(&Limit::new(Duration::from_millis(10)), "a long sleep", endless).unwrap_err();
        assert_eq!(error.to_string(), "a long sleep did not come to an end: the time limit of 0.0 s is over");
        let limit = Limit::new(Duration::from_secs(60));
        limit.call_off();
        assert!(bounded(&limit, "a long sleep", endless).is_err());
    }
}
