//! What may stand in a section: types, properties, values. The words of a verdict are Proxmox VE's.
//!
//! Facts from pve-common `PVE/SectionConfig.pm` (`check_value`, `check_config`), `PVE/JSONSchema.pm` (`check_prop`,
//! `parse_property_string`) and the plugins of pve-storage (`properties`, `options`, `plugindata`).

use std::collections::BTreeSet;

use serde::Serialize;

use super::grammar::split_list;
use super::names::check_lvm_name;
use super::portal;

/// The types of storage whose sections are read and changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// A thin pool of LVM.
    Lvmthin,
    /// A target of iSCSI.
    Iscsi,
}

/// The other types Proxmox VE knows. Their sections are kept as they are.
const OTHER_TYPES: [&str; 12] =
    ["btrfs", "cephfs", "cifs", "dir", "esxi", "iscsidirect", "lvm", "nfs", "pbs", "rbd", "zfs", "zfspool"];

/// All properties of all types: those of other types are unexpected, any other is unknown.
const PROPERTIES: [&str; 61] = [
    "authsupported",
    "base",
    "blocksize",
    "bwlimit",
    "comstar_hg",
    "comstar_tg",
    "content",
    "content-dirs",
    "create-base-path",
    "create-subdirs",
    "data-pool",
    "datastore",
    "disable",
    "domain",
    "encryption-key",
    "export",
    "fingerprint",
    "format",
    "fs-name",
    "fuse",
    "is_mountpoint",
    "iscsiprovider",
    "keyring",
    "krbd",
    "lio_tpg",
    "master-pubkey",
    "max-protected-backups",
    "mkdir",
    "monhost",
    "mountpoint",
    "namespace",
    "nocow",
    "nodes",
    "nowritecache",
    "options",
    "password",
    "path",
    "pool",
    "port",
    "portal",
    "preallocation",
    "prune-backups",
    "saferemove",
    "saferemove-stepsize",
    "saferemove_throughput",
    "server",
    "share",
    "shared",
    "skip-cert-verification",
    "smbversion",
    "snapshot-as-volume-chain",
    "sparse",
    "storage",
    "subdir",
    "tagged_only",
    "target",
    "thinpool",
    "type",
    "username",
    "vgname",
    "zfs-base-path",
];

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

/// The contents that any storage may be for, `none` apart.
const CONTENTS: [&str; 8] = ["images", "rootdir", "vztmpl", "iso", "backup", "snippets", "none", "import"];

/// How a property of a type is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Given when the section is made, and never changed.
    Fixed,
    /// May be left out and changed.
    Optional,
}

impl Type {
    /// The type of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "lvmthin" => Some(Self::Lvmthin),
            "iscsi" => Some(Self::Iscsi),
            _ => None,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lvmthin => "lvmthin",
            Self::Iscsi => "iscsi",
        }
    }

    /// The properties it takes, in the order in which Proxmox VE writes them.
    pub const fn properties(self) -> &'static [(&'static str, Rule)] {
        match self {
            Self::Lvmthin => &[
                ("disable", Rule::Optional),
                ("thinpool", Rule::Fixed),
                ("vgname", Rule::Fixed),
                ("bwlimit", Rule::Optional),
                ("content", Rule::Optional),
                ("nodes", Rule::Optional),
            ],
            Self::Iscsi => &[
                ("disable", Rule::Optional),
                ("portal", Rule::Fixed),
                ("target", Rule::Fixed),
                ("bwlimit", Rule::Optional),
                ("content", Rule::Optional),
                ("nodes", Rule::Optional),
            ],
        }
    }

    /// How a property is used; `None` if it is not one of this type.
    pub fn rule(self, key: &str) -> Option<Rule> {
        self.properties().iter().find(|(name, _)| *name == key).map(|(_, rule)| *rule)
    }

    /// What it is for by default.
    pub const fn default_content(self) -> &'static [Content] {
        match self {
            Self::Lvmthin => &[Content::Images, Content::Rootdir],
            Self::Iscsi => &[Content::Images],
        }
    }

    /// Whether it may be for that content.
    pub const fn takes_content(self, word: &str) -> bool {
        matches!(
            (self, word.as_bytes()),
            (_, b"images") | (Self::Lvmthin, b"rootdir") | (Self::Iscsi, b"none")
        )
    }
}

/// Whether Proxmox VE has a type of that name.
pub fn is_type(name: &str) -> bool {
    Type::named(name).is_some() || OTHER_TYPES.contains(&name)
}

/// Whether that may be the name of a type: Proxmox VE's, or one that somebody's plugin brings.
pub fn may_be_type(name: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    is_type(name) || name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(word)
}

/// Whether any type has a property of that name.
pub fn is_property(key: &str) -> bool {
    PROPERTIES.contains(&key)
}

/// Checks a property of a type and gives its value as it counts; `None` where it says nothing.
///
/// # Errors
/// The verdict.
pub fn check(kind: Type, key: &str, value: Option<&str>) -> Result<Option<String>, String> {
    if !is_property(key) {
        return Err("unknown property type".to_owned());
    }
    if key == "type" && value == Some(kind.name()) {
        return Ok(None);
    }
    if kind.rule(key).is_none() {
        return Err(format!("unexpected property '{key}'"));
    }
    let value = match value {
        None if key == "disable" => "1",
        None => return Err("got undefined value".to_owned()),
        Some(value) if value.contains(['\n', '\r']) => return Err("property contains a line feed".to_owned()),
        Some(value) => value,
    };
    match format_of(key, value) {
        Ok(()) => Ok(Some(value.to_owned())),
        Err(why) if key == "disable" => Err(why),
        Err(why) => Err(format!("invalid format - {why}")),
    }
}

fn format_of(key: &str, value: &str) -> Result<(), String> {
    match key {
        "disable" if value == "0" || value == "1" => Ok(()),
        "disable" => Err(format!("type check ('boolean') failed - got '{value}'")),
        "vgname" | "thinpool" => check_lvm_name(value).map_err(|error| error.to_string()),
        "content" => match split_list(value).find(|word| !CONTENTS.contains(word)) {
            Some(word) => Err(format!("invalid content type '{word}'")),
            None => Ok(()),
        },
        "nodes" if split_list(value).all(is_node) => Ok(()),
        "nodes" => Err("value does not look like a valid node name".to_owned()),
        "portal" if portal::parse(value).is_some() => Ok(()),
        "portal" => Err("value does not look like a valid portal address".to_owned()),
        "bwlimit" => bandwidths(value),
        _ => Ok(()),
    }
}

/// Whether a text is the name of a node. Source: pve-common `PVE/JSONSchema.pm` (`pve_verify_node_name`).
fn is_node(text: &str) -> bool {
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    is_end(bytes.first())
        && is_end(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

const BANDWIDTHS: [&str; 5] = ["clone", "default", "migration", "move", "restore"];

/// Checks `clone=…,default=…`: limits in KiB/s, each given once.
fn bandwidths(text: &str) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for part in text.split(',').filter(|part| !part.trim().is_empty()) {
        match part.split_once('=') {
            Some(("", _) | (_, "")) => return Err("missing key in comma-separated list property".to_owned()),
            Some((key, _)) if !BANDWIDTHS.contains(&key) => {
                return Err(format!("invalid key in comma-separated list property: {key}"));
            }
            Some((key, _)) if !seen.insert(key) => {
                return Err(format!("duplicate key in comma-separated list property: {key}"));
            }
            Some((key, limit)) => match limit.parse::<f64>() {
                Ok(limit) if limit >= 0.0 && limit.is_finite() => {}
                Ok(limit) if limit.is_finite() => {
                    return Err(format!("format error: {key}: value must have a minimum value of 0"));
                }
                _ => {
                    return Err(format!("format error: {key}: type check ('number') failed - got '{limit}'"));
                }
            },
            None => {
                return Err("value without key, but schema does not define a default key".to_owned());
            }
        }
    }
    Ok(())
}

/// The result of reading a list of contents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// What the storage is for.
    pub kinds: BTreeSet<Content>,
    /// What was left out, in words.
    pub warnings: Vec<String>,
}

/// Reads a list of contents that passed [`check`].
///
/// # Errors
/// If nothing that the type takes is left, or `none` stands beside others.
pub fn contents(kind: Type, list: &str) -> Result<Contents, String> {
    let mut contents = Contents::default();
    let mut none = false;
    for word in split_list(list) {
        match word {
            word if !kind.takes_content(word) => {
                contents.warnings.push(format!("storage does not support content type '{word}'"));
            }
            "images" => _ = contents.kinds.insert(Content::Images),
            "rootdir" => _ = contents.kinds.insert(Content::Rootdir),
            _ => none = true,
        }
    }
    if none && !contents.kinds.is_empty() {
        return Err("unable to combine 'none' with other content types".to_owned());
    }
    if contents.kinds.is_empty() && !kind.takes_content("none") {
        return Err("storage does not support content type 'none'".to_owned());
    }
    Ok(contents)
}

/// What a boolean of the command line means. Source: pve-common `PVE/JSONSchema.pm` (`parse_boolean`).
pub fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => Some(true),
        "0" | "off" | "no" | "false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value that counts, or the verdict behind an exclamation mark.
    fn said(kind: Type, key: &str, value: Option<&str>) -> String {
        match check(kind, key, value) {
            Ok(value) => value.unwrap_or_default(),
            Err(why) => format!("!{why}"),
        }
    }

    /// Verdicts of the real parser over single properties.
    #[test]
    fn verdicts_are_those_of_proxmox_ve() {
        for (kind, key, value, verdict) in [
            (Type::Lvmthin, "vgname", Some("pve"), "pve"),
            (
                Type::Lvmthin,
                "vgname",
                Some("p"),
                "!invalid format - lvm name 'p' contains illegal characters",
            ),
            (
                Type::Lvmthin,
                "thinpool",
                Some("a+b"),
                "!invalid format - lvm name 'a+b' contains illegal characters",
            ),
            (Type::Lvmthin, "thinpool", None, "!got undefined value"),
            (Type::Lvmthin, "shared", Some("1"), "!unexpected property 'shared'"),
            (Type::Lvmthin, "portal", Some("a"), "!unexpected property 'portal'"),
            (Type::Lvmthin, "comment", Some("a"), "!unknown property type"),
            (Type::Lvmthin, "Vgname", Some("a"), "!unknown property type"),
            (Type::Lvmthin, "type", Some("lvmthin"), ""),
            (Type::Lvmthin, "type", Some("dir"), "!unexpected property 'type'"),
            (Type::Lvmthin, "disable", None, "1"),
            (Type::Lvmthin, "disable", Some("0"), "0"),
            (Type::Lvmthin, "disable", Some("yes"), "!type check ('boolean') failed - got 'yes'"),
            (Type::Lvmthin, "content", Some("images;rootdir iso"), "images;rootdir iso"),
            (Type::Lvmthin, "content", Some("image"), "!invalid format - invalid content type 'image'"),
            (Type::Lvmthin, "nodes", Some("a,b-1"), "a,b-1"),
            (
                Type::Lvmthin,
                "nodes",
                Some("a,-b"),
                "!invalid format - value does not look like a valid node name",
            ),
            (
                Type::Lvmthin,
                "nodes",
                Some("a.b"),
                "!invalid format - value does not look like a valid node name",
            ),
        ] {
            assert_eq!(said(kind, key, value), verdict, "{key} {value:?}");
        }
    }

    #[test]
    fn verdicts_on_limits_and_portals_are_those_of_proxmox_ve() {
        for (kind, key, value, verdict) in [
            (Type::Lvmthin, "bwlimit", Some("clone=100,default=0.5"), "clone=100,default=0.5"),
            (
                Type::Lvmthin,
                "bwlimit",
                Some("1000"),
                "!invalid format - value without key, but schema does not define a default key",
            ),
            (
                Type::Lvmthin,
                "bwlimit",
                Some("read=1"),
                "!invalid format - invalid key in comma-separated list property: read",
            ),
            (
                Type::Lvmthin,
                "bwlimit",
                Some("move=1,move=2"),
                "!invalid format - duplicate key in comma-separated list property: move",
            ),
            (Type::Iscsi, "portal", Some("10.0.0.1:3260"), "10.0.0.1:3260"),
            (
                Type::Iscsi,
                "portal",
                Some("a_b"),
                "!invalid format - value does not look like a valid portal address",
            ),
            (Type::Iscsi, "target", Some("iqn.2003-01.org:x y"), "iqn.2003-01.org:x y"),
            (Type::Iscsi, "target", Some("a\rb"), "!property contains a line feed"),
            (Type::Iscsi, "vgname", Some("pve"), "!unexpected property 'vgname'"),
        ] {
            assert_eq!(said(kind, key, value), verdict, "{key} {value:?}");
        }
    }

    #[test]
    fn contents_that_a_type_does_not_take_are_left_out_or_refused() {
        let read = |kind, list: &str| match contents(kind, list) {
            Ok(found) => format!("{:?} {}", found.kinds, found.warnings.join(";")),
            Err(why) => why,
        };
        let none = "storage does not support content type 'none'";
        assert_eq!(read(Type::Lvmthin, "rootdir,images"), "{Images, Rootdir} ");
        assert_eq!(read(Type::Lvmthin, "images iso"), "{Images} storage does not support content type 'iso'");
        assert_eq!(read(Type::Lvmthin, "iso"), none);
        assert_eq!(read(Type::Lvmthin, "none"), none);
        assert_eq!(read(Type::Lvmthin, ""), none);
        assert_eq!(read(Type::Iscsi, "none"), "{} ");
        assert_eq!(read(Type::Iscsi, "none,images"), "unable to combine 'none' with other content types");
        assert_eq!(read(Type::Iscsi, "rootdir"), "{} storage does not support content type 'rootdir'");
    }

    #[test]
    fn booleans_of_the_command_line() {
        assert_eq!(["1", "ON", "yes", "true"].map(boolean), [Some(true); 4]);
        assert_eq!(["0", "off", "No", "false"].map(boolean), [Some(false); 4]);
        assert_eq!(boolean("2"), None);
    }
}
