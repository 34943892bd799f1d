//! A storage as its section means it.

use std::collections::{BTreeMap, BTreeSet};

use super::grammar::{BYTE_ORDER_MARK, RawSection, split_list};
use super::names::StorageId;
use super::portal;
use super::schema::{self, Content, Type};
use base::ids::{LvName, VgName};
use iscsi::protocol::portal::Portal;

/// What a storage is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageKind {
    /// A thin pool.
    Lvmthin {
        /// Its volume group.
        vg: VgName,
        /// The pool.
        pool: LvName,
    },
    /// A target of iSCSI.
    Iscsi {
        /// Where it is asked for.
        portal: Portal,
        /// Its name.
        target: String,
    },
    /// Something that Proxmox VE handles and thinvol does not.
    Other {
        /// The type.
        name: String,
    },
}

/// A storage of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Its id.
    pub id: StorageId,
    /// What it is.
    pub kind: StorageKind,
    /// The nodes it is for; all if nothing is said.
    pub nodes: Option<BTreeSet<String>>,
    /// Whether it is switched off.
    pub disabled: bool,
    /// What it is for. Not known of other types.
    pub content: BTreeSet<Content>,
    /// Limits of copying, as written.
    pub bwlimit: Option<String>,
}

impl Storage {
    /// The type's name.
    pub fn type_name(&self) -> &str {
        match &self.kind {
            StorageKind::Lvmthin { .. } => Type::Lvmthin.name(),
            StorageKind::Iscsi { .. } => Type::Iscsi.name(),
            StorageKind::Other { name } => name,
        }
    }

    /// Whether it may be used on a node.
    ///
    /// # Errors
    /// Why not, in Proxmox VE's words. Source: pve-storage `PVE/Storage.pm` (`storage_check_enabled`).
    pub fn enabled_on(&self, node: &str) -> Result<(), String> {
        if self.disabled {
            return Err(format!("storage '{}' is disabled", self.id));
        }
        match &self.nodes {
            Some(nodes) if !nodes.contains(node) => {
                Err(format!("storage '{}' is not available on node '{node}'", self.id))
            }
            _ => Ok(()),
        }
    }
}

/// The result of reading a section: the storage or why it cannot be used, and warnings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub storage: Result<Storage, String>,
    /// Line (from 0), key if it is about one, and the words.
    pub said: Vec<(usize, Option<String>, String)>,
}

/// Reads a section as Proxmox VE does.
pub(super) fn read(section: &RawSection) -> Reading {
    let mut said = Vec::new();
    let storage = match StorageId::new(&section.id) {
        Err(error) => Err(error.to_string()),
        Ok(id) => match Type::named(&section.kind) {
            Some(_) if section.id == "local" => {
                Err("Proxmox VE takes 'local' for a directory, whatever is written".to_owned())
            }
            Some(kind) => known(id, kind, section, &mut said),
            None if schema::may_be_type(&section.kind) => Ok(other(id, section)),
            None if section.kind.starts_with(BYTE_ORDER_MARK) => {
                Err("the file starts with a byte order mark, which is read as a part of the type".to_owned())
            }
            None => Err(format!("unsupported type '{}'", section.kind)),
        },
    };
    Reading { storage, said }
}

/// The valid properties, by key; the others get a warning.
fn properties(
    kind: Type,
    section: &RawSection,
    said: &mut Vec<(usize, Option<String>, String)>,
) -> BTreeMap<&'static str, String> {
    let mut values = BTreeMap::new();
    for property in &section.properties {
        let verdict = if values.contains_key(property.key.as_str()) {
            Err("duplicate attribute".to_owned())
        } else {
            schema::check(kind, &property.key, property.value.as_deref())
        };
        match verdict {
            Ok(value) => {
                let key = kind.properties().iter().find(|(name, _)| *name == property.key);
                values.extend(key.zip(value).map(|((key, _), value)| (*key, value)));
            }
            Err(why) => {
                let words = format!("unable to parse value of '{}': {why}", property.key);
                said.push((property.line, Some(property.key.clone()), words));
            }
        }
    }
    values
}

fn known(
    id: StorageId,
    kind: Type,
    section: &RawSection,
    said: &mut Vec<(usize, Option<String>, String)>,
) -> Result<Storage, String> {
    let mut values = properties(kind, section, said);
    let content = match values.get("content") {
        None => kind.default_content().iter().copied().collect(),
        Some(list) => {
            let found = schema::contents(kind, list)?;
            let line = section.properties.iter().find(|property| property.key == "content");
            let line = line.map_or(section.lines.start, |property| property.line);
            said.extend(found.warnings.into_iter().map(|words| (line, Some("content".to_owned()), words)));
            found.kinds
        }
    };
    let mut required =
        |key: &str| values.remove(key).ok_or_else(|| format!("missing value for required option '{key}'"));
    let kind = match kind {
        Type::Lvmthin => StorageKind::Lvmthin {
            pool: LvName::new(&required("thinpool")?).map_err(|error| error.to_string())?,
            vg: VgName::new(&required("vgname")?).map_err(|error| error.to_string())?,
        },
        Type::Iscsi => {
            let text = required("portal")?;
            let portal = portal::parse(&text).ok_or_else(|| format!("'{text}' is not a portal"))?;
            StorageKind::Iscsi { portal, target: required("target")? }
        }
    };
    Ok(Storage {
        id,
        kind,
        nodes: values.get("nodes").map(|list| split_list(list).map(str::to_owned).collect()),
        disabled: values.get("disable").is_some_and(|value| value == "1"),
        content,
        bwlimit: values.remove("bwlimit"),
    })
}

/// A storage of another type: only whether it is for this node is looked at.
fn other(id: StorageId, section: &RawSection) -> Storage {
    let value = |key: &str| section.properties.iter().find(|property| property.key == key);
    let nodes = value("nodes").and_then(|property| property.value.as_deref());
    Storage {
        id,
        kind: StorageKind::Other { name: section.kind.clone() },
        nodes: nodes.map(|list| split_list(list).map(str::to_owned).collect()),
        disabled: value("disable")
            .is_some_and(|property| matches!(property.value.as_deref(), None | Some("1"))),
        content: BTreeSet::new(),
        bwlimit: None,
    }
}
