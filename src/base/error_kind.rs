//! What sorts of failure there are: for all of the program, from the planner's refusals to the command's exit code.

use serde::Serialize;

/// What sort of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// Nothing changed: a rule forbids it, or it failed and was taken back.
    Refused,
    /// What was asked for is not written as it must be.
    Usage,
    /// It names something that does not exist.
    NotFound,
    /// Something is in use or locked; a retry may work.
    Busy,
    /// Something is done in part: recovery leads on.
    Partial,
    /// Metadata or a pool is damaged, or disagrees with the kernel.
    Corrupt,
    /// It is outside what thinvol does.
    Unsupported,
}

impl ErrorKind {
    /// The exit code of a command that fails so.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Refused => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Busy => 4,
            Self::Partial => 5,
            Self::Corrupt => 6,
            Self::Unsupported => 7,
        }
    }
}
