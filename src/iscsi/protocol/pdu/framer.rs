//! PDUs out of a stream of bytes.

use thiserror::Error;

use super::{HEADER_LEN, Pdu};

/// The first operation code of a target; those below are an initiator's. Source: RFC 7143 section 11.2.1.2.
const FIRST_TARGET_OPCODE: u8 = 0x20;

/// Bytes that are not a PDU we could take.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The first byte cannot start a target's PDU.
    #[error("what came is not iSCSI: a target's PDU cannot start with byte {0:#04x}")]
    NotIscsi(u8),
    /// Header segments where none belong.
    #[error("a PDU with additional header segments came where none belong")]
    AdditionalHeader,
    /// More data than we take.
    #[error("a PDU with {length} bytes of data came, and at most {limit} were agreed on")]
    TooLarge {
        /// Its DataSegmentLength.
        length: u32,
        /// Our limit.
        limit: u32,
    },
}

/// Cuts a target's bytes into PDUs, without digests. It takes nothing that belongs to the next PDU, so that a
/// socket can be handed on where a login ends.
#[derive(Debug)]
pub struct Framer {
    limit: u32,
    buffer: Vec<u8>,
    /// Of the PDU in the buffer, once its header is complete.
    length: Option<usize>,
}

impl Framer {
    /// A framer for PDUs with at most `limit` bytes of data.
    pub fn new(limit: u32) -> Self {
        Self { limit, buffer: Vec::with_capacity(HEADER_LEN), length: None }
    }

    /// Takes other sizes from the next PDU on.
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// How many bytes to read next: never more than belong to the PDU that is due.
    pub fn wants(&self) -> usize {
        match self.length {
            None => HEADER_LEN - self.buffer.len(),
            Some(length) => HEADER_LEN + length.next_multiple_of(4) - self.buffer.len(),
        }
    }

    /// Whether part of a PDU has come.
    pub fn is_within(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Takes bytes off the front of `bytes` until a PDU is complete or none are left.
    ///
    /// # Errors
    /// If they cannot be a PDU. What follows in the stream means nothing then.
    pub fn take(&mut self, bytes: &mut &[u8]) -> Result<Option<Pdu>, FrameError> {
        loop {
            let (now, later) = bytes.split_at(self.wants().min(bytes.len()));
            self.buffer.extend_from_slice(now);
            *bytes = later;
            if let Some(&first) = self.buffer.first()
                && !(FIRST_TARGET_OPCODE..=0x3f).contains(&first)
            {
                return Err(FrameError::NotIscsi(first));
            }
            if self.wants() > 0 {
                return Ok(None);
            }
            match self.length {
                None => self.length = Some(self.data_length()?),
                Some(length) => {
                    self.length = None;
                    let bytes = std::mem::replace(&mut self.buffer, Vec::with_capacity(HEADER_LEN));
                    let (header, data) = bytes.split_first_chunk().expect("the header is complete");
                    return Ok(Some(Pdu { header: *header, data: data[..length].to_vec() }));
                }
            }
        }
    }

    /// The length of the data that follows the header in the buffer.
    fn data_length(&self) -> Result<usize, FrameError> {
        let &[ahs, a, b, c] = self.buffer[4..8].as_array().expect("these are four bytes");
        if ahs != 0 {
            return Err(FrameError::AdditionalHeader);
        }
        let length = u32::from_be_bytes([0, a, b, c]);
        if length > self.limit {
            return Err(FrameError::TooLarge { length, limit: self.limit });
        }
        Ok(usize::try_from(length).expect("24 bits fit"))
    }
}
