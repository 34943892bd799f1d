//! The progress of a plan.

use crate::plan::{Plan, Step};
use crate::ports::Host;

/// Pieces of work: messages one by one, other steps as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    done: usize,
    of: usize,
}

impl Progress {
    /// The start of a plan. The last piece of work is to wait for udev.
    pub(super) fn of(plan: &Plan) -> Self {
        Self { done: 0, of: plan.steps.iter().map(|planned| pieces(&planned.step)).sum::<usize>() + 1 }
    }

    /// The pieces of a step that are not counted before it is done: nothing is reported within a suspended window.
    pub(super) fn left_of(step: &Step) -> usize {
        match step {
            Step::Send { .. } | Step::Wipe(_) | Step::Apart(_) => 0,
            _ => pieces(step),
        }
    }

    /// So many more pieces are done.
    pub(super) fn add(&mut self, pieces: usize) {
        self.done = self.of.min(self.done + pieces);
    }

    /// Nothing more is to be counted.
    pub(super) fn end(&mut self) {
        self.done = self.of;
    }

    pub(super) fn tell(self, host: &dyn Host) {
        host.progress(self.done, self.of);
    }
}

fn pieces(step: &Step) -> usize {
    match step {
        Step::Wipe(wipe) => wipe.pieces().count(),
        Step::Send { sends } | Step::Freeze { sends, .. } => sends.len(),
        Step::Apart(apart) => apart.steps.iter().map(|planned| pieces(&planned.step)).sum(),
        _ => 1,
    }
}
