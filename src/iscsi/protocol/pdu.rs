//! iSCSI protocol data units: 48 bytes of header and a data segment.
//!
//! Those of login, discovery and logout, in both directions: we speak the initiator's, tests the target's.
//! Source of layouts and numbers: RFC 7143 section 11.

use std::fmt;

use thiserror::Error;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A header's fields as they lie in it.
macro_rules! layout {
    ($name:ident { $($(#[$doc:meta])* $field:ident: $type:ty),* $(,)? }) => {
        #[derive(
            Clone, Copy, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable,
            zerocopy::KnownLayout, zerocopy::Unaligned,
        )]
        #[repr(C)]
        struct $name { $($(#[$doc])* $field: $type),* }

        const _: () = assert!(size_of::<$name>() == super::HEADER_LEN);
    };
}

mod framer;
mod login;
mod task;
#[cfg(test)]
mod tests;

pub use framer::{FrameError, Framer};
pub use login::{LoginRequest, LoginResponse};
pub use task::{
    AsyncMessage, LogoutReason, LogoutRequest, LogoutResponse, NopIn, Numbers, Reject, TextRequest,
    TextResponse,
};

/// The length of the basic header segment.
pub const HEADER_LEN: usize = 48;

/// The data segment a receiver takes before it has declared more, in bytes. Source: RFC 7143 section 13.12.
pub const DEFAULT_DATA_MAX: u32 = 8192;

/// The largest length the 24 bits of DataSegmentLength hold.
pub const DATA_LENGTH_LIMIT: u32 = 0x00ff_ffff;

/// A task tag that stands for none. Source: RFC 7143 section 11.2.1.8.
pub const NO_TAG: u32 = 0xffff_ffff;

/// Operation codes, the six low bits of the first byte. Source: RFC 7143 section 11.2.1.2.
pub mod opcode {
    /// NOP-Out, initiator to target.
    pub const NOP_OUT: u8 = 0x00;
    /// Login Request.
    pub const LOGIN_REQUEST: u8 = 0x03;
    /// Text Request.
    pub const TEXT_REQUEST: u8 = 0x04;
    /// Logout Request.
    pub const LOGOUT_REQUEST: u8 = 0x06;
    /// NOP-In, target to initiator.
    pub const NOP_IN: u8 = 0x20;
    /// Login Response.
    pub const LOGIN_RESPONSE: u8 = 0x23;
    /// Text Response.
    pub const TEXT_RESPONSE: u8 = 0x24;
    /// Logout Response.
    pub const LOGOUT_RESPONSE: u8 = 0x26;
    /// Asynchronous Message.
    pub const ASYNC_MESSAGE: u8 = 0x32;
    /// Reject.
    pub const REJECT: u8 = 0x3f;
    /// The bits of the first byte that hold the operation code.
    pub const MASK: u8 = 0x3f;
    /// The bit of the first byte that marks a request as immediate.
    pub const IMMEDIATE: u8 = 0x40;
}

/// T: the sender is ready for the next stage; F elsewhere: the last of a sequence.
const FINAL: u8 = 0x80;
/// C: the text goes on in the next PDU.
const CONTINUE: u8 = 0x40;

/// A PDU: header and data, without padding and digests.
#[derive(Clone, PartialEq, Eq)]
pub struct Pdu {
    /// The basic header segment.
    pub header: [u8; HEADER_LEN],
    /// The data segment.
    pub data: Vec<u8>,
}

impl Pdu {
    /// A PDU of a header and data; the header's DataSegmentLength is set.
    ///
    /// # Panics
    /// If there are more than [`DATA_LENGTH_LIMIT`] bytes of data.
    fn new(header: &(impl IntoBytes + Immutable), data: Vec<u8>) -> Self {
        let length = u32::try_from(data.len()).ok().filter(|length| *length <= DATA_LENGTH_LIMIT);
        let [_, length @ ..] = length.expect("our own data is bounded far below").to_be_bytes();
        let mut bytes = [0; HEADER_LEN];
        bytes.copy_from_slice(header.as_bytes());
        bytes[5..8].copy_from_slice(&length);
        Self { header: bytes, data }
    }

    /// The operation code.
    pub fn opcode(&self) -> u8 {
        self.header[0] & opcode::MASK
    }

    /// Header, data, and padding to a multiple of four, as they are sent where no digests are in use.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.header.to_vec();
        bytes.extend_from_slice(&self.data);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn read<T: FromBytes + KnownLayout + Immutable + Unaligned>(
        &self,
        expected: u8,
        what: &'static str,
    ) -> Result<T, PduError> {
        if self.opcode() != expected {
            return Err(PduError::Opcode { expected: what, found: self.opcode() });
        }
        Ok(T::read_from_bytes(&self.header).expect("each layout is as long as the header"))
    }
}

/// The data may be an answer to a CHAP challenge: only its length is shown.
impl fmt::Debug for Pdu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pdu")
            .field("opcode", &format_args!("{:#04x}", self.opcode()))
            .field("flags", &format_args!("{:#04x}", self.header[1]))
            .field("data", &format_args!("{} bytes", self.data.len()))
            .finish_non_exhaustive()
    }
}

/// A PDU that is not valid, or not the expected one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PduError {
    /// Another kind than is due.
    #[error("a {expected} was due, and a PDU with opcode {found:#04x} came ({})", kind(*found))]
    Opcode {
        /// The expected kind.
        expected: &'static str,
        /// The operation code that came.
        found: u8,
    },
    /// A login stage that does not exist.
    #[error("a Login Response speaks of login stage {0}, which does not exist")]
    Stage(u8),
    /// Flags that exclude each other.
    #[error("a {0} says both that it is the last and that it goes on")]
    Flags(&'static str),
}

/// The name of a kind of PDU.
pub fn kind(code: u8) -> &'static str {
    match code {
        opcode::NOP_OUT => "NOP-Out",
        opcode::LOGIN_REQUEST => "Login Request",
        opcode::TEXT_REQUEST => "Text Request",
        opcode::LOGOUT_REQUEST => "Logout Request",
        opcode::NOP_IN => "NOP-In",
        0x21 => "SCSI Response",
        0x22 => "Task Management Function Response",
        opcode::LOGIN_RESPONSE => "Login Response",
        opcode::TEXT_RESPONSE => "Text Response",
        0x25 => "SCSI Data-In",
        opcode::LOGOUT_RESPONSE => "Logout Response",
        0x31 => "Ready To Transfer",
        opcode::ASYNC_MESSAGE => "Asynchronous Message",
        opcode::REJECT => "Reject",
        _ => "unknown",
    }
}

/// A stage of the login phase. Source: RFC 7143 section 11.12.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Who are you.
    Security,
    /// How do we talk.
    Operational,
    /// The login is over.
    FullFeature,
}

impl Stage {
    fn bits(self) -> u8 {
        match self {
            Self::Security => 0,
            Self::Operational => 1,
            Self::FullFeature => 3,
        }
    }

    fn from_bits(bits: u8) -> Result<Self, PduError> {
        match bits & 3 {
            0 => Ok(Self::Security),
            1 => Ok(Self::Operational),
            3 => Ok(Self::FullFeature),
            other => Err(PduError::Stage(other)),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Security => "security negotiation",
            Self::Operational => "operational negotiation",
            Self::FullFeature => "full feature phase",
        })
    }
}
