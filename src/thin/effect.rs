//! What a change does to a volume, in a form that programs can go by.

use std::fmt;

use serde::Serialize;

use crate::pool_rules::RuleChange;
use base::ids::LvName;
use base::units::Bytes;
use base::units::size::Rounded;
use lvm2::format::model::Discards;

/// What happens, or happened, to a volume or pool. To ask for what is so already is no error: [`Self::Unchanged`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Effect {
    /// It is as asked already.
    Unchanged {
        /// What is as asked.
        already: Already,
    },
    /// It is new: empty, or with the content of another volume.
    Created {
        /// The volume it shares its content with.
        #[serde(skip_serializing_if = "Option::is_none")]
        origin: Option<LvName>,
    },
    /// It is gone.
    Removed,
    /// The disks below were told that nothing of it is needed.
    Discarded,
    /// It is overwritten with zeros.
    Zeroed,
    /// It has another size.
    Resized {
        /// The size it had, in bytes.
        from: Bytes,
        /// The size it has, in bytes.
        to: Bytes,
    },
    /// It has another name.
    Renamed {
        /// The name it had.
        from: LvName,
    },
    /// Flags, tags or the permission to write are other ones.
    Modified,
    /// It holds what a snapshot holds.
    RolledBack {
        /// The snapshot's LV.
        to: LvName,
        /// The size it has, in bytes, if that is another one.
        #[serde(skip_serializing_if = "Option::is_none")]
        size: Option<Bytes>,
    },
    /// It is a new pool.
    PoolCreated {
        /// The size of its data, in bytes.
        size: Bytes,
        /// The size of its metadata, in bytes.
        metadata_size: Bytes,
        /// The size of a chunk, in bytes.
        chunk_size: Bytes,
    },
    /// It is a pool with more room.
    PoolGrown {
        /// For what.
        part: PoolPart,
        /// The size that part had, in bytes.
        from: Bytes,
        /// The size it has, in bytes.
        to: Bytes,
    },
    /// It is a pool that works in another way.
    PoolSet(PoolWays),
    /// It is a pool whose metadata passed a check.
    Checked,
    /// The same, and the kernel's mark that it needs one is gone.
    MarkCleared,
    /// It is a pool with repaired metadata.
    PoolRepaired {
        /// The LV that holds its metadata as it was before.
        kept: LvName,
        /// The spare for the next repair, if there was room for one.
        #[serde(skip_serializing_if = "Option::is_none")]
        spare: Option<LvName>,
    },
    /// Its devices are there.
    Activated,
    /// Its devices are gone.
    Deactivated,
    /// It is not activated, for its flag says so.
    Skipped,
}

/// A part of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PoolPart {
    /// What volumes hold.
    Data,
    /// Where it is.
    Metadata,
}

/// The ways of a pool that are other ones now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PoolWays {
    /// What happens to discards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discards: Option<Discards>,
    /// Whether new chunks are zeroed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zero: Option<bool>,
    /// Whether writes fail at once when it is full, instead of waiting for room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_when_full: Option<bool>,
    /// What is said of it beyond what LVM knows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleChange>,
}

/// What is as asked already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Already {
    /// The size, in bytes.
    Size(Bytes),
    /// The sizes of a pool, in bytes.
    PoolSize {
        /// Of its data.
        data: Bytes,
        /// Of its metadata.
        metadata: Bytes,
    },
    /// The name.
    Name,
    /// Flags, tags and the permission to write.
    Attributes,
    /// The devices are there.
    Active,
    /// There are no devices.
    Inactive,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unchanged { already } => match already {
                Already::Size(size) => write!(f, "has that size already: {}", Rounded(*size)),
                Already::PoolSize { data, metadata } => {
                    write!(f, "has that size already: {}, metadata {}", Rounded(*data), Rounded(*metadata))
                }
                Already::Name => write!(f, "has that name already"),
                Already::Attributes => write!(f, "is as asked already"),
                Already::Active => write!(f, "is active already"),
                Already::Inactive => write!(f, "is inactive already"),
            },
            Self::Created { origin: None } => write!(f, "created"),
            Self::Created { origin: Some(origin) } => write!(f, "snapshot of {origin}"),
            Self::Removed => write!(f, "removed"),
            Self::Discarded => write!(f, "discarded"),
            Self::Zeroed => write!(f, "overwritten with zeros"),
            Self::Resized { from, to } => {
                write!(f, "resized from {} to {}", Rounded(*from), Rounded(*to))
            }
            Self::Renamed { from } => write!(f, "renamed from {from}"),
            Self::Modified => write!(f, "changed"),
            Self::RolledBack { to, size: None } => write!(f, "rolled back to {to}"),
            Self::RolledBack { to, size: Some(size) } => {
                write!(f, "rolled back to {to}; its size is {} again", Rounded(*size))
            }
            Self::PoolCreated { size, metadata_size, chunk_size } => {
                let [size, chunk, metadata] = [size, chunk_size, metadata_size].map(|size| Rounded(*size));
                write!(f, "created: {size}, chunks of {chunk}, metadata {metadata}")
            }
            Self::PoolGrown { part, from, to } => {
                write!(f, "{part} grown from {} to {}", Rounded(*from), Rounded(*to))
            }
            Self::PoolSet(ways) => ways.fmt(f),
            Self::Checked => write!(f, "passed the check of its metadata"),
            Self::MarkCleared => {
                write!(f, "passed the check of its metadata; the mark that it needs one is taken away")
            }
            Self::PoolRepaired { kept, .. } => {
                write!(f, "its metadata is repaired; what it was before is kept as {kept}")
            }
            Self::Activated => write!(f, "activated"),
            Self::Deactivated => write!(f, "deactivated"),
            Self::Skipped => write!(f, "left inactive: its activation skip flag is set"),
        }
    }
}

impl fmt::Display for PoolPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data => "data",
            Self::Metadata => "metadata",
        })
    }
}

impl fmt::Display for PoolWays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let discards = self.discards.map(|discards| match discards {
            Discards::Ignore => "ignores discards",
            Discards::NoPassdown => "frees what is discarded and does not tell the disks",
            Discards::Passdown => "frees what is discarded and tells the disks",
        });
        let zero = self.zero.map(|on| if on { "zeroes new chunks" } else { "does not zero new chunks" });
        let full = self
            .error_when_full
            .map(|on| if on { "fails writes when full" } else { "holds writes back when full" });
        let ways = [discards, zero, full].into_iter().flatten().map(str::to_owned);
        let ways: Vec<String> = ways.chain(self.rules.iter().map(|rule| rule.words())).collect();
        f.write_str(&ways.join(", "))
    }
}
