//! What a volume holds, as a stream: sent from its device, or received into a new one.
//!
//! A stream is what Proxmox VE calls `raw+size`: a [`header`], then the whole content. Ranges that are not mapped are
//! not read, and are sent as zeros; what is zero in whole chunks is not written, so that holes stay holes. Several
//! requests are under way at a time. The threads that wait for a pipe are left to the process's end where a transfer
//! is broken off: nothing can wake them, and they hold no device.

use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use base::units::Bytes;
use sys::io::block::BlockDev;

mod checksum;
pub mod header;
pub mod input;
mod queue;
pub(crate) mod rate;
mod receive;
mod send;
pub mod sink;
#[cfg(test)]
mod tests;
mod workers;

pub use receive::{Layout, Received, receive};
pub use send::{Sent, send};

/// What goes through at once, in bytes.
const PIECE: u64 = 1 << 20;

/// Zeros, for ranges that nobody reads.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// Requests to a device under way at a time.
const REQUESTS: usize = 8;

/// How often whoever waits looks whether it is to go on.
const TICK: Duration = Duration::from_millis(100);

/// How long requests that are under way are waited for when a transfer is broken off. A pool that is full holds its
/// writers back for 60 seconds by default. Source: Linux `drivers/md/dm-thin.c` (`NO_SPACE_TIMEOUT_SECS`).
const LAST_REQUESTS: Duration = Duration::from_secs(90);

/// A device that several threads use.
pub type Device = Arc<dyn BlockDev + Send + Sync>;

/// A range of a volume that is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Its first byte.
    pub start: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// What is mapped up to some place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The ranges, in order; between them is nothing.
    pub mapped: Vec<Mapped>,
    /// Up to which byte is known what is mapped.
    pub until: u64,
}

/// What may be chosen of a transfer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// Most bytes in a second.
    pub limit: Option<NonZeroU64>,
    /// Whether the checksum of the stream is wanted.
    pub checksum: bool,
}

/// Who waits for a transfer.
pub trait Watch {
    /// Is told now and then how many bytes of the stream are through.
    ///
    /// # Errors
    /// Why it is not to go on.
    fn heed(&mut self, done: u64) -> Result<(), String>;
}

/// Why a transfer did not come to its end.
#[derive(Debug, Error)]
pub enum TransferError {
    /// The volume could not be read.
    #[error("cannot read {length} bytes at {offset} of {device}")]
    Read {
        /// Its device.
        device: String,
        /// Where, in bytes.
        offset: u64,
        /// How many bytes.
        length: u64,
        /// What the device said.
        #[source]
        source: io::Error,
    },
    /// The volume could not be written.
    #[error("cannot write at byte {offset} of {device}")]
    Write {
        /// Its device.
        device: String,
        /// Where, in bytes.
        offset: u64,
        /// What the device said.
        #[source]
        source: io::Error,
    },
    /// Whoever takes the stream did not take it.
    #[error("the stream cannot be written, after {after} bytes")]
    Sink {
        /// How much was taken.
        after: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Whoever gives the stream did not.
    #[error("the stream cannot be read, after {after} bytes of its content")]
    Input {
        /// How much was given.
        after: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The stream ends early.
    #[error("the stream ends after {after} of {size} bytes")]
    Short {
        /// How much of the content came.
        after: u64,
        /// How much its header said.
        size: u64,
    },
    /// The stream goes on.
    #[error("the stream is longer than the {size} bytes that its header says")]
    Long {
        /// How much its header said.
        size: u64,
    },
    /// It was not to go on.
    #[error("{0}")]
    Stopped(String),
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

/// The length of a range as memory has it.
fn in_memory(length: u64) -> usize {
    usize::try_from(length).expect("a piece fits the address space")
}

/// A length in memory as devices have it.
fn on_device(length: usize) -> u64 {
    u64::try_from(length).expect("a piece is small")
}

/// What is mapped of a device of which nothing is known: all.
pub fn all_of(size: Bytes) -> Window {
    Window { mapped: vec![Mapped { start: 0, length: size.get() }], until: size.get() }
}
