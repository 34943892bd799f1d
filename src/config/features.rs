//! What can be done with a volume, as in Proxmox VE. Source: pve-storage `PVE/Storage/Plugin.pm`
//! (`volume_has_feature`).

use serde::Serialize;

/// What a volume is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeKind {
    /// A volume as it is now.
    Current,
    /// A template.
    Base,
    /// A snapshot.
    Snap,
}

impl VolumeKind {
    /// What a volume of that name is, if it is no snapshot.
    pub fn of_volname(name: &str) -> Self {
        if name.starts_with("base-") { Self::Base } else { Self::Current }
    }
}

/// Something that can be done with a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Feature {
    /// Taking a snapshot.
    Snapshot,
    /// A linked clone.
    Clone,
    /// Turning it into a template.
    Template,
    /// Copying it whole.
    Copy,
    /// Writing it sparsely from the start.
    Sparseinit,
    /// Giving it to another guest.
    Rename,
}

impl Feature {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Clone => "clone",
            Self::Template => "template",
            Self::Copy => "copy",
            Self::Sparseinit => "sparseinit",
            Self::Rename => "rename",
        }
    }
}
