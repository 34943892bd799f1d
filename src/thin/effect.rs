//! What a change does to a volume, in a form that programs can go by.

use std::fmt;

use serde::Serialize;

use base::ids::LvName;
use base::units::Bytes;
use base::units::size::Rounded;

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
    /// It is a pool, made or changed: how, in words.
    Pool {
        /// What it is now.
        what: String,
    },
    /// Its devices are there.
    Activated,
    /// Its devices are gone.
    Deactivated,
    /// It is not activated, for its flag says so.
    Skipped,
}

/// What is as asked already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Already {
    /// The size, in bytes.
    Size(Bytes),
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
            Self::Pool { what } => f.write_str(what),
            Self::Activated => write!(f, "activated"),
            Self::Deactivated => write!(f, "deactivated"),
            Self::Skipped => write!(f, "left inactive: its activation skip flag is set"),
        }
    }
}
