//! Sizes as they are written.

use std::fmt;

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;
use crate::request::{NewSize, Space};
use base::error_kind::ErrorKind;
use base::units::size::{Unit, parse_size};
use base::units::{Bytes, Sectors};

/// What a share of the free extents is written with.
const OF_FREE: &str = "%FREE";

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

    /// The size of something in a pool, how much more, or a share of what is free.
    ///
    /// # Errors
    /// If it is none of them.
    pub fn space(&self) -> Result<Space, Refusal> {
        match self {
            Self::Text(text) if text.to_ascii_uppercase().ends_with(OF_FREE) => space(text, Unit::Byte),
            _ => Ok(match self.new_size()? {
                NewSize::To(size) => Space::To(size),
                NewSize::By(size) => Space::By(size),
            }),
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

/// Reads a size, how much more, or a share of what is free; a number without unit is in `default`.
///
/// # Errors
/// If it is none of them.
pub fn space(text: &str, default: Unit) -> Result<Space, Refusal> {
    let (by, rest) = text.strip_prefix('+').map_or((false, text), |rest| (true, rest));
    let upper = rest.to_ascii_uppercase();
    if let Some(percent) = upper.strip_suffix(OF_FREE) {
        let percent = percent.parse().ok().filter(|percent| (1..=100).contains(percent));
        return percent.map(Space::FreePercent).ok_or_else(|| {
            Refusal::new(ErrorKind::Usage, format!("'{text}' is no share of what is free"))
                .hint("write 50%FREE, or another number from 1 to 100")
        });
    }
    let size = size(rest, default)?;
    Ok(if by { Space::By(size) } else { Space::To(size) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_elsewhere_and_shares_besides() {
        let gib = Sectors::new(2 << 20);
        let read = |text| space(text, Unit::Kibi);
        assert_eq!(read("1G").unwrap(), Space::To(gib));
        assert_eq!(read("+1G").unwrap(), Space::By(gib));
        assert_eq!(read("1048576").unwrap(), Space::To(gib));
        for share in ["50%FREE", "+50%free"] {
            assert_eq!(read(share).unwrap(), Space::FreePercent(50));
            assert_eq!(WrittenSize::Text(share.into()).space().unwrap(), Space::FreePercent(50));
        }
        for wrong in ["0%FREE", "101%FREE", "%FREE", "50%", "much", ""] {
            assert_eq!(read(wrong).unwrap_err().kind, ErrorKind::Usage, "{wrong}");
        }
        assert_eq!(WrittenSize::Bytes(1 << 30).space().unwrap(), Space::To(gib));
        assert_eq!(WrittenSize::Text("+1G".into()).space().unwrap(), Space::By(gib));
        assert!(WrittenSize::Text("1048576".into()).space().is_err(), "a text without unit");
    }
}
