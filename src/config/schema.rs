//! What may stand in a section: properties and values. The words of a verdict are Proxmox VE's.
//!
//! Facts from pve-common `PVE/SectionConfig.pm` (`check_value`, `check_config`), `PVE/JSONSchema.pm` (`check_prop`,
//! `parse_property_string`) and the plugins of pve-storage (`properties`, `options`, `plugindata`).

use std::collections::BTreeSet;

use super::grammar::split_list;
use super::names::check_lvm_name;
use super::portal;
use super::types::{Content, Type};

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

/// The contents that any storage may be for, `none` apart.
const CONTENTS: [&str; 8] = ["images", "rootdir", "vztmpl", "iso", "backup", "snippets", "none", "import"];

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
    if key == "type" && value == Some(kind.name) {
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

    fn type_of(name: &str) -> Type {
        Type::named(name).expect("it is handled")
    }

    /// The value that counts, or the verdict behind an exclamation mark.
    fn said(kind: &str, key: &str, value: Option<&str>) -> String {
        match check(type_of(kind), key, value) {
            Ok(value) => value.unwrap_or_default(),
            Err(why) => format!("!{why}"),
        }
    }

    /// Verdicts of the real parser over single properties.
    #[test]
    fn verdicts_are_those_of_proxmox_ve() {
        for (kind, key, value, verdict) in [
            ("lvmthin", "vgname", Some("pve"), "pve"),
            ("lvmthin", "vgname", Some("p"), "!invalid format - lvm name 'p' contains illegal characters"),
            (
                "lvmthin",
                "thinpool",
                Some("a+b"),
                "!invalid format - lvm name 'a+b' contains illegal characters",
            ),
            ("lvmthin", "thinpool", None, "!got undefined value"),
            ("lvmthin", "shared", Some("1"), "!unexpected property 'shared'"),
            ("lvmthin", "portal", Some("a"), "!unexpected property 'portal'"),
            ("lvmthin", "comment", Some("a"), "!unknown property type"),
            ("lvmthin", "Vgname", Some("a"), "!unknown property type"),
            ("lvmthin", "type", Some("lvmthin"), ""),
            ("lvmthin", "type", Some("dir"), "!unexpected property 'type'"),
            ("lvmthin", "disable", None, "1"),
            ("lvmthin", "disable", Some("0"), "0"),
            ("lvmthin", "disable", Some("yes"), "!type check ('boolean') failed - got 'yes'"),
            ("lvmthin", "content", Some("images;rootdir iso"), "images;rootdir iso"),
            ("lvmthin", "content", Some("image"), "!invalid format - invalid content type 'image'"),
            ("lvmthin", "nodes", Some("a,b-1"), "a,b-1"),
            (
                "lvmthin",
                "nodes",
                Some("a,-b"),
                "!invalid format - value does not look like a valid node name",
            ),
            ("lvmthin", "nodes", Some("a.b"), "!invalid format - value does not look like a valid node name"),
        ] {
            assert_eq!(said(kind, key, value), verdict, "{key} {value:?}");
        }
    }

    #[test]
    fn verdicts_on_limits_and_portals_are_those_of_proxmox_ve() {
        for (kind, key, value, verdict) in [
            ("lvmthin", "bwlimit", Some("clone=100,default=0.5"), "clone=100,default=0.5"),
            (
                "lvmthin",
                "bwlimit",
                Some("1000"),
                "!invalid format - value without key, but schema does not define a default key",
            ),
            (
                "lvmthin",
                "bwlimit",
                Some("read=1"),
                "!invalid format - invalid key in comma-separated list property: read",
            ),
            (
                "lvmthin",
                "bwlimit",
                Some("move=1,move=2"),
                "!invalid format - duplicate key in comma-separated list property: move",
            ),
            ("iscsi", "portal", Some("10.0.0.1:3260"), "10.0.0.1:3260"),
            (
                "iscsi",
                "portal",
                Some("a_b"),
                "!invalid format - value does not look like a valid portal address",
            ),
            ("iscsi", "target", Some("iqn.2003-01.org:x y"), "iqn.2003-01.org:x y"),
            ("iscsi", "target", Some("a\rb"), "!property contains a line feed"),
            ("iscsi", "vgname", Some("pve"), "!unexpected property 'vgname'"),
        ] {
            assert_eq!(said(kind, key, value), verdict, "{key} {value:?}");
        }
    }

    #[test]
    fn contents_that_a_type_does_not_take_are_left_out_or_refused() {
        let read = |kind, list: &str| match contents(type_of(kind), list) {
            Ok(found) => format!("{:?} {}", found.kinds, found.warnings.join(";")),
            Err(why) => why,
        };
        let none = "storage does not support content type 'none'";
        assert_eq!(read("lvmthin", "rootdir,images"), "{Images, Rootdir} ");
        assert_eq!(read("lvmthin", "images iso"), "{Images} storage does not support content type 'iso'");
        assert_eq!(read("lvmthin", "iso"), none);
        assert_eq!(read("lvmthin", "none"), none);
        assert_eq!(read("lvmthin", ""), none);
        assert_eq!(read("iscsi", "none"), "{} ");
        assert_eq!(read("iscsi", "none,images"), "unable to combine 'none' with other content types");
        assert_eq!(read("iscsi", "rootdir"), "{} storage does not support content type 'rootdir'");
    }

    #[test]
    fn booleans_of_the_command_line() {
        assert_eq!(["1", "ON", "yes", "true"].map(boolean), [Some(true); 4]);
        assert_eq!(["0", "off", "No", "false"].map(boolean), [Some(false); 4]);
        assert_eq!(boolean("2"), None);
    }
}
