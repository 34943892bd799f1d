//! How the guest's processor is made.

/// How the guest's processor is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// By translation: always works.
    Tcg,
    /// By translation on one processor, with a clock that moves on by a nanosecond with each instruction: what a
    /// process costs is how long it ran, the same each time.
    Counting,
    /// By the host's processor.
    Kvm,
}
