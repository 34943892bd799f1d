//! Why a request is refused, before anything was changed.

use serde::Serialize;
use thiserror::Error;

use base::error_chain::causes;
use base::error_kind::ErrorKind;

/// A refusal: what, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize)]
#[error("{message}")]
pub struct Refusal {
    /// What sort it is.
    pub kind: ErrorKind,
    /// What is refused and why.
    pub message: String,
    /// What caused it, outermost first.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub causes: Box<[String]>,
    /// What the user can do about it.
    pub hint: Option<String>,
    /// The device that is in use, when that is the reason: its holders can be looked up.
    #[serde(skip)]
    pub busy: Option<base::ids::DevNo>,
    /// Which change of a batch, or which request, it is about, by its place among them.
    #[serde(skip)]
    pub request: Option<usize>,
    /// What is refused of the same batch besides, in order of the requests.
    #[serde(skip)]
    pub others: Vec<Refusal>,
}

impl Refusal {
    /// A refusal of that kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            causes: Box::default(),
            hint: None,
            busy: None,
            request: None,
            others: Vec::new(),
        }
    }

    /// A refusal for the reason that an error gives.
    pub fn caused(kind: ErrorKind, error: &dyn std::error::Error) -> Self {
        Self { causes: causes(error).collect(), ..Self::new(kind, error.to_string()) }
    }

    /// A rule forbids it.
    pub fn rule(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, message)
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

    /// The same where the first of the changes has that place among all.
    #[must_use]
    pub fn placed(mut self, first: usize) -> Self {
        self.request = self.request.map(|place| place + first);
        self.others.iter_mut().for_each(|other| other.request = other.request.map(|place| place + first));
        self
    }

    /// The same with the device that is in use.
    pub fn busy_device(mut self, dev: base::ids::DevNo) -> Self {
        self.busy = Some(dev);
        self
    }
}
