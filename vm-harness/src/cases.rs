//! Runs cases in guests and keeps the score.

use std::collections::VecDeque;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use vm_harness::protocol::{CaseInfo, CaseResult, Order, Outcome, Report, Tier};
use vm_harness::score::Score;

use crate::accel::Accel;
use crate::guest::{Guest, Setup, Silence};
use crate::payload::Payload;
use crate::progress::step;
use crate::workspace::Workspace;

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

/// Runs the cases of one tier: all in one guest, unless one of them leaves it unusable.
pub fn run(
    workspace: &Workspace,
    setup: &Setup,
    accel: Accel,
    tier: Tier,
    cases: &[CaseInfo],
) -> Result<Score> {
    let mut score = Score::default();
    let mut waiting: VecDeque<&CaseInfo> = cases.iter().filter(|case| case.tier == tier).collect();
    while !waiting.is_empty() {
        let name = format!("boot the {} machine", tier.name());
        let mut guest = step(workspace, &name, |_| Guest::boot(workspace, setup, tier, accel))?;
        while let Some(case) = waiting.pop_front() {
            let result = run_one(&mut guest, case)?;
            score.add(&result);
            if !result.clean {
                if !waiting.is_empty() {
                    println!("case {} left the machine unusable; the others run in a new one", case.name);
                }
                break;
            }
        }
    }
    Ok(score)
}

fn run_one(guest: &mut Guest, case: &CaseInfo) -> Result<CaseResult> {
    let started = Instant::now();
    guest.order(&Order::Case(case.clone()))?;
    let silence = match guest.report_within(case.limit_s) {
        Ok(Report::Case(result)) => return Ok(result),
        Ok(other) => bail!("the guest answered {other:?} to a case"),
        Err(silence) => silence,
    };
    let what = match silence {
        Silence::Hung => {
            format!("the whole machine hung: no answer within {} s and the time to clean up", case.limit_s)
        }
        Silence::Died => "the machine died".to_owned(),
    };
    Ok(CaseResult {
        name: case.name.clone(),
        outcome: if silence == Silence::Hung { Outcome::TimedOut } else { Outcome::Failed },
        ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        output: format!("{what}\n{}", guest.last_words()),
        clean: false,
    })
}

/// By how much time limits are stretched, for machines that do other things at the same time.
pub fn patience() -> u64 {
    std::env::var("THINVOL_VM_PATIENCE").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}
