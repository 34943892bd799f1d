//! The PDUs of the full feature phase that discovery and logout need, field by field.

use zerocopy::big_endian::{U16, U32};

use super::{CONTINUE, FINAL, NO_TAG, Pdu, PduError, opcode};

layout!(TaskLayout {
    opcode: u8,
    flags: u8,
    /// The response code and its reserved byte in a Logout Response.
    specific: [u8; 2],
    lengths: [u8; 4],
    lun: [u8; 8],
    itt: U32,
    /// The target's transfer tag; in a Logout Request the connection id in its upper half.
    ttt: U32,
    /// CmdSN in a request, StatSN in a response.
    sequence: U32,
    /// ExpStatSN in a request, ExpCmdSN in a response.
    expected: U32,
    max_cmd_sn: U32,
    /// Event and vendor code of an Asynchronous Message.
    event: [u8; 2],
    parameters: [U16; 5],
});

impl TaskLayout {
    fn new(opcode: u8, flags: u8, itt: u32, ttt: u32, numbers: [u32; 3]) -> Self {
        let [sequence, expected, max_cmd_sn] = numbers.map(U32::new);
        Self {
            opcode,
            flags,
            specific: [0; 2],
            lengths: [0; 4],
            lun: [0; 8],
            itt: itt.into(),
            ttt: ttt.into(),
            sequence,
            expected,
            max_cmd_sn,
            event: [0; 2],
            parameters: [U16::ZERO; 5],
        }
    }
}

/// The numbers every response of the full feature phase carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// The number of the response.
    pub stat_sn: u32,
    /// The number of the next command the target waits for.
    pub exp_cmd_sn: u32,
    /// The highest command number it takes now.
    pub max_cmd_sn: u32,
}

impl Numbers {
    fn of(layout: &TaskLayout) -> Self {
        Self {
            stat_sn: layout.sequence.get(),
            exp_cmd_sn: layout.expected.get(),
            max_cmd_sn: layout.max_cmd_sn.get(),
        }
    }

    fn words(self) -> [u32; 3] {
        [self.stat_sn, self.exp_cmd_sn, self.max_cmd_sn]
    }
}

/// A Text Request, sent as immediate: it takes no command number. Source: RFC 7143 section 11.10.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextRequest {
    /// Whether the request is complete (F).
    pub last: bool,
    /// Whether the text goes on in the next request (C).
    pub more: bool,
    /// Initiator task tag, the same until the answer is complete.
    pub itt: u32,
    /// The target's tag where the request asks for the rest of an answer, else [`NO_TAG`].
    pub ttt: u32,
    /// The session's next command number.
    pub cmd_sn: u32,
    /// The number of the next response we wait for.
    pub exp_stat_sn: u32,
}

impl TextRequest {
    /// The request with its text.
    pub fn encode(&self, data: Vec<u8>) -> Pdu {
        let numbers = [self.cmd_sn, self.exp_stat_sn, 0];
        let opcode = opcode::TEXT_REQUEST | opcode::IMMEDIATE;
        Pdu::new(&TaskLayout::new(opcode, flags(self.last, self.more), self.itt, self.ttt, numbers), data)
    }

    /// Reads a request.
    ///
    /// # Errors
    /// If it is something else.
    pub fn decode(pdu: &Pdu) -> Result<Self, PduError> {
        let layout: TaskLayout = pdu.read(opcode::TEXT_REQUEST, "Text Request")?;
        Ok(Self {
            last: layout.flags & FINAL != 0,
            more: layout.flags & CONTINUE != 0,
            itt: layout.itt.get(),
            ttt: layout.ttt.get(),
            cmd_sn: layout.sequence.get(),
            exp_stat_sn: layout.expected.get(),
        })
    }
}

/// A Text Response. Source: RFC 7143 section 11.11.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextResponse {
    /// Whether the answer is complete (F).
    pub last: bool,
    /// Whether the text goes on in the next response (C).
    pub more: bool,
    /// The request's task tag.
    pub itt: u32,
    /// The tag to ask for the rest with, else [`NO_TAG`].
    pub ttt: u32,
    /// The response's numbers.
    pub numbers: Numbers,
}

impl TextResponse {
    /// The response with its text.
    pub fn encode(&self, data: Vec<u8>) -> Pdu {
        let flags = flags(self.last, self.more);
        Pdu::new(
            &TaskLayout::new(opcode::TEXT_RESPONSE, flags, self.itt, self.ttt, self.numbers.words()),
            data,
        )
    }

    /// Reads a response.
    ///
    /// # Errors
    /// If it is something else, or its flags exclude each other.
    pub fn decode(pdu: &Pdu) -> Result<Self, PduError> {
        let layout: TaskLayout = pdu.read(opcode::TEXT_RESPONSE, "Text Response")?;
        let (last, more) = (layout.flags & FINAL != 0, layout.flags & CONTINUE != 0);
        if last && more {
            return Err(PduError::Flags("Text Response"));
        }
        let numbers = Numbers::of(&layout);
        Ok(Self { last, more, itt: layout.itt.get(), ttt: layout.ttt.get(), numbers })
    }
}

fn flags(last: bool, more: bool) -> u8 {
    (if last { FINAL } else { 0 }) | (if more { CONTINUE } else { 0 })
}

/// What a logout closes. Source: RFC 7143 section 11.14.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogoutReason {
    /// The session with all its connections.
    CloseSession,
    /// The connection the request names.
    CloseConnection,
    /// The connection the request names, to be recovered on another one.
    Recovery,
}

/// A Logout Request, sent as immediate. Source: RFC 7143 section 11.14.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutRequest {
    /// What is closed.
    pub reason: LogoutReason,
    /// Initiator task tag.
    pub itt: u32,
    /// The connection to close, where a connection is closed.
    pub cid: u16,
    /// The session's next command number.
    pub cmd_sn: u32,
    /// The number of the next response we wait for.
    pub exp_stat_sn: u32,
}

impl LogoutRequest {
    /// The request.
    pub fn encode(&self) -> Pdu {
        let reason = match self.reason {
            LogoutReason::CloseSession => 0,
            LogoutReason::CloseConnection => 1,
            LogoutReason::Recovery => 2,
        };
        let opcode = opcode::LOGOUT_REQUEST | opcode::IMMEDIATE;
        let numbers = [self.cmd_sn, self.exp_stat_sn, 0];
        let cid = u32::from(self.cid) << 16;
        Pdu::new(&TaskLayout::new(opcode, FINAL | reason, self.itt, cid, numbers), Vec::new())
    }
}

/// A Logout Response. Source: RFC 7143 section 11.15.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutResponse {
    /// 0: closed; 1: no such connection; 2: recovery is not supported; 3: the cleanup failed.
    pub response: u8,
    /// The request's task tag.
    pub itt: u32,
    /// The response's numbers.
    pub numbers: Numbers,
    /// Seconds to wait before logging in again, where sessions are kept.
    pub time2wait: u16,
    /// Seconds the target keeps tasks, where sessions are kept.
    pub time2retain: u16,
}

impl LogoutResponse {
    /// The response.
    pub fn encode(&self) -> Pdu {
        let mut layout = TaskLayout::new(opcode::LOGOUT_RESPONSE, FINAL, self.itt, 0, self.numbers.words());
        layout.specific[0] = self.response;
        layout.parameters[1] = self.time2wait.into();
        layout.parameters[2] = self.time2retain.into();
        Pdu::new(&layout, Vec::new())
    }

    /// Reads a response.
    ///
    /// # Errors
    /// If it is something else.
    pub fn decode(pdu: &Pdu) -> Result<Self, PduError> {
        let layout: TaskLayout = pdu.read(opcode::LOGOUT_RESPONSE, "Logout Response")?;
        Ok(Self {
            response: layout.specific[0],
            itt: layout.itt.get(),
            numbers: Numbers::of(&layout),
            time2wait: layout.parameters[1].get(),
            time2retain: layout.parameters[2].get(),
        })
    }
}

/// A NOP-In: the target asks whether we are there (`ttt` is a tag), or answers. Source: RFC 7143 section 11.19.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NopIn {
    /// The tag of the NOP-Out it answers, else [`NO_TAG`].
    pub itt: u32,
    /// The tag our answer must carry, or [`NO_TAG`] where none is wanted.
    pub ttt: u32,
    /// The logical unit our answer must repeat.
    pub lun: [u8; 8],
    /// The response's numbers; StatSN does not advance unless it answers.
    pub numbers: Numbers,
}

impl NopIn {
    /// The NOP-In, without data.
    pub fn encode(&self) -> Pdu {
        let mut layout = TaskLayout::new(opcode::NOP_IN, FINAL, self.itt, self.ttt, self.numbers.words());
        layout.lun = self.lun;
        Pdu::new(&layout, Vec::new())
    }

    /// Reads a NOP-In.
    ///
    /// # Errors
    /// If it is something else.
    pub fn decode(pdu: &Pdu) -> Result<Self, PduError> {
        let layout: TaskLayout = pdu.read(opcode::NOP_IN, "NOP-In")?;
        Ok(Self {
            itt: layout.itt.get(),
            ttt: layout.ttt.get(),
            lun: layout.lun,
            numbers: Numbers::of(&layout),
        })
    }

    /// The answer to a target that wants one.
    pub fn answer(&self, cmd_sn: u32, exp_stat_sn: u32) -> Option<Pdu> {
        if self.ttt == NO_TAG {
            return None;
        }
        let opcode = opcode::NOP_OUT | opcode::IMMEDIATE;
        let mut layout = TaskLayout::new(opcode, FINAL, NO_TAG, self.ttt, [cmd_sn, exp_stat_sn, 0]);
        layout.lun = self.lun;
        Some(Pdu::new(&layout, Vec::new()))
    }
}

/// A Reject: the target did not take a PDU. Source: RFC 7143 section 11.17.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The reason.
    pub reason: u8,
}

impl Reject {
    /// The Reject, without the header it rejects.
    pub fn encode(&self, numbers: Numbers) -> Pdu {
        let mut layout = TaskLayout::new(opcode::REJECT, FINAL, NO_TAG, NO_TAG, numbers.words());
        layout.specific[0] = self.reason;
        Pdu::new(&layout, Vec::new())
    }

    /// Reads a Reject.
    ///
    /// # Errors
    /// If it is something else.
    pub fn decode(pdu: &Pdu) -> Result<Self, PduError> {
        let layout: TaskLayout = pdu.read(opcode::REJECT, "Reject")?;
        Ok(Self { reason: layout.specific[0] })
    }

    /// What the reason means. Source: RFC 7143 section 11.17.1.
    pub fn meaning(&self) -> &'static str {
        match self.reason {
            0x02 => "the data digest is wrong",
            0x03 => "the SNACK is refused",
            0x04 => "the protocol was broken",
            0x05 => "the command is not supported",
            0x06 => "there are too many immediate commands",
            0x07 => "a task is in progress",
            0x08 => "the data acknowledgement is invalid",
            0x09 => "a field of the PDU is invalid",
            0x0a => "it is out of resources for long operations",
            0x0b => "the negotiation was reset",
            0x0c => "it is waiting for a logout",
            _ => "for a reason that has no name",
        }
    }
}

/// An Asynchronous Message. Source: RFC 7143 section 11.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsyncMessage {
    /// 0: SCSI event; 1: we are asked to log out; 2: this connection is dropped; 3: the session is dropped; 4: we
    /// are asked to negotiate; 248 to 255: the vendor's.
    pub event: u8,
    /// What the vendor means by it.
    pub vendor_code: u8,
    /// Numbers whose meaning depends on the event; for 1, the third is the time to log out in, in seconds.
    pub parameters: [u16; 3],
    /// The message's numbers.
    pub numbers: Numbers,
}

impl AsyncMessage {
    /// The message, without sense data.
    pub fn encode(&self) -> Pdu {
        let mut layout = TaskLayout::new(opcode::ASYNC_MESSAGE, FINAL, NO_TAG, 0, self.numbers.words());
        layout.event = [self.event, self.vendor_code];
        for (field, value) in layout.parameters.iter_mut().zip(self.parameters) {
            *field = value.into();
        }
        Pdu::new(&layout, Vec::new())
    }

    /// Reads a message.
    ///
    /// # Errors
    /// If it is something else.
    pub fn decode(pdu: &Pdu) -> Result<Self, PduError> {
        let layout: TaskLayout = pdu.read(opcode::ASYNC_MESSAGE, "Asynchronous Message")?;
        let [first, second, third, ..] = layout.parameters.map(U16::get);
        Ok(Self {
            event: layout.event[0],
            vendor_code: layout.event[1],
            parameters: [first, second, third],
            numbers: Numbers::of(&layout),
        })
    }
}
