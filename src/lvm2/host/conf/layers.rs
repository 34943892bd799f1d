//! Configuration texts on top of each other, and typed look-ups in them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::ConfError;
use crate::format::text::{Document, NodeId, Value};

/// Texts by precedence: the first that has a key decides.
#[derive(Default)]
pub(super) struct Layers(Vec<Layer>);

struct Layer {
    file: String,
    text: Document,
}

/// A value and where it stands.
struct Found<'a> {
    layer: &'a Layer,
    node: NodeId,
    value: Value<'a>,
}

impl Found<'_> {
    fn wrong(&self, key: &str, problem: impl Into<String>) -> ConfError {
        ConfError::Value {
            file: self.layer.file.clone(),
            line: self.layer.text.line(self.node),
            key: key.to_owned(),
            problem: problem.into(),
        }
    }
}

impl Layers {
    pub(super) fn add(&mut self, file: &str, text: &[u8]) -> Result<(), ConfError> {
        let syntax = |source| ConfError::Syntax { file: file.to_owned(), source };
        self.0.push(Layer { file: file.to_owned(), text: Document::parse(text).map_err(syntax)? });
        Ok(())
    }

    /// A missing file is an empty one.
    pub(super) fn add_file(&mut self, path: &Path) -> Result<(), ConfError> {
        match fs::read(path) {
            Ok(text) => self.add(&path.display().to_string(), &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(ConfError::Read { path: path.to_owned(), source }),
        }
    }

    fn find(&self, key: &str) -> Option<Found<'_>> {
        self.0.iter().find_map(|layer| {
            let node = layer.text.lookup_node(key)?;
            Some(Found { layer, node, value: layer.text.value(node)? })
        })
    }

    /// The names of the sections in a section, of all texts, each once.
    pub(super) fn sections(&self, name: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for section in self.0.iter().filter_map(|layer| layer.text.root().section(name)) {
            for inner in section.sections().map(|inner| inner.name().into_owned()) {
                if !names.contains(&inner) {
                    names.push(inner);
                }
            }
        }
        names
    }

    pub(super) fn bool(&self, key: &str, default: bool) -> Result<bool, ConfError> {
        let Some(found) = self.find(key) else { return Ok(default) };
        found.value.as_bool().ok_or_else(|| found.wrong(key, "must be 0 or 1"))
    }

    /// A switch whose default is not known here.
    pub(super) fn optional_bool(&self, key: &str) -> Result<Option<bool>, ConfError> {
        self.find(key).map(|_| self.bool(key, false)).transpose()
    }

    pub(super) fn number(&self, key: &str, default: u64) -> Result<u64, ConfError> {
        Ok(self.optional_number(key)?.unwrap_or(default))
    }

    pub(super) fn optional_number(&self, key: &str) -> Result<Option<u64>, ConfError> {
        let Some(found) = self.find(key) else { return Ok(None) };
        let number = found.value.as_i64().and_then(|number| u64::try_from(number).ok());
        number.map(Some).ok_or_else(|| found.wrong(key, "must be a whole number from 0 on"))
    }

    pub(super) fn string(&self, key: &str) -> Result<Option<String>, ConfError> {
        let Some(found) = self.find(key) else { return Ok(None) };
        match found.value.as_str() {
            Some(text) => Ok(Some(text.to_owned())),
            None => Err(found.wrong(key, "must be a string in quotes")),
        }
    }

    pub(super) fn text(&self, key: &str, default: &str) -> Result<String, ConfError> {
        Ok(self.string(key)?.unwrap_or_else(|| default.to_owned()))
    }

    /// A path that must not be empty.
    pub(super) fn path(&self, key: &str, default: &str) -> Result<PathBuf, ConfError> {
        match self.optional_path(key, default)? {
            Some(path) => Ok(path),
            None => match self.find(key) {
                Some(found) => Err(found.wrong(key, "must not be empty")),
                None => Ok(PathBuf::from(default)),
            },
        }
    }

    /// A path, or `None` where an empty one switches something off.
    pub(super) fn optional_path(&self, key: &str, default: &str) -> Result<Option<PathBuf>, ConfError> {
        let text = self.text(key, default)?;
        Ok((!text.is_empty()).then(|| PathBuf::from(text)))
    }

    /// A list of strings; a lone string is a list of one. `None` if the key is not set, which is not the same as empty.
    pub(super) fn strings(&self, key: &str) -> Result<Option<Vec<String>>, ConfError> {
        let Some(found) = self.find(key) else { return Ok(None) };
        match found.value.as_strings() {
            Some(items) => Ok(Some(items.into_iter().map(str::to_owned).collect())),
            None => Err(found.wrong(key, "must be a list of strings in quotes")),
        }
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&self, key: &str, default: T, words: &[(&str, T)]) -> Result<T, ConfError> {
        let Some(found) = self.find(key) else { return Ok(default) };
        let given = found.value.as_str();
        match words.iter().find(|(word, _)| Some(*word) == given) {
            Some((_, meaning)) => Ok(*meaning),
            None => {
                let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                Err(found.wrong(key, format!("must be one of: {}", all.join(", "))))
            }
        }
    }

    /// Pairs of a name and a number, one after the other in one list.
    pub(super) fn types(&self, key: &str) -> Result<Vec<(String, u64)>, ConfError> {
        let Some(found) = self.find(key) else { return Ok(Vec::new()) };
        let wrong = || found.wrong(key, "must be a list of names, each followed by a number of partitions");
        let Value::Array(items) = &found.value else { return Err(wrong()) };
        let pair = |pair: &[Value<'_>]| {
            let [name, count] = pair else { return None };
            let count = u64::try_from(count.as_i64()?).ok().filter(|count| *count > 0)?;
            Some((name.as_str()?.to_owned(), count))
        };
        items.chunks(2).map(|items| pair(items).ok_or_else(wrong)).collect()
    }
}
