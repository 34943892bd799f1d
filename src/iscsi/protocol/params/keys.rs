//! The table of operational keys. Source: RFC 7143 sections 13.1, 13.2 and 13.10 to 13.20.

use std::fmt;

use super::Digest;

pub const HEADER_DIGEST: &str = "HeaderDigest";
pub const DATA_DIGEST: &str = "DataDigest";
pub const MAX_RECV: &str = "MaxRecvDataSegmentLength";
pub const MAX_BURST: &str = "MaxBurstLength";
pub const FIRST_BURST: &str = "FirstBurstLength";
pub const INITIAL_R2T: &str = "InitialR2T";
pub const IMMEDIATE_DATA: &str = "ImmediateData";
pub const MAX_R2T: &str = "MaxOutstandingR2T";
pub const TIME2WAIT: &str = "DefaultTime2Wait";
pub const TIME2RETAIN: &str = "DefaultTime2Retain";

/// Keys of RFC 3720 that RFC 7143 took away: targets still propose them.
pub const MARKERS: [&str; 4] = ["IFMarker", "OFMarker", "IFMarkInt", "OFMarkInt"];

/// How a result comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The target picks from our list.
    Digest,
    /// Each side says what holds for itself.
    Declared(u32, u32),
    /// The lower number of both, within a range.
    Least(u32, u32),
    /// The higher number of both, within a range.
    Most(u32, u32),
    /// Yes if either side says so.
    Or,
    /// Yes if both sides say so.
    And,
}

/// A value of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    Digest(Digest),
    Number(u32),
    Bool(bool),
}

impl Value {
    /// The number of a numeric key.
    pub fn number(self) -> u32 {
        match self {
            Self::Number(number) => number,
            Self::Digest(_) | Self::Bool(_) => unreachable!("the table says which keys are numbers"),
        }
    }

    /// The truth value of a key that has one.
    pub fn truth(self) -> bool {
        match self {
            Self::Bool(truth) => truth,
            Self::Digest(_) | Self::Number(_) => unreachable!("the table says which keys are yes or no"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(digest) => digest.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Bool(true) => f.write_str("Yes"),
            Self::Bool(false) => f.write_str("No"),
        }
    }
}

/// A key of operational negotiation.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub rule: Rule,
    /// What holds where nothing is negotiated.
    pub default: Value,
    /// Whether it means nothing in a session for discovery.
    pub is_irrelevant_in_discovery: bool,
}

const fn key(name: &'static str, rule: Rule, default: Value, is_irrelevant_in_discovery: bool) -> Key {
    Key { name, rule, default, is_irrelevant_in_discovery }
}

const LENGTH_MIN: u32 = 512;
const LENGTH_MAX: u32 = 0x00ff_ffff;
const HOUR: u32 = 3600;

/// All keys we know, in the order in which they are offered.
pub const ALL: &[Key] = &[
    key(HEADER_DIGEST, Rule::Digest, Value::Digest(Digest::None), false),
    key(DATA_DIGEST, Rule::Digest, Value::Digest(Digest::None), false),
    key(MAX_RECV, Rule::Declared(LENGTH_MIN, LENGTH_MAX), Value::Number(8192), false),
    key(TIME2WAIT, Rule::Most(0, HOUR), Value::Number(2), false),
    key(TIME2RETAIN, Rule::Least(0, HOUR), Value::Number(20), false),
    key("ErrorRecoveryLevel", Rule::Least(0, 2), Value::Number(0), false),
    key("MaxConnections", Rule::Least(1, 65535), Value::Number(1), true),
    key(INITIAL_R2T, Rule::Or, Value::Bool(true), true),
    key(IMMEDIATE_DATA, Rule::And, Value::Bool(true), true),
    key(MAX_BURST, Rule::Least(LENGTH_MIN, LENGTH_MAX), Value::Number(262_144), true),
    key(FIRST_BURST, Rule::Least(LENGTH_MIN, LENGTH_MAX), Value::Number(65_536), true),
    key(MAX_R2T, Rule::Least(1, 65535), Value::Number(1), true),
    key("DataPDUInOrder", Rule::Or, Value::Bool(true), true),
    key("DataSequenceInOrder", Rule::Or, Value::Bool(true), true),
];

impl Key {
    /// Reads a number or a truth value.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(&self, text: &str) -> Result<Value, &'static str> {
        let range = match self.rule {
            Rule::Least(low, high) | Rule::Most(low, high) | Rule::Declared(low, high) => low..=high,
            Rule::Or | Rule::And | Rule::Digest => {
                return match text {
                    "Yes" => Ok(Value::Bool(true)),
                    "No" => Ok(Value::Bool(false)),
                    _ => Err("neither Yes nor No"),
                };
            }
        };
        let number = number(text).ok_or("not a number")?;
        if range.contains(&number) { Ok(Value::Number(number)) } else { Err("outside the range of the key") }
    }

    /// Whether a target may answer `theirs` to `ours`.
    pub fn allows(&self, ours: Value, theirs: Value) -> bool {
        match (self.rule, ours, theirs) {
            (Rule::Declared(..), ..) => true,
            (Rule::Least(..), Value::Number(ours), Value::Number(theirs)) => theirs <= ours,
            (Rule::Most(..), Value::Number(ours), Value::Number(theirs)) => theirs >= ours,
            (Rule::Or, Value::Bool(ours), Value::Bool(theirs)) => theirs || !ours,
            (Rule::And, Value::Bool(ours), Value::Bool(theirs)) => ours || !theirs,
            _ => false,
        }
    }

    /// What holds where the target does not answer: as if it had answered the default.
    pub fn combine(&self, ours: Value) -> Value {
        match (self.rule, ours, self.default) {
            (Rule::Least(..), Value::Number(ours), Value::Number(default)) => {
                Value::Number(ours.min(default))
            }
            (Rule::Most(..), Value::Number(ours), Value::Number(default)) => Value::Number(ours.max(default)),
            (Rule::Or, Value::Bool(ours), Value::Bool(default)) => Value::Bool(ours || default),
            (Rule::And, Value::Bool(ours), Value::Bool(default)) => Value::Bool(ours && default),
            _ => self.default,
        }
    }
}

/// A number in decimal, or in hexadecimal after `0x`. Source: RFC 7143 section 6.1 (`numerical-value`).
pub fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    let sound = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(digits, radix).ok().filter(|_| sound)
}
