//! What can go wrong, as the command reports it.

use std::error::Error as StdError;
use std::fmt;

use serde::Serialize;

use crate::refusal::Refusal;
use crate::report::Report;
use base::error_kind::ErrorKind;
use dm::kernel::DmError;

/// What there is to tell besides a failure: things that stay true although it failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Aside {
    /// What had been left by a crash and was mended before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recovered: Vec<String>,
    /// What the user should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The changes that are refused, if that is the failure.
    #[serde(skip)]
    pub refused: Vec<RefusedChange>,
}

/// A change that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefusedChange {
    /// Its place among the changes.
    pub change: usize,
    /// What sort of failure it is.
    pub kind: ErrorKind,
    /// What is refused and why.
    pub message: String,
    /// What caused it, outermost first.
    pub causes: Vec<String>,
    /// What the user can do about it.
    pub hint: Option<String>,
}

/// A failure: what, why, and what to do.
#[derive(Debug)]
pub struct EngineError {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    aside: Box<Aside>,
    done: Vec<Report>,
}

impl EngineError {
    /// A failure of that kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            source: None,
            aside: Box::default(),
            done: Vec::new(),
        }
    }

    /// A failure with its cause.
    pub fn caused(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl StdError + Send + Sync + 'static,
    ) -> Self {
        Self { source: Some(Box::new(source)), ..Self::new(kind, message) }
    }

    /// A question that device-mapper did not answer.
    pub fn unanswered(error: DmError) -> Self {
        Self::caused(ErrorKind::Refused, "device-mapper does not answer", error)
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

    /// The same after transactions that are done and stay: what is refused, or failed, is the rest.
    pub(crate) fn having_done(mut self, done: Vec<Report>) -> Self {
        if !done.is_empty() {
            self.kind = ErrorKind::Partial;
            let before =
                if done.len() == 1 { "transaction before it is" } else { "transactions before it are" };
            self.message = format!("{}; {} {before} done", self.message, done.len());
            self.aside.refused.clear();
            self.done = done;
        }
        self
    }

    /// The transactions that were done before it, if there are several.
    pub fn take_done(&mut self) -> Vec<Report> {
        std::mem::take(&mut self.done)
    }

    /// What there is to tell besides.
    pub fn aside(&self) -> &Aside {
        &self.aside
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
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

/// Causes that are texts by now.
#[derive(Debug)]
struct Cause {
    message: String,
    source: Option<Box<Cause>>,
}

impl Cause {
    fn chain(causes: Vec<String>) -> Option<Box<Self>> {
        let wrap = |source, message| Some(Box::new(Self { message, source }));
        causes.into_iter().rev().fold(None, wrap)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message.fmt(f)
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<Refusal> for EngineError {
    fn from(refusal: Refusal) -> Self {
        let refused =
            std::iter::once(&refusal).chain(&refusal.others).filter_map(RefusedChange::of).collect();
        let aside = Box::new(Aside { refused, ..Aside::default() });
        let source =
            Cause::chain(refusal.causes.into_vec()).map(|cause| cause as Box<dyn StdError + Send + Sync>);
        Self { hint: refusal.hint, source, aside, ..Self::new(refusal.kind, refusal.message) }
    }
}

impl RefusedChange {
    /// A change that is refused, without causes or advice.
    pub fn new(change: usize, kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { change, kind, message: message.into(), causes: Vec::new(), hint: None }
    }

    fn of(refusal: &Refusal) -> Option<Self> {
        Some(Self {
            change: refusal.request?,
            kind: refusal.kind,
            message: refusal.message.clone(),
            causes: refusal.causes.to_vec(),
            hint: refusal.hint.clone(),
        })
    }
}
