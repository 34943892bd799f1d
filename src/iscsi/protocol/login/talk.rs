//! Texts as a conversation of login PDUs: cut and joined by the C bit, and each response checked to be the one
//! that is due.

use super::{LoginError, Numbering};
use crate::protocol::pdu::{DEFAULT_DATA_MAX, LoginRequest, LoginResponse, Pdu, Reject, Stage, opcode};
use crate::protocol::status::Status;
use crate::protocol::text;

/// How many requests a login may take. Four are usual, and a target that sends its texts in pieces of 512 bytes
/// needs no more than twenty.
pub const MAX_REQUESTS: u32 = 64;

/// The longest text we take from a target, in bytes.
pub const MAX_TEXT: usize = 65_536;

/// What came back.
#[derive(Debug)]
pub enum Heard {
    /// The text is not complete: this is to be sent for the rest of it.
    Part(Pdu),
    /// A complete text.
    Text {
        /// The text.
        text: Vec<u8>,
        /// Whether the target goes on to the stage we asked for.
        is_next_stage: bool,
        /// The response that ended it.
        response: LoginResponse,
    },
    /// A status other than success, and what came with it.
    Refused {
        /// The status.
        status: Status,
        /// The text.
        text: Vec<u8>,
    },
}

/// The conversation.
#[derive(Debug)]
pub struct Talk {
    header: LoginRequest,
    numbering: Numbering,
    /// The next stage that goes with the last part of our text.
    transit: Option<Stage>,
    unsent: Vec<u8>,
    received: Vec<u8>,
    requests: u32,
    /// The number of the next response; unknown before the first.
    stat_sn: Option<u32>,
}

impl Talk {
    /// Starts with a text.
    pub fn start(
        header: LoginRequest,
        numbering: Numbering,
        transit: Option<Stage>,
        pairs: &[(&str, String)],
    ) -> (Self, Pdu) {
        let (unsent, received) = (encode(pairs), Vec::new());
        let mut talk = Self { header, numbering, transit, unsent, received, requests: 0, stat_sn: None };
        let first = talk.send();
        (talk, first)
    }

    /// The stage we are in.
    pub fn stage(&self) -> Stage {
        self.header.stage
    }

    /// How many PDUs were sent.
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// The number of the session's first command.
    pub fn cmd_sn(&self) -> u32 {
        self.header.cmd_sn
    }

    /// Says a text in a stage, and with it that we are ready for the next one, or not.
    pub fn say(
        &mut self,
        stage: Stage,
        transit: Option<Stage>,
        pairs: &[(&str, String)],
    ) -> Result<Pdu, LoginError> {
        self.header.stage = stage;
        self.transit = transit;
        self.unsent = encode(pairs);
        self.go_on()
    }

    fn go_on(&mut self) -> Result<Pdu, LoginError> {
        if self.requests == MAX_REQUESTS {
            return Err(LoginError::TooManyRequests(MAX_REQUESTS));
        }
        Ok(self.send())
    }

    /// The next part of our text.
    fn send(&mut self) -> Pdu {
        let limit = usize::try_from(DEFAULT_DATA_MAX).expect("it is small");
        let rest = self.unsent.split_off(self.unsent.len().min(limit));
        let part = std::mem::replace(&mut self.unsent, rest);
        self.requests += 1;
        self.header.more = !self.unsent.is_empty();
        self.header.transit = if self.header.more { None } else { self.transit };
        self.header.encode(part)
    }

    /// Asks for the rest of the target's text.
    fn ask_on(&mut self) -> Result<Pdu, LoginError> {
        self.transit = None;
        self.go_on()
    }

    /// Takes a PDU of the target's.
    pub fn hear(&mut self, pdu: &Pdu) -> Result<Heard, LoginError> {
        if pdu.opcode() == opcode::REJECT {
            return Err(LoginError::Rejected(Reject::decode(pdu)?));
        }
        let response = LoginResponse::decode(pdu)?;
        self.check_task(&response)?;
        let (class, detail) = response.status;
        if class != 0 {
            return Ok(Heard::Refused { status: Status { class, detail }, text: pdu.data.clone() });
        }
        self.check(&response)?;
        if !self.unsent.is_empty() {
            if response.more || !pdu.data.is_empty() {
                return Err(LoginError::Stage("talks before our text is complete".into()));
            }
            return self.go_on().map(Heard::Part);
        }
        if self.received.len() + pdu.data.len() > MAX_TEXT {
            return Err(LoginError::TooLong(MAX_TEXT));
        }
        self.received.extend_from_slice(&pdu.data);
        if response.more {
            return self.ask_on().map(Heard::Part);
        }
        let text = std::mem::take(&mut self.received);
        Ok(Heard::Text { text, is_next_stage: response.transit.is_some(), response })
    }

    /// Where we number, the answer must be to our task; the kernel has seen to that where it numbers.
    fn check_task(&self, response: &LoginResponse) -> Result<(), LoginError> {
        match self.numbering {
            Numbering::Ours { itt, .. } if itt != response.itt => {
                Err(LoginError::TaskTag { due: itt, found: response.itt })
            }
            _ => Ok(()),
        }
    }

    /// Checks a response with success, and counts it.
    fn check(&mut self, response: &LoginResponse) -> Result<(), LoginError> {
        if response.version_active != 0 {
            return Err(LoginError::Version(response.version_active));
        }
        if response.isid != self.header.isid {
            return Err(LoginError::Isid { due: self.header.isid, found: response.isid });
        }
        if let Some(due) = self.stat_sn.filter(|due| *due != response.stat_sn) {
            return Err(LoginError::StatSn { due, found: response.stat_sn });
        }
        let next = response.stat_sn.wrapping_add(1);
        self.stat_sn = Some(next);
        self.header.exp_stat_sn = next;
        if response.stage != self.header.stage {
            let (theirs, ours) = (response.stage, self.header.stage);
            return Err(LoginError::Stage(format!("is in {theirs}, and we are in {ours}")));
        }
        match (response.transit, self.header.transit) {
            (None, _) => Ok(()),
            (Some(theirs), Some(ours)) if theirs == ours => Ok(()),
            (Some(theirs), Some(ours)) => {
                Err(LoginError::Stage(format!("goes on to {theirs}, and we asked for {ours}")))
            }
            (Some(theirs), None) => {
                Err(LoginError::Stage(format!("goes on to {theirs}, and we did not ask for that")))
            }
        }
    }
}

fn encode(pairs: &[(&str, String)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in pairs {
        text::push(&mut bytes, key, value);
    }
    bytes
}
