//! How the guest's processor is emulated.

/// How the guest's processor is emulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// By translation: always works.
    Tcg,
    /// By translation on one processor, with a clock that advances a nanosecond with each instruction: the running time
    /// of a process is its number of instructions, the same in each run.
    Counting,
    /// By the host's processor.
    Kvm,
}
