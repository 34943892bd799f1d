//! What state a pool is in, in words, and the way out of it: said alike by what shows pools and by what refuses to
//! change them.
//!
//! Source: Linux `drivers/md/dm-thin.c` (`set_pool_mode`, `handle_unserviceable_bio`, `pool_status`).

use crate::observed::{PoolReadError, PoolState};
use base::error_kind::ErrorKind;
use base::first_few::first_few;
use base::ids::TransactionId;
use dm::status::{NoSpace, PoolMode, PoolStatus, PoolWorking};
use lvm2::format::model::{ERROR_WHEN_FULL, Lv, ThinPool};

/// More names than this are counted, not listed.
const LISTED_NAMES: usize = 3;

/// The state of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Its target does not run.
    Inactive,
    /// It does all it should.
    Works,
    /// No room for data is left; reads, and writes to chunks that a volume holds alone, go on.
    DataFull(FullWrites),
    /// No room for metadata is left: it only reads. Nothing that was written is lost.
    MetadataFull,
    /// It only reads, and the kernel does not say why.
    ReadOnly,
    /// A change of its metadata failed and was dropped: it only reads until the metadata is checked.
    NeedsCheck,
    /// It has given up.
    Failed,
    /// The kernel cannot read the numbers from its metadata.
    Unreadable,
    /// It does not run, and its metadata cannot be used; why.
    Damaged(String),
    /// Text and kernel speak of different times.
    TransactionsDiffer {
        /// The kernel's.
        kernel: TransactionId,
        /// The text's.
        text: TransactionId,
    },
    /// It does not run, and a part of it lies on physical volumes that are not here.
    PartMissing {
        /// Which part.
        part: &'static str,
        /// The physical volumes, as they are known.
        missing: Vec<String>,
    },
}

/// What becomes of writes that need a new chunk when there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FullWrites {
    /// They are held back.
    Wait,
    /// They fail: that is how the pool is set.
    Fail,
    /// They were held back, as the pool is set; the time was over, and they fail now.
    GaveUp,
}

impl Condition {
    /// The state of a pool that was looked at; `missing` are the physical volumes that are not here under its metadata
    /// and its data.
    pub fn of(lv: &Lv, pool: &ThinPool, state: &PoolState, missing: [Vec<String>; 2]) -> Self {
        let at_rest = pool.messages.is_empty();
        let differs =
            |kernel: TransactionId| at_rest && pool.transaction_id.0 != 0 && kernel != pool.transaction_id;
        match state {
            PoolState::Active(status) | PoolState::ActiveNew(status) => match status {
                PoolStatus::Failed => Self::Failed,
                PoolStatus::Error => Self::Unreadable,
                PoolStatus::Working(working) if differs(working.transaction_id) => {
                    Self::TransactionsDiffer { kernel: working.transaction_id, text: pool.transaction_id }
                }
                PoolStatus::Working(working) => Self::of_working(working, lv.has_flag(ERROR_WHEN_FULL)),
            },
            PoolState::Inactive(_) | PoolState::Unreadable(_) if missing.iter().any(|it| !it.is_empty()) => {
                let [metadata, data] = missing;
                let (part, missing) =
                    if metadata.is_empty() { ("data", data) } else { ("metadata", metadata) };
                Self::PartMissing { part, missing }
            }
            PoolState::Inactive(kernel) if differs(*kernel) => {
                Self::TransactionsDiffer { kernel: *kernel, text: pool.transaction_id }
            }
            PoolState::Unreadable(why @ (PoolReadError::Failed(_) | PoolReadError::Damaged(_))) => {
                Self::Damaged(why.to_string())
            }
            PoolState::Inactive(_) | PoolState::Unreadable(PoolReadError::OutOfReach(_)) => Self::Inactive,
        }
    }

    /// The state of a pool that runs; `fails_when_full` is how its text has it.
    pub fn of_working(working: &PoolWorking, fails_when_full: bool) -> Self {
        if working.needs_check {
            return Self::NeedsCheck;
        }
        match working.mode {
            PoolMode::ReadWrite => Self::Works,
            PoolMode::OutOfDataSpace => Self::DataFull(match working.no_space {
                NoSpace::Queue => FullWrites::Wait,
                NoSpace::Error if fails_when_full => FullWrites::Fail,
                NoSpace::Error => FullWrites::GaveUp,
            }),
            // The kernel counts what it keeps in reserve as used.
            PoolMode::ReadOnly if working.metadata.free() == 0 => Self::MetadataFull,
            PoolMode::ReadOnly => Self::ReadOnly,
        }
    }

    /// One word for programs.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Works => "works",
            Self::DataFull(FullWrites::Wait) => "data_full_writes_wait",
            Self::DataFull(FullWrites::Fail | FullWrites::GaveUp) => "data_full_writes_fail",
            Self::MetadataFull => "metadata_full",
            Self::ReadOnly => "read_only",
            Self::NeedsCheck => "needs_check",
            Self::Failed => "failed",
            Self::Unreadable => "unreadable",
            Self::Damaged(_) => "damaged",
            Self::TransactionsDiffer { .. } => "transactions_differ",
            Self::PartMissing { .. } => "part_missing",
        }
    }

    /// Whether nothing is wrong with it.
    pub const fn is_fine(&self) -> bool {
        matches!(self, Self::Inactive | Self::Works)
    }

    /// What is wrong, to follow `pool <vg>/<pool>`.
    pub fn words(&self) -> String {
        match self {
            Self::Inactive => "is inactive".into(),
            Self::Works => "works".into(),
            Self::DataFull(FullWrites::Wait) => {
                "is full: no data space is left, and writes that need some wait for it".into()
            }
            Self::DataFull(FullWrites::Fail) => {
                "is full: no data space is left, and writes that need some fail".into()
            }
            Self::DataFull(FullWrites::GaveUp) => {
                "is full: no data space is left, and writes that need some waited in vain and fail by now"
                    .into()
            }
            Self::MetadataFull => {
                "is read-only: no metadata space is left; nothing that was written is lost".into()
            }
            Self::ReadOnly => "is read-only, and neither full nor to be checked".into(),
            Self::NeedsCheck => {
                "needs its metadata checked: a change of it failed, and the pool is read-only".into()
            }
            Self::Failed => "has failed: the kernel serves no I/O from it".into(),
            Self::Unreadable => "has metadata that the kernel cannot read".into(),
            Self::Damaged(why) => format!("cannot be started as it is: {why}"),
            Self::TransactionsDiffer { kernel, text } => {
                format!(
                    "is at transaction {kernel} in the kernel and at {text} in the volume group's metadata"
                )
            }
            Self::PartMissing { part, missing } => {
                format!(
                    "lies with its {part} on what is not here: {}",
                    first_few(missing, LISTED_NAMES, ", ")
                )
            }
        }
    }

    /// What to do about it; `pool` is how to call it.
    pub fn way_out(&self, pool: &str) -> Option<String> {
        let vg = pool.split('/').next().unwrap_or(pool);
        Some(match self {
            Self::Inactive | Self::Works => return None,
            Self::DataFull(FullWrites::Wait) => {
                format!(
                    "free volumes, or extend it ('thinvol pool extend {pool} --size +<size>'): writes that wait go on"
                )
            }
            Self::DataFull(FullWrites::Fail | FullWrites::GaveUp) => format!(
                "free volumes, or extend it ('thinvol pool extend {pool} --size +<size>'); who wrote must check what \
                 failed"
            ),
            Self::MetadataFull => {
                format!("'thinvol pool extend {pool} --metadata-size +<size>' extends it while in use")
            }
            Self::ReadOnly => format!(
                "look at the kernel log; if it speaks of metadata space, 'thinvol pool extend {pool} --metadata-size \
                 +<size>' extends it"
            ),
            Self::NeedsCheck => format!(
                "stop what uses its volumes and deactivate it, then 'thinvol pool check {pool} --clear-needs-check': \
                 if nothing is wrong, it works again once it is activated"
            ),
            Self::Failed | Self::Unreadable => {
                format!(
                    "look at the kernel log for a disk that fails; deactivate the pool, then 'thinvol pool check \
                     {pool}' says whether it is damaged"
                )
            }
            Self::Damaged(_) => {
                format!(
                    "see that its disks are whole; 'thinvol pool check {pool}' says what is damaged, and 'thinvol pool \
                     repair {pool}' repairs it"
                )
            }
            Self::TransactionsDiffer { .. } => format!(
                "one side was put back without the other: 'thinvol recover {vg}' says which copy of the metadata fits \
                 the pool, and what putting it back means"
            ),
            Self::PartMissing { .. } => "bring the disks back: 'pvs' shows which are known".into(),
        })
    }

    /// What kind of error it is to ask for something that it does not allow.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NeedsCheck
            | Self::Failed
            | Self::Unreadable
            | Self::Damaged(_)
            | Self::TransactionsDiffer { .. } => ErrorKind::Corrupt,
            Self::Inactive
            | Self::Works
            | Self::DataFull(_)
            | Self::MetadataFull
            | Self::ReadOnly
            | Self::PartMissing { .. } => ErrorKind::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn working(words: &str) -> Condition {
        let PoolStatus::Working(working) = PoolStatus::parse(words).unwrap() else { unreachable!() };
        Condition::of_working(&working, false)
    }

    #[test]
    fn each_state_of_a_running_pool_has_words_of_its_own() {
        let rest = "discard_passdown";
        for (status, word) in [
            ("7 10/2048 100/1000 - rw {rest} queue_if_no_space - 1024", "works"),
            (
                "7 10/2048 1000/1000 - out_of_data_space {rest} queue_if_no_space - 1024",
                "data_full_writes_wait",
            ),
            (
                "7 10/2048 1000/1000 - out_of_data_space {rest} error_if_no_space - 1024",
                "data_full_writes_fail",
            ),
            ("7 2048/2048 100/1000 - ro {rest} queue_if_no_space - 1024", "metadata_full"),
            ("7 10/2048 100/1000 - ro {rest} queue_if_no_space - 1024", "read_only"),
            ("7 10/2048 100/1000 - ro {rest} queue_if_no_space needs_check 1024", "needs_check"),
        ] {
            let condition = working(&status.replace("{rest}", rest));
            assert_eq!(condition.word(), word);
            assert_eq!(condition.is_fine(), condition.way_out("pve/data").is_none(), "{word}");
        }
        let full = "7 10/2048 1000/1000 - out_of_data_space discard_passdown error_if_no_space - 1024";
        let waited = working(full);
        assert_eq!(waited, Condition::DataFull(FullWrites::GaveUp));
        assert!(waited.words().contains("waited in vain"), "{}", waited.words());
        let PoolStatus::Working(seen) = PoolStatus::parse(full).unwrap() else { unreachable!() };
        assert_eq!(Condition::of_working(&seen, true), Condition::DataFull(FullWrites::Fail));
    }
}
