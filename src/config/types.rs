//! The types of storage whose sections are read and changed: a row for each.
//!
//! Facts from the plugins of pve-storage, such as `PVE/Storage/LvmThinPlugin.pm` and `PVE/Storage/ISCSIPlugin.pm`
//! (`properties`, `options`, `plugindata`, `volume_has_feature`).

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use serde::{Serialize, Serializer};

use super::features::{Feature, VolumeKind};
use super::portal;

/// What there is to know of a type. What is done with its storages is in a file of `src/cli/backends`.
pub struct TypeRow {
    /// Its name in storage.cfg.
    pub name: &'static str,
    /// The properties it takes, in the order in which Proxmox VE writes them.
    pub properties: &'static [(&'static str, Rule)],
    /// Its own properties, which say what a storage is made of, in the order of help.
    pub own: &'static [OwnProperty],
    /// What it may be for.
    pub content: &'static [&'static str],
    /// What it is for by default.
    pub default_content: &'static [Content],
    /// Whether all nodes see the same volumes.
    pub shared: bool,
    /// The properties that name the volume group and the thin pool, if it is one.
    pub pool: Option<(&'static str, &'static str)>,
    /// What can be done with its volumes, and with which of them.
    pub features: &'static [(Feature, &'static [VolumeKind])],
    /// What Proxmox VE says to verbs of thin pools, if it is none.
    pub refusals: &'static [(PoolVerb, &'static str)],
    /// Whether own properties are right that each are by themselves; else why not.
    pub check: fn(&Values) -> Result<(), String>,
}

/// A property that is a type's own, as an argument of the command.
pub struct OwnProperty {
    /// Its key.
    pub key: &'static str,
    /// The word that stands for its value.
    pub value: &'static str,
    /// What help says of it.
    pub help: &'static str,
}

/// Values of properties, by key.
pub type Values = BTreeMap<&'static str, String>;

const CURRENT: &[VolumeKind] = &[VolumeKind::Current];

const TYPES: &[TypeRow] = &[
    TypeRow {
        name: "lvmthin",
        properties: &[
            ("disable", Rule::Optional),
            ("thinpool", Rule::Fixed),
            ("vgname", Rule::Fixed),
            ("bwlimit", Rule::Optional),
            ("content", Rule::Optional),
            ("nodes", Rule::Optional),
        ],
        own: &[
            OwnProperty { key: "vgname", value: "VGNAME", help: "the volume group" },
            OwnProperty { key: "thinpool", value: "THINPOOL", help: "the thin pool" },
        ],
        content: &["images", "rootdir"],
        default_content: &[Content::Images, Content::Rootdir],
        shared: false,
        pool: Some(("vgname", "thinpool")),
        // A linked clone of a volume as it is now is ours alone: Proxmox VE makes them of templates and snapshots, and
        // of other volumes full copies.
        features: &[
            (Feature::Snapshot, CURRENT),
            (Feature::Clone, &[VolumeKind::Current, VolumeKind::Base, VolumeKind::Snap]),
            (Feature::Template, CURRENT),
            (Feature::Copy, &[VolumeKind::Current, VolumeKind::Base, VolumeKind::Snap]),
            (Feature::Sparseinit, &[VolumeKind::Current, VolumeKind::Base]),
            (Feature::Rename, CURRENT),
        ],
        refusals: &[],
        check: |_| Ok(()),
    },
    TypeRow {
        name: "iscsi",
        properties: &[
            ("disable", Rule::Optional),
            ("portal", Rule::Fixed),
            ("target", Rule::Fixed),
            ("bwlimit", Rule::Optional),
            ("content", Rule::Optional),
            ("nodes", Rule::Optional),
        ],
        own: &[
            OwnProperty { key: "portal", value: "PORTAL", help: "where the target is, <host>[:<port>]" },
            OwnProperty { key: "target", value: "TARGET", help: "the target's name" },
        ],
        content: &["images", "none"],
        default_content: &[Content::Images],
        shared: true,
        pool: None,
        features: &[(Feature::Copy, CURRENT)],
        refusals: &[
            (PoolVerb::Alloc, "can't allocate space in iscsi storage"),
            (PoolVerb::Free, "can't free space in iscsi storage"),
            (PoolVerb::Clone, "can't clone images in iscsi storage"),
            (PoolVerb::Template, "can't create base images in iscsi storage"),
            (PoolVerb::Resize, "volume resize is not possible on iscsi device"),
            (PoolVerb::Snapshot, "snapshot is not possible on iscsi storage"),
        ],
        check: |values| match values.get("portal") {
            Some(text) if portal::parse(text).is_none() => Err(format!("'{text}' is not a portal")),
            _ => Ok(()),
        },
    },
];

/// A type of storage.
#[derive(Clone, Copy)]
pub struct Type(&'static TypeRow);

impl Type {
    /// The type of pools and volumes that are named by their volume group.
    pub const LVMTHIN: Self = Self(&TYPES[0]);

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        TYPES.iter().map(Self)
    }

    /// The type of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|kind| kind.name == name)
    }

    /// Their names, as a list in a sentence, with that word before the last.
    pub fn names(last: &str) -> String {
        let names: Vec<&str> = Self::all().map(|kind| kind.name).collect();
        match names.split_last() {
            Some((end, start)) if !start.is_empty() => format!("{} {last} {end}", start.join(", ")),
            _ => names.join(""),
        }
    }

    /// How a property is used; `None` if it is not one of this type.
    pub fn rule(self, key: &str) -> Option<Rule> {
        self.properties.iter().find(|(name, _)| *name == key).map(|(_, rule)| *rule)
    }

    /// Whether it may be for that content.
    pub fn takes_content(self, word: &str) -> bool {
        self.content.contains(&word)
    }

    /// What Proxmox VE says where a verb of thin pools meets a storage of this type.
    pub fn refusal(self, verb: PoolVerb) -> Option<&'static str> {
        self.refusals.iter().find(|(refused, _)| *refused == verb).map(|(_, words)| *words)
    }

    /// All that can be done with a volume.
    pub fn features(self, state: VolumeKind) -> Vec<Feature> {
        let has = |(_, states): &&(Feature, &[VolumeKind])| states.contains(&state);
        self.features.iter().filter(has).map(|(feature, _)| *feature).collect()
    }
}

impl Deref for Type {
    type Target = TypeRow;

    fn deref(&self) -> &TypeRow {
        self.0
    }
}

impl PartialEq for Type {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Type {}

impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Serialize for Type {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

/// How a property of a type is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Given when the section is made, and never changed.
    Fixed,
    /// May be left out and changed.
    Optional,
}

/// A kind of content that a storage may be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// Disks of virtual machines.
    Images,
    /// Disks of containers.
    Rootdir,
}

impl Content {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Rootdir => "rootdir",
        }
    }
}

/// A verb that works on volumes of thin pools alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolVerb {
    /// Making a volume.
    Alloc,
    /// Removing one.
    Free,
    /// Making one from another.
    Clone,
    /// Making one a template.
    Template,
    /// Giving one another size.
    Resize,
    /// Making, removing and going back to snapshots.
    Snapshot,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(kind: &str, state: VolumeKind) -> String {
        let features = Type::named(kind).unwrap().features(state);
        features.iter().map(|feature| feature.name()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_can_be_done_depends_on_what_a_volume_is() {
        let current = VolumeKind::of_volname("vm-100-disk-0");
        assert_eq!(names("lvmthin", current), "snapshot clone template copy sparseinit rename");
        assert_eq!(names("lvmthin", VolumeKind::of_volname("base-100-disk-0")), "clone copy sparseinit");
        assert_eq!(names("lvmthin", VolumeKind::Snap), "clone copy");
        assert_eq!(
            (names("iscsi", current).as_str(), names("iscsi", VolumeKind::Snap).as_str()),
            ("copy", "")
        );
    }

    #[test]
    fn rows_agree_with_themselves() {
        assert_eq!(Type::LVMTHIN.name, "lvmthin");
        assert!(Type::names("or").starts_with("lvmthin") && Type::names("or").contains(" or "));
        assert_eq!(Type::named("none of them"), None);
        for kind in Type::all() {
            assert_eq!(Type::named(kind.name), Some(kind));
            let own: Vec<&str> = kind.own.iter().map(|own| own.key).collect();
            let fixed = kind.properties.iter().filter(|(_, rule)| *rule == Rule::Fixed);
            assert!(
                fixed.clone().all(|(key, _)| own.contains(key)) && fixed.count() == own.len(),
                "{kind:?}"
            );
            assert!(
                kind.default_content.iter().all(|content| kind.takes_content(content.word())),
                "{kind:?}"
            );
            let pool = kind.pool.into_iter().flat_map(|(vg, pool)| [vg, pool]);
            assert!(pool.into_iter().all(|key| own.contains(&key)), "{kind:?}");
            assert_eq!(kind.pool.is_some(), kind.refusals.is_empty(), "{kind:?}");
        }
    }
}
