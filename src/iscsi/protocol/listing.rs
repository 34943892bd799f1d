//! SendTargets in a discovery session, as a state machine: given the target's PDUs, it says what to send.
//!
//! Source: RFC 7143 sections 11.10, 11.11 and appendix C.

use thiserror::Error;

use super::text;
use crate::protocol::login::LoggedIn;
use crate::protocol::pdu::{
    AsyncMessage, LogoutReason, LogoutRequest, NO_TAG, NopIn, Pdu, PduError, Reject, TextRequest,
    TextResponse, opcode,
};

#[cfg(test)]
mod tests;

/// The longest answer we take, in bytes.
pub const MAX_ANSWER: usize = 16 << 20;

/// How many PDUs an answer may come in: the longest one in pieces of 512 bytes.
pub const MAX_PDUS: u32 = 32_768;

/// Our task tag, the same for the question and for each request for the rest of the answer.
const TASK: u32 = 1;

/// The task tag of the logout.
const LOGOUT_TASK: u32 = 2;

/// The next step.
#[derive(Debug)]
pub enum Next {
    /// Nothing is to be sent; more is to come.
    Wait,
    /// This is to be sent; more is to come.
    Send(Pdu),
    /// The answer is complete. The logout is to be sent, and its response need not be right.
    Listed {
        /// The answer's text.
        answer: Vec<u8>,
        /// The logout.
        logout: Pdu,
    },
}

/// Why a listing failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ListingError {
    /// The target does not take the question.
    #[error("the target rejects the question for its targets: {}", .0.meaning())]
    Rejected(Reject),
    /// The target ends the session.
    #[error("the target ends the session while it lists its targets (event {0})")]
    Ended(u8),
    /// The answer is not the expected one.
    #[error(transparent)]
    Pdu(#[from] PduError),
    /// The task tag of another request.
    #[error("the target answers task {0:#x}, and {TASK:#x} was asked")]
    TaskTag(u32),
    /// A response is missing or came twice.
    #[error("the target numbers its response {found}, and {due} was due")]
    StatSn {
        /// The number that was due.
        due: u32,
        /// The number that came.
        found: u32,
    },
    /// An answer that is not complete, and no tag to ask for the rest.
    #[error("the target does not say how to ask for the rest of its answer")]
    NoTag,
    /// An answer without end.
    #[error("the target's answer does not end within {MAX_ANSWER} bytes and {MAX_PDUS} PDUs")]
    TooLong,
}

/// The question for all targets, and its answer.
#[derive(Debug)]
pub struct Listing {
    cmd_sn: u32,
    stat_sn: u32,
    answer: Vec<u8>,
    heard: u32,
}

impl Listing {
    /// Starts with a session that is logged in for discovery.
    pub fn start(session: &LoggedIn) -> (Self, Pdu) {
        let listing =
            Self { cmd_sn: session.cmd_sn, stat_sn: session.exp_stat_sn, answer: Vec::new(), heard: 0 };
        let mut question = Vec::new();
        text::push(&mut question, "SendTargets", "All");
        let first = listing.ask(NO_TAG, question);
        (listing, first)
    }

    fn ask(&self, ttt: u32, text: Vec<u8>) -> Pdu {
        let (cmd_sn, exp_stat_sn) = (self.cmd_sn, self.stat_sn);
        TextRequest { last: true, more: false, itt: TASK, ttt, cmd_sn, exp_stat_sn }.encode(text)
    }

    /// Takes the target's next PDU.
    ///
    /// # Errors
    /// If it is not the expected answer, or the listing does not end.
    pub fn hear(&mut self, pdu: &Pdu) -> Result<Next, ListingError> {
        self.heard += 1;
        if self.heard > MAX_PDUS {
            return Err(ListingError::TooLong);
        }
        match pdu.opcode() {
            opcode::NOP_IN => {
                let ping = NopIn::decode(pdu)?;
                Ok(ping.answer(self.cmd_sn, self.stat_sn).map_or(Next::Wait, Next::Send))
            }
            opcode::REJECT => Err(ListingError::Rejected(Reject::decode(pdu)?)),
            opcode::ASYNC_MESSAGE => {
                let message = AsyncMessage::decode(pdu)?;
                self.count(message.numbers.stat_sn)?;
                match message.event {
                    1..=3 => Err(ListingError::Ended(message.event)),
                    _ => Ok(Next::Wait),
                }
            }
            _ => self.text(&TextResponse::decode(pdu)?, &pdu.data),
        }
    }

    /// Takes a part of the answer.
    fn text(&mut self, response: &TextResponse, data: &[u8]) -> Result<Next, ListingError> {
        if response.itt != TASK {
            return Err(ListingError::TaskTag(response.itt));
        }
        self.count(response.numbers.stat_sn)?;
        if self.answer.len() + data.len() > MAX_ANSWER {
            return Err(ListingError::TooLong);
        }
        self.answer.extend_from_slice(data);
        match (response.last, response.ttt) {
            (false, NO_TAG) => Err(ListingError::NoTag),
            (false, ttt) => Ok(Next::Send(self.ask(ttt, Vec::new()))),
            (true, _) => Ok(Next::Listed { answer: std::mem::take(&mut self.answer), logout: self.logout() }),
        }
    }

    fn logout(&self) -> Pdu {
        LogoutRequest {
            reason: LogoutReason::CloseSession,
            itt: LOGOUT_TASK,
            cid: 0,
            cmd_sn: self.cmd_sn,
            exp_stat_sn: self.stat_sn,
        }
        .encode()
    }

    /// Counts a response.
    fn count(&mut self, found: u32) -> Result<(), ListingError> {
        if found != self.stat_sn {
            return Err(ListingError::StatSn { due: self.stat_sn, found });
        }
        self.stat_sn = found.wrapping_add(1);
        Ok(())
    }
}
