//! Operational parameters: our offer, the allowed answers, and the result of the negotiation.
//!
//! Source of keys, ranges, defaults and rules: RFC 7143 section 13.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use thiserror::Error;

use crate::protocol::text::{IRRELEVANT, NOT_UNDERSTOOD, Pair, REJECT, TextError, printable};

mod keys;
#[cfg(test)]
mod tests;

use keys::{Key, Rule, Value};

/// A checksum over headers or data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Digest {
    /// None; TCP's own has to do.
    None,
    /// CRC-32C.
    Crc32c,
}

impl Digest {
    /// The name in texts.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Crc32c => "CRC32C",
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Our offer. Not to be chosen: data in order, one connection, error recovery level 0, for the kernel's
/// initiator does nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Header digests, the preferred one first.
    pub header_digest: Vec<Digest>,
    /// Data digests, the preferred one first.
    pub data_digest: Vec<Digest>,
    /// The data segment we take in the full feature phase, in bytes, 512 to 16777215.
    pub max_recv_data_segment_length: u32,
    /// The longest burst of data for one command, in bytes, 512 to 16777215.
    pub max_burst_length: u32,
    /// The most unsolicited data of one command, in bytes, 512 to 16777215.
    pub first_burst_length: u32,
    /// Whether to send no data but on demand, beyond immediate data.
    pub initial_r2t: bool,
    /// Whether to send data with commands.
    pub immediate_data: bool,
    /// How many demands for data a command may have open, 1 to 65535.
    pub max_outstanding_r2t: u16,
    /// Seconds to wait before reconnecting, 0 to 3600.
    pub default_time2wait: u16,
    /// Seconds after that during which tasks are kept, 0 to 3600.
    pub default_time2retain: u16,
}

impl Default for Offer {
    /// What open-iscsi offers (`usr/config.h`, `etc/iscsid.conf`), but for the wait before a reconnection: the longer
    /// one of both sides' holds, and I/O waits with it; so it is left to the target.
    fn default() -> Self {
        Self {
            header_digest: vec![Digest::None],
            data_digest: vec![Digest::None],
            max_recv_data_segment_length: 262_144,
            max_burst_length: 16_776_192,
            first_burst_length: 262_144,
            initial_r2t: false,
            immediate_data: true,
            max_outstanding_r2t: 1,
            default_time2wait: 0,
            default_time2retain: 0,
        }
    }
}

/// What both sides agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Parameters {
    /// The digest over headers.
    pub header_digest: Digest,
    /// The digest over data.
    pub data_digest: Digest,
    /// The data segment we take, in bytes.
    pub max_recv_data_segment_length: u32,
    /// The data segment the target takes, in bytes.
    pub max_send_data_segment_length: u32,
    /// The longest burst, in bytes.
    pub max_burst_length: u32,
    /// The most unsolicited data, in bytes; never above the longest burst.
    pub first_burst_length: u32,
    /// Whether data is sent on demand only.
    pub initial_r2t: bool,
    /// Whether data is sent with commands.
    pub immediate_data: bool,
    /// Open demands for data of one command.
    pub max_outstanding_r2t: u16,
    /// Seconds to wait before reconnecting.
    pub default_time2wait: u16,
    /// Seconds after that during which tasks are kept.
    pub default_time2retain: u16,
}

/// An answer that is not among those the offer allows.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParamError {
    /// The target refuses a key.
    #[error("the target rejects {key}={offered}")]
    Rejected {
        /// The key.
        key: &'static str,
        /// Our offer.
        offered: String,
    },
    /// The answer is outside the offer or the range of the key.
    #[error("{key}={offered} was offered, and the target answers '{answer}', which is {why}")]
    Answer {
        /// The key.
        key: &'static str,
        /// Our offer.
        offered: String,
        /// What came.
        answer: String,
        /// The problem.
        why: &'static str,
    },
    /// A key came a second time.
    #[error("the target gives {0} twice")]
    Twice(String),
    /// The target wants to negotiate, and ends the negotiation.
    #[error("the target proposes {0} and ends the negotiation before it can be answered")]
    Unanswerable(String),
    /// The text breaks the rules of texts.
    #[error(transparent)]
    Text(#[from] TextError),
}

/// One negotiation of operational parameters.
#[derive(Debug)]
pub(super) struct Negotiation {
    is_discovery: bool,
    offer: Offer,
    answers: BTreeMap<&'static str, Option<Value>>,
    proposed: Vec<String>,
}

impl Negotiation {
    /// A negotiation of a session with LUNs, or of one for discovery only.
    pub(super) fn new(offer: Offer, is_discovery: bool) -> Self {
        Self { is_discovery, offer, answers: BTreeMap::new(), proposed: Vec::new() }
    }

    /// All keys with what we offer. Keys that are left out are proposed by some targets, which costs a round.
    pub(super) fn offers(&self) -> impl Iterator<Item = (&'static str, String)> {
        keys::ALL.iter().filter(|key| self.is_offered(key)).map(|key| (key.name, self.offered(key)))
    }

    fn is_offered(&self, key: &Key) -> bool {
        !(self.is_discovery && key.is_irrelevant_in_discovery)
    }

    fn offered(&self, key: &Key) -> String {
        if let Rule::Digest = key.rule {
            let names: Vec<_> = self.digests(key).iter().map(|digest| digest.name()).collect();
            return names.join(",");
        }
        self.ours(key).to_string()
    }

    fn digests(&self, key: &Key) -> &[Digest] {
        if key.name == keys::HEADER_DIGEST { &self.offer.header_digest } else { &self.offer.data_digest }
    }

    /// What we offer for a key that is a number or a truth value.
    fn ours(&self, key: &Key) -> Value {
        let offer = &self.offer;
        match key.name {
            keys::MAX_RECV => Value::Number(offer.max_recv_data_segment_length),
            keys::MAX_BURST => Value::Number(offer.max_burst_length),
            keys::FIRST_BURST => Value::Number(offer.first_burst_length),
            keys::INITIAL_R2T => Value::Bool(offer.initial_r2t),
            keys::IMMEDIATE_DATA => Value::Bool(offer.immediate_data),
            keys::MAX_R2T => Value::Number(offer.max_outstanding_r2t.into()),
            keys::TIME2WAIT => Value::Number(offer.default_time2wait.into()),
            keys::TIME2RETAIN => Value::Number(offer.default_time2retain.into()),
            // Data in order, one connection, error recovery level 0: the defaults.
            _ => key.default,
        }
    }

    /// Takes a pair of the target's. Gives back the answer to a proposal.
    pub(super) fn take(&mut self, pair: &Pair<'_>, is_last: bool) -> Result<Option<String>, ParamError> {
        let known = keys::ALL.iter().find(|key| key.name == pair.key);
        match known {
            Some(key) if self.is_offered(key) => self.answered(key, pair).map(|()| None),
            _ if [NOT_UNDERSTOOD, IRRELEVANT, REJECT].contains(&pair.text()?) => Ok(None),
            // A vendor's key at the very end asks for nothing that matters to us.
            None if is_last && !keys::MARKERS.contains(&pair.key) => Ok(None),
            _ if is_last => Err(ParamError::Unanswerable(pair.key.to_owned())),
            _ if self.proposed.iter().any(|key| key == pair.key) => {
                Err(ParamError::Twice(pair.key.to_owned()))
            }
            known => {
                self.proposed.push(pair.key.to_owned());
                Ok(Some(reply(known, pair.key).to_owned()))
            }
        }
    }

    /// Takes the answer to something we offered.
    fn answered(&mut self, key: &'static Key, pair: &Pair<'_>) -> Result<(), ParamError> {
        let text = pair.text()?;
        let value = match text {
            REJECT => return Err(ParamError::Rejected { key: key.name, offered: self.offered(key) }),
            IRRELEVANT | NOT_UNDERSTOOD => None,
            text => Some(self.checked(key, text).map_err(|why| ParamError::Answer {
                key: key.name,
                offered: self.offered(key),
                answer: printable(text.as_bytes()),
                why,
            })?),
        };
        match self.answers.insert(key.name, value) {
            // A declaration may be repeated, a negotiation may not.
            Some(before) if before != value || !matches!(key.rule, Rule::Declared(..)) => {
                Err(ParamError::Twice(key.name.to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn checked(&self, key: &Key, text: &str) -> Result<Value, &'static str> {
        if let Rule::Digest = key.rule {
            let offered = self.digests(key).iter().find(|digest| digest.name() == text);
            return offered.map(|digest| Value::Digest(*digest)).ok_or("not among them");
        }
        let value = key.parse(text)?;
        if key.allows(self.ours(key), value) { Ok(value) } else { Err("not a result the offer allows") }
    }

    /// What holds for a key: the answer, else the default as far as our offer goes along with it.
    fn result(&self, name: &'static str) -> Value {
        let key = keys::ALL.iter().find(|key| key.name == name).expect("every name is in the table");
        match self.answers.get(name) {
            Some(Some(value)) => *value,
            _ => key.combine(self.ours(key)),
        }
    }

    fn digest(&self, name: &'static str) -> Result<Digest, ParamError> {
        let key = keys::ALL.iter().find(|key| key.name == name).expect("every name is in the table");
        match self.answers.get(name) {
            Some(Some(Value::Digest(digest))) => Ok(*digest),
            _ if self.digests(key).contains(&Digest::None) => Ok(Digest::None),
            _ => Err(ParamError::Answer {
                key: key.name,
                offered: self.offered(key),
                answer: String::new(),
                why: "no digest",
            }),
        }
    }

    /// What both sides agreed on.
    pub(super) fn finish(&self) -> Result<Parameters, ParamError> {
        let number = |name| self.result(name).number();
        let short = |name| u16::try_from(number(name)).expect("the ranges of these keys end below 65536");
        Ok(Parameters {
            header_digest: self.digest(keys::HEADER_DIGEST)?,
            data_digest: self.digest(keys::DATA_DIGEST)?,
            max_recv_data_segment_length: self.offer.max_recv_data_segment_length,
            max_send_data_segment_length: number(keys::MAX_RECV),
            max_burst_length: number(keys::MAX_BURST),
            first_burst_length: number(keys::FIRST_BURST).min(number(keys::MAX_BURST)),
            initial_r2t: self.result(keys::INITIAL_R2T).truth(),
            immediate_data: self.result(keys::IMMEDIATE_DATA).truth(),
            max_outstanding_r2t: short(keys::MAX_R2T),
            default_time2wait: short(keys::TIME2WAIT),
            default_time2retain: short(keys::TIME2RETAIN),
        })
    }
}

/// The answer to a key the target proposes: all that matter were offered by us.
fn reply(known: Option<&Key>, name: &str) -> &'static str {
    match known {
        Some(_) => IRRELEVANT,
        // Markers in the stream went with RFC 7143.
        None if keys::MARKERS.contains(&name) => {
            if name.ends_with("Int") {
                IRRELEVANT
            } else {
                "No"
            }
        }
        None => NOT_UNDERSTOOD,
    }
}
