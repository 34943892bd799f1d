//! What steps mean for a change that fails: which may have decided it, which change nothing that lasts.

use super::StepError;
use crate::plan::{Planned, Step};
use crate::wipe::{Wipe, WipeMethod};
use base::ids::LvName;
use dm::message::is_refusal;

/// Whether a step that failed may have taken effect in a way that cannot be taken back: a commit whose
/// outcome is unknown, or a deletion that failed without being refused.
pub(super) fn may_have_decided(step: &Step, cause: &StepError) -> bool {
    match (step, cause) {
        (_, StepError::Commit(failure)) => !failure.nothing_changed,
        (Step::Send { sends }, StepError::Dm(error)) => {
            sends.iter().any(|send| send.message.deleted().is_some()) && !is_refusal(error.errno)
        }
        _ => false,
    }
}

/// Whether a step changes nothing that lasts: devices, and marks of this host.
pub(super) fn concerns_devices(step: &Step) -> bool {
    match step {
        Step::MarkDirty { .. }
        | Step::MarkClean { .. }
        | Step::CreateDevice(_)
        | Step::ReloadDevice(_)
        | Step::ThinCheck { .. }
        | Step::ExpectDamage { .. }
        | Step::ExpectRepaired(_)
        | Step::RemoveDevice(_)
        | Step::RenameDevice { .. }
        | Step::Resume { .. }
        | Step::Watch { .. }
        | Step::ExpectPool { .. }
        | Step::Unlock
        | Step::Apart(_)
        | Step::Wipe(Wipe { how: WipeMethod::Zero, .. }) => true,
        Step::Freeze { .. }
        | Step::Send { .. }
        | Step::SetTransaction { .. }
        | Step::ZeroExtents(_)
        | Step::ClearMark { .. }
        | Step::RepairMetadata(_)
        | Step::Commit(_)
        | Step::Wipe(Wipe { how: WipeMethod::Discard, .. })
        | Step::PointOfNoReturn => false,
    }
}

/// The volumes that these steps overwrite with zeros.
pub(super) fn unzeroed(steps: &[Planned]) -> Vec<LvName> {
    let wiped = steps.iter().filter_map(|planned| match &planned.step {
        Step::Wipe(wipe) if wipe.how == WipeMethod::Zero => Some(wipe.volume.clone()),
        _ => None,
    });
    wiped.collect()
}
