//! Keeping this process's memory from being paged.

use std::path::Path;

/// All memory of this process stays in RAM until this is dropped: while a volume is suspended, a page that has to be
/// read back from that volume would never come.
#[derive(Debug)]
pub struct MemoryLocked {
    locked: bool,
}

impl MemoryLocked {
    /// Locks what is mapped now and later. A system that refuses leaves things as they are: then this is a risk only
    /// where the program itself lies on what is suspended.
    pub fn new() -> Self {
        // SAFETY: mlockall takes flags only and changes no memory.
        let locked = unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) } == 0;
        Self { locked }
    }

    /// Whether the system agreed.
    pub fn is_locked(&self) -> bool {
        self.locked
    }
}

impl Default for MemoryLocked {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for MemoryLocked {
    fn drop(&mut self) {
        if self.locked {
            // SAFETY: munlockall takes nothing and changes no memory.
            unsafe { libc::munlockall() };
        }
    }
}

/// Has memory that was freed kept for what is needed next, up to so many bytes, instead of given back: to get it again
/// costs more than a command that reads and writes some texts does with it.
#[cfg(target_env = "gnu")]
pub fn keep_freed(bytes: u32) {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    for parameter in [libc::M_MMAP_THRESHOLD, libc::M_TRIM_THRESHOLD] {
        // SAFETY: mallopt takes numbers only; it changes how memory is asked for from now on, not what is in use.
        unsafe { libc::mallopt(parameter, bytes) };
    }
}

/// Other libraries have other ways.
#[cfg(not(target_env = "gnu"))]
pub fn keep_freed(_bytes: u32) {}

/// `PR_SET_IO_FLUSHER`. Source: Linux `include/uapi/linux/prctl.h`.
const PR_SET_IO_FLUSHER: libc::c_int = 57;

/// A process that has to work when memory is short: what it has stays in RAM, and the kernel knows that I/O waits for
/// it.
#[derive(Debug)]
pub struct Protected {
    _memory: MemoryLocked,
}

impl Protected {
    /// Locks memory, as [`MemoryLocked`] does, and tells the kernel that I/O waits for this process: memory it asks
    /// for must not wait for I/O in turn, and it is the last to be killed when memory runs out. A system that refuses
    /// leaves things as they are. `proc` is `/proc`.
    pub fn new(proc: &Path) -> Self {
        let memory = MemoryLocked::new();
        let (on, none): (libc::c_ulong, libc::c_ulong) = (1, 0);
        // SAFETY: this prctl takes numbers only and changes no memory.
        let refused = unsafe { libc::prctl(PR_SET_IO_FLUSHER, on, none, none, none) } != 0;
        let score = std::fs::write(proc.join("self/oom_score_adj"), "-1000");
        if !memory.is_locked() || refused || score.is_err() {
            tracing::debug!(?memory, refused, ?score, "not fully protected from memory pressure");
        }
        Self { _memory: memory }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use nix::errno::Errno;

    use super::*;
    use crate::calls::{Becomes, Seen, judged};

    const LOCKS: [libc::c_long; 2] = [libc::SYS_mlockall, libc::SYS_munlockall];

    /// The calls that `work` makes, none of which the kernel carries out, each with its first two arguments.
    fn asked(numbers: &[libc::c_long], becomes: Becomes, work: impl FnOnce() + Send) -> Vec<(i64, [u64; 2])> {
        let calls = Mutex::new(Vec::new());
        let judge = |call: &Seen| {
            calls.lock().unwrap().push((call.number, [call.args[0], call.args[1]]));
            becomes
        };
        judged(numbers, judge, work);
        calls.into_inner().unwrap()
    }

    #[test]
    fn memory_is_locked_until_the_end() {
        let all = u64::try_from(libc::MCL_CURRENT | libc::MCL_FUTURE).unwrap();
        let numbers =
            |calls: Vec<(i64, [u64; 2])>| calls.into_iter().map(|(number, _)| number).collect::<Vec<_>>();
        let calls = asked(&LOCKS, Becomes::Skipped, || assert!(MemoryLocked::new().is_locked()));
        assert_eq!(calls[0], (libc::SYS_mlockall, [all, calls[0].1[1]]));
        assert_eq!(numbers(calls), LOCKS);
        let refused = Becomes::Failed(Errno::EPERM);
        let calls = asked(&LOCKS, refused, || assert!(!MemoryLocked::new().is_locked()));
        assert_eq!(numbers(calls), [libc::SYS_mlockall], "there is nothing to unlock");
    }

    #[test]
    fn the_kernel_is_told_that_io_waits_for_this_process() {
        let proc = tempfile::tempdir().unwrap();
        std::fs::create_dir(proc.path().join("self")).unwrap();
        let all = [LOCKS[0], LOCKS[1], libc::SYS_prctl];
        let calls = asked(&all, Becomes::Skipped, || drop(Protected::new(proc.path())));
        let [(libc::SYS_mlockall, _), (libc::SYS_prctl, flusher), (libc::SYS_munlockall, _)] = calls[..]
        else {
            panic!("{calls:?}")
        };
        assert_eq!(flusher, [57, 1]);
        assert_eq!(std::fs::read_to_string(proc.path().join("self/oom_score_adj")).unwrap(), "-1000");
    }
}
