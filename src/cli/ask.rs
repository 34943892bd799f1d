//! Confirmation before volumes are removed that were not named. There is a question only on a terminal and only if the
//! answer is text, never in scripts; nothing is locked meanwhile.

use std::io::{self, BufRead, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::errors::CliError;
use super::plain;
use base::error_kind::ErrorKind;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(600);

/// Whether a question can be asked and answered.
pub fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Says what will happen and asks whether it shall.
///
/// # Errors
/// If the answer is not yes, or does not come.
pub fn confirm(what: &[String]) -> Result<(), CliError> {
    // If the question cannot be written, the answer is not yes.
    let mut err = io::stderr();
    for line in what {
        let _ = writeln!(err, "{}", plain::within_line(line));
    }
    let _ = write!(err, "Go on? [y/N] ");
    let limit = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX);
    let stdin = io::stdin();
    let mut ready = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    let mut answer = String::new();
    if poll(&mut ready, limit).is_ok_and(|ready| ready == 1) {
        // An answer that cannot be read is not yes.
        let _ = stdin.lock().read_line(&mut answer);
    }
    if is_yes(&answer) {
        return Ok(());
    }
    Err(CliError::new(ErrorKind::Refused, "it is not confirmed; nothing was changed")
        .hint("--yes does it without a question"))
}

fn is_yes(answer: &str) -> bool {
    ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        assert!(is_yes("y\n") && is_yes(" YES \n"));
        for other in ["", "\n", "n\n", "yess\n", "j\n"] {
            assert!(!is_yes(other), "{other:?}");
        }
    }
}
