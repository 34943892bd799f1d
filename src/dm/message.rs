//! The messages that a thin pool takes. Source: Linux `Documentation/admin-guide/device-mapper/thin-provisioning.rst`,
//! `drivers/md/dm-thin.c` (`pool_message`).

use std::fmt;
use std::str::FromStr;

use nix::errno::Errno;
use serde::Serialize;
use thiserror::Error;

use base::ids::{ThinId, TransactionId};

/// A message to a thin pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// Make an empty thin device.
    CreateThin(ThinId),
    /// Make a thin device that shares all blocks of another one.
    CreateSnap {
        /// The new device.
        id: ThinId,
        /// The other one; suspended, or not active.
        origin: ThinId,
    },
    /// Delete a thin device and its data.
    Delete(ThinId),
    /// Step the transaction id.
    SetTransactionId {
        /// What it is.
        from: TransactionId,
        /// What it becomes.
        to: TransactionId,
    },
    /// Keep the metadata as they are, for a reader outside of the kernel.
    ReserveMetadataSnap,
    /// Keep them no longer.
    ReleaseMetadataSnap,
}

impl Message {
    /// The message that takes it back; `None` where nothing does.
    pub fn inverse(self) -> Option<Self> {
        match self {
            Self::CreateThin(id) | Self::CreateSnap { id, .. } => Some(Self::Delete(id)),
            Self::SetTransactionId { from, to } => Some(Self::SetTransactionId { from: to, to: from }),
            Self::ReserveMetadataSnap => Some(Self::ReleaseMetadataSnap),
            Self::Delete(_) | Self::ReleaseMetadataSnap => None,
        }
    }

    /// The device that it deletes, if it does.
    pub fn deleted(self) -> Option<ThinId> {
        match self {
            Self::Delete(id) => Some(id),
            _ => None,
        }
    }

    /// What the kernel answers if things are as the message would make them; `None` where its answer says nothing of
    /// it. Source: Linux `drivers/md/dm-thin-metadata.c` (`__create_thin`, `__create_snap`, `__delete_device`,
    /// `__reserve_metadata_snap`, `__release_metadata_snap`).
    pub fn already_done(self) -> Option<Errno> {
        match self {
            Self::CreateThin(_) | Self::CreateSnap { .. } => Some(Errno::EEXIST),
            Self::Delete(_) => Some(Errno::ENODATA),
            // The id is another one than was said, whichever.
            Self::SetTransactionId { .. } => None,
            Self::ReserveMetadataSnap => Some(Errno::EBUSY),
            Self::ReleaseMetadataSnap => Some(Errno::EINVAL),
        }
    }
}

/// Whether the kernel answers a message so before it does anything.
/// Source: Linux `drivers/md/dm-thin.c` (`pool_message`), `drivers/md/dm-thin-metadata.c` (`__create_thin`,
/// `__create_snap`, `__delete_device`).
pub fn is_refusal(errno: Errno) -> bool {
    use Errno::{EBUSY, EEXIST, EINVAL, ENODATA, ENXIO, EOPNOTSUPP};
    [EBUSY, EEXIST, EINVAL, ENODATA, ENXIO, EOPNOTSUPP].contains(&errno)
}

/// As the kernel takes it.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateThin(id) => write!(f, "create_thin {id}"),
            Self::CreateSnap { id, origin } => write!(f, "create_snap {id} {origin}"),
            Self::Delete(id) => write!(f, "delete {id}"),
            Self::SetTransactionId { from, to } => write!(f, "set_transaction_id {from} {to}"),
            Self::ReserveMetadataSnap => f.write_str("reserve_metadata_snap"),
            Self::ReleaseMetadataSnap => f.write_str("release_metadata_snap"),
        }
    }
}

/// A text that is no message to a thin pool.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{}' is no message to a thin pool", text.escape_debug())]
pub struct NotAMessage {
    /// The text.
    pub text: String,
}

/// As the kernel reads it: words between blanks, the first in whatever case.
impl FromStr for Message {
    type Err = NotAMessage;

    fn from_str(text: &str) -> Result<Self, NotAMessage> {
        read(text).ok_or_else(|| NotAMessage { text: text.to_owned() })
    }
}

fn read(text: &str) -> Option<Message> {
    // As `kstrtoull(…, 10, …)`: an optional plus, digits.
    let number = |text: &str| text.parse::<u64>().ok();
    let id = |text: &str| ThinId::new(number(text)?).ok();
    let mut words = text.split_ascii_whitespace();
    let verb = words.next()?.to_ascii_lowercase();
    match (verb.as_str(), words.collect::<Vec<_>>().as_slice()) {
        ("create_thin", [new]) => Some(Message::CreateThin(id(new)?)),
        ("create_snap", [new, origin]) => Some(Message::CreateSnap { id: id(new)?, origin: id(origin)? }),
        ("delete", [old]) => Some(Message::Delete(id(old)?)),
        ("set_transaction_id", [from, to]) => Some(Message::SetTransactionId {
            from: TransactionId(number(from)?),
            to: TransactionId(number(to)?),
        }),
        ("reserve_metadata_snap", []) => Some(Message::ReserveMetadataSnap),
        ("release_metadata_snap", []) => Some(Message::ReleaseMetadataSnap),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: u64) -> ThinId {
        ThinId::new(id).unwrap()
    }

    fn all() -> [Message; 6] {
        [
            Message::CreateThin(id(5)),
            Message::CreateSnap { id: id(6), origin: id(5) },
            Message::Delete(id(5)),
            Message::SetTransactionId { from: TransactionId(3), to: TransactionId(4) },
            Message::ReserveMetadataSnap,
            Message::ReleaseMetadataSnap,
        ]
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for message in all() {
            assert_eq!(message.to_string().parse(), Ok(message));
            assert_eq!(message.to_string().to_ascii_uppercase().parse(), Ok(message));
        }
        for text in
            ["", "create_thin", "create_thin x", "create_thin 16777216", "create_thin 1 2", "no_such_message"]
        {
            assert!(text.parse::<Message>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_inverse_undoes_and_is_undone_by_what_it_undoes_or_nothing() {
        for message in all() {
            let Some(inverse) = message.inverse() else { continue };
            assert!(inverse.inverse().is_none_or(|again| again == message), "{message}");
            assert_ne!(inverse, message);
        }
        // What was done before is a refusal: nothing happened.
        assert!(all().into_iter().filter_map(Message::already_done).all(is_refusal));
    }
}
