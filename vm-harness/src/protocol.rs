//! The conversation between harness and guest agent: one JSON value a line, in both directions, over a virtio
//! serial port of its own, so that the console stays free for the kernel.

use serde::{Deserialize, Serialize};

/// Which of the two machines a case needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Static binaries in an initramfs: no udev, no lvm2.
    Fast,
    /// Debian userland with udevd and lvm2.
    Full,
}

impl Tier {
    /// The name used in options, file names and messages.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Fast => "fast",
            Tier::Full => "full",
        }
    }
}

/// A case as `dm-tests list` declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseInfo {
    /// `area::what_is_shown`.
    pub name: String,
    /// The machine it runs in.
    pub tier: Tier,
    /// Seconds after which it is killed.
    pub limit_s: u64,
    /// Whether it runs only where it is named, or with `--long`.
    #[serde(default)]
    pub long: bool,
    /// In its turn among the long cases: the number of the turn, by which a case chooses samples of what it otherwise
    /// tries all of.
    #[serde(default)]
    pub turn: Option<u64>,
    /// How it must end, for a case that goes wrong on purpose to try the harness; `None` for all others.
    #[serde(default)]
    pub must: Option<Must>,
}

impl CaseInfo {
    /// Milliseconds that a long case is taken to need in its turn where none is known to have run.
    pub fn guess_ms(&self) -> u64 {
        (self.limit_s.saturating_mul(1000) / GUESSED_PART).min(LONGEST_GUESS_MS)
    }
}

/// What the long cases of a turn may take of one machine's time, as far as that is known.
pub const SHARE_MS: u64 = 600_000;

/// The part of a case's time limit, which is generous, that is a good guess.
const GUESSED_PART: u64 = 12;

/// But no longer than this: what tries all of something tries samples of it in its turn.
const LONGEST_GUESS_MS: u64 = 90_000;

/// How a case must end that goes wrong on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Must {
    /// The end.
    pub end: End,
    /// Words its output, or the reason for its being skipped, must have.
    pub say: String,
    /// Whether the machine must be unusable afterwards.
    pub spoils_machine: bool,
}

/// The ends that [`Must`] can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// [`Outcome::Failed`].
    Fail,
    /// [`Outcome::TimedOut`].
    TimeOut,
    /// [`Outcome::Skipped`].
    Skip,
}

/// An order to the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Run one case in a process of its own; answered by [`Report::Case`].
    Case(CaseInfo),
    /// Run a program; answered by any number of [`Report::Output`] and one [`Report::Exit`].
    Exec {
        /// The program and its arguments.
        argv: Vec<String>,
        /// Seconds after which it is killed.
        limit_s: u64,
    },
}

/// A message from the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The guest is up and takes orders.
    Ready {
        /// `uname -r` of the guest.
        kernel: String,
    },
    /// A case has ended.
    Case(CaseResult),
    /// A part of a program's output, both streams in the order of arrival.
    Output {
        /// The text, invalid UTF-8 replaced.
        text: String,
    },
    /// The program has ended.
    Exit {
        /// Its exit status; 128 + n when signal n ended it; 124 when it was killed at its time limit.
        code: i32,
    },
}

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It returned without an error and left nothing behind.
    Passed,
    /// It returned an error, panicked or left something behind.
    Failed,
    /// It was killed at its time limit.
    TimedOut,
    /// It did not apply, and says why.
    Skipped {
        /// What was missing.
        reason: String,
    },
}

/// The result of one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseResult {
    /// Name of the case.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Milliseconds from start to end, without cleaning up.
    pub ms: u64,
    /// What it printed, and what the clean-up found.
    pub output: String,
    /// Whether the guest could be brought back to its initial state; if not, the next case needs a new boot.
    pub clean: bool,
}

/// Name of the virtio serial port (`/sys/class/virtio-ports/*/name`).
pub const PORT_NAME: &str = "thinvol";

/// Exit status of a case process that was skipped; its reason is the last line it printed, after
/// [`SKIP_MARK`].
pub const SKIP_STATUS: i32 = 77;

/// Starts the line that says why a case was skipped.
pub const SKIP_MARK: &str = "skipped: ";

/// Exit code reported for a program that was killed at its time limit, as coreutils' timeout does.
pub const TIME_LIMIT_STATUS: i32 = 124;
