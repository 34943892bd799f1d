//! Counts and prints how cases ended; the same for those in a guest and those on the host.

use crate::protocol::{CaseResult, Outcome};

/// How many cases ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Passed.
    pub passed: u32,
    /// Failed, timed out, or the guest died.
    pub failed: u32,
    /// Did not apply.
    pub skipped: u32,
}

impl Score {
    /// Prints one case and counts it.
    pub fn add(&mut self, result: &CaseResult) {
        let word = match &result.outcome {
            Outcome::Passed => {
                self.passed += 1;
                "ok".to_owned()
            }
            Outcome::Skipped { reason } => {
                self.skipped += 1;
                format!("skipped: {reason}")
            }
            Outcome::Failed => {
                self.failed += 1;
                "FAILED".to_owned()
            }
            Outcome::TimedOut => {
                self.failed += 1;
                "TIMED OUT".to_owned()
            }
        };
        println!("case {} ... {word} ({} ms)", result.name, result.ms);
        if matches!(result.outcome, Outcome::Failed | Outcome::TimedOut) {
            for line in result.output.lines() {
                println!("    {line}");
            }
        }
    }

    /// Adds another score.
    pub fn merge(&mut self, other: Score) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// The closing line.
    pub fn line(self) -> String {
        format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::Score;
    use crate::protocol::{CaseResult, Outcome};

    #[test]
    fn a_time_out_counts_as_failed() {
        let mut score = Score::default();
        let result =
            |outcome| CaseResult { name: "a::b".into(), outcome, ms: 1, output: String::new(), clean: true };
        score.add(&result(Outcome::Passed));
        score.add(&result(Outcome::TimedOut));
        score.add(&result(Outcome::Skipped { reason: "no such thing".into() }));
        assert_eq!(score.line(), "1 passed, 1 failed, 1 skipped");
    }
}
