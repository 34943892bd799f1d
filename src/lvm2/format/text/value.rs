//! Values of assignments: numbers, strings, arrays.

use std::borrow::Cow;

/// The value of an assignment. Strings that are not UTF-8 show replacement characters; the bytes stay as they
/// are.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// A whole number; a leading zero means octal, as in C.
    Integer(i64),
    /// A number with a point.
    Float(f64),
    /// A string: quoted, raw or bare.
    String(Cow<'a, str>),
    /// A list of the other three.
    Array(Vec<Value<'a>>),
}

impl<'a> Value<'a> {
    /// The number, if it is a whole one.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// What the boolean settings of `lvm.conf` accept: a number (0 is false) or a word.
    /// Source: lvm2 `libdm/config/libdm-config.c` (`_str_to_bool`).
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Integer(number) => Some(*number != 0),
            Self::String(word) => match word.to_ascii_lowercase().as_str() {
                "y" | "yes" | "on" | "true" => Some(true),
                "n" | "no" | "off" | "false" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// The strings of an array, or of a lone string as LVM takes it; `None` if anything else is among them.
    pub fn as_strings(&self) -> Option<Vec<&str>> {
        match self {
            Self::Array(items) => items.iter().map(Value::as_str).collect(),
            _ => self.as_str().map(|text| vec![text]),
        }
    }

    /// What kind of value it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number with a point",
            Self::String(_) => "a string",
            Self::Array(_) => "a list",
        }
    }
}

/// Writes a string as LVM does: in double quotes, with a backslash before quotes and backslashes.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// Decodes the inside of a double-quoted string.
pub(super) fn unescape(inside: &[u8]) -> Cow<'_, str> {
    if !inside.contains(&b'\\') {
        return String::from_utf8_lossy(inside);
    }
    let mut out = Vec::with_capacity(inside.len());
    let mut rest = inside;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match (byte, tail) {
            (b'\\', [next @ (b'"' | b'\\'), after @ ..]) => {
                out.push(*next);
                rest = after;
            }
            _ => out.push(*byte),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}
