//! Which cases there are, and which of them are wanted.

use std::process::Command;

use anyhow::{Context, Result, bail};
use vm_harness::protocol::CaseInfo;

use crate::payload::Payload;

/// The declared cases of which every filter word is part of the name.
pub fn list(payload: &Payload, filters: &[String]) -> Result<Vec<CaseInfo>> {
    let output = Command::new(payload.agent()).arg("list").output().context("cannot start dm-tests")?;
    if !output.status.success() {
        bail!("dm-tests list failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let cases: Vec<CaseInfo> = serde_json::from_slice(&output.stdout).context("dm-tests list is not JSON")?;
    // Cases that hang or crash on purpose, to try the harness itself, run only when asked for by that name.
    let is_wanted = |case: &CaseInfo| {
        let mut words = filters.iter().filter(|word| case.name.contains(word.as_str()));
        if case.name.starts_with("selftest::") {
            words.any(|word| word.starts_with("selftest"))
        } else {
            filters.is_empty() || words.next().is_some()
        }
    };
    let mut wanted: Vec<CaseInfo> = cases.into_iter().filter(is_wanted).collect();
    for case in &mut wanted {
        case.limit_s = case.limit_s.saturating_mul(patience());
    }
    if wanted.is_empty() {
        bail!(
            "no case has {} in its name; `dm-tests list` in the machine names them all",
            filters.join(" or ")
        );
    }
    Ok(wanted)
}

/// By how much time limits are stretched, for machines that do other things at the same time.
pub fn patience() -> u64 {
    std::env::var("THINVOL_VM_PATIENCE").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}
