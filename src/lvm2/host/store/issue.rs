//! What is not as it should be with a volume group's copies, though it can be read.

use thiserror::Error;

use super::read::{CopyError, DeviceError};
use crate::format::check::Use;
use crate::format::model::last_seen;
use base::ids::{LvmUuid, Seqno, VgName};

/// Something that lvm2 would warn about, or that a user should know of. Most are healed by the next commit or
/// by `vgck --updatemetadata`.
#[derive(Clone, Debug, Error)]
pub enum StoreIssue {
    /// A device was not looked into.
    #[error("{device} is not used")]
    Device {
        /// The device.
        device: String,
        /// Why.
        #[source]
        source: DeviceError,
    },
    /// A physical volume that the text names is on none of the devices. What is whole of the volume group is used; it
    /// is not written.
    #[error("physical volume {pv_id} of volume group {vg} is missing{}", last_seen(device_hint))]
    MissingPv {
        /// The volume group.
        vg: VgName,
        /// The physical volume.
        pv_id: LvmUuid,
        /// The device it was on when the text was written.
        device_hint: Option<String>,
    },
    /// One physical volume is on two devices. The volume group is read, not written.
    #[error(
        "physical volume {pv_id} is on both {first} and {second}: hide one of them from LVM (a filter in lvm.conf, or \
         the devices file)"
    )]
    DuplicatePv {
        /// The physical volume.
        pv_id: LvmUuid,
        /// The device that is used.
        first: String,
        /// The other one.
        second: String,
    },
    /// Two texts of the same number differ. The volume group is read, from the first, and not written.
    #[error(
        "the metadata area at byte {at} of {device} holds another text with the same number {seqno}: decide which is \
         right, then run 'vgck --updatemetadata {vg}'"
    )]
    Mismatch {
        /// The volume group.
        vg: VgName,
        /// The device.
        device: String,
        /// Where the area starts.
        at: u64,
        /// The number of both.
        seqno: Seqno,
    },
    /// An area is damaged and left alone, as by lvm2: no commit reaches it until it was mended.
    #[error("a metadata area of {device} is left out of use{}", mended(vg.as_ref(), device, source))]
    Damaged {
        /// The device.
        device: String,
        /// The volume group, if it can be read from others.
        vg: Option<VgName>,
        /// Why.
        #[source]
        source: CopyError,
    },
    /// An area holds an older text, or none: a commit did not reach it. The next one will.
    #[error(
        "the metadata area at byte {at} of {device} was not reached by the last commit (it holds {})",
        held(found)
    )]
    Lagging {
        /// The device.
        device: String,
        /// Where the area starts.
        at: u64,
        /// The number of the text it holds, if any.
        found: Option<Seqno>,
    },
    /// An area is set aside on purpose.
    #[error("the metadata area at byte {at} of {device} is set aside (pvchange --metadataignore)")]
    Ignored {
        /// The device.
        device: String,
        /// Where the area starts.
        at: u64,
    },
    /// An area of a physical volume of this group holds the text of another group: a vgsplit or vgmerge was cut short,
    /// say. As lvm2 from 2.03.32 on, the group is neither written nor activated: both may be using the same extents.
    #[error("the metadata area at byte {at} of {device} belongs to volume group {vg}")]
    Foreign {
        /// The device.
        device: String,
        /// Where the area starts.
        at: u64,
        /// The other volume group.
        vg: VgName,
    },
    /// A device has two labels. The first counts, as for lvm2.
    #[error("{device} has two labels; the one in sector {used} counts, the one in sector {ignored} does not")]
    SecondLabel {
        /// The device.
        device: String,
        /// The sector of the label that counts.
        used: u64,
        /// The sector of the other one.
        ignored: u64,
    },
    /// A device still has an old text of this group, which has removed it meanwhile.
    #[error(
        "{device} was removed from volume group {vg} while it was absent (it has text {seqno}); run \
         'vgck --updatemetadata {vg}'"
    )]
    Outdated {
        /// The device.
        device: String,
        /// The volume group.
        vg: VgName,
        /// The number of its text.
        seqno: Seqno,
    },
}

/// What mends an area. 'vgck --updatemetadata' leaves alone what it does not take for one.
fn mended(vg: Option<&VgName>, device: &str, source: &CopyError) -> String {
    match (vg, source) {
        (None, _) | (_, CopyError::Io { .. }) => String::new(),
        (Some(vg), CopyError::Format(error)) if error.is_foreign() => format!(
            " until a copy of the metadata ('vgcfgbackup -f <file> {vg}') was written there ('pvck --repair -f <file> \
             {device}', then 'vgck --updatemetadata {vg}')"
        ),
        (Some(vg), _) => format!(" until 'vgck --updatemetadata {vg}' has rewritten it"),
    }
}

fn held(found: &Option<Seqno>) -> String {
    found.map_or_else(|| "no text".to_owned(), |seqno| format!("text {seqno}"))
}

impl StoreIssue {
    /// Whether it forbids that: what is right cannot be told, or lvm2 would refuse, too.
    pub fn forbids(&self, usage: Use) -> bool {
        match self {
            // What of the group is whole is activated, as by lvm2.
            Self::MissingPv { .. } => usage >= Use::Change,
            Self::DuplicatePv { .. } | Self::Mismatch { .. } | Self::Foreign { .. } => usage >= Use::Activate,
            Self::Device { .. }
            | Self::Damaged { .. }
            | Self::Lagging { .. }
            | Self::Ignored { .. }
            | Self::Outdated { .. }
            | Self::SecondLabel { .. } => false,
        }
    }

    /// Whether it forbids commits.
    pub fn forbids_commit(&self) -> bool {
        self.forbids(Use::Change)
    }
}
