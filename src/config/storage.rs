//! A storage as its section means it.

use std::collections::BTreeSet;

use super::grammar::{BYTE_ORDER_MARK, RawSection, split_list};
use super::names::StorageId;
use super::schema;
use super::types::{Content, Rule, Type, Values};
use base::ids::{LvName, VgName};

/// What a storage is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageKind {
    /// One of a type that thinvol handles.
    Handled(Type),
    /// One of another type, by its name.
    Other(String),
}

/// The thin pool that a storage is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolName {
    /// Its volume group.
    pub vg: VgName,
    /// The pool.
    pub pool: LvName,
}

/// A storage of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Its id.
    pub id: StorageId,
    /// What it is.
    pub kind: StorageKind,
    /// The thin pool, if it is one.
    pub pool: Option<PoolName>,
    /// Its type's own properties.
    pub own: Values,
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
            StorageKind::Handled(kind) => kind.name,
            StorageKind::Other(name) => name,
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
fn properties(kind: Type, section: &RawSection, said: &mut Vec<(usize, Option<String>, String)>) -> Values {
    let mut values = Values::new();
    for property in &section.properties {
        let verdict = if values.contains_key(property.key.as_str()) {
            Err("duplicate attribute".to_owned())
        } else {
            schema::check(kind, &property.key, property.value.as_deref())
        };
        match verdict {
            Ok(value) => {
                let key = kind.properties.iter().find(|(name, _)| *name == property.key);
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
        None => kind.default_content.iter().copied().collect(),
        Some(list) => {
            let found = schema::contents(kind, list)?;
            let line = section.properties.iter().find(|property| property.key == "content");
            let line = line.map_or(section.lines.start, |property| property.line);
            said.extend(found.warnings.into_iter().map(|words| (line, Some("content".to_owned()), words)));
            found.kinds
        }
    };
    let bwlimit = values.remove("bwlimit");
    let nodes = values.remove("nodes").map(|list| split_list(&list).map(str::to_owned).collect());
    let disabled = values.remove("disable").is_some_and(|value| value == "1");
    values.remove("content");
    let fixed = kind.properties.iter().filter(|(_, rule)| *rule == Rule::Fixed);
    if let Some((key, _)) = fixed.into_iter().find(|(key, _)| !values.contains_key(key)) {
        return Err(format!("missing value for required option '{key}'"));
    }
    (kind.check)(&values)?;
    let pool = kind.pool.and_then(|(vg, pool)| Some((values.get(vg)?, values.get(pool)?)));
    let pool = pool.map(|(vg, pool)| pool_name(vg, pool)).transpose()?;
    Ok(Storage { id, kind: StorageKind::Handled(kind), pool, own: values, nodes, disabled, content, bwlimit })
}

fn pool_name(vg: &str, pool: &str) -> Result<PoolName, String> {
    let pool = LvName::new(pool).map_err(|error| error.to_string())?;
    Ok(PoolName { vg: VgName::new(vg).map_err(|error| error.to_string())?, pool })
}

/// A storage of another type: only whether it is for this node is looked at.
fn other(id: StorageId, section: &RawSection) -> Storage {
    let value = |key: &str| section.properties.iter().find(|property| property.key == key);
    let nodes = value("nodes").and_then(|property| property.value.as_deref());
    Storage {
        id,
        kind: StorageKind::Other(section.kind.clone()),
        pool: None,
        own: Values::new(),
        nodes: nodes.map(|list| split_list(list).map(str::to_owned).collect()),
        disabled: value("disable")
            .is_some_and(|property| matches!(property.value.as_deref(), None | Some("1"))),
        content: BTreeSet::new(),
        bwlimit: None,
    }
}
