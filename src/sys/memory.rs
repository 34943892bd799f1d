//! Keeping this process's memory from being paged.

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

/// `PR_SET_IO_FLUSHER`. Source: Linux `include/uapi/linux/prctl.h`.
const PR_SET_IO_FLUSHER: libc::c_int = 57;

/// Tells the kernel that I/O waits for this process: memory it asks for must not wait for I/O in turn, and it is the
/// last to be killed when memory runs out. A system that refuses leaves things as they are.
pub fn protect_from_memory_pressure() {
    let (on, none): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: this prctl takes numbers only and changes no memory.
    let refused = unsafe { libc::prctl(PR_SET_IO_FLUSHER, on, none, none, none) } != 0;
    let score = std::fs::write("/proc/self/oom_score_adj", "-1000");
    if refused || score.is_err() {
        tracing::debug!(refused, ?score, "not fully protected from memory pressure");
    }
}
