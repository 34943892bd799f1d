//! Messages of the kernel's iSCSI interface: requests in bytes, answers and events out of bytes.
//!
//! Source: Linux `include/scsi/iscsi_if.h` (`struct iscsi_uevent`, `enum iscsi_uevent_e`), the same in 6.1 and later.
//! A message is a netlink header (16 bytes), `struct iscsi_uevent` (56 bytes on 64-bit machines: type, error, handle
//! of the transport, 24 bytes of request, 16 bytes of answer), and what the request or event carries. Numbers are in
//! the machine's byte order, which is little-endian wherever thinvol runs.

use std::fmt;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::params::Param;
use crate::protocol::pdu::{HEADER_LEN, Pdu};

/// The number of a session: N of `/sys/class/iscsi_session/sessionN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub u32);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a SCSI host: N of `/sys/class/scsi_host/hostN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostNo(pub u32);

impl fmt::Display for HostNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The connection of every session: sessions have one.
const CID: u32 = 0;

/// The parameter of a host that names its network interface. Source: Linux `include/scsi/iscsi_if.h`
/// (`enum iscsi_host_param`).
const HOST_PARAM_NETDEV_NAME: u32 = 2;

const NETLINK_HEADER_LEN: usize = 16;
const UEVENT_LEN: usize = 56;
const PREFIX_LEN: usize = NETLINK_HEADER_LEN + UEVENT_LEN;

/// How a connection is stopped. Source: Linux `include/scsi/iscsi_if.h` (`STOP_CONN_TERM`, `STOP_CONN_RECOVER`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// For good: commands fail.
    Terminate = 1,
    /// To be bound again: commands wait.
    Recover = 3,
}

/// A request to the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Make a session and its SCSI host.
    CreateSession {
        /// The CmdSN of the login.
        initial_cmdsn: u32,
        /// Commands in flight, at most; a power of two.
        cmds_max: u16,
        /// Commands in flight for each LUN.
        queue_depth: u16,
    },
    /// Remove a session that has no connection any more.
    DestroySession(SessionId),
    /// Remove the SCSI devices of a session; an event tells when they are gone.
    UnbindSession(SessionId),
    /// Make the connection of a session.
    CreateConn(SessionId),
    /// Remove the connection of a session.
    DestroyConn(SessionId),
    /// Give a TCP socket of this process to the connection.
    BindConn {
        /// The session.
        sid: SessionId,
        /// The descriptor of the socket.
        socket: u32,
    },
    /// Set a parameter of the session or its connection.
    SetParam {
        /// The session.
        sid: SessionId,
        /// Which.
        param: Param,
        /// Its value, as text.
        value: String,
    },
    /// Record the network interface of the session's host. It binds nothing: that is the socket's matter.
    SetNetInterface {
        /// The session.
        sid: SessionId,
        /// Its host.
        host: HostNo,
        /// The interface's name.
        name: String,
    },
    /// Enter the full feature phase.
    StartConn(SessionId),
    /// Stop the connection.
    StopConn(SessionId, Stop),
    /// Send a login, text or logout PDU.
    SendPdu {
        /// The session.
        sid: SessionId,
        /// The PDU, with at most 8192 bytes of data; the kernel fills in task tag and CmdSN. Source: Linux
        /// `include/scsi/libiscsi.h` (`ISCSI_DEF_MAX_RECV_SEG_LEN`).
        pdu: Pdu,
    },
}

impl Request {
    /// `ISCSI_UEVENT_*` of the request.
    fn event(&self) -> u32 {
        match self {
            Self::CreateSession { .. } => 11,
            Self::DestroySession(_) => 12,
            Self::CreateConn(_) => 13,
            Self::DestroyConn(_) => 14,
            Self::BindConn { .. } => 15,
            Self::SetParam { .. } => 16,
            Self::StartConn(_) => 17,
            Self::StopConn(..) => 18,
            Self::SendPdu { .. } => 19,
            Self::SetNetInterface { .. } => 26,
            Self::UnbindSession(_) => 27,
        }
    }

    /// The request in words, for messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreateSession { .. } => "create a session",
            Self::DestroySession(_) => "destroy the session",
            Self::CreateConn(_) => "create a connection",
            Self::DestroyConn(_) => "destroy the connection",
            Self::BindConn { .. } => "bind the socket to the connection",
            Self::SetParam { .. } => "set a parameter",
            Self::SetNetInterface { .. } => "record the network interface",
            Self::StartConn(_) => "start the connection",
            Self::StopConn(..) => "stop the connection",
            Self::SendPdu { .. } => "send a PDU",
            Self::UnbindSession(_) => "remove the devices of the session",
        }
    }

    /// The session it is about; `None` where it makes one.
    pub fn sid(&self) -> Option<SessionId> {
        match self {
            Self::CreateSession { .. } => None,
            Self::DestroySession(sid)
            | Self::CreateConn(sid)
            | Self::DestroyConn(sid)
            | Self::StartConn(sid)
            | Self::StopConn(sid, _)
            | Self::UnbindSession(sid)
            | Self::BindConn { sid, .. }
            | Self::SetParam { sid, .. }
            | Self::SetNetInterface { sid, .. }
            | Self::SendPdu { sid, .. } => Some(*sid),
        }
    }

    /// The bytes of the request. `transport` is the kernel's handle of the TCP transport.
    pub fn encode(&self, transport: u64) -> Vec<u8> {
        let mut argument = Argument::default();
        let mut payload = Vec::new();
        if let Some(sid) = self.sid() {
            argument.u32(0, sid.0);
            // Requests about a session alone do not look at this.
            argument.u32(4, CID);
        }
        match self {
            Self::CreateSession { initial_cmdsn, cmds_max, queue_depth } => {
                argument.u32(0, *initial_cmdsn);
                argument.u16(4, *cmds_max);
                argument.u16(6, *queue_depth);
            }
            Self::BindConn { socket, .. } => {
                argument.u64(8, u64::from(*socket));
                argument.u32(16, 1); // This is the leading connection.
            }
            Self::SetParam { param, value, .. } => {
                payload.extend_from_slice(value.as_bytes());
                payload.push(0);
                argument.u32(8, param.number());
                argument.length(12, payload.len());
            }
            Self::SetNetInterface { host, name, .. } => {
                payload.extend_from_slice(name.as_bytes());
                payload.push(0);
                argument.u32(0, host.0);
                argument.u32(4, HOST_PARAM_NETDEV_NAME);
                argument.length(8, payload.len());
            }
            Self::StopConn(_, how) => argument.u32(16, *how as u32),
            Self::SendPdu { pdu, .. } => {
                payload = pdu.to_bytes();
                argument.length(8, HEADER_LEN);
                argument.length(12, payload.len() - HEADER_LEN);
            }
            _ => {}
        }
        let event = self.event();
        let mut bytes = Vec::with_capacity(PREFIX_LEN + payload.len());
        let length = u32::try_from(PREFIX_LEN + payload.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
        // The kernel dispatches on the type of the netlink message, and answers with the type inside.
        bytes.extend_from_slice(&event.to_le_bytes()); // Type (16 bits) and flags (16 bits, none).
        bytes.extend_from_slice(&[0; 8]); // Sequence number and port: the interface has no use for them.
        bytes.extend_from_slice(&event.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]); // The error, of answers.
        bytes.extend_from_slice(&transport.to_le_bytes());
        bytes.extend_from_slice(&argument.0);
        bytes.extend_from_slice(&[0; 16]); // The answer.
        bytes.extend_from_slice(&payload);
        bytes
    }
}

/// The 24 bytes of a request inside `struct iscsi_uevent`.
#[derive(Default)]
struct Argument([u8; 24]);

impl Argument {
    fn put<const N: usize>(&mut self, at: usize, bytes: [u8; N]) {
        self.0[at..at + N].copy_from_slice(&bytes);
    }

    fn u16(&mut self, at: usize, value: u16) {
        self.put(at, value.to_le_bytes());
    }

    fn u32(&mut self, at: usize, value: u32) {
        self.put(at, value.to_le_bytes());
    }

    fn u64(&mut self, at: usize, value: u64) {
        self.put(at, value.to_le_bytes());
    }

    fn length(&mut self, at: usize, value: usize) {
        self.u32(at, u32::try_from(value).unwrap_or(u32::MAX));
    }
}

/// The kernel's answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The event number that was asked for, or the one that says failure.
    event: u32,
    /// Set if the kernel refused.
    error: i32,
    /// The 16 bytes of the answer.
    words: [u32; 4],
}

/// `ISCSI_KEVENT_IF_ERROR`.
const IF_ERROR: u32 = 103;

impl Answer {
    /// The answer, or the error in it: of the interface, or of the transport (`retcode`) for those requests that
    /// have one.
    ///
    /// # Errors
    /// The error.
    pub fn result(self, request: &Request) -> Result<Self, Errno> {
        let has_code =
            matches!(request, Request::BindConn { .. } | Request::StartConn(_) | Request::SendPdu { .. });
        let code = if has_code { self.words[0].cast_signed() } else { 0 };
        match (self.error, code) {
            (0, 0) if self.event != IF_ERROR => Ok(self),
            (0, 0) => Err(Errno::EIO),
            (0, code) | (code, _) => Err(Errno::from_raw(code.saturating_neg())),
        }
    }

    /// An answer of a double of the kernel.
    #[cfg(test)]
    pub(crate) fn of_a_double(words: [u32; 4]) -> Self {
        Self { event: 0, error: 0, words }
    }

    /// What CREATE_SESSION made.
    pub fn created(self) -> (SessionId, HostNo) {
        (SessionId(self.words[0]), HostNo(self.words[1]))
    }
}

/// An event, sent to all listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A PDU arrived that the kernel leaves to others: a login, text or logout response, or an async message.
    Pdu {
        /// The session.
        sid: SessionId,
        /// The PDU.
        pdu: Pdu,
    },
    /// The connection is lost.
    ConnError {
        /// The session.
        sid: SessionId,
        /// `enum iscsi_err`.
        code: u32,
    },
    /// The devices of the session are gone.
    Unbound(SessionId),
    /// The session is gone.
    Destroyed(SessionId),
    /// Something of no interest here.
    Other(u32),
}

/// An answer or an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// To the last request of this socket.
    Answer(Answer),
    /// To everybody.
    Event(Event),
}

/// Why bytes from the kernel are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a message of {length} bytes from the kernel's iSCSI interface ends before {what}")]
pub struct Truncated {
    /// Bytes there were.
    pub length: usize,
    /// The object of the search.
    pub what: &'static str,
}

/// Reads one datagram.
///
/// # Errors
/// If it ends too early.
pub fn decode(bytes: &[u8]) -> Result<Message, Truncated> {
    let need = |at: usize, what| u32_at(bytes, at).ok_or(Truncated { length: bytes.len(), what });
    let claimed = usize::try_from(need(0, "its length")?).unwrap_or(usize::MAX);
    let bytes =
        bytes.get(..claimed).ok_or(Truncated { length: bytes.len(), what: "the length it claims" })?;
    let need = |at: usize, what| u32_at(bytes, at).ok_or(Truncated { length: bytes.len(), what });
    // Answers carry the type of their request in the netlink header, events carry none there.
    let is_event = need(4, "its type")? & 0xffff == 0;
    let event = need(NETLINK_HEADER_LEN, "the number of the event")?;
    let error = need(NETLINK_HEADER_LEN + 4, "the error")?.cast_signed();
    let mut words = [0; 4];
    for (index, word) in words.iter_mut().enumerate() {
        *word = need(NETLINK_HEADER_LEN + 40 + 4 * index, "the answer")?;
    }
    if !is_event {
        return Ok(Message::Answer(Answer { event, error, words }));
    }
    let sid = SessionId(words[0]);
    Ok(Message::Event(match event {
        101 => {
            let pdu = bytes.get(PREFIX_LEN..).unwrap_or_default();
            let (header, data) = pdu
                .split_first_chunk::<HEADER_LEN>()
                .ok_or(Truncated { length: bytes.len(), what: "the header of a PDU" })?;
            let data = data_segment(header, data).to_vec();
            Event::Pdu { sid, pdu: Pdu { header: *header, data } }
        }
        102 => Event::ConnError { sid, code: words[2] },
        // The only event with the host first.
        104 => Event::Destroyed(SessionId(words[1])),
        105 => Event::Unbound(sid),
        other => Event::Other(other),
    }))
}

/// The data without its padding: the header says how long it is.
fn data_segment<'a>(header: &[u8; HEADER_LEN], data: &'a [u8]) -> &'a [u8] {
    let length = u32::from_be_bytes([0, header[5], header[6], header[7]]);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    data.get(..length).unwrap_or(data)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}

/// The kernel's number for a lost connection, in words. Source: Linux `include/scsi/iscsi_if.h` (`enum iscsi_err`).
pub fn conn_error(code: u32) -> &'static str {
    match code {
        1005 => "the target sent an unknown PDU",
        1008 => "the target broke the protocol",
        1010 => "the target answered a command that was not sent",
        1011 => "the connection failed",
        1013 => "the session failed",
        1014 => "a header digest was wrong",
        1015 => "a data digest was wrong",
        1018 => "the SCSI host is gone",
        1019 => "the network took no more data",
        1020 => "the target closed the connection",
        1021 => "error recovery reset the session",
        1022 => "the target did not answer a ping",
        _ => "an error of the transport",
    }
}

#[cfg(test)]
mod tests;
