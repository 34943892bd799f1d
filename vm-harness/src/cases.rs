//! Which cases there are, and which of them are wanted.

use std::process::Command;

use anyhow::{Context, Result, bail};
use vm_harness::protocol::CaseInfo;

use crate::payload::Payload;

/// The declared cases whose names contain one of the words; all if there are no words. Cases that go wrong on purpose,
/// to try the harness itself, are never run on a host: they would stop the process that runs them, or the host.
pub fn list(payload: &Payload, filters: &[String], host: bool) -> Result<Vec<CaseInfo>> {
    let output = Command::new(payload.agent()).arg("list").output().context("cannot start dm-tests")?;
    if !output.status.success() {
        bail!("dm-tests list failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let cases: Vec<CaseInfo> = serde_json::from_slice(&output.stdout).context("dm-tests list is not JSON")?;
    let is_wanted = |case: &CaseInfo| {
        let named = filters.iter().any(|word| case.name.contains(word.as_str()));
        (filters.is_empty() || named) && !(host && case.must.is_some())
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
