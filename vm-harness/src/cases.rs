//! Which cases exist, and which of them are selected.

use std::process::Command;

use anyhow::{Context, Result, bail};
use vm_harness::protocol::CaseInfo;

use crate::payload::Payload;

/// A selection of cases.
#[derive(Clone, Copy)]
pub struct CaseSelection<'a> {
    /// The name contains one of these words; if there are none, all cases that always run.
    pub filters: &'a [String],
    /// Also all long cases.
    pub long: bool,
    /// On this host's kernel. Cases that fail on purpose, to test the harness itself, never run there: they would stop
    /// the process that runs them, or the host.
    pub host: bool,
}

impl CaseSelection<'_> {
    fn wants(&self, case: &CaseInfo) -> bool {
        if self.host && case.must.is_some() {
            return false;
        }
        if self.filters.is_empty() {
            return self.long || !case.long;
        }
        self.filters.iter().any(|word| case.name.contains(word.as_str()))
    }
}

/// The selected ones of the declared cases, and those that `more` adds.
pub fn list(
    payload: &Payload,
    wish: CaseSelection<'_>,
    more: impl FnOnce(&[CaseInfo]) -> Vec<CaseInfo>,
) -> Result<Vec<CaseInfo>> {
    let output = Command::new(payload.cases().context("there are no cases")?)
        .arg("list")
        .output()
        .context("cannot start dm-tests")?;
    if !output.status.success() {
        bail!("dm-tests list failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let cases: Vec<CaseInfo> = serde_json::from_slice(&output.stdout).context("dm-tests list is not JSON")?;
    let added = more(&cases);
    let wanted =
        cases.into_iter().filter_map(|case| match added.iter().find(|added| added.name == case.name) {
            Some(added) => Some(added.clone()),
            None => wish.wants(&case).then_some(case),
        });
    let mut wanted: Vec<CaseInfo> = wanted.collect();
    for case in &mut wanted {
        case.limit_s = case.limit_s.saturating_mul(patience());
    }
    if wanted.is_empty() {
        bail!(
            "no case has {} in its name; `dm-tests list` in the machine names them all",
            wish.filters.join(" or ")
        );
    }
    Ok(wanted)
}

/// The factor for all time limits, for hosts that do other work at the same time.
pub fn patience() -> u64 {
    std::env::var("THINVOL_VM_PATIENCE").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use vm_harness::protocol::{CaseInfo, End, Must, Tier};

    use super::CaseSelection;

    #[test]
    fn long_cases_run_where_they_are_named_or_all_are_wanted() {
        let case = |name: &str, long| CaseInfo {
            name: name.into(),
            tier: Tier::Full,
            limit_s: 1,
            long,
            turn: None,
            must: None,
        };
        let (short, long) = (case("a::short", false), case("a::thousands", true));
        let words = ["thousands".to_owned()];
        for (wish, wanted) in [
            (CaseSelection { filters: &[], long: false, host: false }, [true, false]),
            (CaseSelection { filters: &[], long: true, host: false }, [true, true]),
            (CaseSelection { filters: &words, long: false, host: false }, [false, true]),
        ] {
            assert_eq!([wish.wants(&short), wish.wants(&long)], wanted);
        }
        let must = Some(Must { end: End::Fail, say: String::new(), spoils_machine: true });
        let harmful = CaseInfo { must, ..short };
        assert!(!CaseSelection { filters: &[], long: true, host: true }.wants(&harmful));
    }
}
