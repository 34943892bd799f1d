//! Changes of a configuration: one section is made, changed or removed, and no other byte of the file.

use std::collections::BTreeMap;
use std::ops::Range;

use thiserror::Error;

use super::document::{LookupError, Section, StorageCfg};
use super::grammar::{self, is_blank, split_list};
use super::names::{StorageId, VolumeId};
use super::schema;
use super::types::{Rule, Type};

/// Properties by key.
pub type Options = BTreeMap<String, String>;

/// Why a configuration is not changed. Most words are Proxmox VE's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EditError {
    /// The storage is not there or cannot be told.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The id is taken.
    #[error("storage ID '{id}' already defined")]
    Defined {
        /// The id.
        id: String,
    },
    /// A value or key is wrong.
    #[error("{key}: {why}")]
    Property {
        /// The key.
        key: String,
        /// Why.
        why: String,
    },
    /// A required property is not given.
    #[error("missing value for required option '{0}'")]
    Missing(&'static str),
    /// A property that never changes.
    #[error("can't change value of fixed parameter '{0}'")]
    Fixed(String),
    /// A property to be deleted that the type does not have.
    #[error("no such option '{0}'")]
    NoSuchOption(String),
    /// A property that cannot be deleted.
    #[error("unable to delete required option '{0}'")]
    Required(String),
    /// Both at once.
    #[error("cannot set and delete property '{0}' at the same time!")]
    SetAndDelete(String),
    /// The file is not the one that was looked at.
    #[error("detected modified configuration - file changed by other user? Try again.")]
    Modified,
    /// A type that is left alone.
    #[error("storage '{id}' is of type '{kind}', which thinvol leaves as it is")]
    Foreign {
        /// The id.
        id: String,
        /// The type.
        kind: String,
    },
    /// A header inside another section.
    #[error(
        "{file} line {line}, inside section '{section}', looks like the header of a section of its own: \
         what belongs to which cannot be told"
    )]
    Swallowed {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The section it is in.
        section: String,
    },
    /// Something is built on it.
    #[error("can't remove storage - storage is used as base of another storage")]
    UsedAsBase {
        /// The storage on top.
        by: String,
    },
    /// The changed text does not read as what was wanted. It is not written.
    #[error("the changed configuration would not be read as it was meant: {0}")]
    Unsound(String),
}

/// A value as it is written: lists with commas, booleans as digits.
///
/// # Errors
/// If the type does not take it.
fn written(kind: Type, key: &str, value: &str) -> Result<String, EditError> {
    let wrong = |why: String| EditError::Property { key: key.to_owned(), why };
    let value = match key {
        "disable" => match schema::boolean(value) {
            Some(true) => "1".to_owned(),
            Some(false) => "0".to_owned(),
            None => return Err(wrong(format!("type check ('boolean') failed - got '{value}'"))),
        },
        "content" | "nodes" => {
            let mut items: Vec<&str> = Vec::new();
            for item in split_list(value) {
                if !items.contains(&item) {
                    items.push(item);
                }
            }
            items.join(",")
        }
        _ => value.trim_matches(|c: char| u8::try_from(c).is_ok_and(is_blank)).to_owned(),
    };
    if value.is_empty() {
        return Err(wrong("got undefined value".to_owned()));
    }
    schema::check(kind, key, Some(&value)).map_err(wrong)?;
    if key == "content" {
        if let Some(word) = split_list(&value).find(|word| !kind.takes_content(word)) {
            return Err(wrong(format!("storage does not support content type '{word}'")));
        }
        schema::contents(kind, &value).map_err(wrong)?;
    }
    Ok(value)
}

fn line(key: &str, value: &str) -> String {
    if key == "disable" { "\tdisable\n".to_owned() } else { format!("\t{key} {value}\n") }
}

impl StorageCfg {
    /// Makes sure that the file still is the one somebody looked at.
    ///
    /// # Errors
    /// If its digest is another.
    pub fn expect(&self, digest: Option<&str>) -> Result<(), EditError> {
        match digest {
            Some(digest) if !digest.eq_ignore_ascii_case(&self.digest()) => Err(EditError::Modified),
            _ => Ok(()),
        }
    }

    /// The text with a new section at its end.
    ///
    /// # Errors
    /// If the id is taken or a property is wrong.
    pub fn add(&self, id: &StorageId, kind: Type, options: &Options) -> Result<Vec<u8>, EditError> {
        let mut values = Options::new();
        for (key, value) in options {
            values.insert(key.clone(), written(kind, key, value)?);
        }
        let required = kind.properties.iter().filter(|(_, rule)| *rule == Rule::Fixed);
        for (key, _) in required {
            if !values.contains_key(*key) {
                return Err(EditError::Missing(key));
            }
        }
        self.check_free(id)?;
        let mut text = self.lines().text().to_vec();
        if !text.is_empty() && !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        if !text.is_empty() && text != b"\n" && !text.ends_with(b"\n\n") {
            text.push(b'\n');
        }
        text.extend_from_slice(format!("{}: {id}\n", kind.name).as_bytes());
        for (key, _) in kind.properties {
            match values.get(*key) {
                Some(value) if *key == "disable" && value == "0" => {}
                Some(value) => text.extend_from_slice(line(key, value).as_bytes()),
                None => {}
            }
        }
        text.push(b'\n');
        self.sound(id.as_str(), text)
    }

    /// Proxmox VE always has a directory `local`, written or not.
    fn check_free(&self, id: &StorageId) -> Result<(), EditError> {
        match self.section(id.as_str()) {
            Err(LookupError::Missing { .. }) if id.as_str() != "local" => {}
            Err(error @ LookupError::Twice { .. }) => return Err(error.into()),
            _ => return Err(EditError::Defined { id: id.to_string() }),
        }
        for section in self.sections() {
            let headers = self.swallowed(section);
            if let Some((line, _)) = headers.into_iter().find(|(_, swallowed)| swallowed == id.as_str()) {
                return Err(self.swallows(section, line));
            }
        }
        Ok(())
    }

    /// The text with properties of a section set and deleted.
    ///
    /// # Errors
    /// If there is no such storage, or a property is wrong.
    pub fn set(&self, id: &StorageId, set: &Options, delete: &[String]) -> Result<Vec<u8>, EditError> {
        self.storage(id)?;
        let (section, kind) = self.editable(id.as_str())?;
        let mut values = Options::new();
        for (key, value) in set {
            if kind.rule(key) == Some(Rule::Fixed) {
                return Err(EditError::Fixed(key.clone()));
            }
            values.insert(key.clone(), written(kind, key, value)?);
        }
        for key in delete {
            match kind.rule(key) {
                None => return Err(EditError::NoSuchOption(key.clone())),
                Some(Rule::Fixed) => return Err(EditError::Required(key.clone())),
                Some(Rule::Optional) if values.contains_key(key) => {
                    return Err(EditError::SetAndDelete(key.clone()));
                }
                Some(Rule::Optional) => {}
            }
        }
        let changed = self.rewritten(section, values, delete);
        let text = self.replaced(section.raw.lines.clone(), &changed);
        self.sound(id.as_str(), text)
    }

    /// The lines of a section with values set and deleted: values that are there are replaced where they stand, others
    /// follow the last property; `disable` follows the header.
    fn rewritten(&self, section: &Section, mut values: Options, delete: &[String]) -> Vec<u8> {
        let off = values.get("disable").is_some_and(|value| value == "0");
        if off {
            values.remove("disable");
        }
        let goes = |key: &str| delete.iter().any(|gone| gone == key) || off && key == "disable";
        let set: Vec<String> = values.keys().cloned().collect();
        let mut lines: Vec<Vec<u8>> = Vec::new();
        let mut last_property = 0;
        // In the order of their lines: each is met once.
        let mut properties = section.raw.properties.iter().peekable();
        for number in section.raw.lines.clone() {
            let whole = self.lines().slice(number..number + 1);
            let property = properties.next_if(|property| property.line == number);
            match property.map(|property| property.key.as_str()) {
                Some(key) if goes(key) => continue,
                Some(key) if set.iter().any(|set| set == key) => match values.remove(key) {
                    Some(value) => lines.push(with_value(whole, key, &value)),
                    None => continue,
                },
                _ => lines.push(whole.to_vec()),
            }
            if property.is_some() {
                last_property = lines.len() - 1;
            }
        }
        if let Some(value) = values.remove("disable") {
            lines.insert(1, line("disable", &value).into_bytes());
            last_property += 1;
        }
        for (key, value) in values {
            last_property += 1;
            lines.insert(last_property, line(&key, &value).into_bytes());
        }
        let last = lines.len() - 1;
        for line in &mut lines[..last] {
            if !line.ends_with(b"\n") {
                line.push(b'\n');
            }
        }
        lines.concat()
    }

    /// The text without a section.
    ///
    /// # Errors
    /// If there is no such section, or something is built on it.
    pub fn remove(&self, id: &StorageId) -> Result<Vec<u8>, EditError> {
        let (section, _) = self.editable(id.as_str())?;
        if let Some(by) = self.built_on(id) {
            return Err(EditError::UsedAsBase { by });
        }
        let Range { start, mut end } = section.raw.lines.clone();
        if end < self.lines().count() && self.lines().line(end).is_empty() {
            end += 1;
        }
        let text = self.replaced(start..end, b"");
        self.sound(id.as_str(), text)
    }

    /// The storage of type lvm whose volume group lies on a volume of this one.
    fn built_on(&self, id: &StorageId) -> Option<String> {
        let on_it = |volume: &str| VolumeId::parse(volume).is_ok_and(|volume| volume.storage == *id);
        let built = self.sections().iter().find(|section| {
            let mut bases = section.raw.properties.iter().filter(|property| property.key == "base");
            section.raw.kind == "lvm" && bases.any(|base| base.value.as_deref().is_some_and(on_it))
        });
        built.map(|section| section.raw.id.clone())
    }

    /// The section of an id, if it is one that may be changed.
    fn editable(&self, id: &str) -> Result<(&Section, Type), EditError> {
        let section = self.section(id)?;
        let Some(kind) = Type::named(&section.raw.kind) else {
            return Err(EditError::Foreign { id: id.to_owned(), kind: section.raw.kind.clone() });
        };
        match self.swallowed(section).first() {
            Some((line, _)) => Err(self.swallows(section, *line)),
            None => Ok((section, kind)),
        }
    }

    /// Lines of a section that would be headers if an empty line stood before them, and their ids.
    fn swallowed(&self, section: &Section) -> Vec<(usize, String)> {
        let header = |line: &usize| grammar::header(self.lines().line(*line)).map(|(_, id)| (*line, id));
        section.raw.ignored.iter().filter_map(header).collect()
    }

    fn swallows(&self, section: &Section, line: usize) -> EditError {
        EditError::Swallowed { file: self.file().to_owned(), line: line + 1, section: section.raw.id.clone() }
    }

    /// The text with other bytes for these lines.
    fn replaced(&self, lines: Range<usize>, with: &[u8]) -> Vec<u8> {
        let all = self.lines();
        [all.slice(0..lines.start), with, all.slice(lines.end..all.count())].concat()
    }

    /// Reads the changed text back: the section is usable if it is there, and all others are what they were.
    fn sound(&self, id: &str, text: Vec<u8>) -> Result<Vec<u8>, EditError> {
        let new = Self::parse(self.file(), &text);
        let others = |config: &Self| -> Vec<Vec<u8>> {
            let others = config.sections().iter().filter(|section| section.raw.id != id);
            others
                .map(|section| config.lines().slice(section.raw.lines.clone()).trim_ascii_end().to_vec())
                .collect()
        };
        if others(self) != others(&new) {
            return Err(EditError::Unsound("another section would change".to_owned()));
        }
        match new.section(id) {
            Ok(Section { storage: Err(why), .. }) => Err(EditError::Unsound(why.clone())),
            Ok(_) | Err(LookupError::Missing { .. }) => Ok(text),
            Err(error) => Err(EditError::Unsound(error.to_string())),
        }
    }
}

/// A property's line with another value: its indent and its line end stay.
fn with_value(line: &[u8], key: &str, value: &str) -> Vec<u8> {
    let indent = line.iter().take_while(|byte| is_blank(**byte)).count();
    let end = match line {
        [.., b'\r', b'\n'] => "\r\n",
        [.., b'\n'] => "\n",
        _ => "",
    };
    let rest = if key == "disable" { format!("{key}{end}") } else { format!("{key} {value}{end}") };
    [&line[..indent], rest.as_bytes()].concat()
}

#[cfg(test)]
mod tests;
