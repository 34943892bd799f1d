//! Changes of a volume group's metadata, and the header of the new text.

use thiserror::Error;

use crate::format::check::Violation;
use crate::format::model::{Discards, ModelError, PoolMessage, Segment};
use crate::format::text::{FieldError, TextError};
use base::first_few::first_few;
use base::ids::{LvName, LvmUuid, ThinId, TransactionId};
use base::units::Extents;

pub(crate) mod draft;
pub(crate) mod history;
mod made;
mod new_lv;
pub(crate) mod write;

/// Who wrote a text, when and why: its header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataHeader {
    /// What was done, such as `Write from thinvol alloc …`.
    pub description: String,
    /// The host's name.
    pub host: String,
    /// What uname says: system, host, release, version, machine with blanks between. A comment.
    pub uname: String,
    /// Seconds since 1970.
    pub time: u64,
    /// The same as text, such as `Mon Nov 23 06:00:35 2026`. A comment.
    pub time_text: String,
}

/// A change of the metadata. Several make one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Adds a thin volume.
    AddThin(NewThin),
    /// Adds an LV of any other kind.
    AddLv(NewLv),
    /// Makes an LV that lies on extents longer.
    SetSegments {
        /// The LV.
        lv: LvName,
        /// All segments it has then: those it had, the last one perhaps longer, and more.
        segments: Vec<Segment>,
    },
    /// Sets the size of a pool: that of its data.
    SetPoolExtents {
        /// The pool.
        pool: LvName,
        /// Its size.
        count: Extents,
    },
    /// Sets what a pool does with discards.
    SetPoolDiscards {
        /// The pool.
        pool: LvName,
        /// What.
        discards: Discards,
    },
    /// Sets whether a pool zeroes new chunks.
    SetPoolZeroing {
        /// The pool.
        pool: LvName,
        /// Whether it does.
        on: bool,
    },
    /// Puts the spare in the place of a pool's metadata: it gets the name and the identity, and what was there before
    /// stays, by another name, for users to see, not to be written, and activated only if asked for by name.
    SwapMetadata {
        /// The pool.
        pool: LvName,
        /// The spare. It must be in the text already.
        spare: LvName,
        /// The name of what was the metadata before.
        keep_as: LvName,
        /// Its identity: new, random; that of the spare if there is none.
        keep_id: Option<LvmUuid>,
    },
    /// Removes an LV that no other needs. Volumes that name it as their origin forget it, as with lvm2.
    RemoveLv(LvName),
    /// The same; if the LV links its origin with what was made from it, it is recorded in the history.
    RemoveLvRecorded {
        /// The LV.
        lv: LvName,
        /// When, in seconds since 1970.
        time: u64,
    },
    /// Sets LVM's side of a pool's transaction id.
    SetPoolTransaction {
        /// The pool.
        pool: LvName,
        /// The id.
        id: TransactionId,
    },
    /// Sets the messages the kernel's pool has not had for sure.
    SetPoolMessages {
        /// The pool.
        pool: LvName,
        /// All of them; none to clear.
        messages: Vec<PoolMessage>,
    },
    /// Adds a tag; nothing happens if the LV has it.
    AddTag {
        /// The LV.
        lv: LvName,
        /// The tag.
        tag: String,
    },
    /// Removes a tag; nothing happens if the LV does not have it.
    DelTag {
        /// The LV.
        lv: LvName,
        /// The tag.
        tag: String,
    },
    /// Sets or clears one of `draft::SETTABLE_FLAGS`.
    SetLvFlag {
        /// The LV.
        lv: LvName,
        /// The flag's word.
        flag: String,
        /// Whether it is to be there.
        on: bool,
    },
    /// Sets or clears the permission to write.
    SetLvWritable {
        /// The LV.
        lv: LvName,
        /// Whether it may be written.
        on: bool,
    },
    /// Renames an LV, and whatever names it.
    RenameLv {
        /// The name it has.
        from: LvName,
        /// The name it gets.
        to: LvName,
    },
    /// Sets the size of a thin volume.
    SetThinExtents {
        /// The volume.
        lv: LvName,
        /// Its size.
        count: Extents,
    },
    /// Puts another thin device behind a thin volume.
    SetThinDevice {
        /// The volume.
        lv: LvName,
        /// The device's id in the pool.
        device_id: ThinId,
        /// The pool's transaction id before this change.
        transaction_id: TransactionId,
    },
}

/// An LV to be added that lies on extents, or a pool over two such. It may be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLv {
    /// Its name.
    pub name: LvName,
    /// Its identity: new, random.
    pub id: LvmUuid,
    /// Whether users see it.
    pub visible: bool,
    /// Words of `SETTABLE_FLAGS` (format/edit/draft.rs).
    pub flags: Vec<String>,
    /// Seconds since 1970.
    pub creation_time: u64,
    /// The host's name.
    pub creation_host: String,
    /// Its segments.
    pub segments: Vec<Segment>,
}

/// A thin volume to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewThin {
    /// Its name.
    pub name: LvName,
    /// Its identity: new, random.
    pub id: LvmUuid,
    /// Whether it refuses writes.
    pub read_only: bool,
    /// Words of `draft::SETTABLE_FLAGS`.
    pub flags: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Seconds since 1970.
    pub creation_time: u64,
    /// The host's name.
    pub creation_host: String,
    /// Its size.
    pub extents: Extents,
    /// The pool it lives in.
    pub pool: LvName,
    /// The pool's transaction id before this change.
    pub transaction_id: TransactionId,
    /// Its id in the pool.
    pub device_id: ThinId,
    /// The thin volume it is a snapshot of.
    pub origin: Option<LvName>,
    /// The read-only LV that provides unwritten chunks.
    pub external_origin: Option<LvName>,
}

/// Why a change was refused. Nothing is changed then.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EditError {
    /// There is no LV of that name.
    #[error("there is no logical volume '{0}'")]
    NoSuchLv(LvName),
    /// The LV is of the wrong kind for the change.
    #[error("logical volume '{name}' is not {wanted}")]
    WrongKind {
        /// The LV.
        name: LvName,
        /// The required kind.
        wanted: &'static str,
    },
    /// The name is taken.
    #[error("the name '{name}' is taken by {by}")]
    NameTaken {
        /// The name.
        name: LvName,
        /// What has it.
        by: &'static str,
    },
    /// Something else needs the LV as it is.
    #[error("logical volume '{name}' cannot be {verb}: {user} needs it")]
    InUse {
        /// The LV.
        name: LvName,
        /// The change.
        verb: &'static str,
        /// Why it is not possible.
        user: String,
    },
    /// A flag that is not for users to set.
    #[error("'{0}' is not a flag that can be set")]
    UnknownFlag(String),
    /// A tag LVM does not take.
    #[error("LVM does not take the tag '{0}'")]
    InvalidTag(String),
    /// The sequence number cannot be counted up.
    #[error("the sequence number of the metadata has reached its end")]
    SeqnoExhausted,
    /// The result would break the rules.
    #[error("the change would break the volume group: {}", first_few(.0, SHOWN, "; "))]
    Invalid(Vec<Violation>),
    /// The changed text does not match the model: an error in thinvol, found before anything is written.
    #[error("the new metadata text does not say what was meant ({0}); nothing was written")]
    Miswritten(String),
    /// The changed text cannot be made or read back.
    #[error("the new metadata text is not valid; nothing was written")]
    Text(#[from] TextError),
    /// The changed text is not the metadata of a VG any more.
    #[error("the new metadata text cannot be read back; nothing was written")]
    Model(#[from] ModelError),
    /// A field cannot be changed.
    #[error("the metadata text cannot be changed")]
    Field(#[from] FieldError),
}

/// How many violations are shown; a broken batch can have thousands.
const SHOWN: usize = 5;
