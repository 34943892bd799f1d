//! The configuration as a document: what each section means, and every byte of the file beside it.
//!
//! What is wrong with a section concerns that section alone. Verdicts are Proxmox VE's, with two exceptions: an id
//! that two sections have is refused instead of the last one winning in silence, and nothing is ever dropped.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::Serialize;
use sha1::{Digest, Sha1};
use thiserror::Error;

use super::grammar::{self, Lines, RawSection};
use super::names::StorageId;
use super::storage::{self, Storage};
use base::first_few::first_few;

/// Something about a file that its reader should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Issue {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The section, if it is in one.
    pub section: Option<String>,
    /// The property, if it is about one.
    pub key: Option<String>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file {} line {}", self.file, self.line)?;
        if let Some(section) = &self.section {
            write!(f, " (section '{section}')")?;
        }
        write!(f, " - {}", self.what)
    }
}

/// Why there is no such storage.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LookupError {
    /// Nothing has that id.
    #[error("storage '{id}' does not exist")]
    Missing {
        /// The id.
        id: String,
        /// The file.
        file: String,
        /// A line inside of another section that looks like its header, if there is one.
        hidden: Option<Hidden>,
    },
    /// Several sections have it.
    #[error("storage '{id}' is defined more than once: {file} lines {}", first_few(lines, LISTED, ", "))]
    Twice {
        /// The id.
        id: String,
        /// The file.
        file: String,
        /// The lines of the headers, from 1.
        lines: Vec<usize>,
    },
    /// Its section cannot be used.
    #[error("{file} line {line}: section '{id}' cannot be used: {why}")]
    Unusable {
        /// The id.
        id: String,
        /// The file.
        file: String,
        /// The line of the header, from 1.
        line: usize,
        /// Why.
        why: String,
        /// What is wrong with its lines.
        issues: Vec<String>,
    },
}

/// A line inside of a section that looks like the header of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// The line, from 1.
    pub line: usize,
    /// The section that it is in.
    pub section: String,
    /// Why that did not end before.
    pub why: &'static str,
}

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, section, why } = self;
        write!(f, "line {line} looks like its header and is read as a part of section '{section}': {why}")
    }
}

/// How many lines are listed: each of the sections of an id says so.
const LISTED: usize = 10;

/// A section and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Where it is and what stands in it.
    pub raw: RawSection,
    /// The storage, or why the section cannot be used.
    pub storage: Result<Storage, String>,
}

/// A `storage.cfg`.
#[derive(Clone, Debug)]
pub struct StorageCfg {
    file: String,
    lines: Lines,
    sections: Vec<Section>,
    issues: Vec<Issue>,
    /// The sections of each id, by their places.
    by_id: BTreeMap<String, Vec<usize>>,
}

impl StorageCfg {
    /// Reads a file of that name with that content. Any content will do.
    pub fn parse(file: &str, content: &[u8]) -> Self {
        let lines = Lines::of(content);
        let (raw, ignored) = grammar::sections(&lines);
        let mut config = Self {
            file: file.to_owned(),
            lines,
            sections: Vec::with_capacity(raw.len()),
            issues: vec![],
            by_id: BTreeMap::new(),
        };
        for line in ignored {
            config.ignored(line, None);
        }
        for raw in raw {
            config.take(raw);
        }
        for places in config.by_id.values().filter(|places| places.len() > 1) {
            let at = |place: &usize| config.sections[*place].raw.lines.start + 1;
            let lines: Vec<usize> = places.iter().map(at).collect();
            config.issues.extend(places.iter().map(|place| Issue {
                file: config.file.clone(),
                line: at(place),
                section: Some(config.sections[*place].raw.id.clone()),
                key: None,
                what: format!(
                    "the section is defined more than once: lines {}",
                    first_few(&lines, LISTED, ", ")
                ),
            }));
        }
        config.issues.sort_by_key(|issue| issue.line);
        config
    }

    fn take(&mut self, raw: RawSection) {
        let reading = storage::read(&raw);
        for (line, key, what) in reading.said {
            self.say(line, Some(raw.id.clone()), key, what);
        }
        for line in &raw.ignored {
            self.ignored(*line, Some(&raw.id));
        }
        if let Err(why) = &reading.storage {
            self.say(raw.lines.start, Some(raw.id.clone()), None, format!("the section is skipped: {why}"));
        }
        self.by_id.entry(raw.id.clone()).or_default().push(self.sections.len());
        self.sections.push(Section { raw, storage: reading.storage });
    }

    fn ignored(&mut self, line: usize, section: Option<&str>) {
        let text = self.lines.line(line);
        let mut what = format!("ignore config line: {}", String::from_utf8_lossy(text).escape_debug());
        if section.is_some() && grammar::header(text).is_some() {
            what.push_str(" (a section ends at an empty line only)");
        } else if let Some(why) = grammar::not_empty(text).filter(|_| section.is_some()) {
            what.push_str(&format!(" ({why})"));
        } else if text.starts_with("\u{feff}".as_bytes()) {
            what.push_str(" (the file starts with a byte order mark)");
        }
        self.say(line, section.map(str::to_owned), None, what);
    }

    fn say(&mut self, line: usize, section: Option<String>, key: Option<String>, what: String) {
        self.issues.push(Issue { file: self.file.clone(), line: line + 1, section, key, what });
    }

    /// The file's name.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The file in lines.
    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// All sections, in order.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// All there is to say about the file, by line.
    pub fn issues(&self) -> &[Issue] {
        &self.issues
    }

    /// What there is to say about a section.
    pub fn issues_of(&self, id: &str) -> impl Iterator<Item = &Issue> {
        self.issues.iter().filter(move |issue| issue.section.as_deref() == Some(id))
    }

    /// The SHA-1 of the file in hexadecimal, by which Proxmox VE tells whether it has changed.
    pub fn digest(&self) -> String {
        Sha1::digest(self.lines.text()).iter().fold(String::with_capacity(40), |mut hex, byte| {
            // Writing to a string does not fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// The section of an id, be it usable or not.
    ///
    /// # Errors
    /// If there is none, or more than one.
    pub fn section(&self, id: &str) -> Result<&Section, LookupError> {
        let file = self.file.clone();
        match self.by_id.get(id).map(Vec::as_slice) {
            Some([one]) => Ok(&self.sections[*one]),
            None | Some([]) => Err(LookupError::Missing { id: id.to_owned(), file, hidden: self.hidden(id) }),
            Some(several) => {
                let lines = several.iter().map(|place| self.sections[*place].raw.lines.start + 1).collect();
                Err(LookupError::Twice { id: id.to_owned(), file, lines })
            }
        }
    }

    /// Where a section of that id would begin, had the one before it ended.
    fn hidden(&self, id: &str) -> Option<Hidden> {
        self.sections.iter().find_map(|section| {
            let is_header = |line: &&usize| {
                grammar::header(self.lines.line(**line)).is_some_and(|(_, hidden)| hidden == id)
            };
            let line = *section.raw.ignored.iter().find(is_header)?;
            let before = (section.raw.lines.start + 1..line).rev().map(|line| self.lines.line(line)).next();
            let why = before.and_then(grammar::not_empty).unwrap_or("no empty line stands before it");
            Some(Hidden { line: line + 1, section: section.raw.id.clone(), why })
        })
    }

    /// Why nothing in the file is a section, if nothing is although something stands there.
    pub fn is_no_configuration(&self) -> Option<&'static str> {
        let text = self.lines.text();
        match text {
            _ if !self.sections.is_empty() || self.issues.is_empty() => None,
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("it is a text of UTF-16"),
            text if text.contains(&0) => Some("it is no text"),
            _ => Some("no line of it is the header of a section, '<type>: <id>'"),
        }
    }

    /// The storage of an id.
    ///
    /// # Errors
    /// If there is none, more than one, or its section cannot be used.
    pub fn storage(&self, id: &StorageId) -> Result<&Storage, LookupError> {
        let section = self.section(id.as_str())?;
        section.storage.as_ref().map_err(|why| LookupError::Unusable {
            id: id.to_string(),
            file: self.file.clone(),
            line: section.raw.lines.start + 1,
            why: why.clone(),
            issues: self
                .issues_of(id.as_str())
                .filter(|issue| issue.key.is_some())
                .map(Issue::to_string)
                .collect(),
        })
    }

    /// All storages that can be used, by id.
    pub fn storages(&self) -> impl Iterator<Item = &Storage> {
        let single = self.by_id.values().filter(|places| places.len() == 1);
        single.flatten().filter_map(|place| self.sections[*place].storage.as_ref().ok())
    }
}

#[cfg(test)]
mod tests;
