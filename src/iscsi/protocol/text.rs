//! Key=value texts of Login and Text PDUs. Source: RFC 7143 section 6.1.

use thiserror::Error;

/// The longest name of a key, in bytes. Source: RFC 7143 section 6.1 (`key-name`).
pub const KEY_MAX: usize = 63;

/// The longest value we take, in bytes: far above the 2,049 characters of the longest CHAP value there may be.
pub const VALUE_MAX: usize = 8192;

/// Values that stand for an answer. Source: RFC 7143 section 6.2.
pub const NOT_UNDERSTOOD: &str = "NotUnderstood";
/// The key means nothing here.
pub const IRRELEVANT: &str = "Irrelevant";
/// The value is not acceptable.
pub const REJECT: &str = "Reject";

/// A text that breaks the rules of texts.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TextError {
    /// No `=`, or no key before it.
    #[error("the text has '{0}' where a 'key=value' belongs")]
    NoPair(String),
    /// A key with other characters than are allowed, or too many.
    #[error("the text has a key that cannot be one: '{0}'")]
    Key(String),
    /// A value that is too long.
    #[error("the value of {key} is {length} bytes long, at most {VALUE_MAX} are taken")]
    Value {
        /// The key.
        key: String,
        /// The value's length.
        length: usize,
    },
    /// More pairs than are taken.
    #[error("the text has more than {0} keys")]
    TooMany(usize),
    /// A value that is no text.
    #[error("the value of {0} is not UTF-8")]
    Encoding(String),
}

/// One `key=value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// The key: letters, digits and `. - + @ _`.
    pub key: &'a str,
    /// The value as it came.
    pub value: &'a [u8],
}

impl<'a> Pair<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, TextError> {
        let at = bytes.iter().position(|byte| *byte == b'=').filter(|at| *at > 0);
        let at = at.ok_or_else(|| TextError::NoPair(printable(bytes)))?;
        let (key, value) = (&bytes[..at], &bytes[at + 1..]);
        let sound = |byte: &u8| byte.is_ascii_alphanumeric() || b".-+@_".contains(byte);
        let key = std::str::from_utf8(key)
            .ok()
            .filter(|key| key.len() <= KEY_MAX && key.bytes().all(|b| sound(&b)));
        let key = key.ok_or_else(|| TextError::Key(printable(&bytes[..at])))?;
        if value.len() > VALUE_MAX {
            return Err(TextError::Value { key: key.to_owned(), length: value.len() });
        }
        Ok(Self { key, value })
    }

    /// The value as text.
    ///
    /// # Errors
    /// If it is not UTF-8.
    pub fn text(&self) -> Result<&'a str, TextError> {
        std::str::from_utf8(self.value).map_err(|_| TextError::Encoding(self.key.to_owned()))
    }
}

/// The pairs of a complete text, in order. Each ends with a zero byte; further zeros, and a last pair without
/// one, are taken from targets that pad or forget.
///
/// # Errors
/// At the first that is no pair, or when there are more than `most`.
pub fn parse(text: &[u8], most: usize) -> Result<Vec<Pair<'_>>, TextError> {
    let mut pairs = Vec::new();
    for bytes in text.split(|byte| *byte == 0).filter(|bytes| !bytes.is_empty()) {
        if pairs.len() == most {
            return Err(TextError::TooMany(most));
        }
        pairs.push(Pair::parse(bytes)?);
    }
    Ok(pairs)
}

/// Adds `key=value` and its zero byte to a text.
pub fn push(text: &mut Vec<u8>, key: &str, value: &str) {
    text.extend_from_slice(key.as_bytes());
    text.push(b'=');
    text.extend_from_slice(value.as_bytes());
    text.push(0);
}

/// How much of what a target sent is repeated in a message.
const SHOWN_CHARS: usize = 64;

/// Bytes of a target's in a message to the user: short, and nothing that a terminal would act on.
pub fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..SHOWN_CHARS * 4).unwrap_or(bytes));
    let shown: String = text.chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().count() > SHOWN_CHARS || bytes.len() > SHOWN_CHARS * 4 {
        format!("{shown}…")
    } else {
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{Strategy, any, prop, proptest};

    #[test]
    fn pairs_come_back_in_order() {
        let mut text = Vec::new();
        push(&mut text, "TargetName", "iqn.2025-01.test:a");
        push(&mut text, "X-com.example@a+b_c", "");
        push(&mut text, "TargetAddress", "[::1]:3260,1=2");
        let shown: Vec<_> =
            parse(&text, 3).unwrap().iter().map(|pair| (pair.key, pair.text().unwrap())).collect();
        assert_eq!(
            shown,
            [
                ("TargetName", "iqn.2025-01.test:a"),
                ("X-com.example@a+b_c", ""),
                ("TargetAddress", "[::1]:3260,1=2")
            ]
        );
        assert_eq!(parse(&text, 2), Err(TextError::TooMany(2)));
    }

    #[test]
    fn padding_and_a_forgotten_end_are_taken() {
        assert_eq!(parse(b"", 1), Ok(vec![]));
        assert_eq!(parse(b"\0\0a=1\0\0\0b=2", 2).unwrap().len(), 2);
    }

    #[test]
    fn what_is_no_pair_is_shown_without_its_control_characters() {
        assert_eq!(parse(b"\x1b[2J\0", 9), Err(TextError::NoPair("\\u{1b}[2J".into())));
        assert_eq!(parse(b"=1\0", 9), Err(TextError::NoPair("=1".into())));
        assert_eq!(parse(b"a b=1\0", 9), Err(TextError::Key("a b".into())));
        assert!(matches!(parse(&[vec![b'k'; 64], b"=1".to_vec()].concat(), 9), Err(TextError::Key(_))));
        let long = [b"k=".to_vec(), vec![b'v'; VALUE_MAX + 1]].concat();
        assert_eq!(parse(&long, 9), Err(TextError::Value { key: "k".into(), length: VALUE_MAX + 1 }));
        assert_eq!(parse(b"k=\xff\0", 9).unwrap()[0].text(), Err(TextError::Encoding("k".into())));
        assert_eq!(printable(&[b'x'; 1000]), format!("{}…", "x".repeat(64)));
    }

    fn key() -> impl Strategy<Value = String> {
        "[A-Za-z][A-Za-z0-9.@+_-]{0,62}"
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(pairs in prop::collection::vec((key(), "[^\0]{0,64}"), 0..20)) {
            let mut text = Vec::new();
            for (key, value) in &pairs {
                push(&mut text, key, value);
            }
            let read = parse(&text, pairs.len()).unwrap();
            let read: Vec<_> = read.iter().map(|p| (p.key.to_owned(), p.text().unwrap().to_owned())).collect();
            assert_eq!(read, pairs);
        }

        #[test]
        fn any_bytes_are_pairs_or_an_error_fit_to_print(text in any::<Vec<u8>>()) {
            if let Err(error) = parse(&text, 8) {
                assert!(error.to_string().chars().all(|c| !c.is_control()));
            }
        }
    }
}
