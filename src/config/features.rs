//! What can be done with a volume, as in Proxmox VE. Source: pve-storage `PVE/Storage/LvmThinPlugin.pm` and
//! `PVE/Storage/ISCSIPlugin.pm` (`volume_has_feature`).

use serde::Serialize;

use super::schema::Type;

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

const ALL: [Feature; 6] = [
    Feature::Snapshot,
    Feature::Clone,
    Feature::Template,
    Feature::Copy,
    Feature::Sparseinit,
    Feature::Rename,
];

/// Whether volumes of a type have a feature. A linked clone of a volume as it is now is ours alone: Proxmox VE makes
/// them of templates and snapshots, and of other volumes full copies.
pub const fn has(kind: Type, feature: Feature, state: VolumeKind) -> bool {
    match (kind, feature) {
        (Type::Iscsi, Feature::Copy) => matches!(state, VolumeKind::Current),
        (Type::Iscsi, _) => false,
        (Type::Lvmthin, Feature::Clone | Feature::Copy) => true,
        (Type::Lvmthin, Feature::Snapshot | Feature::Template | Feature::Rename) => {
            matches!(state, VolumeKind::Current)
        }
        (Type::Lvmthin, Feature::Sparseinit) => matches!(state, VolumeKind::Current | VolumeKind::Base),
    }
}

/// All that can be done with a volume.
pub fn features(kind: Type, state: VolumeKind) -> Vec<Feature> {
    ALL.into_iter().filter(|feature| has(kind, *feature, state)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_done_depends_on_what_a_volume_is() {
        let names = |kind, state| {
            features(kind, state).iter().map(|feature| feature.name()).collect::<Vec<_>>().join(" ")
        };
        let current = VolumeKind::of_volname("vm-100-disk-0");
        assert_eq!(names(Type::Lvmthin, current), "snapshot clone template copy sparseinit rename");
        assert_eq!(names(Type::Lvmthin, VolumeKind::of_volname("base-100-disk-0")), "clone copy sparseinit");
        assert_eq!(names(Type::Lvmthin, VolumeKind::Snap), "clone copy");
        assert_eq!(
            (names(Type::Iscsi, current).as_str(), names(Type::Iscsi, VolumeKind::Snap).as_str()),
            ("copy", "")
        );
    }
}
