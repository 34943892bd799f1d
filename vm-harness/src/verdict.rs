//! The verdict on a case: one that fails on purpose passes exactly if it failed in the required way and the harness
//! reported that.

use crate::protocol::{CaseInfo, CaseResult, End, Must, Outcome};

/// The result after this verdict.
pub fn judge(case: &CaseInfo, result: CaseResult) -> CaseResult {
    let Some(must) = &case.must else { return result };
    match complaint(must, &result) {
        None => CaseResult { outcome: Outcome::Passed, ..result },
        Some(complaint) => {
            let output =
                format!("{complaint}; it ended as {:?} and said:\n{}", result.outcome, result.output);
            CaseResult { outcome: Outcome::Failed, output, ..result }
        }
    }
}

/// The problem.
fn complaint(must: &Must, result: &CaseResult) -> Option<String> {
    let (end, said) = match &result.outcome {
        Outcome::Passed => (None, result.output.as_str()),
        Outcome::Failed => (Some(End::Fail), result.output.as_str()),
        Outcome::TimedOut => (Some(End::TimeOut), result.output.as_str()),
        Outcome::Skipped { reason } => (Some(End::Skip), reason.as_str()),
    };
    if end != Some(must.end) {
        return Some(format!("the case must end as {:?}", must.end));
    }
    if !said.contains(&must.say) {
        return Some(format!("the harness must say '{}' of it", must.say));
    }
    (result.clean == must.spoils_machine).then(|| {
        let must = if must.spoils_machine { "be given up" } else { "be used again" };
        format!("the machine must {must}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Tier;

    fn judged(must: Option<Must>, outcome: Outcome, output: &str, clean: bool) -> CaseResult {
        let case =
            CaseInfo { name: "a::b".into(), tier: Tier::Fast, limit_s: 1, long: false, turn: None, must };
        judge(&case, CaseResult { name: "a::b".into(), outcome, ms: 0, output: output.into(), clean })
    }

    fn must(end: End, spoils_machine: bool) -> Option<Must> {
        Some(Must { end, say: "as it should".into(), spoils_machine })
    }

    #[test]
    fn ordinary_cases_count_as_they_end() {
        assert_eq!(judged(None, Outcome::TimedOut, "", true).outcome, Outcome::TimedOut);
        assert_eq!(judged(None, Outcome::Passed, "", true).outcome, Outcome::Passed);
    }

    #[test]
    fn the_right_failure_is_a_pass() {
        let said = "error: as it should";
        assert_eq!(judged(must(End::Fail, false), Outcome::Failed, said, true).outcome, Outcome::Passed);
        assert_eq!(judged(must(End::TimeOut, true), Outcome::TimedOut, said, false).outcome, Outcome::Passed);
        let skipped = Outcome::Skipped { reason: "as it should be".into() };
        assert_eq!(judged(must(End::Skip, false), skipped, "", true).outcome, Outcome::Passed);
    }

    #[test]
    fn anything_else_is_a_failure_that_says_why() {
        let said = "as it should";
        for (end, outcome, output, clean, why) in [
            (End::Fail, Outcome::Passed, said, true, "must end as Fail"),
            (End::Fail, Outcome::TimedOut, said, true, "must end as Fail"),
            (End::Fail, Outcome::Failed, "something else", true, "must say 'as it should'"),
            (End::Fail, Outcome::Failed, said, false, "must be used again"),
            (End::Skip, Outcome::Skipped { reason: "no disk".into() }, said, true, "must say"),
        ] {
            let result = judged(must(end, false), outcome, output, clean);
            assert_eq!(result.outcome, Outcome::Failed);
            assert!(result.output.contains(why), "{}", result.output);
        }
    }
}
