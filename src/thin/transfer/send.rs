//! From a device to a stream.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use super::checksum::Checksum;
use super::queue::{NotPushed, Queue};
use super::rate::Rate;
use super::sink::Sink;
use super::workers::{Shared, let_go, start, wait};
use super::{Choices, Device, PIECE, REQUESTS, TICK, TransferError, Watch, Window, header, in_memory};
use sys::io::aligned::AlignedBuf;

/// What was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Bytes read from the device.
    pub read: u64,
    /// SHA-256 of the stream with its header, in hexadecimal digits, if it was wanted.
    pub checksum: Option<String>,
}

/// A request to the device. Whoever waits for it has the other end of the channel.
struct Read {
    offset: u64,
    length: u64,
    reply: SyncSender<Result<AlignedBuf, TransferError>>,
}

/// What comes next in the stream.
enum Next {
    Data { length: u64, content: Receiver<Result<AlignedBuf, TransferError>> },
    Zeros(u64),
}

/// Sends `size` bytes of a device with their header. `window` is asked from which byte on to say what is mapped.
///
/// # Errors
/// What went wrong first. The device is let go of, unless its requests do not end.
pub fn send(
    device: Device,
    size: u64,
    window: &mut dyn FnMut(u64) -> Window,
    sink: Box<dyn Sink>,
    choices: Choices,
    watch: &mut dyn Watch,
) -> Result<Sent, TransferError> {
    let shared = Arc::new(Shared::default());
    let reads = Arc::new(Queue::new(REQUESTS));
    let stream = Arc::new(Queue::new(2 * REQUESTS));
    let (ended, end) = sync_channel(1);
    let mut readers = Vec::new();
    for _ in 0..REQUESTS {
        readers.push(reader(Arc::clone(&device), Arc::clone(&reads))?);
    }
    drop(device);
    let writing = Writing { sink, choices, shared: Arc::clone(&shared), size };
    let writer = {
        let stream = Arc::clone(&stream);
        start("thinvol-stream", move || {
            // Nobody listens any more if it was broken off.
            let _ = ended.send(writing.run(&stream));
            stream.close();
        })?
    };
    let planned = plan(size, window, &reads, &stream, &shared, watch);
    reads.end();
    stream.end();
    let waited = planned.and_then(|read| {
        wait(std::slice::from_ref(&writer), &shared, watch)?;
        Ok(read)
    });
    if waited.is_err() {
        reads.close();
        stream.close();
    }
    let_go(&readers);
    let read = waited?;
    let stopped = || TransferError::Stopped("the thread that writes the stream has stopped".to_owned());
    let checksum = end.recv().map_err(|_| stopped())??;
    Ok(Sent { read, checksum })
}

/// A thread that reads what it is told to.
fn reader(device: Device, reads: Arc<Queue<Read>>) -> Result<JoinHandle<()>, TransferError> {
    start("thinvol-read", move || {
        while let Some(Read { offset, length, reply }) = reads.pop() {
            let mut buffer = AlignedBuf::new(in_memory(length));
            let read = device
                .read_at(offset, buffer.first_mut(in_memory(length)))
                .map_err(|source| TransferError::Read { device: device.name(), offset, length, source });
            // Who waited for it may be gone.
            let _ = reply.send(read.map(|()| buffer));
        }
    })
}

/// Divides the device into pieces and says in which order they come. Returns how many bytes are read.
fn plan(
    size: u64,
    window: &mut dyn FnMut(u64) -> Window,
    reads: &Queue<Read>,
    stream: &Queue<Next>,
    shared: &Shared,
    watch: &mut dyn Watch,
) -> Result<u64, TransferError> {
    let (mut at, mut read) = (0, 0);
    let mut put = |next: Next| {
        let mut next = next;
        loop {
            shared.heard_by(watch)?;
            match stream.push(next, TICK) {
                Ok(()) => return Ok(true),
                Err(NotPushed::Full(back)) => next = back,
                // The writer has met an error, and will say so.
                Err(NotPushed::Closed) => return Ok(false),
            }
        }
    };
    while at < size {
        let known = window(at);
        let until = known.until.clamp(at + 1, size);
        for mapped in known.mapped {
            let start = mapped.start.clamp(at, until);
            let end = mapped.start.saturating_add(mapped.length).clamp(start, until);
            if start > at && !put(Next::Zeros(start - at))? {
                return Ok(read);
            }
            at = start;
            while at < end {
                let length = PIECE.min(end - at);
                let (reply, content) = sync_channel(1);
                if !reads.push_patiently(Read { offset: at, length, reply })
                    || !put(Next::Data { length, content })?
                {
                    return Ok(read);
                }
                at += length;
                read += length;
            }
        }
        if until > at && !put(Next::Zeros(until - at))? {
            return Ok(read);
        }
        at = until;
    }
    Ok(read)
}

/// What the thread that writes the stream has.
struct Writing {
    sink: Box<dyn Sink>,
    choices: Choices,
    shared: Arc<Shared>,
    size: u64,
}

impl Writing {
    /// Writes all there is; the checksum, if it was wanted.
    fn run(mut self, stream: &Queue<Next>) -> Result<Option<String>, TransferError> {
        let mut sum = Checksum::new(self.choices.checksum);
        let mut rate = Rate::new(self.choices.limit);
        let mut through = 0;
        let header = header::of(self.size);
        sum.add(&header);
        self.sink.write(&header).map_err(|source| TransferError::Sink { after: 0, source })?;
        while let Some(next) = stream.pop() {
            let taken = |source| TransferError::Sink { after: through, source };
            let length = match next {
                Next::Zeros(count) => {
                    self.zeros(count, &mut rate, through)?;
                    sum.add_zeros(count);
                    count
                }
                Next::Data { length, content } => {
                    let Ok(content) = content.recv() else { return Ok(None) };
                    let content = content?;
                    let bytes = content.first(in_memory(length));
                    std::thread::sleep(rate.wait(length, Instant::now()));
                    sum.add(bytes);
                    self.sink.write(bytes).map_err(taken)?;
                    self.shared.add(length);
                    length
                }
            };
            through += length;
        }
        if through == self.size {
            self.sink.finish().map_err(|source| TransferError::Sink { after: through, source })?;
        }
        Ok(sum.digits())
    }

    /// Many zeros come piece by piece, so that the limit and whoever watches have something of it.
    fn zeros(&mut self, count: u64, rate: &mut Rate, through: u64) -> Result<(), TransferError> {
        let mut left = count;
        while left > 0 {
            let part = if self.sink.has_holes() { left } else { left.min(PIECE) };
            if !self.sink.has_holes() {
                std::thread::sleep(rate.wait(part, Instant::now()));
            }
            let after = through + (count - left);
            self.sink.zeros(part).map_err(|source| TransferError::Sink { after, source })?;
            self.shared.add(part);
            left -= part;
        }
        Ok(())
    }
}
