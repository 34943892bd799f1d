//! The words for how a pool works, the same on the command line and in a batch.

use std::fmt;

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use crate::changes::WrittenSize;
use crate::pool_rules::{NO_RULE, RuleChange, RuleKind};
use crate::refusal::Refusal;
use base::error_kind::ErrorKind;
use base::units::size::Unit;
use lvm2::format::model::Discards;

/// What happens to discards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiscardsWord {
    /// Chunks are freed, and the disks are told.
    Passdown,
    /// Chunks are freed.
    Nopassdown,
    /// Nothing.
    Ignore,
}

impl From<DiscardsWord> for Discards {
    fn from(word: DiscardsWord) -> Self {
        match word {
            DiscardsWord::Passdown => Self::Passdown,
            DiscardsWord::Nopassdown => Self::NoPassdown,
            DiscardsWord::Ignore => Self::Ignore,
        }
    }
}

/// What happens to writes when the pool is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenFull {
    /// They wait for room, for a minute unless the kernel was told otherwise.
    Queue,
    /// They fail at once.
    Error,
}

impl WhenFull {
    /// Whether writes fail at once.
    pub(super) fn is_error(self) -> bool {
        self == Self::Error
    }
}

/// A rule of a pool in JSON: a number, a text as on the command line, or `"none"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum WrittenRule {
    /// A number, in its decimal form.
    Number(String),
    /// A text.
    Text(String),
}

impl<'de> Deserialize<'de> for WrittenRule {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Form;
        impl Visitor<'_> for Form {
            type Value = WrittenRule;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, a text such as \"20G\", or \"none\"")
            }

            fn visit_u64<E>(self, number: u64) -> Result<WrittenRule, E> {
                Ok(WrittenRule::Number(number.to_string()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<WrittenRule, E> {
                Ok(WrittenRule::Number(number.to_string()))
            }

            fn visit_str<E>(self, text: &str) -> Result<WrittenRule, E> {
                Ok(WrittenRule::Text(text.to_owned()))
            }
        }
        input.deserialize_any(Form)
    }
}

impl WrittenRule {
    /// The rule. A reserve as a number is in bytes; as a text it needs a unit, like every size.
    ///
    /// # Errors
    /// If it is no rule of that kind.
    pub(super) fn change(&self, kind: RuleKind) -> Result<RuleChange, Refusal> {
        if let (Self::Text(text), RuleKind::Reserve) = (self, kind)
            && text != NO_RULE
        {
            WrittenSize::Text(text.clone()).sectors()?;
        }
        let (Self::Number(text) | Self::Text(text)) = self;
        RuleChange::parse(kind, text, Unit::Byte)
            .map_err(|error| Refusal::new(ErrorKind::Usage, format!("{} '{text}': {error}", kind.word())))
    }
}
