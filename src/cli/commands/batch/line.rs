//! One line of a batch.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

use super::alloc;
use crate::errors::CliError;
use base::units::size::Unit;
use base::units::{Bytes, Sectors};
use thin::request::NewSize;

/// A request as it is written.
#[derive(Debug, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Written {
    Create {
        pool: String,
        name: String,
        size: Size,
        #[serde(default = "yes")]
        activate: bool,
        #[serde(default)]
        autoactivate: bool,
        #[serde(default)]
        tags: Vec<String>,
    },
    Snapshot {
        snapshot: String,
        #[serde(default)]
        writable: bool,
        #[serde(default = "yes")]
        fsfreeze: bool,
    },
    Clone {
        source: String,
        name: String,
        #[serde(default = "yes")]
        activate: bool,
    },
    Remove {
        volume: String,
        #[serde(default)]
        snapshots: Option<bool>,
        #[serde(default)]
        force: bool,
    },
    Resize {
        volume: String,
        size: Size,
        #[serde(default)]
        shrink: bool,
    },
    Rename {
        volume: String,
        name: String,
    },
    Modify {
        volume: String,
        read_only: Option<bool>,
        skip_activation: Option<bool>,
        autoactivate: Option<bool>,
        #[serde(default)]
        add_tags: Vec<String>,
        #[serde(default)]
        remove_tags: Vec<String>,
    },
    Rollback {
        snapshot: String,
    },
    Template {
        volume: String,
    },
    Activate {
        volume: String,
    },
    Deactivate {
        volume: String,
    },
}

/// A size: bytes as a number, or a text with a unit.
#[derive(Debug)]
pub(super) enum Size {
    Bytes(u64),
    Text(String),
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Form;
        impl Visitor<'_> for Form {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size: bytes as a whole number, or a text with a unit such as \"8G\"")
            }

            fn visit_u64<E>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size::Bytes(bytes))
            }

            fn visit_str<E>(self, text: &str) -> Result<Size, E> {
                Ok(Size::Text(text.to_owned()))
            }
        }
        input.deserialize_any(Form)
    }
}

const fn yes() -> bool {
    true
}

impl Written {
    pub(super) fn parse(text: &str) -> Result<Self, CliError> {
        serde_json::from_str(text).map_err(|error| {
            // The parser counts lines from the start of this one.
            let error = error.to_string().replace(" at line 1 column ", " at column ");
            CliError::usage(format!("not a request: {error}"))
                .hint("'thinvol batch --help' shows how requests are written")
        })
    }
}

impl Size {
    /// The size, or with a '+' how much more.
    pub(super) fn new_size(&self) -> Result<NewSize, CliError> {
        match self {
            Self::Text(text) if text.starts_with('+') => {
                Self::Text(text[1..].to_owned()).sectors().map(NewSize::By)
            }
            _ => self.sectors().map(NewSize::To),
        }
    }

    /// The size in sectors, rounded up. A text without unit is refused: KiB for `alloc`, bytes as a number;
    /// who knows.
    pub(super) fn sectors(&self) -> Result<Sectors, CliError> {
        match self {
            Self::Bytes(bytes) => Ok(Bytes::new(*bytes).to_sectors_ceil()),
            Self::Text(text) if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => {
                Err(CliError::usage(format!("the size \"{text}\" has no unit"))
                    .hint("write bytes as a number without quotes, or a unit: \"8G\""))
            }
            Self::Text(text) => alloc::size(text, Unit::Byte),
        }
    }
}
