//! A plan: all steps of a transaction in their order, printable.
//!
//! Each step may carry the step that undoes it. Before the plan's point of no return, the executor undoes the completed
//! steps after a failure, the last one first; after it, recovery completes the change.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::effect::Effect;
use super::making::Making;
use super::refusal::Refusal;
use super::stack::{DevRef, DeviceSpec, PoolBlocks, Role};
use super::wipe::Wipe;
use base::error_kind::ErrorKind;
use base::ids::{DevNo, FullName, LvName, LvmUuid, PoolId, Seqno, TransactionId, VgName};
use base::units::size::Rounded;
use base::units::{Chunks, Sectors};
use dm::kernel::Suspend;
pub use dm::message::Message;
use dm::name::{DmName, DmUuid};
use lvm2::format::metadata::Metadata;
use lvm2::format::monitoring::Registration;

mod commit;
mod mend;

pub use commit::Commit;
pub use mend::{Assumed, MetadataRepair, Repaired};

/// A message and the one refusal that means it was carried out earlier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Send {
    /// The pool target it goes to.
    pub tpool: DmName,
    /// What to send.
    pub message: Message,
    /// Whether "exists" (to a create) or "does not exist" (to a delete) counts as done.
    pub replay: bool,
}

/// What a pool is wanted for: each asks more of it than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// To have volumes active on it.
    Activation,
    /// To take messages.
    Change,
    /// To take new volumes.
    NewVolumes {
        /// That start empty.
        empty: u64,
        /// That start as snapshots.
        snapshots: u64,
    },
}

/// What a pool must be like before anything is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PoolExpectation {
    /// The transaction id the kernel must hold.
    pub transaction_id: TransactionId,
    /// What it is wanted for.
    pub purpose: Purpose,
    /// Data usage in percent above which new volumes are refused.
    pub threshold_percent: u32,
    /// How large it must be at least, if that matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<PoolBlocks>,
    /// How many chunks must be free in it, if its rules keep a reserve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free: Option<Chunks>,
}

/// One thing to do.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// Forget that the pool's devices are known to match the text: from here on a crash may leave some that do not.
    MarkDirty {
        /// The pool.
        pool: PoolId,
        /// The devices that the kernel is to make before the text names them, if any: recorded first.
        making: Option<Making>,
    },
    /// Remember that the pool's devices match the text.
    MarkClean {
        /// The pool.
        pool: PoolId,
    },
    /// Create a device, load its table and put it in place.
    CreateDevice(DeviceSpec),
    /// Give a device another table, in use or not: load it and resume.
    ReloadDevice(DeviceSpec),
    /// Check a pool's metadata before the pool is put on it.
    ThinCheck {
        /// The metadata device.
        tmeta: DmName,
    },
    /// Check all of a pool's metadata, and stop if nothing is wrong with it.
    ExpectDamage {
        /// The metadata device.
        tmeta: DmName,
    },
    /// Check all of a pool's metadata, stop if anything is wrong, and take away the mark that it needs a check.
    ClearMark {
        /// The metadata device.
        tmeta: DmName,
    },
    /// Write what can be read of a pool's metadata to another device, whole, and make that durable.
    RepairMetadata(MetadataRepair),
    /// Check all of repaired metadata, read it, and stop unless it is as expected.
    ExpectRepaired(Repaired),
    /// Remove a device.
    RemoveDevice(DeviceSpec),
    /// Give a device another name. Open handles stay valid.
    RenameDevice {
        /// The name it has.
        from: DmName,
        /// The name it gets.
        to: DmName,
        /// What udev is to make of it.
        role: Role,
    },
    /// Let I/O to a device go on that a crash left suspended.
    Resume {
        /// The device.
        name: DmName,
        /// What udev is to make of it.
        role: Role,
    },
    /// Read the pool's status and stop unless it is as expected.
    ExpectPool {
        /// The pool target.
        tpool: DmName,
        /// What it must be like.
        expect: PoolExpectation,
    },
    /// Suspend all origins, send all messages, resume all origins. A file system that somebody else keeps frozen is
    /// left alone. Messages are taken back as for [`Step::Send`].
    Freeze {
        /// Active origins, suspended together.
        origins: Vec<DmName>,
        /// Whether file systems on them are frozen.
        how: Suspend,
        /// What is sent meanwhile, in order.
        sends: Vec<Send>,
    },
    /// Send messages. Those that were carried out are taken back one by one, by the opposite message.
    Send {
        /// The messages, in order.
        sends: Vec<Send>,
    },
    /// Step the kernel's transaction id.
    SetTransaction {
        /// The pool target.
        tpool: DmName,
        /// The id it has.
        from: TransactionId,
        /// The id it gets.
        to: TransactionId,
    },
    /// Have dmeventd watch a pool's target as it did before the target was made anew.
    Watch {
        /// The pool.
        pool: FullName,
        /// The target.
        tpool: DmUuid,
        /// How.
        how: Registration,
    },
    /// Make extents that belong to nobody read as zeros.
    ZeroExtents(ZeroExtents),
    /// Write a text to all metadata areas.
    Commit(Box<Commit>),
    /// Discard or zero all of a volume.
    Wipe(Wipe),
    /// Give the lock of the volume group back: what follows concerns nobody but new volumes.
    Unlock,
    /// From here on nothing is taken back.
    PointOfNoReturn,
    /// Steps that nothing else depends on: if one fails, those before it are taken back, and the plan goes on.
    Apart(Apart),
}

/// A place on a physical volume that is to be a pool's metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ZeroExtents {
    /// The pool.
    pub pool: LvName,
    /// The physical volume.
    pub disk: DevRef,
    /// Where on it.
    pub start: Sectors,
    /// How much.
    pub length: Sectors,
}

/// Steps that stand and fall together, apart from the rest of the plan.
#[derive(Clone, Debug, Serialize)]
pub struct Apart {
    /// The place of the request they are part of.
    pub request: usize,
    /// What they are for, in words.
    pub what: String,
    /// The LVs that are as they were if they fail.
    pub lvs: Vec<LvName>,
    /// The steps.
    pub steps: Vec<Planned>,
}

/// Something asked for that is not done, while the rest is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Left {
    /// The place of the request that it is part of.
    pub request: usize,
    /// The LVs it is about, as far as they are known.
    pub lvs: Vec<LvName>,
    /// What sort of reason it has.
    pub kind: ErrorKind,
    /// What is not done, and why.
    pub message: String,
    /// What the user can do about it.
    pub hint: Option<String>,
}

impl Left {
    /// What a refusal keeps from being done.
    pub fn of(refusal: &Refusal, request: usize, lvs: Vec<LvName>) -> Self {
        let Refusal { kind, message, hint, .. } = refusal.clone();
        Self { request, lvs, kind, message, hint }
    }

    /// Whether it says that this did not come to be.
    pub fn concerns(&self, outcome: &Outcome) -> bool {
        self.request == outcome.request && self.lvs.contains(&outcome.name)
    }
}

/// A step and what takes it back.
#[derive(Clone, Debug, Serialize)]
pub struct Planned {
    /// What to do.
    #[serde(flatten)]
    pub step: Step,
    /// What takes it back, in order; empty if there is nothing to take back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undo: Vec<Step>,
}

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The place of the request that it is of.
    pub request: usize,
    /// The volume or pool it is about.
    pub name: LvName,
    /// Its identity, if it is a volume that exists or will.
    pub uuid: Option<LvmUuid>,
    /// What happens to it.
    #[serde(flatten)]
    pub effect: Effect,
}

/// A whole transaction.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The volume group.
    pub vg: VgName,
    /// The state it was made for: it is void if the VG has moved on.
    pub parent: Seqno,
    /// Numbers of the devices that exist already and that tables may stand on.
    #[serde(skip)]
    pub numbers: BTreeMap<DevRef, DevNo>,
    /// The steps.
    pub steps: Vec<Planned>,
    /// The outcome of each request, in order of the requests.
    pub outcomes: Vec<Outcome>,
    /// What the user should know before or after.
    pub warnings: Vec<String>,
    /// What is asked for and not even tried.
    pub left: Vec<Left>,
}

impl Plan {
    /// An empty plan for that state of a VG.
    pub fn new(vg: VgName, parent: Seqno) -> Self {
        Self {
            vg,
            parent,
            numbers: BTreeMap::new(),
            steps: Vec::new(),
            outcomes: Vec::new(),
            warnings: Vec::new(),
            left: Vec::new(),
        }
    }

    /// Adds a step that needs no undoing.
    pub fn push(&mut self, step: Step) {
        self.steps.push(Planned { step, undo: Vec::new() });
    }

    /// Adds a step and what takes it back.
    pub fn push_undoable(&mut self, step: Step, undo: Vec<Step>) {
        self.steps.push(Planned { step, undo });
    }

    /// Whether it ends early, with everything taken back, if the user wants to stop. What mends stands for itself, step
    /// by step, and is carried through.
    pub fn may_stop(&self) -> bool {
        !self.outcomes.is_empty()
    }

    /// The metadata that it leaves, if it commits any.
    pub fn metadata_after(&self) -> Option<&Arc<Metadata>> {
        self.steps.iter().rev().find_map(|planned| match &planned.step {
            Step::Commit(commit) => commit.metadata.as_ref(),
            _ => None,
        })
    }

    /// Whether it gives the lock of the volume group back before its end.
    pub fn unlocks(&self) -> bool {
        self.steps.iter().any(|planned| matches!(planned.step, Step::Unlock))
    }

    /// Number of metadata commits if all goes well.
    pub fn commits(&self) -> usize {
        self.steps.iter().filter(|planned| matches!(planned.step, Step::Commit(_))).count()
    }
}

fn join<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The messages by pool: `pve-data-tpool: create_thin 5, create_thin 6`.
fn messages(sends: &[Send]) -> String {
    let mut words = String::new();
    let mut last: Option<&DmName> = None;
    for send in sends {
        match last {
            Some(tpool) if *tpool == send.tpool => words.push_str(", "),
            Some(_) => words.push_str(&format!("; {}: ", send.tpool)),
            None => words.push_str(&format!("{}: ", send.tpool)),
        }
        words.push_str(&send.message.to_string());
        last = Some(&send.tpool);
    }
    words
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MarkDirty { pool, making: None } => write!(f, "mark pool {pool} as being changed"),
            Self::MarkDirty { pool, making: Some(making) } => {
                write!(f, "mark pool {pool} as being changed, with thin {} being made", join(&making.ids))
            }
            Self::MarkClean { pool } => write!(f, "mark pool {pool} as consistent"),
            Self::CreateDevice(spec) => write!(f, "activate {spec}"),
            Self::ReloadDevice(spec) => write!(f, "reload {spec}"),
            Self::ThinCheck { tmeta } => write!(f, "check pool metadata on {tmeta}"),
            Self::ExpectDamage { tmeta } => write!(f, "expect damage to the pool metadata on {tmeta}"),
            Self::ClearMark { tmeta } => {
                write!(f, "check all pool metadata on {tmeta}, and take away the mark that it needs a check")
            }
            Self::RepairMetadata(repair) => repair.fmt(f),
            Self::ExpectRepaired(repaired) => repaired.fmt(f),
            Self::RemoveDevice(spec) => write!(f, "deactivate {}", spec.name),
            Self::RenameDevice { from, to, .. } => write!(f, "rename device {from} to {to}"),
            Self::Resume { name, .. } => write!(f, "resume {name}"),
            Self::Watch { pool, how, .. } => {
                write!(f, "have dmeventd watch pool {pool}, if it runs ({})", how.library)
            }
            Self::ExpectPool { tpool, expect } => {
                let also = match expect.purpose {
                    Purpose::Activation => "",
                    Purpose::Change => ", writable",
                    Purpose::NewVolumes { .. } => ", writable, with room for new volumes",
                };
                write!(f, "expect {tpool} at transaction {}{also}", expect.transaction_id)?;
                expect.size.iter().try_for_each(|size| {
                    write!(f, ", of {} chunks and {} metadata blocks", size.data, size.metadata)
                })
            }
            Self::Freeze { origins, sends, .. } if origins.is_empty() => {
                write!(f, "tell {}", messages(sends))
            }
            Self::Freeze { origins, how, sends } => {
                let also = if *how == Suspend::Flush { " without freezing file systems" } else { "" };
                write!(f, "suspend {}{also}; tell {}; resume", join(origins), messages(sends))
            }
            Self::Send { sends } => write!(f, "tell {}", messages(sends)),
            Self::SetTransaction { tpool, from, to } => {
                let message = Message::SetTransactionId { from: *from, to: *to };
                write!(f, "tell {tpool}: {message}")
            }
            Self::Commit(commit) => {
                write!(
                    f,
                    "commit metadata {} ({} bytes): {}",
                    commit.seqno,
                    commit.bytes,
                    join(&commit.changes)
                )
            }
            Self::ZeroExtents(ZeroExtents { pool, disk, start, length }) => {
                let length = Rounded(length.to_bytes().unwrap_or_default());
                write!(f, "zero {length} on {disk} at sector {start}, for the metadata of {pool}")
            }
            Self::Wipe(wipe) => wipe.fmt(f),
            Self::Unlock => write!(f, "unlock the volume group"),
            Self::Apart(apart) => match apart.steps.as_slice() {
                [only] => only.step.fmt(f),
                _ => write!(f, "{}", apart.what),
            },
            Self::PointOfNoReturn => write!(f, "(from here on the change is completed, not taken back)"),
        }
    }
}

/// Steps, one a line, numbered; those that stand apart further in.
fn list(f: &mut fmt::Formatter<'_>, indent: &str, steps: &[Planned]) -> fmt::Result {
    let width = steps.len().to_string().len();
    for (index, planned) in steps.iter().enumerate() {
        writeln!(f, "{indent}{:>width$}. {}", index + 1, planned.step)?;
        if let Step::Apart(apart) = &planned.step
            && apart.steps.len() > 1
        {
            list(f, &format!("{indent}{:width$}  ", ""), &apart.steps)?;
        }
    }
    Ok(())
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "plan for volume group {}, metadata {}:", self.vg, self.parent)?;
        if self.steps.is_empty() {
            writeln!(f, "  nothing to do")?;
        }
        list(f, "  ", &self.steps)?;
        for left in &self.left {
            writeln!(f, "  not done: {}", left.message)?;
        }
        for warning in &self.warnings {
            writeln!(f, "  warning: {warning}")?;
        }
        Ok(())
    }
}
