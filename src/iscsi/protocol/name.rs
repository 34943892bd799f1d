//! iSCSI names and initiator session ids.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

/// Why a text is not valid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{what} '{text}' is not valid: {why}")]
pub struct NameError {
    /// The expected form.
    pub what: &'static str,
    /// The text that was given, fit to be printed.
    pub text: String,
    /// The rule it breaks.
    pub why: String,
}

impl NameError {
    pub(crate) fn new(what: &'static str, text: &str, why: impl Into<String>) -> Self {
        let shown: String = text.chars().take(SHOWN_CHARS).collect();
        Self { what, text: shown.escape_debug().to_string(), why: why.into() }
    }
}

/// How much of a wrong text is repeated in an error.
const SHOWN_CHARS: usize = 256;

/// The longest iSCSI name, in bytes. Source: RFC 7143 section 4.2.7.2.
pub const NAME_MAX: usize = 223;

/// The name of an iSCSI node, target or initiator: `iqn.…`, `eui.…` or `naa.…`.
///
/// RFC 3722 has names folded to lower case before they are sent. Targets in the field (Synology's for one)
/// have capitals and underscores, and compare byte for byte: both are taken as they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IscsiName(String);

impl IscsiName {
    /// Checks a name. Source: RFC 7143 sections 4.2.7.1 to 4.2.7.6, RFC 3722.
    ///
    /// # Errors
    /// Says which rule the name breaks.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let bad = |why: String| Err(NameError::new("iSCSI name", text, why));
        if text.len() > NAME_MAX {
            return bad(format!("it is {} bytes long, at most {NAME_MAX} are allowed", text.len()));
        }
        if let Some(c) = text.chars().find(|c| !(c.is_alphanumeric() || "-.:_".contains(*c))) {
            return bad(format!("'{}' is not a letter, a digit or one of - . : _", c.escape_default()));
        }
        let hex = |text: &str, lengths: &[usize]| {
            lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        match text.split_once('.') {
            Some(("iqn", rest)) => match check_iqn(rest) {
                Ok(()) => Ok(Self(text.to_owned())),
                Err(why) => bad(why.to_owned()),
            },
            Some(("eui", rest)) if hex(rest, &[16]) => Ok(Self(text.to_owned())),
            Some(("naa", rest)) if hex(rest, &[16, 32]) => Ok(Self(text.to_owned())),
            Some(("eui", _)) => bad("'eui.' is followed by 16 hexadecimal digits".into()),
            Some(("naa", _)) => bad("'naa.' is followed by 16 or 32 hexadecimal digits".into()),
            _ => bad("it starts with none of 'iqn.', 'eui.' and 'naa.'".into()),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks `yyyy-mm.<reversed domain>[:<anything>]`.
fn check_iqn(rest: &str) -> Result<(), &'static str> {
    let (date, authority) = rest.split_once('.').ok_or("'iqn.' is followed by a date, a dot and a domain")?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let dated = date.split_once('-').is_some_and(|(year, month)| {
        year.len() == 4
            && digits(year)
            && month.len() == 2
            && matches!(month.parse::<u8>(), Ok(1..=12))
            && digits(month)
    });
    if !dated {
        return Err("'iqn.' is followed by a year and a month, as in 'iqn.2025-01.'");
    }
    match authority.split(':').next() {
        None | Some("") => Err("the date is followed by the reversed domain of who gives the name"),
        Some(_) => Ok(()),
    }
}

impl fmt::Display for IscsiName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for IscsiName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl Serialize for IscsiName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// The initiator's part of a session's identity. A login with the ISID of a living session of the same initiator
/// and target replaces that session. Source: RFC 7143 section 11.12.5.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Isid(pub [u8; 6]);

impl Isid {
    /// The ISID open-iscsi gives the session with this kernel number: its OUI and the number's low 24 bits, so
    /// that iscsid, when it adopts the session, logs in as the same. Source: open-iscsi `usr/initiator.c`
    /// (`iscsi_copy_operational_params`, `DRIVER_ISID`).
    pub fn of_kernel_session(sid: u32) -> Self {
        let [_, b, c, d] = sid.to_be_bytes();
        Self([0x00, 0x02, 0x3d, b, c, d])
    }

    /// An ISID of the random type, for sessions that must not replace each other.
    pub fn random(random: [u8; 5]) -> Self {
        let [a, b, c, d, e] = random;
        Self([0x80, a, b, c, d, e])
    }
}

impl fmt::Display for Isid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Isid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_three_kinds_are_taken_as_they_are() {
        for name in [
            "iqn.1993-08.org.debian:01:abcdef",
            "iqn.2000-01.com.synology:NAS.Target-1.abc_2",
            "iqn.2025-12.test",
            "iqn.2025-01.test:état",
            "eui.02004567A425678D",
            "naa.52004567BA64678D",
            "naa.62004567BA64678D0123456789ABCDEF",
        ] {
            assert_eq!(IscsiName::new(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn others_are_refused_with_the_rule_they_break() {
        for (name, why) in [
            ("", "it starts with none of"),
            ("target", "it starts with none of"),
            ("IQN.2025-01.test:a", "it starts with none of"),
            ("iqn.2025-13.test", "a year and a month"),
            ("iqn.2025-+1.test", "a letter, a digit"),
            ("iqn.25-01.test", "a year and a month"),
            ("iqn.2025-01", "a date, a dot and a domain"),
            ("iqn.2025-01.", "the reversed domain"),
            ("iqn.2025-01.:a", "the reversed domain"),
            ("iqn.2025-01.test:a b", "' ' is not a letter"),
            ("iqn.2025-01.test:a/../b", "'/' is not a letter"),
            ("iqn.2025-01.test:a\0", "is not a letter"),
            ("iqn.2025-01.test:a\u{1b}[2J", "is not a letter"),
            ("eui.02004567A425678", "16 hexadecimal digits"),
            ("naa.52004567BA64678G", "16 or 32 hexadecimal digits"),
        ] {
            let error = IscsiName::new(name).unwrap_err();
            assert!(error.why.contains(why), "{name}: {error}");
            assert!(error.to_string().chars().all(|c| !c.is_control()), "{error:?}");
        }
        let longest = format!("iqn.2025-01.t:{}", "x".repeat(NAME_MAX - 14));
        assert!(IscsiName::new(&longest).is_ok());
        assert!(IscsiName::new(&format!("{longest}x")).unwrap_err().why.contains("224 bytes"));
    }

    #[test]
    fn isids_are_of_the_types_they_say() {
        assert_eq!(Isid::of_kernel_session(0x0102_0304).to_string(), "00023d020304");
        assert_eq!(Isid::random([1, 2, 3, 4, 5]).to_string(), "800102030405");
    }
}
