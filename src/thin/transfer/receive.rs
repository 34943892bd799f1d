//! From a stream into a new volume.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use super::checksum::Checksum;
use super::input::Input;
use super::queue::Queue;
use super::rate::Rate;
use super::workers::{Shared, let_go, start, wait};
use super::{Choices, Device, PIECE, REQUESTS, TransferError, Watch, header, in_memory, on_device};
use base::units::Bytes;
use sys::io::aligned::AlignedBuf;

/// How a pool keeps what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The size of its chunks.
    pub chunk: Bytes,
    /// Whether it zeroes what is not written of a new chunk.
    pub zeroes: bool,
}

/// What was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes written to the device.
    pub written: u64,
    /// SHA-256 of the stream with its header, in hexadecimal digits, if it was wanted.
    pub checksum: Option<String>,
}

/// What is to be written: parts of the buffer, the first byte of which goes to `offset`.
struct Write {
    offset: u64,
    buffer: AlignedBuf,
    parts: Vec<(usize, usize)>,
}

/// Receives `size` bytes, behind their header, into a device that reads as zeros. Of a chunk all is written or
/// nothing: where a pool does not zero, the rest of a chunk would show what others left in it.
///
/// # Errors
/// What went wrong first. The device is let go of, unless its requests do not end.
pub fn receive(
    input: Box<dyn Input>,
    size: u64,
    device: Device,
    layout: Layout,
    choices: Choices,
    watch: &mut dyn Watch,
) -> Result<Received, TransferError> {
    let shared = Arc::new(Shared::default());
    let writes = Arc::new(Queue::new(REQUESTS));
    let mut writers = Vec::new();
    for _ in 0..REQUESTS {
        writers.push(writer(Arc::clone(&device), Arc::clone(&writes), Arc::clone(&shared))?);
    }
    let (ended, end) = std::sync::mpsc::sync_channel(1);
    let reading = Reading {
        input,
        size,
        room: device.size().get(),
        layout,
        choices,
        shared: Arc::clone(&shared),
        writes: Arc::clone(&writes),
        hole: 0,
        begun: None,
        written: 0,
    };
    let reader = {
        let (writes, shared) = (Arc::clone(&writes), Arc::clone(&shared));
        start("thinvol-stream", move || match reading.run() {
            Ok(received) => {
                writes.end();
                // Nobody listens any more if it was broken off.
                let _ = ended.send(received);
            }
            Err(error) => {
                shared.fail(error);
                writes.close();
            }
        })?
    };
    let waited =
        wait(std::slice::from_ref(&reader), &shared, watch).and_then(|()| wait(&writers, &shared, watch));
    if waited.is_err() || shared.has_failed() {
        writes.close();
    }
    let_go(&writers);
    waited?;
    if let Some(error) = shared.failure() {
        return Err(error);
    }
    let stopped = || TransferError::Stopped("the thread that reads the stream has stopped".to_owned());
    let received = end.recv().map_err(|_| stopped())?;
    let failed = |source| TransferError::Write { device: device.name(), offset: size, source };
    device.flush().map_err(failed)?;
    Ok(received)
}

/// A thread that writes what it is given.
fn writer(
    device: Device,
    writes: Arc<Queue<Write>>,
    shared: Arc<Shared>,
) -> Result<JoinHandle<()>, TransferError> {
    start("thinvol-write", move || {
        while let Some(Write { offset, buffer, parts }) = writes.pop() {
            for (from, to) in parts {
                let at = offset + on_device(from);
                if let Err(source) = device.write_at(at, &buffer.first(to)[from..]) {
                    shared.fail(TransferError::Write { device: device.name(), offset: at, source });
                    writes.close();
                    return;
                }
            }
        }
    })
}

/// What the thread that reads the stream has.
struct Reading {
    input: Box<dyn Input>,
    size: u64,
    /// The size of the device, which may be larger.
    room: u64,
    layout: Layout,
    choices: Choices,
    shared: Arc<Shared>,
    writes: Arc<Queue<Write>>,
    /// Zeros that come next and need no reading.
    hole: u64,
    /// The first byte of the last chunk of which something is written, if one is larger than a piece.
    begun: Option<u64>,
    written: u64,
}

impl Reading {
    /// Reads all there is.
    fn run(mut self) -> Result<Received, TransferError> {
        let mut sum = Checksum::new(self.choices.checksum);
        let mut rate = Rate::new(self.choices.limit);
        sum.add(&header::of(self.size));
        let mut at = 0;
        while at < self.size {
            let length = self.piece(at);
            let content = self.read(at, length)?;
            match &content {
                Some(buffer) => {
                    std::thread::sleep(rate.wait(length, Instant::now()));
                    sum.add(buffer.first(in_memory(length)));
                }
                None => sum.add_zeros(length),
            }
            if !self.give(at, length, content) {
                // A writer has met an error, and has said so.
                return Ok(Received { written: self.written, checksum: None });
            }
            self.shared.add(length);
            at += length;
        }
        let more = self.input.fill(&mut [0]).map_err(|source| TransferError::Input { after: at, source })?;
        if more > 0 {
            return Err(TransferError::Long { size: self.size });
        }
        Ok(Received { written: self.written, checksum: sum.digits() })
    }

    /// How much is looked at in one: whole chunks, or a part of one.
    fn piece(&self, at: u64) -> u64 {
        let chunk = self.layout.chunk.get();
        let most = if chunk <= PIECE { PIECE / chunk * chunk } else { PIECE.min(chunk - at % chunk) };
        most.min(self.size - at)
    }

    /// The next piece; nothing if it is known to be zero.
    fn read(&mut self, at: u64, length: u64) -> Result<Option<AlignedBuf>, TransferError> {
        let failed = |source| TransferError::Input { after: at, source };
        if self.hole == 0 {
            self.hole = self.input.pass_hole(self.size - at).map_err(failed)?;
        }
        let zeros = self.hole.min(length);
        self.hole -= zeros;
        if zeros == length {
            return Ok(None);
        }
        let mut buffer = AlignedBuf::new(in_memory(PIECE));
        let wanted = &mut buffer.first_mut(in_memory(length))[in_memory(zeros)..];
        let filled = self.input.fill(wanted).map_err(failed)?;
        if filled < wanted.len() {
            return Err(TransferError::Short { after: at + zeros + on_device(filled), size: self.size });
        }
        Ok(Some(buffer))
    }

    /// Has written what must be of a piece. Whether anybody writes it.
    fn give(&mut self, at: u64, length: u64, content: Option<AlignedBuf>) -> bool {
        let chunk = self.layout.chunk.get();
        if chunk <= PIECE {
            let Some(buffer) = content else { return true };
            // The rest of the last chunk is zero in the buffer.
            let end = (at + length).next_multiple_of(chunk).min(self.room) - at;
            let parts = chunks_that_are_not_zero(buffer.first(in_memory(end)), in_memory(chunk));
            return self.put(at, buffer, parts);
        }
        let start = at / chunk * chunk;
        let is_zero = content.as_ref().is_none_or(|buffer| is_zero(buffer.first(in_memory(length))));
        let is_begun = self.begun == Some(start);
        if is_zero && (self.layout.zeroes || !is_begun) {
            return true;
        }
        if !self.layout.zeroes && !is_begun && !self.put_zeros(start, at) {
            return false;
        }
        self.begun = Some(start);
        let end = (at + length).next_multiple_of(u64::from(BLOCK)).min(self.room);
        let buffer = content.unwrap_or_else(|| AlignedBuf::new(in_memory(PIECE)));
        let rest = if at + length == self.size { (start + chunk).min(self.room) } else { end };
        self.put(at, buffer, vec![(0, in_memory(end - at))])
            && (self.layout.zeroes || self.put_zeros(end, rest))
    }

    fn put_zeros(&mut self, mut from: u64, to: u64) -> bool {
        while from < to {
            let length = PIECE.min(to - from);
            let zeros = AlignedBuf::new(in_memory(length));
            if !self.put(from, zeros, vec![(0, in_memory(length))]) {
                return false;
            }
            from += length;
        }
        true
    }

    fn put(&mut self, offset: u64, buffer: AlignedBuf, parts: Vec<(usize, usize)>) -> bool {
        self.written += parts.iter().map(|(from, to)| on_device(to - from)).sum::<u64>();
        parts.is_empty() || self.writes.push_patiently(Write { offset, buffer, parts })
    }
}

/// The largest block of a device: what is written is made of whole ones.
const BLOCK: u32 = 4096;

/// The parts of a buffer, in whole chunks but for the last one, in which something is not zero.
fn chunks_that_are_not_zero(bytes: &[u8], chunk: usize) -> Vec<(usize, usize)> {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    let mut from = 0;
    for part in bytes.chunks(chunk) {
        let to = from + part.len();
        if !is_zero(part) {
            match parts.last_mut() {
                Some(last) if last.1 == from => last.1 = to,
                _ => parts.push((from, to)),
            }
        }
        from = to;
    }
    parts
}

fn is_zero(bytes: &[u8]) -> bool {
    // By lines that the compiler can look at in one.
    let (lines, rest) = bytes.as_chunks::<64>();
    rest.iter().all(|byte| *byte == 0)
        && lines.iter().all(|line| line.iter().fold(0, |all, byte| all | byte) == 0)
}
