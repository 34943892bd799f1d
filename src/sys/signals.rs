//! Holding signals off while a plan runs.

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};

/// The signals that a user or a service manager sends to stop a command.
const HELD_OFF: [Signal; 5] =
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTSTP];

/// Holds INT, TERM, HUP, QUIT and TSTP off this thread, and threads started from it, until dropped. What
/// arrived meanwhile is delivered then.
///
/// A device-mapper suspend returns EINTR, and a stop by Ctrl-Z would freeze whatever is suspended for as long
/// as the user likes. A thread started before takes the signals as ever: hold them off in the main thread
/// first.
#[derive(Debug)]
pub struct SignalsHeldOff {
    before: SigSet,
}

/// Those among them that ask a command to stop, not to pause.
const STOPPING: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// Takes a signal that asks to stop and that is held off and waits, if there is one: it is not delivered later. One
/// that this process was started to ignore (`nohup`) does not count. Where none waits, as nearly always, it is one
/// system call: it is asked at each point where work may stop.
pub fn take_stop() -> Option<Signal> {
    let waiting = pending_set()?;
    if !STOPPING.iter().any(|signal| waiting.contains(*signal)) {
        return None;
    }
    let held_off = SigSet::thread_get_mask().ok()?;
    let asks =
        |signal: &Signal| waiting.contains(*signal) && held_off.contains(*signal) && !is_ignored(*signal);
    let signal = STOPPING.into_iter().find(asks)?;
    // It is pending, so this does not wait.
    SigSet::from(signal).wait().ok()
}

fn pending_set() -> Option<SigSet> {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigpending fills the set that the pointer is to, if it returns 0.
    unsafe {
        if libc::sigpending(set.as_mut_ptr()) != 0 {
            return None;
        }
        Some(SigSet::from_sigset_t_unchecked(set.assume_init()))
    }
}

/// Whether a signal does nothing to this process. A blocked one waits all the same.
fn is_ignored(signal: Signal) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action nothing is changed, and the old one is filled in if the call returns 0.
    unsafe {
        libc::sigaction(signal as libc::c_int, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

impl SignalsHeldOff {
    /// Holds the signals off.
    ///
    /// # Errors
    /// Never on Linux, for the arguments are right.
    pub fn new() -> Result<Self, Errno> {
        let set: SigSet = HELD_OFF.into_iter().collect();
        set.thread_swap_mask(SigmaskHow::SIG_BLOCK).map(|before| Self { before })
    }

    /// A signal that has arrived and waits, if any: time to stop at the next safe point.
    pub fn pending(&self) -> Option<Signal> {
        let set = pending_set()?;
        HELD_OFF.into_iter().find(|signal| set.contains(*signal) && !self.before.contains(*signal))
    }
}

impl Drop for SignalsHeldOff {
    fn drop(&mut self) {
        if let Err(errno) = self.before.thread_set_mask() {
            tracing::debug!(%errno, "signal mask not restored");
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{SigSet, Signal, raise};

    use super::{SignalsHeldOff, take_stop};

    #[test]
    fn signals_wait_and_the_mask_comes_back() {
        let blocked = |signal| SigSet::thread_get_mask().unwrap().contains(signal);
        assert!(!blocked(Signal::SIGTERM));
        let held_off = SignalsHeldOff::new().unwrap();
        assert!(blocked(Signal::SIGTERM) && blocked(Signal::SIGTSTP) && !blocked(Signal::SIGCHLD));
        assert_eq!(held_off.pending(), None);
        // To this thread alone; it would end the whole test otherwise.
        raise(Signal::SIGHUP).unwrap();
        assert_eq!(held_off.pending(), Some(Signal::SIGHUP));
        // Taken out again, so that the drop below does not deliver it.
        assert_eq!(SigSet::from(Signal::SIGHUP).wait(), Ok(Signal::SIGHUP));
        raise(Signal::SIGTSTP).unwrap();
        assert_eq!(take_stop(), None, "a pause is no end");
        assert_eq!(SigSet::from(Signal::SIGTSTP).wait(), Ok(Signal::SIGTSTP));
        // Not INT: a shell starts what it puts in the background with that one ignored.
        raise(Signal::SIGTERM).unwrap();
        assert_eq!((take_stop(), take_stop()), (Some(Signal::SIGTERM), None));
        let nested = SignalsHeldOff::new().unwrap();
        drop(nested);
        assert!(blocked(Signal::SIGHUP));
        drop(held_off);
        assert!(!blocked(Signal::SIGHUP) && !blocked(Signal::SIGTERM));
    }
}
