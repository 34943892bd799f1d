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
