//! What the engine tells of its work: what changes did, or would do.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use serde::Serialize;

use crate::changes::{Lowered, Note, Role};
use crate::effect::Effect;
use crate::plan::{Left, Plan};
use crate::request::Request;
use base::error_kind::ErrorKind;
use base::ids::{LvName, LvmUuid, VgName};
use dm::kernel::Verb;

/// What changes did, or would do.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The plan.
    pub plan: Plan,
    /// The places of its changes among all.
    #[serde(skip)]
    pub changes: Range<usize>,
    /// What was done, in the order of the steps of each change.
    pub done: Vec<Done>,
    /// What the caller should know of the changes, whatever becomes of them.
    #[serde(skip)]
    pub notes: Vec<Note>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// What was asked for and is not done, while the rest is.
    pub left: Vec<NotDone>,
    /// What had been left by a crash and was mended first.
    pub recovered: Vec<String>,
    /// Whether it was done, not only planned.
    pub executed: bool,
    /// How long origins were suspended, in microseconds, if any were.
    pub suspended_us: Option<u64>,
    /// device-mapper ioctls by verb.
    pub ioctls: BTreeMap<Verb, u64>,
    /// The transactions after this one, in order: a change of a pool itself is one of its own.
    pub then: Vec<Report>,
}

/// The outcome of a change, or of a part of it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Done {
    /// The place of the change among the changes.
    pub change: usize,
    /// What it is within the change.
    pub role: Role,
    /// What the caller called what it is about.
    pub display_name: String,
    /// The volume or pool.
    pub name: LvName,
    /// Its identity.
    pub uuid: Option<LvmUuid>,
    /// Where users find its device when it is active.
    pub path: PathBuf,
    /// What happened to it.
    #[serde(flatten)]
    pub effect: Effect,
}

impl Report {
    /// This report and those of the transactions after it.
    pub fn in_turn(mut self) -> Vec<Self> {
        let then = std::mem::take(&mut self.then);
        std::iter::once(self).chain(then).collect()
    }

    /// The report on a plan of what changes come to.
    pub(crate) fn on(vg: &VgName, plan: Plan, lowered: &Lowered) -> Self {
        let part = |request: usize| lowered.parts.get(request);
        let done = plan.outcomes.iter().filter_map(|outcome| {
            let part = part(outcome.request)?;
            Some(Done {
                role: part.role.clone(),
                display_name: part.display_name.clone(),
                uuid: outcome.uuid,
                ..Done::of(part.change, vg, outcome.name.clone(), outcome.effect.clone())
            })
        });
        let left = plan.left.iter().filter_map(|left| {
            let Left { kind, message, hint, .. } = left.clone();
            Some(NotDone { change: part(left.request)?.change, kind, message, hint })
        });
        let (done, left) = (done.collect(), left.collect());
        Self { done, left, notes: lowered.notes.clone(), ..Self::of(plan) }
    }

    /// The report on a plan of which nothing is done yet.
    pub fn of(plan: Plan) -> Self {
        Self {
            plan,
            changes: 0..0,
            done: Vec::new(),
            notes: Vec::new(),
            warnings: Vec::new(),
            left: Vec::new(),
            recovered: Vec::new(),
            executed: false,
            suspended_us: None,
            ioctls: BTreeMap::new(),
            then: Vec::new(),
        }
    }
}

impl Done {
    /// The outcome of a change itself.
    pub fn of(change: usize, vg: &VgName, name: LvName, effect: Effect) -> Self {
        let path = PathBuf::from(format!("/dev/{vg}/{name}"));
        let display_name = format!("{vg}/{name}");
        Self { change, role: Role::Itself, display_name, name, uuid: None, path, effect }
    }
}

/// What was asked for and is not done, while the rest is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NotDone {
    /// The place of the change among the changes.
    pub change: usize,
    /// What sort of reason it has.
    pub kind: ErrorKind,
    /// What is not done, and why.
    pub message: String,
    /// What the user can do about it.
    pub hint: Option<String>,
}

/// What changes are about, by the metadata alone: nothing was looked at or locked for writing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Preview {
    /// The volumes and snapshots that go, as they are shown, with their LVs.
    pub removed: Vec<(String, LvName)>,
    /// What the caller should know.
    pub notes: Vec<Note>,
}

impl Preview {
    pub(crate) fn of(lowered: Lowered) -> Self {
        let parts = lowered.requests.into_iter().zip(lowered.parts);
        let removed = parts.filter_map(|(request, part)| match request {
            Request::Remove { name } => Some((part.display_name, name)),
            _ => None,
        });
        Self { removed: removed.collect(), notes: lowered.notes }
    }
}
