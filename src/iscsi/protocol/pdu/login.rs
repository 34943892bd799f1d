//! Login Request and Login Response, field by field.

use zerocopy::big_endian::{U16, U32};

use super::{CONTINUE, FINAL, Pdu, PduError, Stage, opcode};
use crate::protocol::name::Isid;

layout!(LoginLayout {
    opcode: u8,
    flags: u8,
    /// Version-max and version-min in a request, version-max and version-active in a response.
    versions: [u8; 2],
    lengths: [u8; 4],
    isid: [u8; 6],
    tsih: U16,
    itt: U32,
    /// The connection id in a request.
    cid: U16,
    reserved: [u8; 2],
    /// CmdSN in a request, StatSN in a response.
    sequence: U32,
    /// ExpStatSN in a request, ExpCmdSN in a response.
    expected: U32,
    max_cmd_sn: U32,
    /// Status class and detail in a response.
    status: [u8; 2],
    reserved_end: [u8; 10],
});

/// Current and next stage with their flags; the next is only valid with T. Source: RFC 7143 section 11.12.
fn stage_flags(transit: Option<Stage>, more: bool, current: Stage) -> u8 {
    let next = transit.map_or(0, |next| FINAL | next.bits());
    next | (current.bits() << 2) | if more { CONTINUE } else { 0 }
}

fn stages(flags: u8) -> Result<(Option<Stage>, bool, Stage), PduError> {
    let transit = flags & FINAL != 0;
    let next = if transit { Some(Stage::from_bits(flags)?) } else { None };
    Ok((next, flags & CONTINUE != 0, Stage::from_bits(flags >> 2)?))
}

/// A Login Request. Source: RFC 7143 section 11.12.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginRequest {
    /// The next stage, if we are ready for it (T and NSG).
    pub transit: Option<Stage>,
    /// Whether the text goes on in the next request (C).
    pub more: bool,
    /// The stage we are in (CSG).
    pub stage: Stage,
    /// The initiator's part of the session's identity.
    pub isid: Isid,
    /// The target's part; 0 for a new session.
    pub tsih: u16,
    /// Initiator task tag, the same all through a login.
    pub itt: u32,
    /// Connection id.
    pub cid: u16,
    /// The session's first command number.
    pub cmd_sn: u32,
    /// The number of the next response we wait for.
    pub exp_stat_sn: u32,
}

impl LoginRequest {
    /// The request with its text.
    pub fn encode(&self, data: Vec<u8>) -> Pdu {
        let layout = LoginLayout {
            opcode: opcode::LOGIN_REQUEST | opcode::IMMEDIATE,
            flags: stage_flags(self.transit, self.more, self.stage),
            versions: [0; 2],
            lengths: [0; 4],
            isid: self.isid.0,
            tsih: self.tsih.into(),
            itt: self.itt.into(),
            cid: self.cid.into(),
            reserved: [0; 2],
            sequence: self.cmd_sn.into(),
            expected: self.exp_stat_sn.into(),
            max_cmd_sn: 0.into(),
            status: [0; 2],
            reserved_end: [0; 10],
        };
        Pdu::new(&layout, data)
    }

    /// Reads a request.
    ///
    /// # Errors
    /// If it is something else or names a stage that does not exist.
    pub fn decode(pdu: &Pdu) -> Result<Self, PduError> {
        let layout: LoginLayout = pdu.read(opcode::LOGIN_REQUEST, "Login Request")?;
        let (transit, more, stage) = stages(layout.flags)?;
        Ok(Self {
            transit,
            more,
            stage,
            isid: Isid(layout.isid),
            tsih: layout.tsih.get(),
            itt: layout.itt.get(),
            cid: layout.cid.get(),
            cmd_sn: layout.sequence.get(),
            exp_stat_sn: layout.expected.get(),
        })
    }
}

/// A Login Response. Source: RFC 7143 section 11.13.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginResponse {
    /// The next stage, if the target goes there (T and NSG).
    pub transit: Option<Stage>,
    /// Whether the text goes on in the next response (C).
    pub more: bool,
    /// The stage the target is in (CSG).
    pub stage: Stage,
    /// The protocol version in use; only 0 exists.
    pub version_active: u8,
    /// The initiator's part of the session's identity, repeated.
    pub isid: Isid,
    /// The target's part, given in the last response of a new session.
    pub tsih: u16,
    /// The request's task tag.
    pub itt: u32,
    /// The number of this response.
    pub stat_sn: u32,
    /// The number of the next command the target waits for.
    pub exp_cmd_sn: u32,
    /// The highest command number it takes now.
    pub max_cmd_sn: u32,
    /// Status class and detail.
    pub status: (u8, u8),
}

impl LoginResponse {
    /// The response with its text.
    pub fn encode(&self, data: Vec<u8>) -> Pdu {
        let layout = LoginLayout {
            opcode: opcode::LOGIN_RESPONSE,
            flags: stage_flags(self.transit, self.more, self.stage),
            versions: [0, self.version_active],
            lengths: [0; 4],
            isid: self.isid.0,
            tsih: self.tsih.into(),
            itt: self.itt.into(),
            cid: 0.into(),
            reserved: [0; 2],
            sequence: self.stat_sn.into(),
            expected: self.exp_cmd_sn.into(),
            max_cmd_sn: self.max_cmd_sn.into(),
            status: self.status.into(),
            reserved_end: [0; 10],
        };
        Pdu::new(&layout, data)
    }

    /// Reads a response. One with a status other than 0 has no other field that means anything, its flags are
    /// not looked at.
    ///
    /// # Errors
    /// If it is something else, or names a stage that does not exist.
    pub fn decode(pdu: &Pdu) -> Result<Self, PduError> {
        let layout: LoginLayout = pdu.read(opcode::LOGIN_RESPONSE, "Login Response")?;
        let flags = if layout.status[0] == 0 { layout.flags } else { 0 };
        let (transit, more, stage) = stages(flags)?;
        if transit.is_some() && more {
            return Err(PduError::Flags("Login Response"));
        }
        Ok(Self {
            transit,
            more,
            stage,
            version_active: layout.versions[1],
            isid: Isid(layout.isid),
            tsih: layout.tsih.get(),
            itt: layout.itt.get(),
            stat_sn: layout.sequence.get(),
            exp_cmd_sn: layout.expected.get(),
            max_cmd_sn: layout.max_cmd_sn.get(),
            status: layout.status.into(),
        })
    }
}
