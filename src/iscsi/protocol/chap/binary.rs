//! Binary values in texts: hexadecimal after `0x`, base64 after `0b`. Source: RFC 7143 section 6.1.

use std::fmt::Write;

use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine, alphabet};

/// Bytes in hexadecimal, as we send them.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("strings take everything");
        text
    })
}

/// Bytes of a value; hexadecimal with an odd number of digits has a zero before them. `None` if it is neither
/// form or holds more than `most` bytes.
pub fn parse(text: &str, most: usize) -> Option<Vec<u8>> {
    let (prefix, digits) = text.as_bytes().split_at_checked(2)?;
    let bytes = match prefix {
        b"0x" | b"0X" => hex(digits, most)?,
        b"0b" | b"0B" => base64(digits, most)?,
        _ => return None,
    };
    (!bytes.is_empty() && bytes.len() <= most).then_some(bytes)
}

fn hex(digits: &[u8], most: usize) -> Option<Vec<u8>> {
    if digits.len() > most.checked_mul(2)? {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (odd, pairs) = digits.split_at(digits.len() % 2);
    let mut bytes = Vec::with_capacity(digits.len().div_ceil(2));
    bytes.extend(odd.iter().map(|byte| digit(*byte)).collect::<Option<Vec<_>>>()?);
    for pair in pairs.chunks_exact(2) {
        bytes.push(digit(pair[0])? << 4 | digit(pair[1])?);
    }
    Some(bytes)
}

/// Padding may be there or not: targets differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn base64(text: &[u8], most: usize) -> Option<Vec<u8>> {
    if text.len() > most.checked_mul(2)? {
        return None;
    }
    BASE64.decode(text).ok()
}
