//! The long cases take more than an hour: `test --turn` runs a share of them,
//! those first that have not run for the longest time. What ran when is kept beside the image, and printed. On a
//! machine without such a record the number of commits says where to begin.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use vm_harness::protocol::{CaseInfo, CaseResult, Outcome, SHARE_MS};

use crate::workspace::Workspace;

/// How a long case ran last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    /// Seconds since 1970.
    at_s: u64,
    /// Milliseconds it took.
    ms: u64,
    /// Whether it passed.
    passed: bool,
    /// How often it has run.
    #[serde(default)]
    times: u64,
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
        let shares = self.shares(&long);
        let number = commits % shares.len().max(1);
        let first = shares.iter().take(number).map(|share| share.len()).sum();
        let mut order: Vec<&CaseInfo> = long.iter().cycle().skip(first).take(long.len()).copied().collect();
        // A stable sort: those that never ran here stay in the order of the commits.
        order.sort_by_key(|case| self.runs.get(&case.name).map_or(0, |run| run.at_s));
        // Where nothing is remembered, each round through all shares has the next number.
        let round = (commits / shares.len().max(1)) as u64;
        let turn = |case: &CaseInfo| self.runs.get(&case.name).map_or(round, |run| run.times);
        let share = self.shares(&order).into_iter().next().unwrap_or_default();
        share.iter().map(|case| CaseInfo { turn: Some(turn(case)), ..(*case).clone() }).collect()
    }

    /// Cuts cases, in this order, into shares: one that takes longer than a share has one for itself.
    fn shares<'a, 'b>(&self, order: &'a [&'b CaseInfo]) -> Vec<&'a [&'b CaseInfo]> {
        let (mut shares, mut rest) = (Vec::new(), order);
        while !rest.is_empty() {
            let mut left = SHARE_MS;
            let fits = |case: &&&CaseInfo| {
                let room = left.checked_sub(self.expected_ms(case));
                left = room.unwrap_or(left);
                room.is_some()
            };
            let (share, others) = rest.split_at(rest.iter().take_while(fits).count().max(1));
            shares.push(share);
            rest = others;
        }
        shares
    }

    fn expected_ms(&self, case: &CaseInfo) -> u64 {
        self.runs.get(&case.name).map_or(case.guess_ms(), |run| run.ms)
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
                let times = self.runs.get(&result.name).map_or(0, |run| run.times) + 1;
                let run = Run { at_s, ms: result.ms, passed: result.outcome == Outcome::Passed, times };
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
            turn: None,
            must: None,
        }
    }

    fn names(cases: &[CaseInfo]) -> Vec<&str> {
        cases.iter().map(|case| case.name.as_str()).collect()
    }

    fn took(at_s: u64, ms: u64) -> Run {
        Run { at_s, ms, passed: true, times: at_s }
    }

    #[test]
    fn all_long_cases_have_their_turn_and_none_takes_too_long() {
        // Of such limits six are guessed to fit.
        let cases: Vec<CaseInfo> = (0..=16).map(|number| case(number, 1200)).collect();
        let mut record = Record { file: PathBuf::new(), runs: BTreeMap::new() };
        let first: Vec<String> = (1..=6).map(|number| format!("a::{number}")).collect();
        assert_eq!(names(&record.turn(&cases, 0)), first);
        assert_eq!(
            names(&record.turn(&cases, 3 * 7 + 2)),
            ["a::13", "a::14", "a::15", "a::16", "a::1", "a::2"]
        );
        let mut seen = Vec::new();
        for at_s in 1..=8 {
            for case in record.turn(&cases, 17) {
                record.runs.insert(case.name.clone(), took(at_s, 300_000));
                seen.push(case.name);
            }
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 16);
    }

    #[test]
    fn without_a_record_as_many_commits_as_there_are_shares_take_all() {
        // Short ones first, and then long ones: equal parts of the list would not be equal parts of the time.
        let limit = |number| if number < 30 { 60 } else { 7200 };
        let cases: Vec<CaseInfo> = (0..=60).map(|number| case(number, limit(number))).collect();
        let record = Record { file: PathBuf::new(), runs: BTreeMap::new() };
        let long: Vec<&CaseInfo> = cases.iter().filter(|case| case.long).collect();
        let turns = record.shares(&long).len();
        let mut seen: Vec<String> =
            (40..40 + turns).flat_map(|commits| record.turn(&cases, commits)).map(|case| case.name).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 60);
    }

    #[test]
    fn each_turn_of_a_case_has_another_number() {
        let cases = [case(1, 10)];
        let mut record = Record { file: PathBuf::new(), runs: BTreeMap::new() };
        let number = |record: &Record, commits| record.turn(&cases, commits)[0].turn;
        assert_eq!([number(&record, 7), number(&record, 8)], [Some(7), Some(8)]);
        record.runs.insert("a::1".to_owned(), took(3, 1));
        assert_eq!(number(&record, 9), Some(3));
    }

    #[test]
    fn a_case_longer_than_a_share_runs_alone() {
        let runs = [("a::1".to_owned(), took(1, 900_000)), ("a::2".to_owned(), took(2, 1000))];
        let record = Record { file: PathBuf::new(), runs: runs.into() };
        assert_eq!(names(&record.turn(&[case(1, 36_000), case(2, 4)], 0)), ["a::1"]);
    }
}
