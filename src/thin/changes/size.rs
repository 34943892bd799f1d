//! Sizes as they are written.

use std::fmt;

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;
use crate::request::NewSize;
use base::error_kind::ErrorKind;
use base::units::size::{Unit, parse_size};
use base::units::{Bytes, Sectors};

/// A size in JSON: bytes as a number, or a text with a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum WrittenSize {
    /// Bytes.
    Bytes(u64),
    /// A number with a unit; with a `+`, how much more.
    Text(String),
}

impl<'de> Deserialize<'de> for WrittenSize {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Form;
        impl Visitor<'_> for Form {
            type Value = WrittenSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size: bytes as a whole number, or a text with a unit such as \"8G\"")
            }

            fn visit_u64<E>(self, bytes: u64) -> Result<WrittenSize, E> {
                Ok(WrittenSize::Bytes(bytes))
            }

            fn visit_str<E>(self, text: &str) -> Result<WrittenSize, E> {
                Ok(WrittenSize::Text(text.to_owned()))
            }
        }
        input.deserialize_any(Form)
    }
}

impl WrittenSize {
    /// The size, or with a `+` how much more.
    ///
    /// # Errors
    /// If it is neither.
    pub fn new_size(&self) -> Result<NewSize, Refusal> {
        match self {
            Self::Text(text) if text.starts_with('+') => {
                Self::Text(text[1..].to_owned()).sectors().map(NewSize::By)
            }
            _ => self.sectors().map(NewSize::To),
        }
    }

    /// The size in sectors, rounded up. A text without unit is refused: KiB for `alloc`, bytes as a number; who knows.
    ///
    /// # Errors
    /// If it is no size.
    pub fn sectors(&self) -> Result<Sectors, Refusal> {
        match self {
            Self::Bytes(bytes) => Ok(Bytes::new(*bytes).to_sectors_ceil()),
            Self::Text(text) if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => {
                Err(Refusal::new(ErrorKind::Usage, format!("the size \"{text}\" has no unit"))
                    .hint("write bytes as a number without quotes, or a unit: \"8G\""))
            }
            Self::Text(text) => size(text, Unit::Byte),
        }
    }
}

/// Reads a size and rounds it up to sectors; a number without unit is in `default`.
///
/// # Errors
/// If it is not a size, or none at all.
pub fn size(text: &str, default: Unit) -> Result<Sectors, Refusal> {
    let usage = |message: String| Refusal::new(ErrorKind::Usage, message);
    let bytes =
        parse_size(text, default).map_err(|error| usage(error.to_string()).hint(error.hint.clone()))?;
    if bytes.get() == 0 {
        return Err(usage(format!("'{text}' is not a size: a volume has one extent at least"))
            .hint("write a number and a unit: 512M, 8G, 1.5T"));
    }
    Ok(bytes.to_sectors_ceil())
}

/// Reads a size, or with a `+` how much more.
///
/// # Errors
/// If it is neither.
pub fn new_size(text: &str, default: Unit) -> Result<NewSize, Refusal> {
    match text.strip_prefix('+') {
        Some(more) => size(more, default).map(NewSize::By),
        None => size(text, default).map(NewSize::To),
    }
}
