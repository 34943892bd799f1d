//! The metadata of a pool that does not run, checked: its device comes, is checked, and goes again. The kernel's mark
//! that it needs a check goes with a whole check that finds nothing, if that is asked for.

use super::super::devices::refuse;
use super::super::draft::Draft;
use super::super::sequence::Sequence;
use super::state::finished;
use crate::effect::Effect;
use crate::plan::{Plan, Step};
use crate::refusal::Refusal;
use base::error_kind::ErrorKind;
use base::ids::LvName;

/// Plans the check.
pub(super) fn plan(draft: &mut Draft<'_>, name: &LvName, clear_mark: bool) -> Result<Plan, Refusal> {
    let (lv, pool) = draft.pool(name)?;
    let shown = draft.shown_pool(name);
    draft.check_flawless(lv, "check")?;
    if draft.pool_runs(name)? {
        let message = format!("pool {shown} is active: its metadata changes while it is looked at");
        return Err(Refusal::new(ErrorKind::Busy, message).hint("deactivate the pool and its volumes first"));
    }
    let (stack, _) = draft.pool_stack(lv, pool)?;
    let parts = stack.parts.clone().map_err(|error| refuse(&error))?;
    let clears = clear_mark && draft.seen(name)?.superblock.is_some_and(|found| found.needs_check);
    draft.pool_outcome(lv, if clears { Effect::MarkCleared } else { Effect::Checked });
    let mut sequence = Sequence::new(draft);
    sequence.clear_parts(name, &stack)?;
    let [tmeta, _] = parts;
    let devices: Vec<_> = tmeta.below.into_iter().chain([tmeta.top]).collect();
    for spec in &devices {
        sequence.bring_up(spec.clone())?;
    }
    let tmeta = stack.tmeta.clone();
    sequence.plan.push(if clears { Step::ClearMark { tmeta } } else { Step::ThinCheck { tmeta } });
    devices.iter().rev().for_each(|spec| sequence.take_down(spec));
    Ok(finished(sequence))
}
