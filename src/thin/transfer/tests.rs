//! Streams from and into disks in memory, counted.

use std::io;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use proptest::prelude::{any, prop_assert_eq, proptest};

use super::input::{self, Input};
use super::receive::Layout;
use super::sink::{self, Sink};
use super::{Choices, Mapped, PIECE, TransferError, Watch, Window, all_of, header, receive, send};
use base::units::Bytes;
use sys::io::block::BlockDev;

/// A disk that counts the bytes that go through it.
#[derive(Debug, Default)]
struct Counted {
    bytes: Mutex<Vec<u8>>,
    /// What reads and writes from this byte on fail.
    bad: Option<u64>,
    read: AtomicU64,
    /// Ranges that were written.
    writes: Mutex<Vec<(u64, u64)>>,
    /// How many of them were made durable.
    flushed: AtomicU64,
}

impl Counted {
    fn new(content: Vec<u8>) -> Arc<Self> {
        Arc::new(Self { bytes: Mutex::new(content), ..Self::default() })
    }

    fn bad_from(content: Vec<u8>, bad: u64) -> Arc<Self> {
        Arc::new(Self { bytes: Mutex::new(content), bad: Some(bad), ..Self::default() })
    }

    fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().expect("no panic").clone()
    }

    fn range(&self, offset: u64, length: usize) -> io::Result<std::ops::Range<usize>> {
        let start = super::in_memory(offset);
        if self.bad.is_some_and(|bad| offset + super::on_device(length) > bad) {
            return Err(io::Error::from_raw_os_error(nix::libc::EIO));
        }
        Ok(start..start + length)
    }
}

impl BlockDev for Counted {
    fn name(&self) -> String {
        "vol".to_owned()
    }

    fn size(&self) -> Bytes {
        Bytes::new(super::on_device(self.bytes.lock().expect("no panic").len()))
    }

    fn block_size(&self) -> u32 {
        512
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.read.fetch_add(super::on_device(buf.len()), Ordering::Relaxed);
        let range = self.range(offset, buf.len())?;
        buf.copy_from_slice(&self.bytes.lock().expect("no panic")[range]);
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        let range = self.range(offset, buf.len())?;
        self.writes.lock().expect("no panic").push((offset, offset + super::on_device(buf.len())));
        self.bytes.lock().expect("no panic")[range].copy_from_slice(buf);
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let count = self.writes.lock().expect("no panic").len();
        self.flushed.store(super::on_device(count), Ordering::Relaxed);
        Ok(())
    }
}

/// Takes a stream, up to so many bytes.
#[derive(Clone, Default)]
struct Kept {
    bytes: Arc<Mutex<Vec<u8>>>,
    room: Option<usize>,
    has_holes: bool,
}

impl Sink for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut kept = self.bytes.lock().expect("no panic");
        if self.room.is_some_and(|room| kept.len() + bytes.len() > room) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        kept.extend_from_slice(bytes);
        Ok(())
    }

    fn zeros(&mut self, count: u64) -> io::Result<()> {
        self.write(&vec![0; super::in_memory(count)])
    }

    fn has_holes(&self) -> bool {
        self.has_holes
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives a stream.
struct Given {
    bytes: Vec<u8>,
    at: usize,
    /// Whether it tells of holes, in steps of so many bytes.
    holes: Option<usize>,
}

impl Given {
    fn input(bytes: Vec<u8>, holes: Option<usize>) -> Box<dyn Input> {
        Box::new(Self { bytes, at: 0, holes })
    }
}

impl Input for Given {
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(self.bytes.len() - self.at);
        buffer[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }

    fn pass_hole(&mut self, most: u64) -> io::Result<u64> {
        let Some(step) = self.holes else { return Ok(0) };
        let most = super::in_memory(most).min(self.bytes.len() - self.at);
        let zeros = self.bytes[self.at..self.at + most].iter().take_while(|byte| **byte == 0).count();
        let passed = zeros / step * step;
        self.at += passed;
        Ok(super::on_device(passed))
    }
}

/// Lets everything go on, or nothing.
struct Patience(bool);

impl Watch for Patience {
    fn heed(&mut self, _done: u64) -> Result<(), String> {
        if self.0 { Ok(()) } else { Err("stopped by SIGINT".to_owned()) }
    }
}

const K64: u64 = 65_536;

fn pattern(length: u64) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at * 7 % 251).expect("small") | 1).collect()
}

fn sent(
    content: &Arc<Counted>,
    mut window: impl FnMut(u64) -> Window,
    kept: Kept,
) -> Result<super::Sent, TransferError> {
    let choices = Choices { checksum: true, ..Choices::default() };
    send(content.clone(), content.size().get(), &mut window, Box::new(kept), choices, &mut Patience(true))
}

fn sum(bytes: &[u8]) -> Option<String> {
    let mut sum = super::checksum::Checksum::new(true);
    sum.add(bytes);
    sum.digits()
}

#[test]
fn only_what_is_mapped_is_read_and_the_stream_is_whole() {
    let size = 5 * PIECE + 3 * K64;
    let mut bytes = vec![0; super::in_memory(size)];
    let ranges = [(K64, 2 * K64), (PIECE, 2 * PIECE + K64), (size - K64, K64)];
    for (start, length) in ranges {
        bytes[super::in_memory(start)..super::in_memory(start + length)].copy_from_slice(&pattern(length));
    }
    let disk = Counted::new(bytes.clone());
    let mapped: Vec<Mapped> = ranges.map(|(start, length)| Mapped { start, length }).to_vec();
    // In windows that cut a range in two, and know more than they are asked for.
    let window = |at| Window { mapped: mapped.clone(), until: at + PIECE / 2 * 3 };
    for has_holes in [false, true] {
        disk.read.store(0, Ordering::Relaxed);
        let kept = Kept { has_holes, ..Kept::default() };
        let done = sent(&disk, window, kept.clone()).unwrap();
        let stream = [header::of(size).to_vec(), bytes.clone()].concat();
        assert!(*kept.bytes.lock().unwrap() == stream);
        let total: u64 = ranges.iter().map(|range| range.1).sum();
        assert_eq!((done.read, disk.read.load(Ordering::Relaxed)), (total, total));
        assert_eq!(done.checksum, sum(&stream));
    }
    let kept = Kept::default();
    assert_eq!(sent(&disk, |_| all_of(Bytes::new(size)), kept).unwrap().read, size);
}

#[test]
fn a_stream_that_nobody_takes_or_that_is_to_stop_ends() {
    let disk = Counted::new(pattern(40 * PIECE));
    let all = |_| all_of(Bytes::new(40 * PIECE));
    let kept = Kept { room: Some(super::in_memory(3 * PIECE)), ..Kept::default() };
    let error = sent(&disk, all, kept).unwrap_err();
    assert!(matches!(&error, TransferError::Sink { after, .. } if *after == 2 * PIECE), "{error}");
    let mut window = all;
    let stopped = send(
        disk.clone(),
        40 * PIECE,
        &mut window,
        Box::new(Kept::default()),
        Choices::default(),
        &mut Patience(false),
    );
    assert!(matches!(stopped, Err(TransferError::Stopped(_))));
    assert_eq!(Arc::strong_count(&disk), 1, "the device is let go of");
    let disk = Counted::bad_from(pattern(40 * PIECE), 2 * PIECE + 512);
    let error = sent(&disk, all, Kept::default()).unwrap_err();
    assert!(matches!(&error, TransferError::Read { offset, .. } if *offset == 2 * PIECE), "{error}");
}

fn received(
    stream: &[u8],
    room: u64,
    layout: Layout,
    holes: Option<usize>,
) -> (Arc<Counted>, Result<super::Received, TransferError>) {
    let disk = Counted::new(vec![0; super::in_memory(room)]);
    let size = header::size(stream[..header::LENGTH].try_into().expect("a header"));
    let input = Given::input(stream[header::LENGTH..].to_vec(), holes);
    let choices = Choices { checksum: true, limit: NonZeroU64::new(u64::MAX) };
    let done = receive(input, size, disk.clone(), layout, choices, &mut Patience(true));
    (disk, done)
}

fn stream_of(content: &[u8]) -> Vec<u8> {
    [header::of(super::on_device(content.len())).to_vec(), content.to_vec()].concat()
}

#[test]
fn whole_chunks_are_written_or_none_of_them() {
    let mut content = vec![0; super::in_memory(40 * K64 + 1000)];
    content[super::in_memory(3 * K64) + 77] = 1;
    content[super::in_memory(5 * K64)..super::in_memory(7 * K64)].fill(2);
    content[super::in_memory(40 * K64) + 999] = 3;
    let stream = stream_of(&content);
    let layout = Layout { chunk: Bytes::new(K64), zeroes: false };
    let (disk, done) = received(&stream, 42 * K64, layout, None);
    let done = done.unwrap();
    let mut writes = disk.writes.lock().unwrap().clone();
    writes.sort_unstable();
    assert_eq!(writes, [(3 * K64, 4 * K64), (5 * K64, 7 * K64), (40 * K64, 41 * K64)]);
    assert_eq!((done.written, done.checksum), (4 * K64, sum(&stream)));
    assert!(disk.bytes()[..content.len()] == content);
    assert_eq!(disk.flushed.load(Ordering::Relaxed), 3);
}

#[test]
fn streams_of_another_length_than_they_say_are_refused() {
    let layout = Layout { chunk: Bytes::new(K64), zeroes: true };
    let mut stream = stream_of(&pattern(3 * PIECE));
    stream.push(0);
    let (_, long) = received(&stream, 3 * PIECE, layout, None);
    assert!(matches!(long, Err(TransferError::Long { size }) if size == 3 * PIECE));
    stream.truncate(stream.len() - 2);
    for holes in [None, Some(4096)] {
        let (disk, short) = received(&stream, 3 * PIECE, layout, holes);
        let after = 3 * PIECE - 1;
        assert!(matches!(short, Err(TransferError::Short { after: found, .. }) if found == after));
        assert_eq!(Arc::strong_count(&disk), 1);
    }
}

#[test]
fn a_device_that_fails_ends_it_though_the_stream_goes_on() {
    let disk = Counted::bad_from(vec![0; super::in_memory(64 * PIECE)], PIECE + 1);
    let layout = Layout { chunk: Bytes::new(K64), zeroes: true };
    let input = Given::input(pattern(64 * PIECE), None);
    let done = receive(input, 64 * PIECE, disk.clone(), layout, Choices::default(), &mut Patience(true));
    assert!(matches!(&done, Err(TransferError::Write { offset, .. }) if *offset == PIECE), "{done:?}");
    assert_eq!(Arc::strong_count(&disk), 1);
}

#[test]
fn files_keep_their_holes_both_ways() {
    let file = tempfile::tempfile().unwrap();
    let size = 64 * PIECE;
    let mut bytes = vec![0; super::in_memory(size)];
    bytes[super::in_memory(20 * PIECE)..super::in_memory(21 * PIECE)].fill(9);
    let disk = Counted::new(bytes.clone());
    let mapped = vec![Mapped { start: 20 * PIECE, length: PIECE }];
    let mut window = |_| Window { mapped: mapped.clone(), until: size };
    let into = sink::SparseFile::new(file.try_clone().unwrap());
    send(disk, size, &mut window, Box::new(into), Choices::default(), &mut Patience(true)).unwrap();
    let stat = std::os::unix::fs::MetadataExt::blocks(&file.metadata().unwrap()) * 512;
    assert_eq!(file.metadata().unwrap().len(), size + 8);
    assert!(stat < 3 * PIECE, "{stat} bytes are allocated");
    std::io::Seek::seek(&mut &file, io::SeekFrom::Start(8)).unwrap();
    let from = input::SparseFile::new(file).unwrap();
    let target = Counted::new(vec![0; super::in_memory(size)]);
    let layout = Layout { chunk: Bytes::new(K64), zeroes: true };
    let done = receive(Box::new(from), size, target.clone(), layout, Choices::default(), &mut Patience(true))
        .unwrap();
    assert_eq!(done.written, PIECE);
    assert!(target.bytes() == bytes);
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, ..Default::default() })]

    /// Whatever is where: what is received reads as what was sent, also where a pool shows what others left in the
    /// part of a chunk that is not written.
    #[test]
    fn what_is_received_is_what_was_sent(
        chunk in 1u64..40, zeroes in any::<bool>(), tail in 0u64..3000, holes in any::<bool>(),
        spots in proptest::collection::vec((0u64..60, 0u64..K64), 0..6),
    ) {
        let size = 60 * K64 + tail;
        let mut content = vec![0; super::in_memory(size)];
        for (block, at) in spots {
            content[super::in_memory(block * K64 + at)] = 1;
        }
        let chunk = chunk * K64;
        let room = size.next_multiple_of(64 * K64);
        let layout = Layout { chunk: Bytes::new(chunk), zeroes };
        let (disk, done) = received(&stream_of(&content), room, layout, holes.then_some(512));
        done.unwrap();
        let mut seen = disk.bytes();
        if !zeroes {
            // What is not written of a chunk of which something is written is anything.
            let writes = disk.writes.lock().unwrap().clone();
            let mut covered = vec![false; seen.len()];
            for (from, to) in &writes {
                covered[super::in_memory(*from)..super::in_memory(*to)].fill(true);
            }
            for (from, _) in writes {
                let start = from / chunk * chunk;
                for at in super::in_memory(start)..super::in_memory((start + chunk).min(room)) {
                    if !covered[at] {
                        seen[at] = 0xee;
                    }
                }
            }
        }
        content.resize(seen.len(), 0);
        prop_assert_eq!(seen == content, true);
    }
}
