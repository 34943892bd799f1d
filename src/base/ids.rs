//! Names and numbers that identify things, valid by construction.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

/// Why a text is not the identifier it should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{what} '{text}' is not valid: {why}")]
pub struct IdError {
    /// What kind of identifier was expected.
    pub what: &'static str,
    /// The text that was given.
    pub text: String,
    /// The rule it breaks.
    pub why: String,
}

impl IdError {
    fn new(what: &'static str, text: &str, why: impl Into<String>) -> Self {
        Self { what, text: text.to_owned(), why: why.into() }
    }
}

/// The number of characters in an LVM UUID without dashes. Source: lvm2 `lib/uuid/uuid.h` (`ID_LEN`).
pub const LVM_UUID_LEN: usize = 32;

/// The characters an LVM UUID may hold; new ones use the first 62. Source: lvm2 `lib/uuid/uuid.c`.
pub const LVM_UUID_ALPHABET: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!#";

/// A pool by its group and its own UUID: `vgimportclone` gives a copy of a group new UUIDs, but not its LVs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct PoolId {
    /// The volume group.
    pub vg: LvmUuid,
    /// The pool LV.
    pub lv: LvmUuid,
}

impl fmt::Display for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lv.fmt(f)
    }
}

/// An LVM UUID (of a VG, PV or LV): 32 characters, shown in groups of 6-4-4-4-4-4-6.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LvmUuid([u8; LVM_UUID_LEN]);

impl LvmUuid {
    /// Builds a new UUID from random bytes, using the 62 alphanumeric characters only.
    pub fn from_random(random: [u8; LVM_UUID_LEN]) -> Self {
        Self(random.map(|byte| LVM_UUID_ALPHABET[usize::from(byte) % 62]))
    }

    /// Reads the undashed form used in labels and device-mapper uuids.
    ///
    /// # Errors
    /// If it is not 32 characters of the alphabet.
    pub fn from_compact(text: &[u8]) -> Result<Self, IdError> {
        let shown = || String::from_utf8_lossy(text).into_owned();
        let chars: [u8; LVM_UUID_LEN] = text.try_into().map_err(|_| {
            IdError::new(
                "LVM UUID",
                &shown(),
                format!("it has {} characters, not {LVM_UUID_LEN}", text.len()),
            )
        })?;
        match chars.iter().find(|c| !is_uuid_char(**c)) {
            Some(bad) => {
                Err(IdError::new("LVM UUID", &shown(), format!("byte 0x{bad:02x} is outside its alphabet")))
            }
            None => Ok(Self(chars)),
        }
    }

    /// The undashed form, as bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The undashed form.
    pub fn compact(&self) -> &str {
        std::str::from_utf8(&self.0).expect("the alphabet is ASCII")
    }
}

/// Whether a byte is one of [`LVM_UUID_ALPHABET`].
fn is_uuid_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'!' | b'#')
}

/// Lengths of the dashed groups. Source: lvm2 `lib/uuid/uuid.c`.
const UUID_GROUPS: [usize; 7] = [6, 4, 4, 4, 4, 4, 6];

impl fmt::Display for LvmUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.compact();
        for (index, length) in UUID_GROUPS.into_iter().enumerate() {
            let (group, tail) = rest.split_at(length);
            write!(f, "{}{group}", if index == 0 { "" } else { "-" })?;
            rest = tail;
        }
        Ok(())
    }
}

impl fmt::Debug for LvmUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for LvmUuid {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let ungrouped = || IdError::new("LVM UUID", text, "its groups are not of 6-4-4-4-4-4-6 characters");
        let mut chars = [0; LVM_UUID_LEN];
        let mut groups = text.as_bytes().split(|byte| *byte == b'-');
        let mut at = 0;
        for length in UUID_GROUPS {
            let Some(group) = groups.next().filter(|group| group.len() == length) else {
                // What else is wrong with it comes first.
                return Err(Self::from_compact(text.replace('-', "").as_bytes())
                    .err()
                    .unwrap_or_else(ungrouped));
            };
            chars[at..at + length].copy_from_slice(group);
            at += length;
        }
        if groups.next().is_some() { Err(ungrouped()) } else { Self::from_compact(&chars) }
    }
}

impl Serialize for LvmUuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Longest `<vg>-<lv>` device-mapper name that LVM accepts. Source: lvm2
/// `lib/metadata/metadata-exported.h` (`NAME_LEN`).
pub const LVM_NAME_MAX: usize = 127;

/// Checks the characters and dots of a VG or LV name. Source: lvm2 `lib/misc/lvm-string.c` (`validate_name`).
fn check_name(what: &'static str, text: &str) -> Result<(), IdError> {
    let bad = |why: String| Err(IdError::new(what, text, why));
    if text.is_empty() {
        return bad("it is empty".into());
    }
    if text.len() > LVM_NAME_MAX {
        return bad(format!("it is longer than {LVM_NAME_MAX} characters"));
    }
    if text == "." || text == ".." {
        return bad("it means a directory".into());
    }
    if text.starts_with('-') {
        return bad("it starts with a hyphen".into());
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || "._+-".contains(*c))) {
        Some(c) => bad(format!("'{}' is not among a-z A-Z 0-9 . _ + -", c.escape_default())),
        None => Ok(()),
    }
}

macro_rules! lvm_name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Checks and wraps a name.
            ///
            /// # Errors
            /// If LVM would refuse its characters or length.
            pub fn new(text: &str) -> Result<Self, IdError> {
                check_name($what, text)?;
                Ok(Self(text.to_owned()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }
    };
}

lvm_name! {
    /// The name of a volume group.
    VgName, "volume group name"
}
lvm_name! {
    /// The name of a logical volume, visible or hidden.
    LvName, "logical volume name"
}

/// A volume with the group it is in, as messages name it: `vg/lv`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FullName {
    /// The volume group.
    pub vg: VgName,
    /// The volume.
    pub lv: LvName,
}

impl Serialize for FullName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl VgName {
    /// A volume of this group.
    pub fn volume(&self, lv: &LvName) -> FullName {
        FullName { vg: self.clone(), lv: lv.clone() }
    }
}

impl fmt::Display for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.vg, self.lv)
    }
}

/// Prefixes and substrings LVM keeps for itself in LV names. Source: lvm2 `lib/misc/lvm-string.c`
/// (`_lvname_has_reserved_prefix`, `_lvname_has_reserved_string`).
const RESERVED_PREFIXES: [&str; 2] = ["pvmove", "snapshot"];
const RESERVED_PARTS: [&str; 16] = [
    "_cdata", "_cmeta", "_corig", "_cpool", "_cvol", "_wcorig", "_mimage", "_mlog", "_rimage", "_rmeta",
    "_tdata", "_tmeta", "_vdata", "_vorigin", "_pmspare", "_imeta",
];

impl LvName {
    /// Checks a name for a volume that a user asks to create: [`LvName::new`] and LVM's reserved words.
    ///
    /// # Errors
    /// If LVM would refuse to create a volume of that name.
    pub fn for_new_volume(text: &str) -> Result<Self, IdError> {
        let name = Self::new(text)?;
        if let Some(prefix) = RESERVED_PREFIXES.iter().find(|p| text.starts_with(**p)) {
            return Err(IdError::new(
                "logical volume name",
                text,
                format!("LVM reserves names that start with '{prefix}'"),
            ));
        }
        match RESERVED_PARTS.iter().chain(&["_iorig"]).find(|p| text.contains(**p)) {
            Some(part) => Err(IdError::new(
                "logical volume name",
                text,
                format!("LVM reserves names with '{part}' in them"),
            )),
            None => Ok(name),
        }
    }
}

/// The id of a thin device inside its pool: 24 bits. Source: Linux `drivers/md/dm-thin-metadata.h`
/// (`MAX_DEV_ID`... 2^24 - 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ThinId(u32);

impl ThinId {
    /// The largest thin device id.
    pub const MAX: Self = Self((1 << 24) - 1);

    /// Checks and wraps an id.
    ///
    /// # Errors
    /// If it needs more than 24 bits.
    pub fn new(id: u64) -> Result<Self, IdError> {
        u32::try_from(id).ok().filter(|id| *id <= Self::MAX.0).map(Self).ok_or_else(|| {
            IdError::new("thin device id", &id.to_string(), format!("it is above {}", Self::MAX.0))
        })
    }

    /// The id as a number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ThinId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A thin pool's transaction id, kept by LVM in the text and by the kernel in the pool's superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct TransactionId(pub u64);

impl TransactionId {
    /// The id of the next transaction, or `None` past 2^64 - 1.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The sequence number of a VG's metadata, one more at each commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Seqno(pub u32);

impl Seqno {
    /// The number of the next commit, or `None` past 2^32 - 1.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for Seqno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A block device number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DevNo {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl fmt::Display for DevNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl FromStr for DevNo {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let parsed =
            text.split_once(':').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        let (major, minor) =
            parsed.ok_or_else(|| IdError::new("device number", text, "it is not <major>:<minor>"))?;
        Ok(Self { major, minor })
    }
}

impl Serialize for DevNo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests;
