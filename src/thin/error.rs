//! What can go wrong, as the command reports it.

use std::error::Error as StdError;
use std::fmt;

use serde::Serialize;

use crate::thin::refusal::{Refusal, RefusalKind};

/// What sort of failure it is: it decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Nothing changed: a rule forbids it, or it failed and was taken back.
    Refused,
    /// It names something that does not exist.
    NotFound,
    /// Something is in use or locked; a retry may work.
    Busy,
    /// Something is unfinished: recovery leads on.
    Partial,
    /// Metadata or a pool is damaged.
    Corrupt,
    /// It is outside what thinvol does.
    Unsupported,
}

/// What there is to tell besides a failure: things that stay true although it failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Aside {
    /// What had been left by a crash and was mended before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recovered: Vec<String>,
    /// What the user should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A failure: what, why, and what to do.
#[derive(Debug)]
pub struct EngineError {
    kind: Kind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    aside: Box<Aside>,
}

impl EngineError {
    /// A failure of that kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None, aside: Box::default() }
    }

    /// A failure with its cause.
    pub fn caused(
        kind: Kind,
        message: impl Into<String>,
        source: impl StdError + Send + Sync + 'static,
    ) -> Self {
        Self { source: Some(Box::new(source)), ..Self::new(kind, message) }
    }

    /// The same with advice.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with what was mended and warned of before it.
    #[must_use]
    pub fn after(mut self, recovered: &[String], warnings: &[String]) -> Self {
        self.aside.recovered.splice(0..0, recovered.iter().cloned());
        self.aside.warnings.splice(0..0, warnings.iter().cloned());
        self
    }

    /// What there is to tell besides.
    pub fn aside(&self) -> &Aside {
        &self.aside
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message.fmt(f)
    }
}

impl StdError for EngineError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<Refusal> for EngineError {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal.kind {
            RefusalKind::Rule => Kind::Refused,
            RefusalKind::NotFound => Kind::NotFound,
            RefusalKind::Busy => Kind::Busy,
            RefusalKind::Corrupt => Kind::Corrupt,
            RefusalKind::Unsupported => Kind::Unsupported,
        };
        Self { hint: refusal.hint, ..Self::new(kind, refusal.message) }
    }
}

/// An error with its causes, in one line.
pub fn in_words(error: &impl StdError) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(&format!(": {error}"));
        cause = error.source();
    }
    words
}
