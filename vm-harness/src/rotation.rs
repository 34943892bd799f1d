//! The long cases take more than an hour, so that nobody runs them all each time: `test --turn` takes a share of them,
//! those first that have not run for the longest time. What ran when is kept beside the image, and printed. On a
//! machine without such a record the number of commits says where to begin.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use vm_harness::protocol::{CaseInfo, CaseResult, Outcome};

use crate::workspace::Workspace;

/// What a share may take of one machine's time, as far as that is known.
const SHARE_MS: u64 = 600_000;

/// A case that has not run here is taken to need such a part of its time limit, which is generous.
const GUESSED_PART: u64 = 12;

/// But no longer than this: what tries all of something tries samples of it in its turn.
const LONGEST_GUESS_MS: u64 = 180_000;

/// How a long case ran last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    /// Seconds since 1970.
    at_s: u64,
    /// Milliseconds it took.
    ms: u64,
    /// Whether it passed.
    passed: bool,
}

/// When each long case ran last on this machine.
pub struct Record {
    file: PathBuf,
    runs: BTreeMap<String, Run>,
}

impl Record {
    /// Reads what was kept; one that cannot be read is begun anew.
    pub fn read(workspace: &Workspace) -> Self {
        let file = workspace.cache.join("long-cases.json");
        let kept = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Record { file, runs: kept.unwrap_or_default() }
    }

    /// The long cases of this turn.
    pub fn share(&self, cases: &[CaseInfo], root: &Path) -> Vec<CaseInfo> {
        self.turn(cases, commits(root))
    }

    fn turn(&self, cases: &[CaseInfo], commits: usize) -> Vec<CaseInfo> {
        let long: Vec<&CaseInfo> = cases.iter().filter(|case| case.long).collect();
        let total: u64 = long.iter().map(|case| self.expected_ms(case)).sum();
        let turns = usize::try_from(total.div_ceil(SHARE_MS)).unwrap_or(usize::MAX).max(1);
        let first = long.len() * (commits % turns) / turns;
        let mut order: Vec<&CaseInfo> = long.iter().cycle().skip(first).take(long.len()).copied().collect();
        // A stable sort: those that never ran here stay in the order of the commits.
        order.sort_by_key(|case| self.runs.get(&case.name).map_or(0, |run| run.at_s));
        let mut left = SHARE_MS;
        let fits = |case: &&CaseInfo| match left.checked_sub(self.expected_ms(case)) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        };
        let mut taken: Vec<CaseInfo> = order.iter().copied().take_while(fits).cloned().collect();
        // One that takes longer than a share has its turn, too.
        if taken.is_empty() {
            taken.extend(order.first().map(|case| (*case).clone()));
        }
        taken.iter_mut().for_each(|case| case.sampled = true);
        taken
    }

    fn expected_ms(&self, case: &CaseInfo) -> u64 {
        let guess = (case.limit_s.saturating_mul(1000) / GUESSED_PART).min(LONGEST_GUESS_MS);
        self.runs.get(&case.name).map_or(guess, |run| run.ms)
    }

    /// Keeps how the long ones among these ran.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn keep(&mut self, cases: &[CaseInfo], results: &[CaseResult]) -> Result<()> {
        let at_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        for result in results {
            let is_long = cases.iter().any(|case| case.long && case.name == result.name);
            if is_long && !matches!(result.outcome, Outcome::Skipped { .. }) {
                let run = Run { at_s, ms: result.ms, passed: result.outcome == Outcome::Passed };
                self.runs.insert(result.name.clone(), run);
            }
        }
        let text = serde_json::to_vec_pretty(&self.runs)?;
        fs::write(&self.file, text).with_context(|| format!("cannot write {}", self.file.display()))
    }

    /// When each of the long cases ran last, one a line.
    pub fn lines(&self, cases: &[CaseInfo]) -> Vec<String> {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let line = |case: &CaseInfo| match self.runs.get(&case.name) {
            None => format!("long case {}: not yet on this machine", case.name),
            Some(run) => {
                let hours = now_s.saturating_sub(run.at_s) / 3600;
                let end = if run.passed { "passed" } else { "FAILED" };
                format!("long case {}: {end} {hours} h ago, took {} s", case.name, run.ms / 1000)
            }
        };
        cases.iter().filter(|case| case.long).map(line).collect()
    }
}

/// Commits up to the one that is checked out; none where that is not known.
fn commits(root: &Path) -> usize {
    let output = Command::new("git").arg("-C").arg(root).args(["rev-list", "--count", "HEAD"]).output();
    let text = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    text.and_then(|text| String::from_utf8_lossy(&text).trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use vm_harness::protocol::{CaseInfo, Tier};

    use super::{Record, Run};

    fn case(number: u64, limit_s: u64) -> CaseInfo {
        CaseInfo {
            name: format!("a::{number}"),
            tier: Tier::Full,
            limit_s,
            long: number > 0,
            sampled: false,
            must: None,
        }
    }

    fn names(cases: &[CaseInfo]) -> Vec<&str> {
        cases.iter().map(|case| case.name.as_str()).collect()
    }

    #[test]
    fn all_long_cases_have_their_turn_and_none_takes_too_long() {
        // Of such limits three are guessed to fit.
        let cases: Vec<CaseInfo> = (0..=8).map(|number| case(number, 2400)).collect();
        let mut record = Record { file: PathBuf::new(), runs: BTreeMap::new() };
        assert_eq!(names(&record.turn(&cases, 0)), ["a::1", "a::2", "a::3"]);
        assert_eq!(names(&record.turn(&cases, 3 * 7 + 2)), ["a::6", "a::7", "a::8"]);
        assert!(record.turn(&cases, 0).iter().all(|case| case.sampled));
        let mut seen = Vec::new();
        for at_s in 1..=3 {
            for case in record.turn(&cases, 17) {
                record.runs.insert(case.name.clone(), Run { at_s, ms: 300_000, passed: true });
                seen.push(case.name);
            }
        }
        seen.sort();
        assert_eq!(seen, names(&cases[1..]));
    }

    #[test]
    fn a_case_longer_than_a_share_runs_alone() {
        let took = |at_s, ms| Run { at_s, ms, passed: true };
        let runs = [("a::1".to_owned(), took(1, 900_000)), ("a::2".to_owned(), took(2, 1000))];
        let record = Record { file: PathBuf::new(), runs: runs.into() };
        assert_eq!(names(&record.turn(&[case(1, 36_000), case(2, 4)], 0)), ["a::1"]);
    }
}
