//! Reading fields from a section, with errors that say which one, where and why.

use std::borrow::Cow;

use thiserror::Error;

use super::document::{Document, NodeId};
use super::value::Value;

/// Why a field of a text cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{path} (line {line}): {problem}")]
pub struct FieldError {
    /// The field, such as `vg/logical_volumes/data/segment1/chunk_size`.
    pub path: String,
    /// Its line, or that of its section if it is missing; from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
}

/// A section of a document.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    doc: &'a Document,
    id: NodeId,
}

impl<'a> Section<'a> {
    pub(super) fn new(doc: &'a Document, id: NodeId) -> Self {
        Self { doc, id }
    }

    /// The node it is.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Its name; empty for the whole document.
    pub fn name(&self) -> Cow<'a, str> {
        self.doc.key(self.id)
    }

    /// Everything in it: names and nodes, in order.
    pub fn nodes(&self) -> impl Iterator<Item = (Cow<'a, str>, NodeId)> + use<'a> {
        let doc = self.doc;
        doc.children(self.id).iter().map(move |id| (doc.key(*id), *id))
    }

    /// A name that two nodes in it have, if there is one.
    pub fn repeated_name(&self) -> Option<Cow<'a, str>> {
        let doc = self.doc;
        let mut names: Vec<_> = doc.children(self.id).iter().map(|id| (doc.key_bytes(*id), *id)).collect();
        names.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let pair = names.windows(2).find(|pair| pair[0].0 == pair[1].0)?;
        Some(doc.key(pair[0].1))
    }

    /// The sections in it, in order.
    pub fn sections(&self) -> impl Iterator<Item = Section<'a>> + use<'a> {
        let doc = self.doc;
        doc.children(self.id).iter().filter_map(move |id| doc.section(*id))
    }

    /// The assignments in it, in order.
    pub fn assignments(&self) -> impl Iterator<Item = (Cow<'a, str>, Value<'a>)> + use<'a> {
        let doc = self.doc;
        self.nodes().filter_map(move |(key, id)| Some((key, doc.value(id)?)))
    }

    /// The first section of that name in it.
    pub fn section(&self, name: &str) -> Option<Section<'a>> {
        let named = self.doc.children(self.id).iter().filter(|id| self.doc.key_is(**id, name));
        named.filter_map(|id| self.doc.section(*id)).next()
    }

    /// The first assignment to that key in it.
    pub fn find(&self, key: &str) -> Option<NodeId> {
        let mut named = self.doc.children(self.id).iter().filter(|id| self.doc.key_is(**id, key));
        named.find(|id| self.doc.section(**id).is_none()).copied()
    }

    /// The value of that key in it.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        self.find(key).and_then(|id| self.doc.value(id))
    }

    /// A whole number from 0 on.
    ///
    /// # Errors
    /// If it is missing, negative or no whole number.
    pub fn u64(&self, key: &str) -> Result<u64, FieldError> {
        self.opt_u64(key)?.ok_or_else(|| self.missing(key))
    }

    /// A whole number from 0 on, or `None` if the key is not there.
    ///
    /// # Errors
    /// If it is negative or no whole number.
    pub fn opt_u64(&self, key: &str) -> Result<Option<u64>, FieldError> {
        self.opt_i64(key)?
            .map(|number| u64::try_from(number).map_err(|_| self.error(key, format!("{number} is negative"))))
            .transpose()
    }

    /// A whole number, or `None` if the key is not there.
    ///
    /// # Errors
    /// If it is no whole number.
    pub fn opt_i64(&self, key: &str) -> Result<Option<i64>, FieldError> {
        self.field(key, "a whole number", |value| value.as_i64())
    }

    /// A string.
    ///
    /// # Errors
    /// If it is missing or no string.
    pub fn str(&self, key: &str) -> Result<Cow<'a, str>, FieldError> {
        self.opt_str(key)?.ok_or_else(|| self.missing(key))
    }

    /// A string, or `None` if the key is not there.
    ///
    /// # Errors
    /// If it is no string.
    pub fn opt_str(&self, key: &str) -> Result<Option<Cow<'a, str>>, FieldError> {
        self.field(key, "a string", |value| match value {
            Value::String(text) => Some(text.clone()),
            _ => None,
        })
    }

    /// A list of strings; a lone string counts as a list, as for lvm2. Empty if the key is not there.
    ///
    /// # Errors
    /// If anything but a string is in it.
    pub fn strings(&self, key: &str) -> Result<Vec<String>, FieldError> {
        let owned = |value: &Value<'a>| Some(value.as_strings()?.into_iter().map(str::to_owned).collect());
        Ok(self.field(key, "a list of strings", owned)?.unwrap_or_default())
    }

    fn field<T>(
        &self,
        key: &str,
        wanted: &str,
        read: impl FnOnce(&Value<'a>) -> Option<T>,
    ) -> Result<Option<T>, FieldError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let wrong = || self.error(key, format!("expected {wanted}, found {}", value.kind()));
        read(&value).map(Some).ok_or_else(wrong)
    }

    /// An error about a field of this section.
    pub fn error(&self, key: &str, problem: impl Into<String>) -> FieldError {
        let path = self.doc.path(self.id);
        let path = if path.is_empty() { key.to_owned() } else { format!("{path}/{key}") };
        let line = self.doc.line(self.find(key).unwrap_or(self.id));
        FieldError { path, line, problem: problem.into() }
    }

    /// An error about this section itself.
    pub fn own_error(&self, problem: impl Into<String>) -> FieldError {
        FieldError { path: self.doc.path(self.id), line: self.doc.line(self.id), problem: problem.into() }
    }

    fn missing(&self, key: &str) -> FieldError {
        self.error(key, "it is missing")
    }
}
