//! Why something is not done: said before anything was changed.

use serde::Serialize;
use thiserror::Error;

/// What sort of refusal it is: it decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// A rule forbids it.
    Rule,
    /// It names something that does not exist.
    NotFound,
    /// Something is in use; a retry may work.
    Busy,
    /// The metadata or the pool is damaged or disagrees with the kernel.
    Corrupt,
    /// It is outside what thinvol does.
    Unsupported,
}

/// A refusal: what, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize)]
#[error("{message}")]
pub struct Refusal {
    /// What sort it is.
    pub kind: RefusalKind,
    /// What is refused and why.
    pub message: String,
    /// What the user can do about it.
    pub hint: Option<String>,
    /// The device that is in use, when that is the reason: its holders can be looked up.
    #[serde(skip)]
    pub busy: Option<base::ids::DevNo>,
    /// Which request it is about, by its place in the batch.
    #[serde(skip)]
    pub request: Option<usize>,
    /// What is refused of the same batch besides, in order of the requests.
    #[serde(skip)]
    pub others: Vec<Refusal>,
}

impl Refusal {
    /// A refusal of that kind.
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, busy: None, request: None, others: Vec::new() }
    }

    /// A rule forbids it.
    pub fn rule(message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Rule, message)
    }

    /// The same with advice.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same about one request of a batch.
    #[must_use]
    pub fn of_request(self, place: usize) -> Self {
        Self { request: Some(place), ..self }
    }

    /// The same with the device that is in use.
    pub fn busy_device(mut self, dev: base::ids::DevNo) -> Self {
        self.busy = Some(dev);
        self
    }
}
